// SPDX-License-Identifier: Apache-2.0
/// @file
/// `resolve` and `stand_in` on the CPU: the library's own resolver, row by row.
#pragma once

#include <buddy/buddy.hpp>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <buddy_torch/resolve_options.hpp>
#include <buddy_torch/routing_tensors.hpp>

#include <bit>
#include <cstdint>
#include <tuple>

namespace buddy::inline v0::torch {

/// Where each routed slot is computed, with which weight, and how it ended.
struct resolved_tensors {
  at::Tensor slots;        ///< [n_tokens, top_k] int32; -1: not in a slot (fetch, host, drop)
  at::Tensor weights;      ///< [n_tokens, top_k] factor of the expert's output, dtype of the gate weights; 0 for a drop
  at::Tensor resolutions;  ///< [n_tokens, top_k] int8, the values of `buddy::resolution`
};

namespace detail {

static_assert(std::bit_cast<std::int32_t>(no_slot) == -1 && sizeof(slot_id) == sizeof(std::int32_t),
              "a tensor of int32 is an array of slots");

/// The tensors as rows of what the library reads. Holds what had to be converted.
class cpu_rows {
 public:
  cpu_rows(char const* of, routing_tensors const& r)
      : of_{of},
        ids_{r.ids.contiguous()},
        weights_{r.weights.to(at::kFloat).contiguous()},
        scores_{r.scores.to(at::kFloat).contiguous()},
        slot_of_{r.slot_of.contiguous()},
        k_{static_cast<std::uint32_t>(r.top_k())},
        n_experts_{static_cast<std::uint32_t>(r.n_experts())} {}

  [[nodiscard]] std::uint32_t top_k() const { return k_; }
  [[nodiscard]] view<float const> weights(std::int64_t t) const { return {weights_.data_ptr<float>() + t * k_, k_}; }
  [[nodiscard]] view<float const> scores(std::int64_t t) const {
    return {scores_.data_ptr<float>() + t * n_experts_, n_experts_};
  }
  [[nodiscard]] view<slot_id const> slot_of() const {
    return {reinterpret_cast<slot_id const*>(slot_of_.data_ptr<std::int32_t>()), n_experts_};
  }

  /// @throws c10::IndexError when an id is no expert, or is there twice
  void experts(std::int64_t t, view<std::uint16_t> out) const {
    std::int64_t const* const ids = ids_.data_ptr<std::int64_t>() + t * k_;
    expert_set seen(n_experts_);
    for (std::uint32_t s = 0; s != k_; ++s) {
      TORCH_CHECK_INDEX(ids[s] >= 0 && ids[s] < n_experts_, of_, ": ids of token ", t, " hold ", ids[s],
                        ", but there are ", n_experts_, " experts");
      out[s] = static_cast<std::uint16_t>(ids[s]);
      TORCH_CHECK_INDEX(!seen.contains(out[s]), of_, ": ids must be distinct within a token, but token ", t, " has ",
                        ids[s], " twice");
      seen.insert(out[s]);
    }
  }

  /// BuddyMoE's second decision, over all rows.
  [[nodiscard]] bool gate_closes(std::int64_t n_tokens, q16 beta) const {
    std::uint32_t distinct = 0;
    std::uint32_t missing = 0;
    expert_set seen(n_experts_);
    for (std::int64_t i = 0; i != n_tokens * k_; ++i) {
      auto const e = static_cast<std::uint32_t>(ids_.data_ptr<std::int64_t>()[i]);
      if (e >= n_experts_ || seen.contains(e)) continue;  // `experts` says what is wrong
      seen.insert(e);
      ++distinct;
      missing += slot_of()[e] == no_slot ? 1U : 0U;
    }
    return distribution_gate_closes(missing, distinct, beta);
  }

