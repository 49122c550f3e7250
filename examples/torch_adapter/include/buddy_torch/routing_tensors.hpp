// SPDX-License-Identifier: Apache-2.0
/// @file
/// The four tensors that the operators read, checked.
#pragma once

#include <buddy/types.hpp>

#include <ATen/ATen.h>
#include <buddy_torch/checks.hpp>

#include <cstdint>

namespace buddy::inline v0::torch {

/// What a router decided, and who is resident.
struct routing_tensors {
  at::Tensor ids;      ///< [n_tokens, top_k] int64, distinct within a token
  at::Tensor weights;  ///< [n_tokens, top_k] gate weights, finite, not negative
  at::Tensor scores;   ///< [n_tokens, n_experts] router probabilities
  at::Tensor slot_of;  ///< [n_experts] int32: the slot of each resident expert, -1 for the rest

  [[nodiscard]] std::int64_t n_tokens() const { return ids.size(0); }
  [[nodiscard]] std::int64_t top_k() const { return ids.size(1); }
  [[nodiscard]] std::int64_t n_experts() const { return slot_of.size(0); }
};

namespace detail {

/// What can be said without sizes, which a tracer may not know.
inline void check_kinds(char const* of, routing_tensors const& r) {
  argument const all[]{
      {of, "ids", r.ids}, {of, "weights", r.weights}, {of, "scores", r.scores}, {of, "slot_of", r.slot_of}};
  for (argument const& a : all) {
    check_defined(a);
    check_no_gradient(a);
    check_device(a, r.ids.device(), "ids");
  }
  check_dims(all[0], 2, "[n_tokens, top_k]");
  check_dims(all[1], 2, "[n_tokens, top_k]");
  check_dims(all[2], 2, "[n_tokens, n_experts]");
  check_dims(all[3], 1, "[n_experts]");
  check_dtype(all[0], at::kLong);
  check_floating(all[1]);
  check_floating(all[2]);
  check_dtype(all[3], at::kInt);
}

/// @throws c10::Error naming the operator and the argument
inline void check(char const* of, routing_tensors const& r) {
  check_kinds(of, r);
  TORCH_CHECK(r.n_experts() >= 1 && r.n_experts() <= max_experts, of, ": slot_of must have 1 to ", max_experts,
              " experts, but has ", r.n_experts());
  TORCH_CHECK(r.top_k() >= 1 && r.top_k() <= max_top_k && r.top_k() <= r.n_experts(), of,
              ": ids has top_k = ", r.top_k(), ", but top_k must be in [1, ", max_top_k,
              "] and at most n_experts = ", r.n_experts());
  check_size({of, "weights", r.weights}, 0, r.n_tokens(), "the n_tokens of ids");
  check_size({of, "weights", r.weights}, 1, r.top_k(), "the top_k of ids");
  check_size({of, "scores", r.scores}, 0, r.n_tokens(), "the n_tokens of ids");
  check_size({of, "scores", r.scores}, 1, r.n_experts(), "the n_experts of slot_of");
}

}  // namespace detail

}  // namespace buddy::inline v0::torch
