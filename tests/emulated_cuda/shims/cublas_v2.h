// SPDX-License-Identifier: Apache-2.0
// Stands in for the header of the same name: the one product that the library asks for, in plain loops.
#pragma once

#include "cuda_runtime_api.h"

#include <buddy/io/half.hpp>

using cublasHandle_t = void*;
enum cublasStatus_t {
  CUBLAS_STATUS_SUCCESS,
  CUBLAS_STATUS_NOT_INITIALIZED,
  CUBLAS_STATUS_ALLOC_FAILED,
  CUBLAS_STATUS_INVALID_VALUE
};
enum cublasOperation_t { CUBLAS_OP_N, CUBLAS_OP_T };
enum cudaDataType_t { CUDA_R_32F, CUDA_R_16F, CUDA_R_16BF };
enum cublasComputeType_t { CUBLAS_COMPUTE_32F };
enum cublasGemmAlgo_t { CUBLAS_GEMM_DEFAULT };

inline cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t) {
  return handle == nullptr ? CUBLAS_STATUS_NOT_INITIALIZED : CUBLAS_STATUS_SUCCESS;
}

/// C = alpha op(A) op(B) + beta C; column-major, as the documentation has it: element (i, j) of a matrix lies at
/// i + j * its leading dimension.
inline cublasStatus_t cublasGemmEx(cublasHandle_t, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
                                   void const* alpha, void const* a, cudaDataType_t type_a, int lda, void const* b,
                                   cudaDataType_t type_b, int ldb, void const* beta, void* c, cudaDataType_t type_c,
                                   int ldc, cublasComputeType_t, cublasGemmAlgo_t) {
  if (type_c != CUDA_R_32F || m < 1 || n < 1 || k < 1 || lda < (op_a == CUBLAS_OP_N ? m : k) ||
      ldb < (op_b == CUBLAS_OP_N ? k : n) || ldc < m)
    return CUBLAS_STATUS_INVALID_VALUE;
  auto const at = [](void const* matrix, cudaDataType_t type, int i, int j, int ld) {
    std::uint16_t const bits = static_cast<std::uint16_t const*>(matrix)[i + std::ptrdiff_t{j} * ld];
    return type == CUDA_R_16BF ? buddy::io::bf16_to_f32(bits) : buddy::io::f16_to_f32(bits);
  };
  for (int j = 0; j != n; ++j) {
    for (int i = 0; i != m; ++i) {
      float sum = 0.0F;
      for (int l = 0; l != k; ++l)
        sum += (op_a == CUBLAS_OP_N ? at(a, type_a, i, l, lda) : at(a, type_a, l, i, lda)) *
               (op_b == CUBLAS_OP_N ? at(b, type_b, l, j, ldb) : at(b, type_b, j, l, ldb));
      float& out = static_cast<float*>(c)[i + std::ptrdiff_t{j} * ldc];
      float const before = *static_cast<float const*>(beta) == 0.0F ? 0.0F : *static_cast<float const*>(beta) * out;
      out = *static_cast<float const*>(alpha) * sum + before;
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}
