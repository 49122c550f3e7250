// SPDX-License-Identifier: Apache-2.0
// What it costs to ask the CPU and to go on: requests without work, one after the other, answered by a thread that
// polls.
#include "device.hpp"

#include <buddy/cuda/host_lane.cuh>
#include <buddy/cuda/pinned_buffer.hpp>
#include <buddy/cuda/stream.hpp>
#include <buddy/cuda/stream_flags.hpp>
#include <buddy/host/lane_server.hpp>

#include <cuda_runtime.h>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

namespace device = buddy::cuda;
namespace host = buddy::host;

constexpr buddy::expert_record record{2048, 1408, buddy::weight_type::bf16};
constexpr buddy::model_shape shape{.n_layers = 1, .n_experts = 1, .top_k = 1, .expert_bytes = record.bytes()};
constexpr host::mail_shape sizes{record, 1, 1};
constexpr int n_requests = 64;

template <class T>
T* zeros(std::size_t n) {
  T* const data = allocate<T>(n);
  require(cudaMemset(data, 0, n * sizeof(T)));  // outcomes: own, so that nothing is left to the CPU
  require(cudaDeviceSynchronize());             // streams that do not block do not wait for it
  return data;                                  // lives as long as the program
}

void handshake(benchmark::State& state, device::stream_flags const& flags) {
  device::pinned_buffer memory(host::lane_mailbox::bytes(sizes));
  memory.pin();
  host::host_lane lane({.record = record, .max_tokens = 1, .max_uses = 1});
  std::vector<std::byte const*> const records(1, nullptr);
  host::lane_server server(lane, host::lane_mailbox::at(memory.bytes().data(), sizes), shape, records);
  std::atomic<bool> stop{false};
  std::thread serving([&] { server.serve(stop, std::chrono::seconds(10)); });
  auto* const y = zeros<float>(record.hidden);
  device::host_work const work{host::lane_mailbox::at(memory.on_device(), sizes),
                               record.hidden,
                               0,
                               1,
                               1,
                               zeros<buddy::slot_outcome>(1),
                               zeros<float>(1),
                               zeros<std::uint16_t>(record.hidden),
                               y};
  device::stream const stream;
  auto const once = [&] {
    auto const begin = std::chrono::steady_clock::now();
    for (int i = 0; i != n_requests; ++i) {
      require(device::request_host_lane(work, flags, stream.get()));
      require(device::await_host_lane(work, flags, stream.get()));
    }
    require(cudaStreamSynchronize(stream.get()));
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / n_requests;
  };
  for (int i = 0; i != 20; ++i) once();
  std::vector<double> times;
  for (auto _ : state) {
    times.push_back(once());
    state.SetIterationTime(times.back());
  }
  stop = true;
  serving.join();
  float first = 1.0F;
  require(cudaMemcpy(&first, y, sizeof first, cudaMemcpyDeviceToHost));
  if (first != 0.0F) state.SkipWithError("an answer without work is not zero");
  std::sort(times.begin(), times.end());
  state.counters["us"] = times[times.size() / 2] * 1e6;
  state.counters["p90_us"] = times[times.size() * 9 / 10] * 1e6;
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  if (!device::gpu_available()) {
    std::printf("bench_handshake: no GPU: skipped\n");
    return 0;
  }
  auto const flags = device::stream_flags::find();
  if (!flags.available()) {
    std::printf("bench_handshake: no stream memory operations: skipped\n");
    return 0;
  }
  benchmark::RegisterBenchmark("cuda/host_lane/handshake", [&](benchmark::State& s) { handshake(s, flags); })
      ->UseManualTime()
      ->Iterations(100);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
