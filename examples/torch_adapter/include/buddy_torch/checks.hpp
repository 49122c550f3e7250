// SPDX-License-Identifier: Apache-2.0
/// @file
/// What tensors must be before buddy looks at them; every message names the operator and the argument.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cstdint>

namespace buddy::inline v0::torch::detail {

/// An argument, and the words that an error begins with.
struct argument {
  char const* of;    ///< "buddy::resolve"
  char const* name;  ///< "ids"
  at::Tensor const& tensor;
};

/// @throws c10::Error
inline void check_defined(argument const& a) { TORCH_CHECK(a.tensor.defined(), a.of, ": ", a.name, " is undefined"); }

/// Nothing here has a backward.
inline void check_no_gradient(argument const& a) {
  TORCH_CHECK(!(at::GradMode::is_enabled() && a.tensor.requires_grad()), a.of, ": ", a.name,
              " requires grad, but buddy is for inference only: call it under torch.no_grad(), or detach ", a.name);
}

inline void check_dims(argument const& a, std::int64_t n_dims, char const* shape) {
  TORCH_CHECK(a.tensor.dim() == n_dims, a.of, ": ", a.name, " must be ", shape, ", but has ", a.tensor.dim(),
              " dimensions");
}

inline void check_size(argument const& a, std::int64_t dim, std::int64_t size, char const* what) {
  TORCH_CHECK(a.tensor.size(dim) == size, a.of, ": ", a.name, " has ", a.tensor.size(dim), " in dimension ", dim,
              ", but must have ", what, " = ", size);
}

inline void check_dtype(argument const& a, at::ScalarType type) {
  TORCH_CHECK(a.tensor.scalar_type() == type, a.of, ": ", a.name, " must have dtype ", type, ", but has ",
              a.tensor.scalar_type());
}

inline void check_floating(argument const& a) {
  auto const type = a.tensor.scalar_type();
  TORCH_CHECK(type == at::kFloat || type == at::kHalf || type == at::kBFloat16, a.of, ": ", a.name,
              " must have dtype Float, Half or BFloat16, but has ", type);
}

inline void check_device(argument const& a, at::Device device, char const* whose) {
  TORCH_CHECK(a.tensor.device() == device, a.of, ": ", a.name, " is on ", a.tensor.device(), ", but ", whose, " is on ",
              device);
}

}  // namespace buddy::inline v0::torch::detail
