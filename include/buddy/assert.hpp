// SPDX-License-Identifier: Apache-2.0
/// @file
/// What happens when a caller breaks a precondition.
///
/// Both macros may be defined by the host before any buddy header is included (for example to `GGML_ASSERT`); one
/// setting per program, or the one-definition rule is broken.
#pragma once

#include <cassert>

/// A precondition: on unless `NDEBUG` is defined.
#if !defined(BUDDY_ASSERT)
#define BUDDY_ASSERT(cond) assert(cond)
#endif

/// An invariant that costs more than O(1) to check: off unless the host (a test, a fuzzer) turns it on.
#if !defined(BUDDY_AUDIT)
#define BUDDY_AUDIT(cond) static_cast<void>(0)
#endif
