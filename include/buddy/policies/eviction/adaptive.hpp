// SPDX-License-Identifier: Apache-2.0
/// @file
/// Whichever of several policies would have served this pool best of late.
///
/// Source: ours; shadow directories that compare two policies are in Qureshi et al., ISCA 2006 (set dueling) and
/// Subramanian et al., MICRO 2006 (adaptive caches). Differs from them: any number of candidates, compared off the hot
/// path on a recorded window.
#pragma once

#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/error.hpp>
#include <buddy/policies/eviction/shadow_cache.hpp>
#include <buddy/policies/eviction/slot_experts.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace buddy::inline v0::eviction {

/// When `adaptive` changes its mind.
struct adaptive_options {
  /// Accesses that are remembered between two calls of `reconsider`; older ones are forgotten.
  std::uint32_t window = 1024;
  /// A candidate replaces the one in charge when it has more hits by at least this share of the accesses compared,
  /// in percent: small differences are noise, and a switch costs some misses.
  std::uint32_t margin_percent = 2;
};

/// Why the one in charge is in charge.
enum class adaptive_reason : std::uint8_t {
  first,          ///< nothing has been compared yet
  best,           ///< it has most hits
  within_margin,  ///< another has more hits, but not by the margin
  switched,       ///< it has just replaced another, by the margin
};

[[nodiscard]] constexpr std::string_view to_string(adaptive_reason r) noexcept {
  constexpr std::array<std::string_view, 4> names{"nothing compared yet", "most hits",
                                                  "no other is better by the margin",
                                                  "better by the margin than the one before"};
  return names[static_cast<std::size_t>(r)];
}

/// The last comparison.
template <std::size_t N>
struct adaptive_report {
  std::array<std::string_view, N> names{};
  std::array<std::uint64_t, N> hits{};  ///< of each candidate's shadow, older windows counting half as much each time
  std::uint64_t accesses{};             ///< that these are hits of, counted alike
  std::size_t chosen{};
  adaptive_reason why{adaptive_reason::first};
  std::uint64_t switches{};  ///< so far
};

/// Gives up what the candidate in charge would; `reconsider` puts the best of late in charge.
///
/// Every access is written to a ring of `window` entries. `reconsider` replays what was added since its last call
/// through a cache of tags for each candidate; these live on, so that none is judged by a cold start. Hits of older
/// windows count half as much with each call. What the pool does not see, a miss that was given a stand-in or found no
/// slot, the shadows do not see either; a prefetch counts as an access. The first candidate is in charge at the start.
/// A switch keeps all residents: the new one is told of them in the order of their last use in the window, and then of
/// their accesses in it, so that it knows recency and frequency alike. Those that its shadow would not hold, and that
/// nobody asks for again, leave before it is asked: else a policy that never lets go of what it once counted would live
/// with the choices of the one before.
///
/// A global pool below one token cycle whose misses all enter gives a collapsing candidate no hits in its shadow
/// either: it is not chosen if another has any. Memory: each candidate twice, and 24 bytes an entry of the ring. Time:
/// one store more than the one in charge; `reconsider` O(window x capacity x candidates), for the time between two
/// steps; it does not allocate.
/// @tparam Policies the candidates; name lru first unless you know better
template <eviction_policy... Policies>
  requires(sizeof...(Policies) >= 2 && (std::copyable<Policies> && ...))
class adaptive {
 public:
  static constexpr std::string_view name = "adaptive";
  static constexpr std::size_t n_candidates = sizeof...(Policies);
  using report_type = adaptive_report<n_candidates>;

  /// For candidates that need nothing but their capacity.
  explicit adaptive(std::size_t capacity, adaptive_options const& options = {})
    requires(std::constructible_from<Policies, std::size_t> && ...)
      : adaptive(capacity, options, Policies(capacity)...) {}

