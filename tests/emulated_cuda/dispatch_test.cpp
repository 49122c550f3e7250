// SPDX-License-Identifier: Apache-2.0
// The expert kernels' own source, run by fibers (shims/fibers.hpp): what a device would check beside this is its speed,
// its memory model and the compiler.
#include "catch.hpp"
#include "dispatch_case.hpp"

#include <buddy/cuda/dispatch.cuh>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace cuda = buddy::cuda;

namespace {

/// Poison around and in everything that is written.
struct outputs {
  std::vector<float> y;
  std::vector<float4> workspace;  // aligned as the kernels want it

  outputs(dispatch_case const& c, cuda::dispatch_arrays& a)
      : y(c.base.size() + 16, std::nanf("")),
        workspace(cuda::workspace_bytes(a) / sizeof(float4) + 2,
                  {std::nanf(""), std::nanf(""), std::nanf(""), 1234.5F}) {
    a.y = y.data();
    a.workspace = reinterpret_cast<std::byte*>(workspace.data());
  }

  [[nodiscard]] bool kept_to_bounds(cuda::dispatch_arrays const& a) const {
    bool kept = workspace[cuda::workspace_bytes(a) / sizeof(float4) + 1].w == 1234.5F;
    for (std::size_t i = y.size() - 16; i != y.size(); ++i) kept &= std::isnan(y[i]);
    return kept;
  }
};

/// Pointers of the case are 16-byte aligned as malloc's are.
void check(dispatch_case const& c, cuda::dispatch_arrays const& a, outputs const& out) {
  INFO(name_of(c.shape));
  CHECK(reference::relative_error(out.y, c.expected()) <= c.tolerance());
  CHECK(out.kept_to_bounds(a));
}

/// Memory of a sort.
struct sort_memory {
  std::vector<std::uint32_t> counts, order, offsets;
  std::vector<cuda::token_tile> tiles;
  std::uint32_t n_tiles = 0;
  cuda::token_order ref;

  sort_memory(cuda::dispatch_arrays const& a, std::uint32_t n_slots, std::uint32_t n_parts)
      : counts(std::size_t{n_parts} * n_slots),
        order(a.n_routed()),
        offsets(n_slots + 1),
        tiles(cuda::token_order::max_tiles(a.n_routed(), n_slots)),
        ref{n_slots, n_parts, counts.data(), order.data(), offsets.data(), tiles.data(), &n_tiles} {}
};

}  // namespace

TEST_CASE("decode computes what the experts are, for every shape of a small batch", "[emulated][dispatch]") {
  std::uint64_t seed = 100;
  for (auto const& shape : decode_shapes()) {
    dispatch_case const c(shape, ++seed);
    auto a = c.arrays();
    outputs out(c, a);
    REQUIRE(cuda::dispatch(a, {}, nullptr) == cudaSuccess);
    check(c, a, out);
  }
}

TEST_CASE("prefill computes the same through the sort", "[emulated][dispatch]") {
  std::uint64_t seed = 200;
  for (auto const& shape : prefill_shapes()) {
    dispatch_case const c(shape, ++seed);
    auto a = c.arrays();
    outputs out(c, a);
    sort_memory sort(a, shape.n_slots, 3);
    REQUIRE(cuda::dispatch_sorted(a, sort.ref, {}, nullptr) == cudaSuccess);
    check(c, a, out);
  }
}

TEST_CASE("the outputs may be added in place", "[emulated][dispatch]") {
  for (std::uint32_t const n_tokens : {1U, 3U}) {
    dispatch_case const c({{40, 24, buddy::weight_type::bf16}, n_tokens, 3, 9, 0, 0, true}, 300 + n_tokens);
    auto a = c.arrays();
    outputs out(c, a);
    std::copy(c.base.begin(), c.base.end(), out.y.begin());
    a.base = a.y;
    REQUIRE(cuda::dispatch(a, {}, nullptr) == cudaSuccess);
    check(c, a, out);
  }
}

TEST_CASE("a batch that cannot be computed is refused before anything is launched", "[emulated][dispatch]") {
  dispatch_case const c({{40, 24, buddy::weight_type::bf16}, 2, 3, 9}, 400);
  auto good = c.arrays();
  outputs const out(c, good);
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
