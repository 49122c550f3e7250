// SPDX-License-Identifier: Apache-2.0
// Compiled by scripts/check-spills, never run.
// no spills: decide_kernel route_top_k_kernel
#include <buddy/buddy.hpp>
#include <buddy/cuda/decide.cuh>
#include <buddy/cuda/route_top_k.cuh>

namespace device = buddy::cuda;

template cudaError_t device::decide(device::layer_arrays const&, device::decision_rules const&,
                                    buddy::sensitivity::entropy_gate const&, buddy::selection::coactivation const&,
                                    cudaStream_t) noexcept;
template cudaError_t device::decide(device::layer_arrays const&, device::decision_rules const&,
                                    buddy::sensitivity::weight_gate const&, buddy::selection::live_score const&,
                                    cudaStream_t) noexcept;

cudaError_t route(device::layer_arrays const& a, cudaStream_t stream) { return device::route_top_k(a, {}, stream); }
