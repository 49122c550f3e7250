// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "cuda/device_vector.hpp"

#include <buddy/cuda/remap.cuh>

#include <cuda_runtime.h>

#include <cstdint>
#include <numeric>
#include <vector>

TEST_CASE("remap of nothing launches nothing, with or without a device", "[cuda][remap]") {
  CHECK(buddy::cuda::remap<int>(nullptr, nullptr, 0, cudaStream_t{}) == cudaSuccess);
}

TEST_CASE("remap sends each routed expert to its slot", "[cuda][gpu][remap]") {
  if (no_gpu()) return;
  device_vector<int> const ids({2, 0, 1, 2});  // [2, 2]
  device_vector<buddy::slot_id> const slot_of({buddy::slot_id{7}, buddy::slot_id{8}, buddy::slot_id{7}});
  REQUIRE(buddy::cuda::remap(ids.get(), slot_of.get(), 4, cudaStream_t{}) == cudaSuccess);
  CHECK(ids.to_host() == std::vector<int>{7, 7, 8, 7});
}

TEST_CASE("remap reaches the last id of a size that is no multiple of its block", "[cuda][gpu][remap]") {
  if (no_gpu()) return;
  constexpr std::uint16_t n = 1021;
  std::vector<std::uint16_t> routed(n);
  std::iota(routed.begin(), routed.end(), std::uint16_t{0});
  std::vector<buddy::slot_id> slots(n);
  for (std::uint32_t e = 0; e != n; ++e) slots[e] = buddy::slot_id{n - 1 - e};
  device_vector<std::uint16_t> const ids(routed);
  device_vector<buddy::slot_id> const slot_of(slots);
  REQUIRE(buddy::cuda::remap(ids.get(), slot_of.get(), n, cudaStream_t{}) == cudaSuccess);
  auto const got = ids.to_host();
  bool reversed = true;
  for (std::uint16_t e = 0; e != n; ++e) reversed &= got[e] == n - 1 - e;
  CHECK(reversed);
}
