// SPDX-License-Identifier: Apache-2.0
// The expert kernels' own source, run by fibers (shims/fibers.hpp): what a device would check beside this is its speed,
// its memory model and the compiler.
#include "catch.hpp"
#include "dispatch_case.hpp"
#include "emulated_cuda/dispatch_memory.hpp"

#include <buddy/cuda/dispatch.cuh>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace cuda = buddy::cuda;

TEST_CASE("decode computes what the experts are, for every shape of a small batch", "[emulated][dispatch]") {
  std::uint64_t seed = 100;
  for (auto const& shape : decode_shapes()) {
    dispatch_case const c(shape, ++seed);
    auto a = c.arrays();
    outputs out(c, a, cuda::workspace_bytes(a));
    REQUIRE(cuda::dispatch(a, {}, nullptr) == cudaSuccess);
    check(c, out);
  }
}

TEST_CASE("prefill computes the same through the sort", "[emulated][dispatch]") {
  std::uint64_t seed = 200;
  for (auto const& shape : prefill_shapes()) {
    dispatch_case const c(shape, ++seed);
    auto a = c.arrays();
    outputs out(c, a, cuda::workspace_bytes(a));
    sort_memory sort(a, shape.n_slots, 3);
    REQUIRE(cuda::dispatch_sorted(a, sort.ref, {}, nullptr) == cudaSuccess);
    check(c, out);
  }
}

TEST_CASE("the outputs may be added in place", "[emulated][dispatch]") {
  for (std::uint32_t const n_tokens : {1U, 3U}) {
    dispatch_case const c({{40, 24, buddy::weight_type::bf16}, n_tokens, 3, 9, 0, 0, true}, 300 + n_tokens);
    auto a = c.arrays();
    outputs out(c, a, cuda::workspace_bytes(a));
    std::copy(c.base.begin(), c.base.end(), out.y.begin());
    a.base = a.y;
    REQUIRE(cuda::dispatch(a, {}, nullptr) == cudaSuccess);
    check(c, out);
  }
}

TEST_CASE("a batch that cannot be computed is refused before anything is launched", "[emulated][dispatch]") {
  dispatch_case const c({{40, 24, buddy::weight_type::bf16}, 2, 3, 9}, 400);
  auto good = c.arrays();
  outputs const out(c, good, cuda::workspace_bytes(good));
  auto const status = [&](auto const& change) {
    auto a = good;
    change(a);
    return cuda::dispatch(a, {}, nullptr);
  };
  CHECK(status([](auto& a) { a.n_tokens = 0; }) == cudaSuccess);
  CHECK(status([](auto& a) { a.record.hidden = 36; }) == cudaErrorInvalidValue);  // no multiple of 8
  CHECK(status([](auto& a) { a.record.width = 20; }) == cudaErrorInvalidValue);
  CHECK(status([](auto& a) { a.slot_stride += 8; }) == cudaErrorInvalidValue);  // no multiple of 16
  CHECK(status([](auto& a) { a.slot_stride = 16; }) == cudaErrorInvalidValue);  // records would overlap
  CHECK(status([](auto& a) { a.n_tokens = 171; }) == cudaErrorInvalidValue);    // 513 routed slots
  CHECK(status([](auto& a) { a.top_k = 0; }) == cudaErrorInvalidValue);
  CHECK(status([](auto& a) { a.workspace = nullptr; }) == cudaErrorInvalidValue);
  CHECK(std::isnan(out.y[0]));
}
