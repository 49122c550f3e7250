// SPDX-License-Identifier: Apache-2.0
/// @file
/// Where each routed slot of a batch is computed when the experts are spread over processes.
#pragma once

#include <buddy/distribution_gate.hpp>
#include <buddy/error.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/gate_weights.hpp>
#include <buddy/resolver.hpp>
#include <buddy/types.hpp>

#include <buddy_torch/parallel/expert_placement.hpp>
#include <buddy_torch/parallel/hop_policy.hpp>
#include <buddy_torch/routed_batch.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace buddy::inline v0::torch {

/// When a stand-in that is nearer saves a trip. The defaults are exact: every expert is computed where it lies.
struct hop_config {
  double kappa{0.0};  ///< BuddyMoE's penalty of a hop on a stand-in's score, in [0, 1]
  std::array<double, n_hops - 1>
      max_share{};               ///< budget: gate share below which an expert at 1, 2 hops may be replaced
  std::optional<double> beta{};  ///< per rank: no stand-in when so much of the batch's experts is elsewhere
  std::uint32_t rho{max_top_k};  ///< most stand-ins of one token
  weight_mode weights{weight_mode::keep};
  bool renormalise{};

  [[nodiscard]] bool exact() const noexcept { return max_share[0] == 0.0 && max_share[1] == 0.0; }
};

/// @throws config_error naming the member that is out of range
inline void validate(hop_config const& c) {
  auto const share = [](double x) { return x >= 0.0 && x <= 1.0; };
  if (!share(c.kappa)) v0::detail::throw_config_error("buddy::hop_config: kappa must be in [0, 1]");
  if (!share(c.max_share[0]) || !share(c.max_share[1]))
    v0::detail::throw_config_error("buddy::hop_config: max_share must be in [0, 1]");
  if (c.beta && !share(*c.beta)) v0::detail::throw_config_error("buddy::hop_config: beta must be in [0, 1]");
}

/// One routed slot, with an address.
struct hop_assignment {
  std::uint16_t expert{};  ///< who computes
  std::uint16_t rank{};    ///< where
  std::uint8_t hop{};
  bool replaced{};
  float weight{};
};

/// Decides for one rank. The library's resolver runs with distance in the place of residency.
class hop_decider {
 public:
  /// @throws config_error when a number is out of range
  hop_decider(expert_placement const& placement, rank_topology const& from, hop_config const& config)
      : shape_{placement.shape()}, nearest_{placement, from}, config_{(validate(config), config)} {
    for (std::uint16_t e = 0; e != shape_.n_experts; ++e) within_reach_.push_back(slot_id{e});
  }

  [[nodiscard]] hop_config const& config() const noexcept { return config_; }

  /// @param batch  its experts distinct within a token
  /// @returns [n_tokens, top_k], valid until the next call
  view<hop_assignment const> decide(std::uint16_t layer, routed_batch const& batch) {
    auto const r = batch.routing();
    auto const hops = nearest_.hops(layer);
    hop_gate gate{hops, {}};
    for (std::uint32_t h = 1; h != n_hops; ++h) gate.below_q16[h] = to_q16(config_.max_share[h - 1]);
    row_rules const rules{closed(r, hops), resolution::own, budget_order::router, config_.rho};
    out_.clear();
    for (std::uint32_t t = 0; t != r.n_tokens; ++t) decide_token(layer, r, t, rules, gate);
    return {out_.data(), static_cast<std::uint32_t>(out_.size())};
  }

 private:
  /// BuddyMoE's distribution gate, of this rank: what is elsewhere counts as missing.
  [[nodiscard]] refusal closed(routing const& r, view<std::uint8_t const> hops) const {
    if (config_.exact()) return refusal::exact_mode;
    if (!config_.beta) return refusal::none;
    expert_set seen(shape_.n_experts);
    std::uint32_t distinct = 0;
    std::uint32_t away = 0;
    for (std::uint16_t const e : r.experts) {
      if (seen.contains(e)) continue;
      seen.insert(e);
      ++distinct;
      away += hops[e] != 0 ? 1U : 0U;
    }
    bool const closes = distribution_gate_closes(away, distinct, static_cast<q16>(*config_.beta * q16_one));
    return closes ? refusal::distribution_gate : refusal::none;
  }

  void decide_token(std::uint16_t layer, routing const& r, std::uint32_t t, row_rules const& rules,
                    hop_gate const& gate) {
    std::uint32_t const k = shape_.top_k;
    auto const experts = r.experts.part(t * k, k);
    auto const weights = r.weights.part(t * k, k);
    auto const scores = r.scores.part(t * shape_.n_experts, shape_.n_experts);
    q16 shares[max_top_k];
    slot_outcome ends[max_top_k];
    assignment row[max_top_k];
    normalise(weights, {shares, k});
    token_view const token{layer, t, experts, {shares, k}, scores};
    slot_mask away = 0;
    for (std::uint32_t s = 0; s != k; ++s) {
      ends[s] = {resolution::own, refusal::none, experts[s]};
      if (gate.hops[experts[s]] != 0) away |= slot_mask{1} << s;
    }
    resolve_misses(token, away, {within_reach_.data(), shape_.n_experts}, rules, gate,
                   hop_score{gate.hops, to_q16(config_.kappa)}, {ends, k});
    for (std::uint32_t s = 0; s != k; ++s) row[s] = {ends[s].expert, ends[s].how};
    assign_gate_weights(experts, weights, scores, config_.weights, config_.renormalise, {row, k}, {ends, k});
    for (std::uint32_t s = 0; s != k; ++s) {
      expert_key const key{layer, row[s].expert};
      out_.push_back({key.expert, static_cast<std::uint16_t>(nearest_.rank_of(key)), gate.hops[key.expert],
                      row[s].how == resolution::buddy, row[s].weight});
    }
  }

  model_shape shape_;
  nearest_holders nearest_;
  hop_config config_;
  std::vector<slot_id> within_reach_;  // [n_experts] all: distance decides, not residency
  std::vector<hop_assignment> out_;
};

}  // namespace buddy::inline v0::torch
