// SPDX-License-Identifier: Apache-2.0
/// @file
/// What happens when a caller breaks a precondition.
///
/// The host may define the macro before any buddy header is included (for example to `GGML_ASSERT`); one setting per
/// program, or the one-definition rule is broken.
#pragma once

#include <cassert>

/// A precondition: on unless `NDEBUG` is defined.
#if !defined(BUDDY_ASSERT)
#define BUDDY_ASSERT(cond) assert(cond)
#endif
