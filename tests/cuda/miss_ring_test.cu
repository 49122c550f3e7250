// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "cuda/skip.hpp"

#include <buddy/cuda/miss_ring.cuh>
#include <buddy/cuda/miss_ring.hpp>
#include <buddy/cuda/stream.hpp>

#include <cuda_runtime.h>

#include <cstdint>
#include <set>

namespace {

__global__ void report(buddy::cuda::miss_ring_ref ring) {
  if (threadIdx.x % 32 != 0) return;
  auto const warp = static_cast<std::uint16_t>((blockIdx.x * blockDim.x + threadIdx.x) / 32);
  buddy::cuda::miss_record record;
  record.layer = warp;
  for (std::uint16_t i = 0; i != 3; ++i)
    record.push(static_cast<std::uint16_t>(warp * 3 + i), buddy::resolution::fetch);
  buddy::cuda::append_miss(ring, record);
}

bool whole(buddy::cuda::miss_record const& r) {
  bool good = r.size == 3;
  for (std::uint32_t i = 0; i != r.size; ++i)
    good = good && r.experts[i] == r.layer * 3 + i && r.ending(i) == buddy::resolution::fetch;
  return good;
}

}  // namespace

TEST_CASE("every warp's record arrives once and whole", "[cuda][gpu][miss_ring]") {
  if (skipped()) return;
  buddy::cuda::miss_ring ring(1024);
  buddy::cuda::stream const stream;
  report<<<40, 256, 0, stream.get()>>>(ring.ref());  // 40 blocks of 8 warps: 320 records
  std::set<std::uint16_t> warps;
  bool all_whole = true;
  auto const take = [&](buddy::cuda::miss_record const& r) {
    all_whole &= whole(r);
    warps.insert(r.layer);
  };
  std::uint32_t n = ring.drain(take);  // while the kernel writes
  REQUIRE(stream.ref().wait() == cudaSuccess);
  n += ring.drain(take);
  CHECK(n == 320);
  CHECK(warps.size() == 320);
  CHECK(all_whole);
  CHECK(ring.dropped() == 0);
}

TEST_CASE("a kernel that fills the ring drops the rest and ends", "[cuda][gpu][miss_ring]") {
  if (skipped()) return;
  buddy::cuda::miss_ring ring(64);
  buddy::cuda::stream const stream;
  auto const ignore = [](buddy::cuda::miss_record const&) {};
  report<<<40, 256, 0, stream.get()>>>(ring.ref());
  REQUIRE(stream.ref().wait() == cudaSuccess);
  CHECK(ring.drain(ignore) == 64);
  report<<<1, 32, 0, stream.get()>>>(ring.ref());
  REQUIRE(stream.ref().wait() == cudaSuccess);
  CHECK(ring.drain(ignore) == 1);
  CHECK(ring.dropped() == 320 - 64);
}
