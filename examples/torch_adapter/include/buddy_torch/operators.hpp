// SPDX-License-Identifier: Apache-2.0
/// @file
/// What the loadable library has on a CUDA device.
#pragma once

#include <buddy_torch/resolve_options.hpp>
#include <buddy_torch/resolve_rows.hpp>
#include <buddy_torch/routing_tensors.hpp>

namespace buddy::inline v0::torch {

/// `resolve` by the library's decision kernel; defined where LibTorch has CUDA. Ordered on the current stream; does not
/// synchronize, and therefore does not look at the values of `ids`.
resolved_tensors resolve_cuda(routing_tensors const& r, resolve_options const& o);

}  // namespace buddy::inline v0::torch
