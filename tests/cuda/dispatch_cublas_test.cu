// SPDX-License-Identifier: Apache-2.0
// Prefill through cuBLAS on a device, against double precision.
#include "catch.hpp"
#include "cuda/device_case.hpp"
#include "cuda/skip.hpp"

#ifdef BUDDY_HAS_CUBLAS

#include <buddy/cuda/dispatch_cublas.cuh>

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace device = buddy::cuda;

namespace {

struct handle {
  cublasHandle_t get{};
  handle() { REQUIRE(cublasCreate(&get) == CUBLAS_STATUS_SUCCESS); }
  handle(handle const&) = delete;
  handle& operator=(handle const&) = delete;
  ~handle() { (void)cublasDestroy(get); }
};

std::vector<float> prefill(dispatch_case const& c, handle const& cublas) {
  std::vector<std::uint32_t> counts(c.shape.n_slots);
  device::count_by_slot({c.slots.data(), static_cast<std::uint32_t>(c.slots.size())},
                        {c.weights.data(), static_cast<std::uint32_t>(c.weights.size())},
                        {counts.data(), c.shape.n_slots});
  device_case const d(c, device::cublas_workspace::bytes(c.arrays()));
  device_sort const sort(d.arrays(), c.shape.n_slots, 32);
  REQUIRE(device::dispatch_cublas(d.arrays(), sort.ref, {counts.data(), c.shape.n_slots}, cublas.get, cudaStream_t{}) ==
          cudaSuccess);
  return d.y();
}

}  // namespace

TEST_CASE("prefill through cuBLAS on the device computes what the experts are", "[cuda][gpu][dispatch]") {
  if (skipped()) return;
  handle const cublas;
  auto all = prefill_shapes();
  all.push_back({{512, 256, buddy::weight_type::bf16}, 300, 6, 65, 9, 9, true});
  std::uint64_t seed = 5000;
  for (auto const& shape : all) {
    dispatch_case const c(shape, ++seed);
    INFO(name_of(shape));
    auto const y = prefill(c, cublas);
    CHECK(reference::relative_error(y, c.expected()) <= 4e-3);
    auto const again = prefill(c, cublas);
    CHECK(std::memcmp(y.data(), again.data(), y.size() * sizeof(float)) == 0);
  }
}

#else

TEST_CASE("prefill through cuBLAS on the device computes what the experts are", "[cuda][gpu][dispatch]") {
  WARN("skipped: built without cuBLAS");
}

#endif
