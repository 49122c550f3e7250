// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "cuda/skip.hpp"

#include <buddy/cuda/device_buffer.hpp>
#include <buddy/cuda/device_slab.hpp>
#include <buddy/cuda/event.hpp>
#include <buddy/cuda/graph.hpp>
#include <buddy/cuda/pinned_buffer.hpp>
#include <buddy/cuda/stream.hpp>

#include <cuda_runtime.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>

namespace {

__global__ void add_one(std::uint32_t* word) { *word += 1; }

cudaError_t launch_add_one(std::uint32_t* word, cudaStream_t stream) {
  add_one<<<1, 1, 0, stream>>>(word);
  return cudaPeekAtLastError();
}

std::uint32_t value(buddy::cuda::device_buffer<std::uint32_t> const& word) {
  std::array<std::uint32_t, 1> host{};
  word.store_to(host);
  return host[0];
}

}  // namespace

TEST_CASE("a kernel reads and writes a pinned buffer", "[cuda][gpu][pinned_buffer]") {
  if (skipped()) return;
  buddy::cuda::pinned_buffer buffer(8);
  auto* const word = reinterpret_cast<std::uint32_t*>(buffer.bytes().data());
  *word = 41;
  buffer.pin();
  REQUIRE(buffer.pinned());
  buddy::cuda::stream const stream;
  REQUIRE(launch_add_one(reinterpret_cast<std::uint32_t*>(buffer.on_device()), stream.get()) == cudaSuccess);
  REQUIRE(stream.ref().wait() == cudaSuccess);
  CHECK(*word == 42);
}

TEST_CASE("an event orders two streams", "[cuda][gpu][event]") {
  if (skipped()) return;
  buddy::cuda::device_buffer<std::uint32_t> const word(1);
  buddy::cuda::stream const a, b;
  buddy::cuda::event const zeroed;
  REQUIRE(word.fill_bytes(0, a.get()) == cudaSuccess);
  REQUIRE(zeroed.ref().record(a.get()) == cudaSuccess);
  REQUIRE(zeroed.ref().wait_in(b.get()) == cudaSuccess);
  REQUIRE(launch_add_one(word.data(), b.get()) == cudaSuccess);
  REQUIRE(b.ref().wait() == cudaSuccess);
  CHECK(zeroed.ref().query() == cudaSuccess);
  CHECK(value(word) == 1);
}

TEST_CASE("a graph runs as often as it is launched", "[cuda][gpu][graph]") {
  if (skipped()) return;
  buddy::cuda::device_buffer<std::uint32_t> const word(1);
  buddy::cuda::stream const stream;
  REQUIRE(word.fill_bytes(0, stream.get()) == cudaSuccess);
  auto const graph =
      buddy::cuda::graph::capture(stream.get(), [&](cudaStream_t s) { return launch_add_one(word.data(), s); });
  for (int i = 0; i != 3; ++i) REQUIRE(graph.ref().launch(stream.get()) == cudaSuccess);
  REQUIRE(stream.ref().wait() == cudaSuccess);
  CHECK(value(word) == 3);
}

TEST_CASE("a capture that throws leaves its stream usable", "[cuda][gpu][graph]") {
  if (skipped()) return;
  buddy::cuda::device_buffer<std::uint32_t> const word(1);
  buddy::cuda::stream const stream;
  auto const thrower = [](cudaStream_t) -> cudaError_t { throw std::runtime_error("no"); };
  CHECK_THROWS_AS(buddy::cuda::graph::capture(stream.get(), thrower), std::runtime_error);
  auto const failure = [](cudaStream_t) { return cudaErrorInvalidValue; };
  CHECK_THROWS_AS(buddy::cuda::graph::capture(stream.get(), failure), buddy::cuda_error);
  REQUIRE(word.fill_bytes(0, stream.get()) == cudaSuccess);
  REQUIRE(launch_add_one(word.data(), stream.get()) == cudaSuccess);
  REQUIRE(stream.ref().wait() == cudaSuccess);
  CHECK(value(word) == 1);
}

TEST_CASE("slots begin at large pages and do not overlap", "[cuda][gpu][device_slab]") {
  if (skipped()) return;
  constexpr std::size_t bytes = buddy::cuda::large_page_bytes + 1;
  buddy::cuda::device_slab const slab(3, bytes);
  auto const ref = slab.ref();
  CHECK(ref.size == 3);
  CHECK(ref.stride == 2 * buddy::cuda::large_page_bytes);
  CHECK(reinterpret_cast<std::uintptr_t>(ref.record(0)) % buddy::cuda::large_page_bytes == 0);
  CHECK(cudaMemset(ref.record(2), 1, ref.stride) == cudaSuccess);  // the last byte is memory of ours
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
}
