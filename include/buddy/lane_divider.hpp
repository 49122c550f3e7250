// SPDX-License-Identifier: Apache-2.0
/// @file
/// Divides the fetches of one batch between the link and the CPU.
#pragma once

#include <buddy/concepts/expert_cache.hpp>
#include <buddy/fixed_list.hpp>
#include <buddy/layer_plan.hpp>
#include <buddy/miss_lanes.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/resolution.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace buddy::inline v0 {

/// Looks at the distinct experts that a batch would fetch, and sends some to the CPU. What is under way already is
/// waited for all the same. No allocation after construction.
class lane_divider {
 public:
  /// @param most_fetches  distinct experts that one batch may fetch, the rest goes to the CPU; 0: no limit
  lane_divider(model_shape const& shape, miss_lanes const& lanes, std::uint32_t most_fetches)
      : shape_(shape),
        lanes_(lanes),
        most_fetches_(most_fetches),
        wanted_(shape.n_experts),
        place_(shape.n_experts, 0),
        last_use_(lanes.rule == lane_rule::q_star ? shape.n_keys() : 0, 0) {}

  /// Whether `divide` can change anything.
  [[nodiscard]] bool is_needed() const noexcept { return lanes_.rule != lane_rule::fixed || most_fetches_ != 0; }

  /// Whether it has to be told what the router asks for.
  [[nodiscard]] bool watches() const noexcept { return !last_use_.empty(); }

  /// @pre watches()
  void observe(std::uint16_t layer, view<std::uint16_t const> experts, std::uint64_t step) noexcept {
    for (std::uint16_t const e : experts) last_use_[shape_.index({layer, e})] = step;
  }

  /// Turns some of the slots that end as `fetch` into `host`, all slots of an expert alike.
  /// @param slots  [n_tokens, top_k] resolved
  template <expert_cache Cache>
  void divide(std::uint16_t layer, view<assignment> slots, Cache const& cache) noexcept {
    collect(layer, slots, cache);
    if (wanted_.size() == 0) return;
    auto const all = wanted_.all();
    if (lanes_.rule == lane_rule::fiddler)
      for (candidate& c : all) c.to_host = host_is_sooner(lanes_, c.n_tokens);
    if (lanes_.rule == lane_rule::q_star) keep_recent(layer, q_star_fetches(lanes_, all.size));
    if (most_fetches_ != 0) keep_first(most_fetches_);
    for (assignment& a : slots)
      if (a.how == resolution::fetch && is_candidate(a.expert) && all[place_[a.expert] - 1].to_host)
        a.how = resolution::host;
    for (candidate const& c : all) place_[c.expert] = 0;
  }

 private:
  struct candidate {
    std::uint16_t expert{};
    bool to_host{};
    std::uint32_t n_tokens{};
  };

  [[nodiscard]] bool is_candidate(std::uint16_t expert) const noexcept { return place_[expert] != 0; }

  template <class Cache>
  void collect(std::uint16_t layer, view<assignment> slots, Cache const& cache) noexcept {
    wanted_.clear();
    for (assignment const& a : slots) {
      if (a.how != resolution::fetch || cache.where({layer, a.expert}) != residency::absent) continue;
      if (!is_candidate(a.expert)) {
        wanted_.push({a.expert, false, 0});
        place_[a.expert] = wanted_.size();
      }
      ++wanted_[place_[a.expert] - 1].n_tokens;
    }
  }

  /// All but the `n` used last go to the CPU; ties go to the lower id.
  void keep_recent(std::uint16_t layer, std::uint32_t n) noexcept {
    auto const all = wanted_.all();
    auto const used = [&](candidate const& c) { return last_use_[shape_.index({layer, c.expert})]; };
    for (candidate& c : all) {
      std::uint32_t before = 0;
      for (candidate const& o : all)
        before += used(o) > used(c) || (used(o) == used(c) && o.expert < c.expert) ? 1U : 0U;
      c.to_host = before >= n;
    }
  }

  /// Of those that would be fetched, the first `n` in the order of the batch still are.
  void keep_first(std::uint32_t n) noexcept {
    for (candidate& c : wanted_.all()) {
      if (c.to_host) continue;
      c.to_host = n == 0;
      if (n != 0) --n;
    }
  }

  model_shape shape_;
  miss_lanes lanes_;
  std::uint32_t most_fetches_;
  fixed_list<candidate> wanted_;         // distinct, in the order of the batch
  std::vector<std::uint32_t> place_;     // [n_experts] 1 + place in `wanted_` while `divide` runs, else 0
  std::vector<std::uint64_t> last_use_;  // [n_layers, n_experts] step, or empty
};

}  // namespace buddy::inline v0
