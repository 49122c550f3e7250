// SPDX-License-Identifier: Apache-2.0
/// @file
/// Checks the laws of `eviction_policy` on any model, yours included, under any test framework.
#pragma once

#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/testing/dice.hpp>
#include <buddy/types.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace buddy::inline v0::testing {

namespace detail {

/// Says yes to the slots of a list, be they filled or not.
struct listed_may_leave {
  std::vector<bool> const& listed;
  bool operator()(slot_id s) const noexcept { return listed[static_cast<std::size_t>(s)]; }
};

/// Three equal policies get the same random calls; the third is hardly ever asked for its victim.
template <eviction_policy P>
class eviction_trial {
 public:
  template <class Make>
  eviction_trial(Make const& make, std::size_t capacity, std::uint32_t seed)
      : policy_(make(capacity)),
        twin_(make(capacity)),
        silent_(make(capacity)),
        filled_(capacity),
        keys_(capacity),
        allowed_(capacity),
        random_(seed) {
    for (std::uint32_t k = 0; k != 2 * capacity + n_layers; ++k)
      spare_.push_back({static_cast<std::uint16_t>(k % n_layers), static_cast<std::uint16_t>(k / n_layers)});
  }

  std::string_view run(int steps) {
    std::string_view broken;
    for (int i = 0; i != steps && broken.empty(); ++i) {
      if (random_.chance(4)) advance();
      change();
      broken = ask();
    }
    return broken;
  }

 private:
  static constexpr std::uint16_t n_layers = 4;

  void advance() {
    now_.n_layers = n_layers;
    now_.layer = static_cast<std::uint16_t>((now_.layer + 1) % n_layers);
    if (now_.layer == 0) ++now_.step;
    policy_.on_step(now_), twin_.on_step(now_), silent_.on_step(now_);
  }

  void change() {
    std::size_t const i = random_.roll(filled_.size());
    slot_id const s{static_cast<std::uint32_t>(i)};
    if (!filled_[i]) {
      std::swap(spare_[random_.roll(spare_.size())], spare_.back());
      keys_[i] = spare_.back();
      spare_.pop_back();
      policy_.on_insert(s, keys_[i]), twin_.on_insert(s, keys_[i]), silent_.on_insert(s, keys_[i]);
    } else if (!random_.chance(3)) {
      policy_.on_hit(s), twin_.on_hit(s), silent_.on_hit(s);
      return;
    } else {
      spare_.push_back(keys_[i]);
      policy_.on_erase(s), twin_.on_erase(s), silent_.on_erase(s);
    }
    filled_[i] = !filled_[i];
  }

  /// All, none, one, or about half of the slots.
  void choose_allowed() {
    std::uint32_t const kind = random_.roll(4);
    for (std::size_t i = 0; i != allowed_.size(); ++i) allowed_[i] = kind == 0 || (kind == 1 && random_.chance(2));
    if (kind == 2) allowed_[random_.roll(allowed_.size())] = true;
  }

  [[nodiscard]] bool may_be(slot_id v) const {
    auto const i = static_cast<std::size_t>(v);
    return i < filled_.size() && filled_[i] && allowed_[i];
  }

  std::string_view ask() {
    choose_allowed();
    bool any = false;
    for (std::size_t i = 0; i != filled_.size(); ++i) any = any || (filled_[i] && allowed_[i]);
    listed_may_leave const may_leave{allowed_};
    slot_id const v = policy_.victim(may_leave);
    if (any ? !may_be(v) : v != no_slot)
      return "victim must name a filled slot that may leave, or no_slot when there is none";
    if (v != twin_.victim(may_leave)) return "equal calls in equal order must give equal victims";
    if (random_.chance(8) && v != silent_.victim(may_leave)) return "victim must change nothing";
    return {};
  }

  P policy_;
  P twin_;
  P silent_;
  std::vector<bool> filled_;       // [capacity]
  std::vector<expert_key> keys_;   // [capacity]
  std::vector<bool> allowed_;      // [capacity]
  std::vector<expert_key> spare_;  // in no slot
  step_clock now_{};
  dice random_;
};

}  // namespace detail

/// Drives equal policies with the same random calls, as a cache would make them.
/// @param make      P make(std::size_t capacity); equal policies each time
/// @param capacity  at least 1, at most 60,000
/// @returns the law that was broken first, or an empty view
template <class Make>
  requires std::invocable<Make const&, std::size_t>
[[nodiscard]] std::string_view broken_eviction_law(Make const& make, std::size_t capacity, std::uint32_t seed,
                                                   int steps = 2000) {
  return detail::eviction_trial<std::invoke_result_t<Make const&, std::size_t>>(make, capacity, seed).run(steps);
}

/// For policies that need nothing but their capacity.
template <eviction_policy P>
[[nodiscard]] std::string_view broken_eviction_law(std::size_t capacity, std::uint32_t seed, int steps = 2000) {
  return broken_eviction_law([](std::size_t slots) { return P(slots); }, capacity, seed, steps);
}

}  // namespace buddy::inline v0::testing
