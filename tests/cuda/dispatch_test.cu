// SPDX-License-Identifier: Apache-2.0
// The expert kernels on a device, against double precision. Every run has poisoned outputs and inputs of its own.
#include "catch.hpp"
#include "cuda/device_case.hpp"
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
