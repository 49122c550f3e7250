// SPDX-License-Identifier: Apache-2.0
// Whether there is a device to run on; the reason is printed where there is none.
#pragma once

#include "catch.hpp"

#include <buddy/cuda/device.hpp>

/// `if (skipped()) return;` begins each test that needs a device. "skipped" is what scripts/gpu-check looks for.
inline bool skipped() {
  if (buddy::cuda::gpu_available()) return false;
  WARN("skipped, no GPU: " << buddy::cuda::why_no_gpu());
  return true;
}