 private:
  char const* of_;
  at::Tensor ids_, weights_, scores_, slot_of_;
  std::uint32_t k_, n_experts_;
};

inline row_rules rules_of(resolve_options const& o, cpu_rows const& rows, std::int64_t n_tokens) {
  row_rules rules{.otherwise = o.on_refused, .token_budget = static_cast<std::uint32_t>(o.rho)};
  if (o.exact) {
    rules.closed = refusal::exact_mode;
  } else if (auto const beta = o.beta_q16(); beta && rows.gate_closes(n_tokens, *beta)) {
    rules.closed = refusal::distribution_gate;
  }
  return rules;
}

/// One token, as `policy::resolve` does it.
template <sensitivity_estimator Gate>
void resolve_row(cpu_rows const& rows, std::int64_t t, row_rules const& rules, Gate const& gate,
                 resolve_options const& o, view<assignment> row) {
  std::uint16_t experts[max_top_k];
  q16 shares[max_top_k];
  slot_outcome ends[max_top_k];
  std::uint32_t const k = rows.top_k();
  rows.experts(t, {experts, k});
  normalise(rows.weights(t), {shares, k});
  token_view const token{0, static_cast<std::uint64_t>(t), {experts, k}, {shares, k}, rows.scores(t)};
  v0::resolve_row(token, rows.slot_of(), rules, gate, selection::live_score{}, {ends, k});
  for (std::uint32_t s = 0; s != k; ++s) {
    bool const here = ends[s].how == resolution::own || ends[s].how == resolution::buddy;
    row[s] = {ends[s].expert, ends[s].how, ends[s].why, here ? rows.slot_of()[ends[s].expert] : no_slot,
              0.0F,           ends[s].rank};
  }
  assign_gate_weights({experts, k}, rows.weights(t), rows.scores(t), o.weights, o.renormalise, row, {ends, k});
}

/// Calls f(token, its assignments) for every token, several at a time where there are many.
template <sensitivity_estimator Gate, class F>
void for_each_row(cpu_rows const& rows, std::int64_t n_tokens, Gate const& gate, resolve_options const& o, F const& f) {
  auto const rules = rules_of(o, rows, n_tokens);
  at::parallel_for(0, n_tokens, 512, [&](std::int64_t begin, std::int64_t end) {
    assignment row[max_top_k];
    for (std::int64_t t = begin; t != end; ++t) {
      resolve_row(rows, t, rules, gate, o, {row, rows.top_k()});
      f(t, view<assignment const>{row, rows.top_k()});
    }
  });
}

}  // namespace detail

/// Resolves a batch against a table of residents; changes nothing.
///
/// Bit for bit the library's scalar resolver, since it is the one that runs.
/// @throws c10::Error naming the argument that is wrong
inline resolved_tensors resolve_rows(routing_tensors const& r, resolve_options const& o) {
  detail::check("buddy::resolve", r);
  detail::check(o);
  detail::cpu_rows const rows{"buddy::resolve", r};
  auto const slots = at::empty_like(r.ids, r.ids.options().dtype(at::kInt), at::MemoryFormat::Contiguous);
  auto const weights = at::empty_like(slots, slots.options().dtype(at::kFloat));
  auto const how = at::empty_like(slots, slots.options().dtype(at::kChar));
  auto* const slot_out = slots.data_ptr<std::int32_t>();
  auto* const weight_out = weights.data_ptr<float>();
  auto* const how_out = how.data_ptr<std::int8_t>();
  detail::for_each_row(rows, r.n_tokens(), o.gate(), o, [&](std::int64_t t, view<assignment const> row) {
    for (std::uint32_t s = 0; s != row.size; ++s) {
      std::int64_t const i = t * row.size + s;
      slot_out[i] = static_cast<std::int32_t>(row[s].slot);
      weight_out[i] = row[s].weight;
      how_out[i] = static_cast<std::int8_t>(row[s].how);
    }
  });
  return {slots, weights.to(r.weights.scalar_type()), how};
}

/// Who would compute each routed slot if every miss were replaced by the best live score: experts that are resident
/// keep their place, and no token names one twice.
/// @returns [n_tokens, top_k] int64 expert ids, -1 where no resident is left
inline at::Tensor stand_in_rows(routing_tensors const& r) {
  detail::check("buddy::stand_in", r);
  detail::cpu_rows const rows{"buddy::stand_in", r};
  auto const experts = at::empty_like(r.ids, at::MemoryFormat::Contiguous);
  auto* const out = experts.data_ptr<std::int64_t>();
  detail::for_each_row(rows, r.n_tokens(), sensitivity::always{}, {}, [&](std::int64_t t, view<assignment const> row) {
    for (std::uint32_t s = 0; s != row.size; ++s)
      out[t * row.size + s] = row[s].slot == no_slot ? -1 : std::int64_t{row[s].expert};
  });
  return experts;
}

}  // namespace buddy::inline v0::torch
