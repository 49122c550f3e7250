// SPDX-License-Identifier: Apache-2.0
// Bytes a second of the decode kernels, as a share of a kernel that only reads the same bytes.
//
// One graph of several layers whose weights together are more than four times the second-level cache, so that none is
// read from it; both kinds of graph are replayed in turns. An item is one layer.
#include "device.hpp"
#include "experts.cuh"
#include "median.hpp"

#include <buddy/cuda/dispatch.cuh>

#include <cuda_runtime.h>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

namespace device = buddy::cuda;

/// Records of some slots, each read once: the ceiling of any kernel that must read them.
__global__ void __launch_bounds__(512) read_records(device::dispatch_arrays a, std::uint32_t const* distinct,
                                                    std::uint32_t n_distinct, std::uint32_t* sink) {
  std::size_t const n = a.record.bytes() / sizeof(uint4);
  std::size_t const stride = std::size_t{gridDim.x} * blockDim.x;
  std::uint32_t sum = 0;
  for (std::uint32_t s = 0; s != n_distinct; ++s) {
    auto const* const from = reinterpret_cast<uint4 const*>(a.record_in(buddy::slot_id{distinct[s]}));
    std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x;
    for (; i + 3 * stride < n; i += 4 * stride) {
      uint4 v[4];
#pragma unroll
      for (int u = 0; u != 4; ++u) v[u] = __ldcs(from + i + u * stride);
#pragma unroll
      for (int u = 0; u != 4; ++u) sum ^= v[u].x ^ v[u].y ^ v[u].z ^ v[u].w;
    }
    for (; i < n; i += stride) sum ^= __ldcs(from + i).x;
  }
  if (sum == 0x1234'5678U) *sink = sum;
}

/// Layers of one model in device memory, each with weights of its own.
struct layers {
  std::vector<device::dispatch_arrays> arrays;
  std::vector<std::uint32_t const*> distinct;
  std::vector<std::uint32_t> n_distinct;
  std::size_t bytes = 0;  // that a step must read

  layers(expert_model const& m, std::uint32_t n_tokens, std::byte* pool, std::uint32_t n_slots, std::size_t at_least) {
    std::uint64_t seed = n_tokens;
    for (std::uint32_t next = 0; bytes < at_least || arrays.size() < 4; next += m.n_experts)
      add(m, n_tokens, pool, next % n_slots, seed);
  }

 private:
  void add(expert_model const& m, std::uint32_t n_tokens, std::byte* pool, std::uint32_t first, std::uint64_t& seed) {
    auto const slots = draw_slots(m, n_tokens, first, seed);
    std::vector<std::uint32_t> used;  // in the order of their first use
    for (buddy::slot_id const s : slots) {
      auto const e = static_cast<std::uint32_t>(s);
      if (std::find(used.begin(), used.end(), e) == used.end()) used.push_back(e);
    }
    std::size_t const hidden = m.record.hidden;
    device::dispatch_arrays a{.record = m.record,
                              .n_tokens = n_tokens,
                              .top_k = m.top_k,
                              .pool = pool,
                              .slot_stride = m.record.bytes(),
                              .slots = on_device(slots),
                              .weights = on_device(std::vector<float>(slots.size(), 1.0F / 8.0F)),
                              .x = on_device(std::vector<std::uint16_t>(n_tokens * hidden, 0x3f80)),
                              .y = on_device(std::vector<float>(n_tokens * hidden, std::nanf("")))};
    a.workspace = allocate<std::byte>(device::workspace_bytes(a));
    arrays.push_back(a);
    bytes += used.size() * m.record.bytes();
    n_distinct.push_back(static_cast<std::uint32_t>(used.size()));
    distinct.push_back(on_device(used));
  }
};

/// Every output is a number, and one of a size that the weights can give.
bool plausible(layers const& l) {
  std::vector<float> y(std::size_t{l.arrays[0].n_tokens} * l.arrays[0].record.hidden);
  for (auto const& a : l.arrays) {
    require(cudaMemcpy(y.data(), a.y, y.size() * sizeof(float), cudaMemcpyDeviceToHost));
    float largest = 0.0F;
    for (float const v : y) largest = std::isfinite(v) ? std::max(largest, std::abs(v)) : 1e30F;
    if (largest == 0.0F || largest > 1e3F) return false;
  }
  return true;
}

void decode(benchmark::State& state, expert_model const& m, std::uint32_t n_tokens, std::byte* pool,
            std::uint32_t n_slots, std::size_t at_least, bool early) {
  layers const l(m, n_tokens, pool, n_slots, at_least);
  auto* const sink = allocate<std::uint32_t>(1);
  int multiprocessors = 0;
  require(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0));
  graph_clock const clock;
  auto const computing = clock.capture(l.arrays.size(), [&](cudaStream_t stream, std::size_t i) {
    return device::dispatch(l.arrays[i], {early}, stream);
  });
  auto const reading = clock.capture(l.arrays.size(), [&](cudaStream_t stream, std::size_t i) {
    read_records<<<multiprocessors * 4, 512, 0, stream>>>(l.arrays[i], l.distinct[i], l.n_distinct[i], sink);
    return cudaPeekAtLastError();
  });
  for (double warm = 0.0; warm < 0.5;) warm += clock.seconds(computing) + clock.seconds(reading);
  if (!plausible(l)) state.SkipWithError("an output is no number, or too large");
  std::vector<double> ratios;
  std::vector<double> times;
  for (auto _ : state) {
    double const r = clock.seconds(reading);
    double const c = clock.seconds(computing);
    state.SetIterationTime(c);
    ratios.push_back(r / c);
    times.push_back(c);
  }
  state.counters["of_read"] = median(ratios);
  state.counters["GB_per_s"] = static_cast<double>(l.bytes) / median(times) * 1e-9;
  state.counters["us_per_layer"] = median(times) * 1e6 / static_cast<double>(l.arrays.size());
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(l.arrays.size()));
}

void register_all(std::byte* pool, std::size_t pool_bytes, std::size_t at_least) {
  for (auto const& m : expert_models) {
    auto const n_slots = static_cast<std::uint32_t>(pool_bytes / m.record.bytes() / m.n_experts * m.n_experts);
    if (n_slots == 0) continue;
    for (std::uint32_t const n_tokens : {1U, 4U, 16U}) {
      for (bool const early : {false, true}) {
        if (early && !device::supports_dependent_launch(0)) continue;
        auto const name = std::string("cuda/dispatch/decode/") + m.name + "/tokens:" + std::to_string(n_tokens) +
                          "/dependent_launch:" + (early ? "1" : "0");
        benchmark::RegisterBenchmark(name.c_str(), [=, &m](benchmark::State& s) {
          decode(s, m, n_tokens, pool, n_slots, at_least, early);
        })->UseManualTime();
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::printf("bench_dispatch: no GPU: skipped\n");
    return 0;
  }
  int cache_bytes = 0;
  require(cudaDeviceGetAttribute(&cache_bytes, cudaDevAttrL2CacheSize, 0));
  std::size_t free_bytes = 0;
  std::size_t all_bytes = 0;
  require(cudaMemGetInfo(&free_bytes, &all_bytes));
  std::size_t const pool_bytes = std::min(free_bytes / 2, std::size_t{16} << 30) / 256 * 256;
  auto* const pool = allocate<std::byte>(pool_bytes);
  fill_weights<><<<1024, 256>>>(reinterpret_cast<std::uint16_t*>(pool), pool_bytes / 2);
  require(cudaDeviceSynchronize());
  register_all(pool, pool_bytes, std::size_t{8} * static_cast<std::size_t>(cache_bytes));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