  /// @param candidates  all of this capacity, and new
  /// @throws config_error when the window is empty or the margin above 100
  adaptive(std::size_t capacity, adaptive_options const& options, Policies const&... candidates)
      : options_(options),
        live_(candidates...),
        shadows_(detail::shadow_cache<Policies>(capacity, candidates)...),
        experts_(capacity),
        filled_(capacity),
        order_(capacity),
        log_(options.window),
        stranger_(capacity) {
    if (options.window == 0) detail::throw_config_error("buddy::eviction::adaptive: window must be at least 1");
    if (options.margin_percent > 100)
      detail::throw_config_error("buddy::eviction::adaptive: margin_percent must be in [0, 100]");
    report_.names = {name_of(candidates)...};
  }

  void on_step(step_clock const& now) noexcept {
    now_ = now;
    ++batch_;
    in_charge([&](auto& p) { p.on_step(now); });
  }
  void on_insert(slot_id s, expert_key k) noexcept {
    experts_.set(s, k);
    filled_[static_cast<std::size_t>(s)] = 1;
    write(k);
    in_charge([&](auto& p) { p.on_insert(s, k); });
  }
  void on_hit(slot_id s) noexcept {
    write(experts_[s]);
    welcome(s);
    in_charge([&](auto& p) { p.on_hit(s); });
  }
  void on_erase(slot_id s) noexcept {
    experts_.clear(s);
    welcome(s);
    filled_[static_cast<std::size_t>(s)] = 0;
    in_charge([&](auto& p) { p.on_erase(s); });
  }
  template <class MayLeave>
  [[nodiscard]] slot_id victim(MayLeave const& may_leave) const noexcept {
    slot_id v = n_strangers_ == 0 ? no_slot : first_stranger(may_leave);
    if (v != no_slot) return v;
    in_charge([&](auto const& p) { v = p.victim(may_leave); });
    return v;
  }

  /// Compares the candidates on what happened since the last call, and may put another in charge. Call it between two
  /// steps. @returns whether it did
  bool reconsider() noexcept {
    std::uint64_t const n = std::min<std::uint64_t>(n_written_ - n_compared_, log_.size());
    if (n == 0) return false;
    report_.accesses = report_.accesses / 2 + n;
    for (auto& hits : report_.hits) hits /= 2;
    for (std::uint64_t i = n_written_ - n; i != n_written_;) i += compare(i);
    n_compared_ = n_written_;
    return choose();
  }

  [[nodiscard]] report_type const& report() const noexcept { return report_; }

 private:
  static constexpr auto indices = std::make_index_sequence<n_candidates>{};

  /// Calls f with the candidate in charge.
  template <class F>
  void in_charge(F const& f) noexcept {
    in_charge_of(live_, f, indices);
  }
  template <class F>
  void in_charge(F const& f) const noexcept {
    in_charge_of(live_, f, indices);
  }
  template <class Live, class F, std::size_t... I>
  void in_charge_of(Live& live, F const& f, std::index_sequence<I...>) const noexcept {
    static_cast<void>(((I == report_.chosen && (f(std::get<I>(live)), true)) || ...));
  }

  [[nodiscard]] detail::pool_access& entry(std::uint64_t i) noexcept { return log_[i % log_.size()]; }

  [[nodiscard]] std::uint64_t oldest() const noexcept {
    return n_written_ - std::min<std::uint64_t>(n_written_, log_.size());
  }

  void write(expert_key k) noexcept { entry(n_written_++) = {k, now_.step, batch_}; }

  /// Shows the batch that begins at entry i, or what the ring holds of it, to all shadows. @returns its entries
  std::uint64_t compare(std::uint64_t i) noexcept {
    std::array<detail::pool_access, max_top_k> batch;
    std::uint32_t n = 0;
    while (i + n != n_written_ && n != batch.size() && entry(i + n).batch == entry(i).batch) {
      batch[n] = entry(i + n);
      ++n;
    }
    show({batch.data(), n}, indices);
    return n;
  }
  template <std::size_t... I>
  void show(view<detail::pool_access const> batch, std::index_sequence<I...>) noexcept {
    ((report_.hits[I] += std::get<I>(shadows_).look_up(batch, now_.n_layers)), ...);
  }

