// SPDX-License-Identifier: Apache-2.0
// What the benchmarks on a device share: memory that lives as long as the program, and the time of a graph.
#pragma once

#include <buddy/cuda/event.hpp>
#include <buddy/cuda/graph.hpp>
#include <buddy/cuda/stream.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <vector>

/// Any failure ends the program: a benchmark of something that failed says nothing.
inline void require(cudaError_t status) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "benchmark: %s\n", cudaGetErrorString(status));
  std::abort();
}

template <class T>
T* allocate(std::size_t n) {
  T* data = nullptr;
  require(cudaMalloc(&data, n * sizeof(T)));
  return data;
}

template <class T>
T* on_device(std::vector<T> const& host) {
  T* const data = allocate<T>(host.size());
  require(cudaMemcpy(data, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice));
  require(cudaDeviceSynchronize());  // streams that do not block do not wait for it
  return data;
}

/// Captures graphs in a stream of its own, and replays them there.
class graph_clock {
 public:
  /// @param launch  cudaError_t launch(cudaStream_t, i), once for each i below n
  template <class Launch>
  [[nodiscard]] buddy::cuda::graph capture(std::size_t n, Launch const& launch) const {
    return buddy::cuda::graph::capture(stream_.get(), [&](cudaStream_t stream) {
      for (std::size_t i = 0; i != n; ++i) require(launch(stream, i));
      return cudaSuccess;
    });
  }

  /// Of one replay, from event to event; waits for it.
  [[nodiscard]] double seconds(buddy::cuda::graph const& graph) const {
    float ms = 0.0F;
    require(begin_.ref().record(stream_.get()));
    require(graph.ref().launch(stream_.get()));
    require(end_.ref().record(stream_.get()));
    require(end_.ref().wait());
    require(cudaEventElapsedTime(&ms, begin_.get(), end_.get()));
    return static_cast<double>(ms) / 1000.0;
  }

 private:
  buddy::cuda::stream stream_;
  buddy::cuda::event begin_{buddy::cuda::event_kind::timed};
  buddy::cuda::event end_{buddy::cuda::event_kind::timed};
};
