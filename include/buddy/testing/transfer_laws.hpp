// SPDX-License-Identifier: Apache-2.0
/// @file
/// Checks the laws of `transfer_engine` on any model, yours included, under any test framework.
#pragma once

#include <buddy/concepts/transfer_engine.hpp>
#include <buddy/layer_plan.hpp>
#include <buddy/testing/dice.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <vector>

namespace buddy::inline v0::testing {

/// For engines whose time passes by itself.
struct passes_by_itself {
  template <class T>
  void operator()(T&, std::uint32_t) const noexcept {}
};

namespace detail {

/// Submits, waits and cancels at random, and looks at the latest copies after each call.
template <transfer_engine T, class Tick>
class transfer_trial {
 public:
  template <class Make>
  transfer_trial(Make const& make, view<expert_copy const> copies, Tick const& tick, std::uint32_t seed)
      : engine_(make()), copies_(copies), tick_(tick), random_(seed) {}

  std::string_view run(int steps) {
    std::string_view broken;
    for (int i = 0; i != steps && broken.empty(); ++i) {
      broken = act();
      if (broken.empty()) broken = look();
    }
    for (auto c = submitted_.rbegin(); c != submitted_.rend() && broken.empty(); ++c) broken = wait(*c);
    return broken.empty() ? look() : broken;
  }

 private:
  static constexpr std::size_t window = 64;  // older copies are not looked at again

  struct copy {
    ticket id{};
    bool cancelled{};
    bool was_done{};
  };

  copy& recent() {
    std::size_t const n = std::min(window, submitted_.size());
    return submitted_[submitted_.size() - 1 - random_.roll(n)];
  }

  std::string_view act() {
    std::uint32_t const what = random_.roll(8);
    if (what < 4 || submitted_.empty()) {
      ticket const t = engine_.submit(copies_[random_.roll(copies_.size)]);
      if (t != no_ticket) submitted_.push_back({t, false, false});
    } else if (what == 4) {
      return wait(recent());
    } else if (what < 7) {
      return cancel(recent());
    } else {
      tick_(engine_, random_.roll(1'000'000));
    }
    return {};
  }

  std::string_view wait(copy& c) {
    if (c.cancelled) return {};
    engine_.wait(c.id);
    c.was_done = engine_.done(c.id);
    return c.was_done ? "" : "a copy must be done after wait";
  }

  std::string_view cancel(copy& c) {
    if (engine_.cancel(no_ticket)) return "cancel of an unknown copy must be false";
    bool const over = c.cancelled || engine_.done(c.id);
    if (!engine_.cancel(c.id)) return {};
    if (over) return "cancel of a copy that is done or cancelled must be false";
    c.cancelled = true;
    return {};
  }

  /// The newest is asked first: time may pass between two questions, but not backwards.
  std::string_view look() {
    bool newer_is_done = false;
    std::size_t const n = std::min(window, submitted_.size());
    for (auto c = submitted_.rbegin(); c != submitted_.rbegin() + static_cast<std::ptrdiff_t>(n); ++c) {
      bool const done = engine_.done(c->id);
      if (c->cancelled && done) return "a cancelled copy must never complete";
      if (c->cancelled) continue;
      if (c->was_done && !done) return "done must stay true once it was";
      if (newer_is_done && !done) return "copies must complete in the order of submission";
      c->was_done = done;
      newer_is_done = newer_is_done || done;
    }
    return {};
  }

  T engine_;
  view<expert_copy const> copies_;
  Tick tick_;
  std::vector<copy> submitted_;
  dice random_;
};

}  // namespace detail

/// Submits the given copies in random order, many times.
/// @param make    T make(); a new engine
/// @param copies  at least 1; copies that the engine can really do
/// @param tick    lets time pass in an engine with a clock of its own: tick(engine, random number)
/// @returns the law that was broken first, or an empty view
template <class Make, class Tick = passes_by_itself>
  requires std::invocable<Make const&>
[[nodiscard]] std::string_view broken_transfer_law(Make const& make, view<expert_copy const> copies, std::uint32_t seed,
                                                   int steps = 2000, Tick const& tick = {}) {
  return detail::transfer_trial<std::invoke_result_t<Make const&>, Tick>(make, copies, tick, seed).run(steps);
}

}  // namespace buddy::inline v0::testing
