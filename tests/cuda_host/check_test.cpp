// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/cuda/check.hpp>
#include <buddy/cuda/device.hpp>

#include <cuda_runtime_api.h>

#include <string>

namespace {

/// Without a driver the question itself is answered with an error.
bool nothing_left_behind() { return cudaPeekAtLastError() == cudaSuccess || !buddy::cuda::gpu_available(); }

}  // namespace

TEST_CASE("a failed call throws what failed and why, and is forgotten", "[cuda_host][check]") {
  try {
    BUDDY_CUDA_TRY(cudaErrorInvalidValue);
    FAIL("nothing was thrown");
  } catch (buddy::cuda_error const& e) {
    CHECK(e.code() == cudaErrorInvalidValue);
    CHECK(std::string(e.what()) == "cudaErrorInvalidValue: invalid argument (cudaErrorInvalidValue)");
  }
  CHECK_NOTHROW(BUDDY_CUDA_TRY(cudaSuccess));
}

TEST_CASE("a real failure leaves no sticky error behind", "[cuda_host][check]") {
  CHECK_THROWS_AS(BUDDY_CUDA_TRY(cudaSetDevice(1'000'000)), buddy::cuda_error);
  CHECK(nothing_left_behind());
  CHECK_THROWS_AS(buddy::cuda::device_guard(1'000'000), buddy::cuda_error);
  CHECK(nothing_left_behind());
}

TEST_CASE("no driver is an ordinary answer", "[cuda_host][device]") {
  bool const there = buddy::cuda::gpu_available();
  CHECK(nothing_left_behind());
  CHECK(there == std::string(buddy::cuda::why_no_gpu()).empty());
  CHECK(there == (buddy::cuda::device_count() != 0));
  CHECK(buddy::cuda::device_attribute(cudaDevAttrMultiProcessorCount, 1'000'000, -1) == -1);
  CHECK(nothing_left_behind());
}
