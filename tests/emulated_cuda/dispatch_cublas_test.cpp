// SPDX-License-Identifier: Apache-2.0
// Prefill through cuBLAS: our kernels run by fibers, the products as the shim has them from cuBLAS's documentation.
#include "catch.hpp"
#include "dispatch_case.hpp"
#include "emulated_cuda/dispatch_memory.hpp"

#include <buddy/cuda/dispatch_cublas.cuh>

#include <cmath>
#include <cstdint>
#include <vector>

namespace cuda = buddy::cuda;

namespace {

/// What the host's plan says of a case.
std::vector<std::uint32_t> counts_of(dispatch_case const& c) {
  std::vector<std::uint32_t> counts(c.shape.n_slots, 0xdead'beef);
  cuda::count_by_slot({c.slots.data(), static_cast<std::uint32_t>(c.slots.size())},
                      {c.weights.data(), static_cast<std::uint32_t>(c.weights.size())},
                      {counts.data(), c.shape.n_slots});
  return counts;
}

int some_handle = 0;

}  // namespace

TEST_CASE("prefill through cuBLAS computes what the experts are", "[emulated][dispatch]") {
  std::uint64_t seed = 500;
  auto shapes = prefill_shapes();
  shapes.push_back({{24, 8, buddy::weight_type::bf16}, 4, 2, 4, 1, 0, true});  // nothing has a place
  shapes.push_back({{8, 40, buddy::weight_type::f16}, 9, 3, 7, 6, 6, true});   // products wider than the vectors
  for (auto const& shape : shapes) {
    dispatch_case const c(shape, ++seed);
    auto a = c.arrays();
    outputs out(c, a, cuda::cublas_workspace::bytes(a));
    sort_memory sort(a, shape.n_slots, 3);
    auto const counts = counts_of(c);
    REQUIRE(cuda::dispatch_cublas(a, sort.ref, {counts.data(), shape.n_slots}, &some_handle, nullptr) == cudaSuccess);
    INFO(name_of(shape));
    CHECK(reference::relative_error(out.y, c.expected()) <= 4e-3);  // one token too: its inner vector is 16-bit here
    CHECK(out.kept_to_bounds());
  }
}

TEST_CASE("counts by slot leave out what adds nothing", "[emulated][dispatch]") {
  std::vector<buddy::slot_id> const slots{buddy::slot_id{2}, buddy::no_slot, buddy::slot_id{0}, buddy::slot_id{2}};
  std::vector<float> const weights{0.5F, 0.5F, 0.0F, 0.25F};
  std::vector<std::uint32_t> counts(3, 9);
  cuda::count_by_slot({slots.data(), 4}, {weights.data(), 4}, {counts.data(), 3});
  CHECK(counts == std::vector<std::uint32_t>{0, 0, 2});
}

TEST_CASE("a batch that cuBLAS cannot be given is refused before anything is launched", "[emulated][dispatch]") {
  dispatch_case const c({{40, 24, buddy::weight_type::bf16}, 5, 3, 9}, 600);
  auto a = c.arrays();
  outputs const out(c, a, cuda::cublas_workspace::bytes(a));
  sort_memory sort(a, 9, 1);
  auto const counts = counts_of(c);
  CHECK(cuda::dispatch_cublas({}, sort.ref, {}, &some_handle, nullptr) == cudaSuccess);  // no token
  CHECK(cuda::dispatch_cublas(a, sort.ref, {counts.data(), 8}, &some_handle, nullptr) == cudaErrorInvalidValue);
  CHECK(cuda::dispatch_cublas(a, sort.ref, {counts.data(), 9}, nullptr, nullptr) == cudaErrorInitializationError);
  a.record.width = 20;
  CHECK(cuda::dispatch_cublas(a, sort.ref, {counts.data(), 9}, &some_handle, nullptr) == cudaErrorInvalidValue);
  CHECK(std::isnan(out.y[0]));
}
