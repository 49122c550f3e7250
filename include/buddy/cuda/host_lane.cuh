// SPDX-License-Identifier: Apache-2.0
/// @file
/// The stream's half of the host lane: leaves work in the mailbox, waits for the answer, adds it.
#pragma once

#include <buddy/config.hpp>
#include <buddy/cuda/dependent_launch.cuh>
#include <buddy/cuda/host_mail.hpp>
#include <buddy/cuda/stream_words.hpp>
#include <buddy/cuda/warp.cuh>
#include <buddy/host/lane_mailbox.hpp>
#include <buddy/resolver.hpp>
#include <buddy/view.hpp>

#include <cuda_runtime.h>

#include <cstdint>

namespace buddy::inline v0::cuda {

/// What a layer may leave to the CPU, in device memory; `mailbox` as the device addresses it.
struct host_work {
  host::lane_mailbox mailbox;
  std::uint32_t hidden{};
  std::uint32_t layer{};
  std::uint32_t n_tokens{};
  std::uint32_t top_k{};
  slot_outcome const* outcomes{};  ///< [n_tokens, top_k] of the decision
  float const* weights{};          ///< [n_tokens, top_k] of the decision
  std::uint16_t const* x{};        ///< [n_tokens, hidden]
  float* y{};                      ///< [n_tokens, hidden] what the answer is added to
};

static_assert(device_portable<host_work>);

namespace detail {

inline constexpr std::uint32_t mail_threads = 256;

template <class = void>
BUDDY_KERNEL void __launch_bounds__(mail_threads) post_mail_kernel(host_work w) {
  host::mail_header& header = *w.mailbox.header;
  if (threadIdx.x < device_warp::n_lanes) {
    std::uint32_t const n =
        gather_mail(device_warp{}, w.outcomes, w.weights, w.n_tokens * w.top_k, w.top_k, w.mailbox.entries);
    if (threadIdx.x == 0) header.layer = w.layer, header.n_tokens = w.n_tokens, header.n_entries = n;
  }
  for (std::uint32_t i = threadIdx.x; i < w.n_tokens * w.hidden; i += mail_threads) w.mailbox.x[i] = w.x[i];
}

template <class = void>
BUDDY_KERNEL void __launch_bounds__(mail_threads) add_answer_kernel(host_work w) {
  std::uint32_t const i = blockIdx.x * mail_threads + threadIdx.x;
  if (i < w.n_tokens * w.hidden) w.y[i] += w.mailbox.y[i];
}

}  // namespace detail

/// Leaves the batch's host slots in the mailbox and raises its flag: behind the decision, before the dispatch, so that
/// both compute at once.
///
/// Also without a host slot: a captured graph cannot skip it, and the server answers with zeros. Leave the lane out of
/// graphs whose policy never ends a slot with `host`. Ordered on `stream`; does not synchronize. No allocation.
/// @pre   the mailbox holds n_tokens tokens and n_tokens * top_k entries; the request before has been awaited
template <stream_words Flags>
[[nodiscard]] cudaError_t request_host_lane(host_work const& w, Flags const& flags, cudaStream_t stream) noexcept {
  cudaError_t const posted = detail::launch(detail::post_mail_kernel<>, 1, detail::mail_threads, stream, false, w);
  if (posted != cudaSuccess) return posted;
  return flags.write(stream, &w.mailbox.header->ready, 1);
}

/// Waits on the stream for the answer, lowers its flag, and adds it to y: behind the dispatch. Nothing else waits:
/// neither the host nor a multiprocessor.
template <stream_words Flags>
[[nodiscard]] cudaError_t await_host_lane(host_work const& w, Flags const& flags, cudaStream_t stream) noexcept {
  std::uint32_t* const done = &w.mailbox.header->done;
  if (cudaError_t const e = flags.wait_until(stream, done, 1); e != cudaSuccess) return e;
  if (cudaError_t const e = flags.write(stream, done, 0); e != cudaSuccess) return e;
  std::uint32_t const n = w.n_tokens * w.hidden;
  if (n == 0) return cudaSuccess;
  std::uint32_t const blocks = (n + detail::mail_threads - 1) / detail::mail_threads;
  return detail::launch(detail::add_answer_kernel<>, blocks, detail::mail_threads, stream, false, w);
}

}  // namespace buddy::inline v0::cuda
