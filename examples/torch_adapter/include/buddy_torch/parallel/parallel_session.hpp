// SPDX-License-Identifier: Apache-2.0
/// @file
/// Expert parallelism: each rank routes its own tokens, experts are computed where they lie.
#pragma once

#include <buddy/types.hpp>

#include <ATen/ATen.h>
#include <buddy_torch/expert_session.hpp>
#include <buddy_torch/parallel/hop_decider.hpp>
#include <buddy_torch/parallel/rank_exchange.hpp>
#include <buddy_torch/routed_batch.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace buddy::inline v0::torch {

/// What went over the wire, as this rank sent it.
struct wire_counts {
  std::array<std::uint64_t, n_hops> slots{};  ///< routed slots, by the distance at which they were computed
  std::array<std::uint64_t, n_hops> bytes{};  ///< rows and ids sent there, and the rows that came back
  std::uint64_t replaced{};                   ///< slots that a nearer stand-in computed
};

/// Shared by the layers of one model on one rank. Not thread-safe.
class parallel_session {
 public:
  /// @param local  what computes the experts that this rank holds: its policy is made for top_k = 1, and max_tokens for
  ///               all that the ranks together may send, n_ranks * tokens * top_k at most
  /// @throws config_error when the sizes do not fit together
  parallel_session(std::shared_ptr<expert_session> local, std::shared_ptr<rank_exchange> exchange,
                   expert_placement placement, rank_topology const& topology, hop_config const& config = {})
      : local_{std::move(local)},
        exchange_{std::move(exchange)},
        placement_{std::move(placement)},
        topology_{topology},
        decider_{placement_, topology, config} {
    auto const& here = local_->policy().shape();
    auto const& all = placement_.shape();
    if (here.top_k != 1 || here.n_layers != all.n_layers || here.n_experts != all.n_experts)
      v0::detail::throw_config_error(
          "buddy::parallel_session: the local policy must have the placement's layers and "
          "experts, and top_k = 1");
    if (exchange_->rank() != topology.rank || exchange_->n_ranks() != topology.n_ranks ||
        placement_.n_ranks() != topology.n_ranks)
      v0::detail::throw_config_error("buddy::parallel_session: group, topology and placement must agree on the ranks");
  }

  [[nodiscard]] expert_session& local() noexcept { return *local_; }
  [[nodiscard]] model_shape const& shape() const noexcept { return placement_.shape(); }
  [[nodiscard]] wire_counts const& counts() const noexcept { return counts_; }
  /// The last layer's decision, [n_tokens, top_k]; valid until the next one.
  [[nodiscard]] view<hop_assignment const> decisions() const noexcept { return decisions_; }

  /// Sends each routed slot's row to where its expert lies, computes what the others sent, and brings the outputs back.
  /// Every rank must call it, also one without tokens.
  /// @param x  [n_tokens, hidden] of the store's dtype and device
  /// @returns  [n_tokens, top_k, hidden] outputs, unweighted; `decisions()` has the weights
  /// @throws peer_error when another rank is gone, late or out of step
  [[nodiscard]] at::Tensor run(std::uint16_t layer, routed_batch const& batch, at::Tensor const& x) {
    decisions_ = decider_.decide(layer, batch);
    sort_by_rank();
    auto const coming = exchange_->announce(layer, n_for_);
    auto const order =
        at::from_blob(order_.data(), {static_cast<std::int64_t>(order_.size())}, at::kLong).to(x.device());
    auto const rows = x.index_select(0, at::floor_divide(order, std::int64_t{shape().top_k}));
    auto const experts = exchange_->swap(layer, experts_of_order(x.device()), n_for_, coming);
    auto const inputs = exchange_->swap(layer, rows, n_for_, coming);
    auto const outputs = compute(layer, experts, inputs);
    auto const back = exchange_->swap(layer, outputs, coming, n_for_);
    count(x);
    auto const y = at::empty_like(back);
    y.index_copy_(0, order, back);
    return y.view({x.size(0), shape().top_k, x.size(1)});
  }

 private:
  /// Routed slots by the rank they go to; within a rank in their own order.
  void sort_by_rank() {
    n_for_.assign(topology_.n_ranks, 0);
    for (hop_assignment const& a : decisions_) ++n_for_[a.rank];
    std::vector<std::int64_t> next(topology_.n_ranks, 0);
    for (std::size_t r = 1; r != next.size(); ++r) next[r] = next[r - 1] + n_for_[r - 1];
    order_.resize(decisions_.size);
    for (std::uint32_t i = 0; i != decisions_.size; ++i)
      order_[static_cast<std::size_t>(next[decisions_[i].rank]++)] = i;
  }

  [[nodiscard]] at::Tensor experts_of_order(at::Device device) const {
    auto const ids = at::empty({static_cast<std::int64_t>(order_.size())}, at::kInt);
    for (std::size_t i = 0; i != order_.size(); ++i)
      ids.data_ptr<std::int32_t>()[i] = decisions_[static_cast<std::uint32_t>(order_[i])].expert;
    return ids.to(device);
  }

  /// What the ranks sent, as a batch of tokens with one expert each.
  [[nodiscard]] at::Tensor compute(std::uint16_t layer, at::Tensor const& experts, at::Tensor const& inputs) {
    if (inputs.size(0) == 0) return inputs;
    auto const ids = experts.to(at::kCPU);
    routed_batch batch;
    batch.n_tokens = static_cast<std::uint32_t>(inputs.size(0));
    batch.weights.assign(batch.n_tokens, 1.0F);
    for (std::uint32_t i = 0; i != batch.n_tokens; ++i) {
      std::int32_t const e = ids.data_ptr<std::int32_t>()[i];
      if (e < 0 || e >= shape().n_experts || !placement_.holds(topology_.rank, {layer, static_cast<std::uint16_t>(e)}))
        throw peer_error("buddy::parallel_session: rank " + std::to_string(topology_.rank) + " was sent expert " +
                         std::to_string(e) + " of layer " + std::to_string(layer) +
                         ", which it does not hold: the ranks have different placements");
      batch.experts.push_back(static_cast<std::uint16_t>(e));
    }
    return local_->run(layer, batch, inputs).squeeze(1);
  }

  void count(at::Tensor const& x) {
    auto const row = static_cast<std::uint64_t>(x.size(1)) * x.element_size();
    for (hop_assignment const& a : decisions_) {
      ++counts_.slots[a.hop];
      counts_.replaced += a.replaced ? 1U : 0U;
      if (a.hop != 0) counts_.bytes[a.hop] += 2 * row + sizeof(std::int32_t);
    }
  }

  std::shared_ptr<expert_session> local_;
  std::shared_ptr<rank_exchange> exchange_;
  expert_placement placement_;
  rank_topology topology_;
  hop_decider decider_;
  view<hop_assignment const> decisions_;
  std::vector<std::int64_t> n_for_;  // [n_ranks] rows that go to each
  std::vector<std::int64_t> order_;  // routed slots by rank
  wire_counts counts_;
};

}  // namespace buddy::inline v0::torch
