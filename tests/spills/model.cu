// SPDX-License-Identifier: Apache-2.0
// Compiled by scripts/check-spills, never run.
// no spills: norm_kernel product_kernel sum_kernel heads_kernel attention_kernel
#include "harness/model/cuda/attention.cuh"
#include "harness/model/cuda/heads.cuh"
#include "harness/model/cuda/norm.cuh"
#include "harness/model/cuda/product.cuh"
