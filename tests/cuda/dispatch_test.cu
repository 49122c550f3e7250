// SPDX-License-Identifier: Apache-2.0
// The expert kernels on a device, against double precision. Every run has poisoned outputs and inputs of its own.
#include "catch.hpp"
#include "cuda/device_vector.hpp"
#include "cuda/skip.hpp"
#include "dispatch_case.hpp"

#include <buddy/cuda/dispatch.cuh>

#include <cuda_runtime.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace device = buddy::cuda;

namespace {

/// A case in device memory.
class device_case {
 public:
  explicit device_case(dispatch_case const& c)
      : pool_(c.pool),
        slots_(c.slots),
        weights_(c.weights),
        x_(c.x),
        base_(c.base),
        y_(std::vector<float>(c.base.size(), std::nanf(""))),
        workspace_(
            std::vector<std::byte>(device::workspace_bytes(c.arrays()), std::byte{0xff})),  // NaN in every format
        arrays_{c.arrays()} {
    arrays_.pool = pool_.get();
    arrays_.slots = slots_.get();
    arrays_.weights = weights_.get();
    arrays_.x = x_.get();
    if (arrays_.base != nullptr) arrays_.base = base_.get();
    arrays_.y = y_.get();
    arrays_.workspace = workspace_.get();
  }

  [[nodiscard]] device::dispatch_arrays const& arrays() const { return arrays_; }
  [[nodiscard]] std::vector<float> y() const { return y_.to_host(); }

 private:
  device_vector<std::byte> pool_;
  device_vector<buddy::slot_id> slots_;
  device_vector<float> weights_;
  device_vector<std::uint16_t> x_;
  device_vector<float> base_;
  device_vector<float> y_;
  device_vector<std::byte> workspace_;
  device::dispatch_arrays arrays_;
};

/// Sizes as models have them, and as many routed slots as a batch may have.
std::vector<dispatch_shape> large_shapes() {
  std::vector<dispatch_shape> all;
  for (auto const type : {buddy::weight_type::bf16, buddy::weight_type::f16}) {
    all.push_back({{16, 16, type}, 16, 32, 34, 9, 9});
    for (std::uint32_t const n_tokens : {1U, 4U, 16U}) all.push_back({{2048, 1408, type}, n_tokens, 6, 10, 5, 5, true});
    all.push_back({{2048, 768, type}, 2, 8, 12});
  }
  return all;
}

device::dispatch_options early_if_possible() {
  int current = 0;
  REQUIRE(cudaGetDevice(&current) == cudaSuccess);
  return {device::supports_dependent_launch(current)};
}

void check_decode(std::vector<dispatch_shape> const& shapes, std::uint64_t seed) {
  for (auto const& shape : shapes) {
    dispatch_case const c(shape, ++seed);
    INFO(name_of(shape));
    auto const expected = c.expected();
    for (auto const& options : {device::dispatch_options{}, early_if_possible()}) {
      device_case const d(c);
      REQUIRE(device::dispatch(d.arrays(), options, cudaStream_t{}) == cudaSuccess);
      CHECK(reference::relative_error(d.y(), expected) <= c.tolerance());
    }
  }
}

struct device_sort {
  device_vector<std::uint32_t> counts, order, offsets, n_tiles;
  device_vector<device::token_tile> tiles;

  device_sort(device::dispatch_arrays const& a, std::uint32_t n_slots, std::uint32_t n_parts)
      : counts(std::vector<std::uint32_t>(std::size_t{n_parts} * n_slots, 0xdeadbeef)),
        order(std::vector<std::uint32_t>(a.n_routed(), 0xdeadbeef)),
        offsets(std::vector<std::uint32_t>(n_slots + 1, 0xdeadbeef)),
        n_tiles(std::vector<std::uint32_t>(1, 0xdeadbeef)),
        tiles(std::vector<device::token_tile>(device::token_order::max_tiles(a.n_routed(), n_slots))),
        ref{n_slots, n_parts, counts.get(), order.get(), offsets.get(), tiles.get(), n_tiles.get()} {}

