// SPDX-License-Identifier: Apache-2.0
/// @file
/// Work that is captured once and launched many times.
#pragma once

#include <buddy/cuda/check.hpp>

#include <cuda_runtime_api.h>

#include <memory>
#include <utility>

namespace buddy::inline v0::cuda {

/// A graph that somebody else owns, ready to launch.
class graph_ref {
 public:
  explicit graph_ref(cudaGraphExec_t handle) noexcept : handle_(handle) {}

  [[nodiscard]] cudaGraphExec_t get() const noexcept { return handle_; }

  /// Ordered on `stream`; does not synchronize. Launches of one graph never overlap.
  [[nodiscard]] cudaError_t launch(cudaStream_t stream) const noexcept { return cudaGraphLaunch(handle_, stream); }

 private:
  cudaGraphExec_t handle_;
};

/// Owns one instantiated graph.
class graph {
 public:
  /// Captures what `work(stream)` puts into the stream; nothing of it runs yet.
  ///
  /// Only this thread's calls are captured and restricted: other threads may allocate meanwhile.
  /// @param work  returns the first `cudaError_t` that is not `cudaSuccess`
  /// @throws cuda_error when the work fails, or does what a graph cannot hold; whatever `work` throws
  template <class Work>
  static graph capture(cudaStream_t stream, Work&& work) {
    BUDDY_CUDA_TRY(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    pending_capture pending{stream};
    BUDDY_CUDA_TRY(std::forward<Work>(work)(stream));
    std::unique_ptr<CUgraph_st, destroy_recipe> const recipe(pending.end());
    cudaGraphExec_t handle{};
    BUDDY_CUDA_TRY(cudaGraphInstantiate(&handle, recipe.get(), 0));
    return graph(handle);
  }

  [[nodiscard]] cudaGraphExec_t get() const noexcept { return handle_.get(); }
  [[nodiscard]] graph_ref ref() const noexcept { return graph_ref(get()); }

 private:
  struct destroy {
    void operator()(cudaGraphExec_t handle) const noexcept { BUDDY_CUDA_WARN(cudaGraphExecDestroy(handle)); }
  };
  struct destroy_recipe {
    void operator()(cudaGraph_t handle) const noexcept { BUDDY_CUDA_WARN(cudaGraphDestroy(handle)); }
  };

  /// Ends the capture when the work throws: a stream left capturing is lost to everybody.
  struct pending_capture {
    cudaStream_t stream;
    bool open = true;

    cudaGraph_t end() {
      cudaGraph_t recipe{};
      open = false;
      BUDDY_CUDA_TRY(cudaStreamEndCapture(stream, &recipe));
      return recipe;
    }
    ~pending_capture() {
      if (!open) return;
      cudaGraph_t recipe{};
      (void)cudaStreamEndCapture(stream, &recipe);
      if (recipe != nullptr) (void)cudaGraphDestroy(recipe);
      (void)cudaGetLastError();
    }
  };

  explicit graph(cudaGraphExec_t handle) noexcept : handle_(handle) {}

  std::unique_ptr<CUgraphExec_st, destroy> handle_;
};

}  // namespace buddy::inline v0::cuda
