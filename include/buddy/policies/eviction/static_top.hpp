// SPDX-License-Identifier: Apache-2.0
/// @file
/// Popularity measured beforehand decides: no learning from the run.
///
/// Source: the static placement of engines that pin the most frequent experts (ktransformers). Differs from it: it
/// orders evictions only. What is asked for still enters; a host that wants pure pinning admits nothing.
#pragma once

#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/error.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/policies/eviction/slot_experts.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace buddy::inline v0::eviction {

/// Gives up the slot whose expert has the lowest count; ties go to the lower (layer, expert).
///
/// Memory: 4 bytes a slot and 8 bytes an expert of the model, in each pool. Time: O(1); `victim` O(capacity).
class static_top {
 public:
  static constexpr std::string_view name = "static_top";

  /// @param counts  [n_layers, n_experts] for example `profile::activations`; copied
  /// @throws config_error when `shape` is invalid or `counts` has another size
  static_top(std::size_t capacity, model_shape const& shape, view<std::uint64_t const> counts)
      : experts_(capacity), counts_(counts.begin(), counts.end()), shape_(shape) {
    validate(shape);
    if (counts_.size() != shape.n_keys())
      detail::throw_config_error("buddy::eviction::static_top: counts must be [n_layers, n_experts]");
  }

  void on_step(step_clock const&) noexcept {}
  void on_insert(slot_id s, expert_key k) noexcept { experts_.set(s, k); }
  void on_hit(slot_id) noexcept {}
  void on_erase(slot_id s) noexcept { experts_.clear(s); }

  template <class MayLeave>
  [[nodiscard]] slot_id victim(MayLeave const& may_leave) const noexcept {
    return experts_.first([this](slot_id a, slot_id b) noexcept { return leaves_before(experts_[a], experts_[b]); },
                          may_leave);
  }

 private:
  [[nodiscard]] bool leaves_before(expert_key a, expert_key b) const noexcept {
    std::uint64_t const count_a = counts_[shape_.index(a)];
    std::uint64_t const count_b = counts_[shape_.index(b)];
    return count_a != count_b ? count_a < count_b : a < b;
  }

  detail::slot_experts experts_;
  std::vector<std::uint64_t> counts_;  // [n_layers, n_experts]
  model_shape shape_;
};

static_assert(eviction_policy<static_top>);

}  // namespace buddy::inline v0::eviction
