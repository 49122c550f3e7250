// SPDX-License-Identifier: Apache-2.0
// Compiled by scripts/check-spills, never run.
// no spills: remap_kernel
#include <buddy/cuda/remap.cuh>

template cudaError_t buddy::cuda::remap<int>(int*, buddy::slot_id const*, std::uint32_t, cudaStream_t) noexcept;
