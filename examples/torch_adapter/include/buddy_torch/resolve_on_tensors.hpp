// SPDX-License-Identifier: Apache-2.0
/// @file
/// `resolve` and `stand_in` in tensor operations: for any device, without a look from the host.
#pragma once

#include <buddy/fixed_point.hpp>
#include <buddy/resolution.hpp>

#include <ATen/ATen.h>
#include <buddy_torch/resolve_options.hpp>
#include <buddy_torch/resolve_rows.hpp>
#include <buddy_torch/routing_tensors.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace buddy::inline v0::torch {

namespace detail {

/// Sum of each row, added from the left as the library does: `at::sum` adds in an order of its own.
inline at::Tensor row_sum(at::Tensor const& x) {
  auto sum = x.select(1, 0).clone();
  for (std::int64_t s = 1; s < x.size(1); ++s) sum.add_(x.select(1, s));
  return sum.unsqueeze(1);
}

/// `buddy::normalise`: [n_tokens, top_k] int64 shares, Q16.
inline at::Tensor shares_q16(at::Tensor const& weights) {
  auto const sum = row_sum(weights);
  auto const share = (weights / sum).clamp_max(65534.0);
  auto const held = at::where(share.gt(0), share, at::zeros({}, share.options()));  // what is not a number is 0
  auto const equal = at::full({}, q16_one / weights.size(1), weights.options().dtype(at::kLong));
  return at::where(sum.gt(0), (held * 65536.0 + 0.5).to(at::kLong), equal);
}

/// Who may stand in: the first `width` residents of each row that the token has not got, by falling score.
struct candidates {
  at::Tensor experts;  ///< [n_tokens, width] int64, best first, ties to the lower id
  at::Tensor count;    ///< [n_tokens, 1] int64, how many of them there are
};

inline candidates candidates_of(routing_tensors const& r, at::Tensor const& resident) {
  auto const taken = at::zeros_like(r.scores, r.scores.options().dtype(at::kBool)).scatter_(1, r.ids, true);
  constexpr double lowest = -std::numeric_limits<double>::infinity();
  auto const may = r.scores.gt(lowest).logical_and_(taken.logical_not()).logical_and_(resident);
  auto const order = std::get<1>(at::sort(r.scores.masked_fill(may.logical_not(), lowest), /*stable=*/true, 1, true));
  return {order.narrow(1, 0, r.top_k()), may.sum(1, true).clamp_max(r.top_k())};
}

/// BuddyMoE's second decision: a boolean without dimensions, true where the batch bears no stand-in.
inline at::Tensor closed(routing_tensors const& r, at::Tensor const& resident, resolve_options const& o) {
  auto const yes_no = resident.options();
  if (o.exact || !o.beta_q16()) return at::full({}, o.exact, yes_no);
  auto const used = at::zeros({r.n_experts()}, yes_no).scatter_(0, r.ids.reshape({-1}), true);
  auto const missing = used.logical_and(resident.logical_not()).sum();
  return (missing * std::int64_t{q16_one}).ge(used.sum() * std::int64_t{*o.beta_q16()});
}

/// How the rows end, before slots and weights.
struct ends {
  at::Tensor experts;  ///< [n_tokens, top_k] who computes, or would
  at::Tensor hit;      ///< [n_tokens, top_k] was resident
  at::Tensor served;   ///< [n_tokens, top_k] got a stand-in
};

/// Misses are served in the router's order, so the n-th that may be replaced gets the n-th candidate.
inline ends ends_of(routing_tensors const& r, at::Tensor const& replaceable, std::int64_t rho) {
  auto const resident = r.slot_of.ge(0);
  auto const hit = resident.index_select(0, r.ids.reshape({-1})).view(r.ids.sizes());
  auto const asks = replaceable.logical_and(hit.logical_not());
  auto const from = candidates_of(r, resident);
  auto const turn = asks.cumsum(1).sub_(1);
  auto const served = asks.logical_and(turn.lt(from.count.clamp_max(rho)));
  auto const chosen = from.experts.gather(1, turn.clamp(0, r.top_k() - 1));
  return {at::where(served, chosen, r.ids), hit, served};
}

/// `assign_gate_weights`.
inline at::Tensor gate_weights(routing_tensors const& r, ends const& e, resolve_options const& o) {
  auto w = r.weights;
  auto const nothing = at::zeros({}, w.options());
  if (o.weights == weight_mode::own) {
    auto const of_missing = r.scores.gather(1, r.ids);
    auto const scaled = r.scores.gather(1, e.experts) * (r.weights / of_missing);
    w = at::where(e.served, at::where(of_missing.gt(0), scaled, nothing), w);
  }
  auto const lost = e.hit.logical_or(e.served).logical_not();
  if (o.on_refused == resolution::drop) w = at::where(lost, nothing, w);
  if (!o.renormalise) return w;
  auto changed = at::zeros_like(lost);
  if (o.on_refused == resolution::drop) changed = changed.logical_or(lost);
  if (o.weights == weight_mode::own) changed = changed.logical_or(e.served);
  auto const after = row_sum(w);
  auto const rescaled = w * (row_sum(r.weights) / after);
  return at::where(changed.any(1, true).logical_and(after.gt(0)), rescaled, w);
}

}  // namespace detail

/// The answer of `resolve_rows`, bit for bit, for tensors that lie anywhere. The host never waits for the device, and
/// therefore does not look at the values of `ids`.
/// @throws c10::Error naming the argument that is wrong
/// Time O(n_tokens x n_experts log n_experts), about 40 operations.
inline resolved_tensors resolve_on_tensors(routing_tensors const& routing, resolve_options const& o) {
  detail::check("buddy::resolve", routing);
  detail::check(o);
  routing_tensors const r{routing.ids, routing.weights.to(at::kFloat), routing.scores.to(at::kFloat), routing.slot_of};
  auto const threshold = std::int64_t{o.gate().threshold_q16};
  auto const replaceable =
      detail::shares_q16(r.weights).lt(threshold).logical_and(detail::closed(r, r.slot_of.ge(0), o).logical_not());
  auto const ends = detail::ends_of(r, replaceable, o.rho);
  auto const here = ends.hit.logical_or(ends.served);
  auto const slots = r.slot_of.index_select(0, ends.experts.reshape({-1})).view(r.ids.sizes());
  auto const value = [&](resolution how) {
    return at::full({}, static_cast<std::int64_t>(how), slots.options().dtype(at::kChar));
  };
  return {at::where(here, slots, at::full({}, -1, slots.options())),
          detail::gate_weights(r, ends, o).to(routing.weights.scalar_type()),
          at::where(ends.hit, value(resolution::own),
                    at::where(ends.served, value(resolution::buddy), value(o.on_refused)))};
}

/// The answer of `stand_in_rows` for tensors that lie anywhere.
inline at::Tensor stand_in_on_tensors(routing_tensors const& routing) {
  detail::check("buddy::stand_in", routing);
  routing_tensors const r{routing.ids, routing.weights, routing.scores.to(at::kFloat), routing.slot_of};
  auto const all = at::ones_like(r.ids, r.ids.options().dtype(at::kBool));
  auto const ends = detail::ends_of(r, all, max_top_k);
  return at::where(ends.hit.logical_or(ends.served), ends.experts, at::full({}, -1, r.ids.options()));
}

}  // namespace buddy::inline v0::torch
