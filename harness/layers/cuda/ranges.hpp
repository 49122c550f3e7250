// SPDX-License-Identifier: Apache-2.0
/// @file
/// Named stretches of host time for Nsight Systems, where the toolkit has the headers; nothing elsewhere.
#pragma once

#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#define BUDDY_HAS_NVTX 1
#else
#define BUDDY_HAS_NVTX 0
#endif

namespace harness {

/// Lasts as long as its scope. Costs a test of one pointer unless a profiler is attached.
class nvtx_range {
 public:
  explicit nvtx_range([[maybe_unused]] char const* name) noexcept {
#if BUDDY_HAS_NVTX
    nvtxRangePushA(name);
#endif
  }
  nvtx_range(nvtx_range const&) = delete;
  nvtx_range& operator=(nvtx_range const&) = delete;
  ~nvtx_range() {
#if BUDDY_HAS_NVTX
    nvtxRangePop();
#endif
  }
};

}  // namespace harness
