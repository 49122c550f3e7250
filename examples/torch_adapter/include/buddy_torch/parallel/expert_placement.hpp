// SPDX-License-Identifier: Apache-2.0
/// @file
/// Which processes hold which experts, and how far away they are.
#pragma once

#include <buddy/error.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace buddy::inline v0::torch {

/// Hops between two processes: 0 the same, 1 on one host, 2 over the network.
inline constexpr std::uint32_t n_hops = 3;

/// Ranks in the order of their hosts.
struct rank_topology {
  std::uint32_t rank{};
  std::uint32_t n_ranks{1};
  std::uint32_t ranks_per_host{1};

  [[nodiscard]] std::uint32_t hop_to(std::uint32_t other) const noexcept {
    if (other == rank) return 0;
    return other / ranks_per_host == rank / ranks_per_host ? 1 : 2;
  }
};

/// @throws config_error when a number is zero or the rank is none
inline void validate(rank_topology const& t) {
  if (t.n_ranks == 0 || t.ranks_per_host == 0 || t.n_ranks > 65536)
    v0::detail::throw_config_error("buddy::rank_topology: n_ranks and ranks_per_host must be in [1, 65536]");
  if (t.rank >= t.n_ranks) v0::detail::throw_config_error("buddy::rank_topology: rank must be below n_ranks");
}

/// Every expert has an owner; hot ones have replicas too. The same on all ranks.
class expert_placement {
 public:
  /// Neighbouring experts on one rank, as evenly as it goes.
  expert_placement(model_shape const& shape, std::uint32_t n_ranks) : shape_{shape}, n_ranks_{n_ranks} {
    validate(shape);
    validate(rank_topology{0, n_ranks, 1});
    for (std::size_t i = 0; i != shape.n_keys(); ++i)
      holders_.push_back({static_cast<std::uint16_t>(i % shape.n_experts * n_ranks / shape.n_experts)});
  }

  [[nodiscard]] model_shape const& shape() const noexcept { return shape_; }
  [[nodiscard]] std::uint32_t n_ranks() const noexcept { return n_ranks_; }

  /// The owner first, then the replicas.
  [[nodiscard]] std::vector<std::uint16_t> const& holders(expert_key k) const { return holders_.at(shape_.index(k)); }

  [[nodiscard]] bool holds(std::uint32_t rank, expert_key k) const {
    auto const& all = holders(k);
    return std::find(all.begin(), all.end(), rank) != all.end();
  }

  /// One more copy of an expert. @throws config_error when the rank is none
  void replicate(expert_key k, std::uint32_t rank) {
    if (rank >= n_ranks_) v0::detail::throw_config_error("buddy::expert_placement: rank must be below n_ranks");
    if (!holds(rank, k)) holders_[shape_.index(k)].push_back(static_cast<std::uint16_t>(rank));
  }

  /// Gives every rank a replica of the `per_layer` experts of each layer that are asked for most and that it does not
  /// own; ties go to the lower id.
  /// @param activations  [n_layers, n_experts], as a profile counts them
  /// @throws config_error when there is not one count for each expert
  void replicate_hottest(std::span<std::uint64_t const> activations, std::uint32_t per_layer) {
    if (activations.size() != shape_.n_keys())
      v0::detail::throw_config_error("buddy::expert_placement: activations must have one count for each expert");
    std::vector<std::uint16_t> order(shape_.n_experts);
    for (std::uint16_t l = 0; l != shape_.n_layers; ++l) {
      std::iota(order.begin(), order.end(), std::uint16_t{0});
      auto const count = [&](std::uint16_t e) { return activations[shape_.index({l, e})]; };
      std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return count(a) > count(b); });
      for (std::uint32_t rank = 0; rank != n_ranks_; ++rank) replicate_first(l, order, rank, per_layer);
    }
  }

  /// Experts that one rank holds, of all layers.
  [[nodiscard]] std::vector<expert_key> held_by(std::uint32_t rank) const {
    std::vector<expert_key> held;
    for (std::uint16_t l = 0; l != shape_.n_layers; ++l)
      for (std::uint16_t e = 0; e != shape_.n_experts; ++e)
        if (holds(rank, {l, e})) held.push_back({l, e});
    return held;
  }

 private:
  void replicate_first(std::uint16_t layer, std::vector<std::uint16_t> const& order, std::uint32_t rank,
                       std::uint32_t per_layer) {
    for (std::uint16_t const e : order) {
      if (per_layer == 0) return;
      if (holds(rank, {layer, e})) continue;
      replicate({layer, e}, rank);
      --per_layer;
    }
  }

  model_shape shape_;
  std::uint32_t n_ranks_;
  std::vector<std::vector<std::uint16_t>> holders_;  // [n_layers, n_experts]
};

/// The nearest holder of every expert, as one rank sees it.
class nearest_holders {
 public:
  /// Of equally near holders the one that comes after this rank takes its share: not all go to the owner.
  nearest_holders(expert_placement const& placement, rank_topology const& from) : shape_{placement.shape()} {
    validate(from);
    for (std::size_t i = 0; i != shape_.n_keys(); ++i) {
      auto const& all = placement.holders(
          {static_cast<std::uint16_t>(i / shape_.n_experts), static_cast<std::uint16_t>(i % shape_.n_experts)});
      auto const cost = [&](std::uint32_t rank) {
        return from.hop_to(rank) * from.n_ranks + (rank + from.n_ranks - from.rank) % from.n_ranks;
      };
      auto const best = *std::min_element(all.begin(), all.end(), [&](auto a, auto b) { return cost(a) < cost(b); });
      ranks_.push_back(best);
      hops_.push_back(static_cast<std::uint8_t>(from.hop_to(best)));
    }
  }

  [[nodiscard]] std::uint32_t rank_of(expert_key k) const { return ranks_[shape_.index(k)]; }
  /// [n_experts] of one layer
  [[nodiscard]] view<std::uint8_t const> hops(std::uint16_t layer) const {
    return {hops_.data() + std::size_t{layer} * shape_.n_experts, shape_.n_experts};
  }

 private:
  model_shape shape_;
  std::vector<std::uint16_t> ranks_;
  std::vector<std::uint8_t> hops_;
};

}  // namespace buddy::inline v0::torch
