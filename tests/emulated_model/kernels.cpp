// SPDX-License-Identifier: Apache-2.0
// The kernels' own source, for fibers.
#include "harness/model/cuda/kernels.cu"
