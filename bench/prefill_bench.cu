// SPDX-License-Identifier: Apache-2.0
// Prefill of one layer: the grouped kernels of the library against a loop of cuBLAS products, in turns, with what the
// tensor cores make of it.
#include "device.hpp"
#include "experts.cuh"
#include "median.hpp"

#include <buddy/cuda/device.hpp>
#include <buddy/cuda/dispatch_cublas.cuh>

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace {

namespace device = buddy::cuda;

template <class T>
T* filled(std::size_t bytes) {
  T* const data = allocate<T>(bytes / sizeof(T));
  fill_weights<><<<1024, 256>>>(reinterpret_cast<std::uint16_t*>(data), bytes / 2);
  require(cudaDeviceSynchronize());
  return data;
}

/// A layer with every expert resident, and a batch that chooses evenly.
struct layer {
  device::dispatch_arrays arrays;
  device::token_order order;
  std::vector<std::uint32_t> counts;

  layer(expert_model const& m, std::uint32_t n_tokens) : counts(m.n_experts) {
    std::uint64_t seed = n_tokens;
    auto const slots = draw_slots(m, n_tokens, 0, seed);
    std::vector<float> const weights(slots.size(), 1.0F / 8.0F);
    auto const n_routed = static_cast<std::uint32_t>(slots.size());
    device::count_by_slot({slots.data(), n_routed}, {weights.data(), n_routed}, {counts.data(), m.n_experts});
    arrays = {.record = m.record,
              .n_tokens = n_tokens,
              .top_k = m.top_k,
              .pool = filled<std::byte>(m.n_experts * m.record.bytes()),
              .slot_stride = m.record.bytes(),
              .slots = on_device(slots),
              .weights = on_device(weights),
              .x = filled<std::uint16_t>(std::size_t{n_tokens} * m.record.hidden * 2),
              .y = allocate<float>(std::size_t{n_tokens} * m.record.hidden)};
    arrays.workspace =
        allocate<std::byte>(std::max(device::workspace_bytes(arrays), device::cublas_workspace::bytes(arrays)));
    order = {.n_slots = m.n_experts,
             .n_parts = 32,
             .counts = allocate<std::uint32_t>(std::size_t{32} * m.n_experts),
             .order = allocate<std::uint32_t>(n_routed),
             .offsets = allocate<std::uint32_t>(m.n_experts + 1),
             .tiles = allocate<device::token_tile>(device::token_order::max_tiles(n_routed, m.n_experts)),
             .n_tiles = allocate<std::uint32_t>(1)};
  }

  void free() const {
    for (void* p : {const_cast<void*>(static_cast<void const*>(arrays.pool)), static_cast<void*>(arrays.workspace)})
      require(cudaFree(p));
  }

  [[nodiscard]] std::vector<float> y() const {
    std::vector<float> host(std::size_t{arrays.n_tokens} * arrays.record.hidden);
    require(cudaMemcpy(host.data(), arrays.y, host.size() * sizeof(float), cudaMemcpyDeviceToHost));
    return host;
  }

  /// Multiplications and additions of all products.
  [[nodiscard]] double operations() const {
    return 6.0 * arrays.n_routed() * static_cast<double>(arrays.record.hidden) * arrays.record.width;
  }
};

/// From event to event; waits.
template <class Launch>
double seconds(device::stream const& stream, Launch const& launch) {
  static device::event const begin{device::event_kind::timed};
  static device::event const end{device::event_kind::timed};
  float ms = 0.0F;
  require(begin.ref().record(stream.get()));
  require(launch(stream.get()));
  require(end.ref().record(stream.get()));
  require(end.ref().wait());
  require(cudaEventElapsedTime(&ms, begin.get(), end.get()));
  return static_cast<double>(ms) / 1000.0;
}

double difference(std::vector<float> const& a, std::vector<float> const& b) {
  double error = 0.0;
  double norm = 0.0;
  for (std::size_t i = 0; i != a.size(); ++i) {
    error += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    norm += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(error / norm);
}

void prefill(benchmark::State& state, expert_model const& m, std::uint32_t n_tokens, cublasHandle_t handle) {
  layer const l(m, n_tokens);
  device::stream const stream;
  bool const early = device::supports_dependent_launch(0);
  auto const grouped = [&](cudaStream_t s) { return device::dispatch_sorted(l.arrays, l.order, {early}, s); };
  auto const cublas = [&](cudaStream_t s) {
    return device::dispatch_cublas(l.arrays, l.order, {l.counts.data(), m.n_experts}, handle, s);
  };
  for (double warm = 0.0; warm < 0.3;) warm += seconds(stream, cublas) + seconds(stream, grouped);
  auto const by_kernels = l.y();
  seconds(stream, cublas);
  if (!(difference(l.y(), by_kernels) <= 1e-2)) state.SkipWithError("the two ways disagree");
  std::vector<double> ratios;
  std::vector<double> times;
  for (auto _ : state) {
    double const g = seconds(stream, grouped);
    double const c = seconds(stream, cublas);
    state.SetIterationTime(c);
    ratios.push_back(g / c);
    times.push_back(c);
  }
  state.counters["kernels_over_cublas"] = median(ratios);
  state.counters["cublas_TFLOPS"] = l.operations() / median(times) * 1e-12;
  l.free();
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  if (!device::gpu_available()) {
    std::printf("bench_prefill: no GPU: skipped\n");
    return 0;
  }
  cublasHandle_t handle{};
  if (cublasCreate(&handle) != CUBLAS_STATUS_SUCCESS) {
    std::fprintf(stderr, "bench_prefill: cuBLAS does not start\n");
    return 1;
  }
  for (auto const& m : expert_models) {
    for (std::uint32_t const n_tokens : {64U, 512U, 4096U})
      benchmark::RegisterBenchmark(
          (std::string("cuda/prefill/") + m.name + "/tokens:" + std::to_string(n_tokens)).c_str(),
          [=, &m](benchmark::State& s) { prefill(s, m, n_tokens, handle); })
          ->UseManualTime();
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  (void)cublasDestroy(handle);
}