  bool choose() noexcept {
    auto const& hits = report_.hits;
    auto const best = static_cast<std::size_t>(std::max_element(hits.begin(), hits.end()) - hits.begin());
    std::uint64_t const lead = hits[best] - hits[report_.chosen];
    if (lead == 0) {
      report_.why = adaptive_reason::best;
    } else if (lead * 100 < report_.accesses * options_.margin_percent) {
      report_.why = adaptive_reason::within_margin;
    } else {
      hand_over(best);
      report_.why = adaptive_reason::switched;
      return true;
    }
    return false;
  }

  /// The old one forgets all residents, the new one learns of them.
  void hand_over(std::size_t best) noexcept {
    std::size_t const n = by_last_use();
    in_charge([&](auto& p) {
      for (std::size_t i = 0; i != n; ++i) p.on_erase(slot(i));
    });
    report_.chosen = best;
    ++report_.switches;
    in_charge([&](auto& p) {
      p.on_step(now_);
      for (std::size_t i = 0; i != n; ++i) p.on_insert(slot(i), experts_[slot(i)]);
      for (std::uint64_t i = oldest(); i != n_written_; ++i)
        if (slot_id const s = slot_of(entry(i).key, n); s != no_slot) p.on_hit(s);
    });
    mark_strangers(n, indices);
  }

  template <std::size_t... I>
  void mark_strangers(std::size_t n, std::index_sequence<I...>) noexcept {
    n_strangers_ = 0;
    for (std::size_t i = 0; i != n; ++i) {
      auto& stranger = stranger_[static_cast<std::size_t>(slot(i))];
      stranger = ((I == report_.chosen && std::get<I>(shadows_).holds(experts_[slot(i)])) || ...) ? 0 : 1;
      n_strangers_ += stranger;
    }
  }
  void welcome(slot_id s) noexcept {
    auto& stranger = stranger_[static_cast<std::size_t>(s)];
    n_strangers_ -= stranger;
    stranger = 0;
  }
  template <class MayLeave>
  [[nodiscard]] slot_id first_stranger(MayLeave const& may_leave) const noexcept {
    for (std::uint32_t i = 0; i != stranger_.size(); ++i)
      if (stranger_[i] != 0 && may_leave(slot_id{i})) return slot_id{i};
    return no_slot;
  }

  [[nodiscard]] slot_id slot(std::size_t i) const noexcept { return order_[i].second; }

  [[nodiscard]] slot_id slot_of(expert_key k, std::size_t n) const noexcept {
    for (std::size_t i = 0; i != n; ++i)
      if (experts_[slot(i)] == k) return slot(i);
    return no_slot;
  }

  /// Fills `order_` with the filled slots, the one used last at the end. @returns how many there are
  std::size_t by_last_use() noexcept {
    std::size_t n = 0;
    for (std::uint32_t i = 0; i != filled_.size(); ++i)
      if (filled_[i] != 0) order_[n++] = {0, slot_id{i}};
    for (std::uint64_t i = oldest(); i != n_written_; ++i)
      for (std::size_t j = 0; j != n; ++j)
        if (experts_[slot(j)] == entry(i).key) order_[j].first = i + 1;
    std::sort(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(n));
    return n;
  }

  adaptive_options options_;
  std::tuple<Policies...> live_;
  std::tuple<detail::shadow_cache<Policies>...> shadows_;
  detail::slot_experts experts_;
  std::vector<std::uint8_t> filled_;                      // [capacity]
  std::vector<std::pair<std::uint64_t, slot_id>> order_;  // [capacity] last use, for a hand-over
  std::vector<detail::pool_access> log_;                  // [window] a ring
  std::vector<std::uint8_t> stranger_;                    // [capacity] leaves first
  std::size_t n_strangers_ = 0;
  std::uint64_t n_written_ = 0;
  std::uint64_t n_compared_ = 0;
  std::uint64_t batch_ = 0;
  step_clock now_{};
  report_type report_{};
};

}  // namespace buddy::inline v0::eviction
