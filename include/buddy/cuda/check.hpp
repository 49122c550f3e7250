// SPDX-License-Identifier: Apache-2.0
/// @file
/// What a failed call of the CUDA runtime becomes.
#pragma once

#include <buddy/error.hpp>

#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace buddy::inline v0 {

/// A call of the CUDA runtime that failed while something was being set up.
class cuda_error : public error {
 public:
  cuda_error(cudaError_t code, std::string const& what) : error(what), code_(code) {}

  [[nodiscard]] cudaError_t code() const noexcept { return code_; }

 private:
  cudaError_t code_;
};

namespace detail {

/// Out of line and cold. Clears the error that the runtime remembers, or the next innocent call would report it.
[[gnu::noinline, gnu::cold]] inline void throw_cuda_error(cudaError_t code, [[maybe_unused]] char const* call) {
  (void)cudaGetLastError();
#if defined(__cpp_exceptions)
  throw cuda_error(code, std::string(call) + ": " + cudaGetErrorString(code) + " (" + cudaGetErrorName(code) + ")");
#else
  std::fprintf(stderr, "%s: %s\n", call, cudaGetErrorString(code));
  std::abort();
#endif
}

inline void cuda_try(cudaError_t code, char const* call) {
  if (code != cudaSuccess) throw_cuda_error(code, call);
}

/// A driver that is shutting down has freed everything already: that is no failure.
inline void cuda_warn(cudaError_t code, char const* call) noexcept {
  if (code == cudaSuccess || code == cudaErrorCudartUnloading) return;
  (void)cudaGetLastError();
  std::fprintf(stderr, "buddy: %s: %s\n", call, cudaGetErrorString(code));
}

}  // namespace detail

}  // namespace buddy::inline v0

/// While setting up: throws `buddy::cuda_error` when the call fails.
#define BUDDY_CUDA_TRY(call) ::buddy::detail::cuda_try((call), #call)

/// In destructors: says on stderr what failed, and goes on.
#define BUDDY_CUDA_WARN(call) ::buddy::detail::cuda_warn((call), #call)
