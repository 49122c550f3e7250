// SPDX-License-Identifier: Apache-2.0
// Compiled by scripts/check-spills, never run.
// no spills: append_kernel
#include <buddy/cuda/miss_ring.cuh>

__global__ void append_kernel(buddy::cuda::miss_ring_ref ring, buddy::cuda::miss_record record) {
  if (threadIdx.x == 0) buddy::cuda::append_miss(ring, record);
}