  device::token_order ref;
};

}  // namespace

TEST_CASE("a dispatch of nothing launches nothing, with or without a device", "[cuda][dispatch]") {
  CHECK(device::dispatch({}, {}, cudaStream_t{}) == cudaSuccess);
}

TEST_CASE("decode on the device computes what the experts are", "[cuda][gpu][dispatch]") {
  if (skipped()) return;
  check_decode(decode_shapes(), 1000);
}

TEST_CASE("decode on the device computes experts of real sizes", "[cuda][gpu][dispatch][long]") {
  if (skipped()) return;
  check_decode(large_shapes(), 1500);
}

TEST_CASE("decode on the device gives the same bits every time", "[cuda][gpu][dispatch]") {
  if (skipped()) return;
  for (std::uint32_t const n_tokens : {1U, 5U}) {
    dispatch_case const c({{2048, 1408, buddy::weight_type::bf16}, n_tokens, 6, 10, 0, 0, true}, 2000 + n_tokens);
    device_case const d(c);
    std::vector<float> first;
    for (int i = 0; i != 20; ++i) {
      REQUIRE(device::dispatch(d.arrays(), early_if_possible(), cudaStream_t{}) == cudaSuccess);
      auto const y = d.y();
      if (i == 0) first = y;
      CHECK(std::memcmp(y.data(), first.data(), y.size() * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("a captured decode follows what its slots and inputs become", "[cuda][gpu][dispatch]") {
  if (skipped()) return;
  dispatch_shape const shape{{264, 88, buddy::weight_type::bf16}, 3, 2, 9, 4, 0};
  dispatch_case const before(shape, 3000);
  dispatch_case const after(shape, 3001);
  device_case const d(before);
  cudaStream_t stream{};
  cudaGraph_t graph{};
  cudaGraphExec_t executable{};
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  for (int layer = 0; layer != 3; ++layer)  // the last of one waits for the first of the next, and the reverse
    REQUIRE(device::dispatch(d.arrays(), early_if_possible(), stream) == cudaSuccess);
  REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  REQUIRE(cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess);
  for (auto const* c : {&before, &after}) {
    auto const copy = [&](void const* to, auto const& from) {
      REQUIRE(cudaMemcpy(const_cast<void*>(to), from.data(), from.size() * sizeof from[0], cudaMemcpyHostToDevice) ==
              cudaSuccess);
    };
    copy(d.arrays().pool, c->pool);
    copy(d.arrays().slots, c->slots);
    copy(d.arrays().weights, c->weights);
    copy(d.arrays().x, c->x);
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);  // the stream does not wait for the copies
    REQUIRE(cudaGraphLaunch(executable, stream) == cudaSuccess);
    REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
    CHECK(reference::relative_error(d.y(), c->expected()) <= c->tolerance());
  }
  CHECK(cudaGraphExecDestroy(executable) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
  CHECK(cudaStreamDestroy(stream) == cudaSuccess);
}

TEST_CASE("prefill on the device computes the same through the sort", "[cuda][gpu][dispatch]") {
  if (skipped()) return;
  auto all = prefill_shapes();
  all.push_back({{512, 256, buddy::weight_type::bf16}, 300, 6, 65, 9, 9, true});
  std::uint64_t seed = 4000;
  for (auto const& shape : all) {
    dispatch_case const c(shape, ++seed);
    INFO(name_of(shape));
    auto const expected = c.expected();
    for (std::uint32_t const n_parts : {1U, 32U}) {
      device_case const d(c);
      device_sort const sort(d.arrays(), shape.n_slots, n_parts);
      REQUIRE(device::dispatch_sorted(d.arrays(), sort.ref, early_if_possible(), cudaStream_t{}) == cudaSuccess);
      CHECK(reference::relative_error(d.y(), expected) <= c.tolerance());
    }
  }
}
