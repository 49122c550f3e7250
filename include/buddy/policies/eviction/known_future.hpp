// SPDX-License-Identifier: Apache-2.0
/// @file
/// When each expert will be asked for: what `belady` is told and no engine knows.
#pragma once

#include <buddy/assert.hpp>
#include <buddy/error.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/routing_trace.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace buddy::inline v0::eviction {

/// The router of `expert.layer` asks for an expert in this step. Those of one step and one layer are one batch.
struct future_use {
  std::uint64_t step{};
  expert_key expert;
};

/// The batches of a whole run, by expert. Immutable: the pools of a cache share one.
///
/// Time is counted in instants, one for each layer of each step; the first is 1, 0 is before everything.
/// Memory: 8 bytes a use and 8 bytes an expert of the model.
class known_future {
 public:
  static constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

  /// @param uses  in any order
  /// @throws config_error when `shape` is invalid or a use names no expert of it
  known_future(model_shape const& shape, view<future_use const> uses)
      : shape_((validate(shape), shape)), first_(shape.n_keys() + 1), instants_(uses.size) {
    for (future_use const& use : uses) {
      if (use.expert.layer >= shape.n_layers || use.expert.expert >= shape.n_experts)
        detail::throw_config_error("buddy::eviction::known_future: a use must name an expert of the model");
      ++first_[shape.index(use.expert) + 1];
    }
    for (std::size_t key = 0; key != shape.n_keys(); ++key) first_[key + 1] += first_[key];
    std::vector<std::size_t> next(first_.begin(), first_.end() - 1);
    for (future_use const& use : uses) instants_[next[shape.index(use.expert)]++] = instant(use.step, use.expert.layer);
    for (std::size_t key = 0; key != shape.n_keys(); ++key) std::sort(at(first_[key]), at(first_[key + 1]));
  }

  /// The future of a replay that makes one step of each token.
  /// @param first_step  number of the first token's step: `policy::begin_step` counts from 1
  /// @param n_tokens    that are replayed, from the first on; more than there are means all
  static known_future of(routing_trace const& trace, std::uint64_t first_step = 1,
                         std::size_t n_tokens = std::numeric_limits<std::size_t>::max()) {
    std::vector<future_use> uses;
    for (std::size_t t = 0; t != std::min(n_tokens, trace.n_tokens()); ++t) {
      for (std::uint16_t l = 0; l != trace.n_layers; ++l) {
        if (!trace.has_record(t, l)) continue;
        for (std::uint16_t const e : trace.at(t, l).experts) uses.push_back({first_step + t, {l, e}});
      }
    }
    return {trace.shape(1), {uses.data(), static_cast<std::uint32_t>(uses.size())}};
  }

  [[nodiscard]] std::uint64_t instant(std::uint64_t step, std::uint16_t layer) const noexcept {
    return step * shape_.n_layers + layer + 1;
  }

  /// The instant at which `k` is asked for next, strictly after `now`, or `never`. O(log of its uses).
  [[nodiscard]] std::uint64_t next_use(expert_key k, std::uint64_t now) const noexcept {
    BUDDY_ASSERT(k.layer < shape_.n_layers && k.expert < shape_.n_experts);
    auto const end = instants_.begin() + static_cast<std::ptrdiff_t>(first_[shape_.index(k) + 1]);
    auto const found =
        std::upper_bound(instants_.begin() + static_cast<std::ptrdiff_t>(first_[shape_.index(k)]), end, now);
    return found == end ? never : *found;
  }

 private:
  [[nodiscard]] std::vector<std::uint64_t>::iterator at(std::size_t i) noexcept {
    return instants_.begin() + static_cast<std::ptrdiff_t>(i);
  }

  model_shape shape_;
  std::vector<std::size_t> first_;       // [n_layers x n_experts + 1] where each expert's uses begin
  std::vector<std::uint64_t> instants_;  // [n_uses] rising within an expert
};

}  // namespace buddy::inline v0::eviction
