// SPDX-License-Identifier: Apache-2.0
// `resolve` on the device: ids narrowed, `cuda::decide`, outcomes narrowed. Three launches on one stream.
#include "resolve_launch.hpp"

#include <buddy/cuda/decide.cuh>
#include <buddy/policies/selection/live_score.hpp>
#include <buddy/policies/sensitivity/weight_gate.hpp>

#include <cstddef>
#include <cstdint>

namespace buddy::inline v0::torch {

namespace {

constexpr std::uint32_t threads = 256;

/// The work space: the step's number, the outcomes, the narrow ids.
struct work_space {
  std::uint64_t* step;
  slot_outcome* outcomes;
  std::uint16_t* experts;

  work_space(std::byte* memory, std::uint32_t n_slots)
      : step{reinterpret_cast<std::uint64_t*>(memory)},
        outcomes{reinterpret_cast<slot_outcome*>(memory + sizeof(std::uint64_t))},
        experts{reinterpret_cast<std::uint16_t*>(outcomes + n_slots)} {}
};

__global__ void narrow_ids(std::int64_t const* ids, std::uint16_t* experts, std::uint64_t* step, std::uint32_t n) {
  std::uint32_t const i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i == 0) *step = 0;  // no rule here asks which step it is
  if (i < n) experts[i] = static_cast<std::uint16_t>(ids[i]);
}

__global__ void narrow_outcomes(slot_outcome const* outcomes, std::int8_t* resolutions, std::uint32_t n) {
  std::uint32_t const i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) resolutions[i] = static_cast<std::int8_t>(outcomes[i].how);
}

}  // namespace

std::size_t resolve_work_bytes(std::uint32_t n_slots) noexcept {
  return sizeof(std::uint64_t) + n_slots * (sizeof(slot_outcome) + sizeof(std::uint16_t));
}

cudaError_t launch_resolve(resolve_arrays const& a, policy_config const& config, q16 protect_share_q16,
                           cudaStream_t stream) {
  std::uint32_t const n = a.n_tokens * a.top_k;
  if (n == 0) return cudaSuccess;
  work_space const work{a.work, n};
  std::uint32_t const blocks = (n + threads - 1) / threads;
  narrow_ids<<<blocks, threads, 0, stream>>>(a.ids, work.experts, work.step, n);
  cuda::layer_arrays arrays{.n_experts = a.n_experts, .top_k = a.top_k, .n_tokens = a.n_tokens};
  arrays.slot_of = a.slot_of;
  arrays.step = work.step;
  arrays.experts = work.experts;
  arrays.weights = const_cast<float*>(a.weights);  // only read: there are no logits
  arrays.scores = const_cast<float*>(a.scores);
  arrays.slots = a.slots;
  arrays.slot_weights = a.slot_weights;
  arrays.outcomes = work.outcomes;
  sensitivity::weight_gate const gate{protect_share_q16};
  cudaError_t const decided = cuda::decide(arrays, cuda::rules_of(config), gate, selection::live_score{}, stream);
  if (decided != cudaSuccess) return decided;
  narrow_outcomes<<<blocks, threads, 0, stream>>>(work.outcomes, a.resolutions, n);
  return cudaGetLastError();
}

}  // namespace buddy::inline v0::torch
