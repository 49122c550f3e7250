// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#if defined(BUDDY_HAS_CUPTI)

#include "cuda_host/call_counter.hpp"

#include <buddy/cuda/copy_engine.hpp>
#include <buddy/cuda/cuda_copy_backend.hpp>
#include <buddy/cuda/device.hpp>
#include <buddy/cuda/device_slab.hpp>
#include <buddy/cuda/graph.hpp>
#include <buddy/cuda/miss_ring.hpp>
#include <buddy/cuda/pinned_buffer.hpp>
#include <buddy/cuda/slot_table.hpp>
#include <buddy/cuda/stream.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

using buddy::slot_id;
using buddy::cuda::slot_state;

TEST_CASE("calls that wait or allocate are told from those that do not", "[cuda_host][steady_step]") {
  for (char const* name : {"cudaStreamSynchronize", "cudaMemcpy", "cudaMalloc", "cudaFreeHost", "cudaHostRegister",
                           "cudaEventSynchronize", "cudaMemset", "cuMemAlloc_v2", "cuMemFree_v2", "cuMemcpyHtoD_v2",
                           "cuStreamSynchronize", "cuMemHostRegister_v2"})
    CHECK(call_counter::waits_or_allocates(name));
  for (char const* name :
       {"cudaGraphLaunch", "cudaMemcpyAsync", "cudaMemcpyBatchAsync", "cudaEventQuery", "cudaEventRecord",
        "cudaStreamWaitEvent", "cudaLaunchKernel", "cuMemcpyHtoDAsync_v2", "cuStreamWriteValue32_v2", "cuGraphLaunch"})
    CHECK_FALSE(call_counter::waits_or_allocates(name));
}

TEST_CASE("a steady step neither waits for the device nor takes memory", "[cuda_host][gpu][steady_step]") {
  if (!buddy::cuda::gpu_available()) {
    WARN("skipped, no GPU: " << buddy::cuda::why_no_gpu());
    return;
  }
  constexpr std::uint16_t n_experts = 4;
  constexpr std::uint32_t n_slots = 2;
  constexpr std::size_t bytes = std::size_t{1} << 20U;
  constexpr buddy::model_shape shape{.n_layers = 1, .n_experts = n_experts, .top_k = 1, .expert_bytes = bytes};
  buddy::cuda::pinned_buffer source(bytes * n_experts);
  source.pin();
  buddy::cuda::device_slab const slab(n_slots, bytes);
  buddy::cuda::slot_table table(shape, n_slots);
  buddy::cuda::miss_ring ring(64);
  buddy::cuda::copy_engine engine(buddy::cuda::cuda_copy_backend<buddy::cuda::slot_table>(
      {source.bytes().data(), bytes, n_experts}, n_experts, slab.ref(), table));
  buddy::cuda::stream const compute;
  buddy::cuda::device_buffer<std::uint32_t> const word(1);
  auto const step = buddy::cuda::graph::capture(compute.get(), [&](cudaStream_t s) { return word.fill_bytes(0, s); });
  std::array<buddy::ticket, n_slots> tickets{};
  std::uint32_t published = 0;
  constexpr std::uint32_t n_steps = 2000;
  {
    call_counter const counter;
    for (std::uint32_t i = 0; i != n_steps; ++i) {
      REQUIRE(step.ref().launch(compute.get()) == cudaSuccess);
      ring.drain([](buddy::cuda::miss_record const&) {});
      slot_id const s{i % n_slots};
      slot_state const state = table.books().state(s);
      if (state == slot_state::filling) {
        if (engine.done(tickets[i % n_slots])) published += table.publish(s) ? 1 : 0;
      } else if (state == slot_state::live) {
        REQUIRE(table.retire(s, compute.get()) == cudaSuccess);
        REQUIRE(table.close_epoch(compute.get()) == cudaSuccess);
      } else {
        buddy::expert_key const e{0, static_cast<std::uint16_t>(i / n_slots % n_experts)};
        if (table.begin_fill(s, e)) tickets[i % n_slots] = engine.submit({e, s, bytes, buddy::copy_reason::demand});
      }
    }
    CHECK(counter.forbidden() == "");
    CHECK(counter.launches() == n_steps);
    CHECK(counter.calls() > n_steps);
  }
  CHECK(published != 0);
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
}

#endif
