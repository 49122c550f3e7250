// SPDX-License-Identifier: Apache-2.0
/// @file
/// Eigen's view of plain arrays. Included by .cpp files only, so that no Eigen type crosses from one to another.
#pragma once

// g++ 12 takes the `_mm512_undefined_ps()` of its own AVX-512 headers for a use of an uninitialised variable.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <Eigen/Dense>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include <cstddef>
#include <span>

namespace harness::cpu {

using row_matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

[[nodiscard]] inline Eigen::Map<Eigen::VectorXf const> vector(std::span<float const> x) {
  return {x.data(), static_cast<Eigen::Index>(x.size())};
}

[[nodiscard]] inline Eigen::Map<Eigen::VectorXf> vector(std::span<float> x) {
  return {x.data(), static_cast<Eigen::Index>(x.size())};
}

/// Row-major; the number of columns is what remains.
[[nodiscard]] inline Eigen::Map<row_matrix const> matrix(std::span<float const> x, std::size_t rows) {
  return {x.data(), static_cast<Eigen::Index>(rows), static_cast<Eigen::Index>(x.size() / rows)};
}

[[nodiscard]] inline Eigen::Map<row_matrix> matrix(std::span<float> x, std::size_t rows) {
  return {x.data(), static_cast<Eigen::Index>(rows), static_cast<Eigen::Index>(x.size() / rows)};
}

/// y = A x
/// @param a  [y.size(), x.size()] row-major
inline void multiply(std::span<float const> a, std::span<float const> x, std::span<float> y) {
  vector(y).noalias() = matrix(a, y.size()) * vector(x);
}

/// Y = X A^T: each row of X through the matrix, in one product.
/// @param x  [n, k]
/// @param a  [m, k]
/// @param y  [n, m]
inline void multiply_rows(std::size_t n, std::span<float const> x, std::span<float const> a, std::span<float> y) {
  matrix(y, n).noalias() = matrix(x, n) * matrix(a, y.size() / n).transpose();
}

}  // namespace harness::cpu
