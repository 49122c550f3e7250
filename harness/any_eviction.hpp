// SPDX-License-Identifier: Apache-2.0
/// @file
/// One type for every eviction policy, so that a name on the command line can choose.
#pragma once

#include "harness/auto_eviction.hpp"

#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/policies/eviction/arc.hpp>
#include <buddy/policies/eviction/clock.hpp>
#include <buddy/policies/eviction/fifo.hpp>
#include <buddy/policies/eviction/least_stale.hpp>
#include <buddy/policies/eviction/lfru.hpp>
#include <buddy/policies/eviction/lfu.hpp>
#include <buddy/policies/eviction/lfu_decayed.hpp>
#include <buddy/policies/eviction/lru.hpp>
#include <buddy/policies/eviction/lru_ds.hpp>
#include <buddy/policies/eviction/lru_token.hpp>
#include <buddy/policies/eviction/random.hpp>
#include <buddy/policies/eviction/s3_fifo.hpp>
#include <buddy/policies/eviction/sieve.hpp>
#include <buddy/policies/eviction/slru.hpp>
#include <buddy/policies/eviction/static_top.hpp>
#include <buddy/policies/eviction/window_hot.hpp>
#include <buddy/view.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>

namespace harness {

/// What single eviction policies take beside their capacity.
struct eviction_options {
  double half_life_steps = 32.0;                   ///< of lfu_decayed
  std::uint64_t seed = 1;                          ///< of random
  buddy::model_shape shape{};                      ///< of those that remember experts outside of the cache
  std::uint32_t layers_of_pool = 1;                ///< of auto
  buddy::view<std::uint64_t const> activations{};  ///< of static_top: [n_layers, n_experts]
};

/// `lfu` with counts that outlive residency, under a name of its own.
struct lfu_persistent : buddy::eviction::lfu {
  static constexpr std::string_view name = "lfu_persistent";

  lfu_persistent(std::size_t capacity, buddy::model_shape const& shape) : lfu(capacity, shape) {}
};

/// Holds the chosen policy by value; a call costs one switch more.
class any_eviction {
 public:
  using model =
      std::variant<buddy::eviction::lru, buddy::eviction::lru_token, buddy::eviction::lru_ds, buddy::eviction::fifo,
                   buddy::eviction::clock, buddy::eviction::lfu, lfu_persistent, buddy::eviction::lfu_decayed,
                   buddy::eviction::lfru, buddy::eviction::slru, buddy::eviction::arc, buddy::eviction::sieve,
                   buddy::eviction::s3_fifo, buddy::eviction::least_stale, buddy::eviction::window_hot,
                   buddy::eviction::static_top, buddy::eviction::random, auto_eviction>;
  using maker = model (*)(std::size_t capacity, eviction_options const&);

  any_eviction(std::size_t capacity, maker make, eviction_options const& options) : model_(make(capacity, options)) {}

  [[nodiscard]] std::string_view name() const noexcept {
    return std::visit([](auto const& m) { return buddy::name_of(m); }, model_);
  }

  /// What `auto` compared last; null for all others.
  [[nodiscard]] auto_eviction::report_type const* report() const noexcept {
    auto const* const chooser = std::get_if<auto_eviction>(&model_);
    return chooser == nullptr ? nullptr : &chooser->report();
  }

  void on_step(buddy::step_clock const& now) noexcept {
    std::visit([&](auto& m) { m.on_step(now); }, model_);
  }
  void on_insert(buddy::slot_id s, buddy::expert_key k) noexcept {
    std::visit([&](auto& m) { m.on_insert(s, k); }, model_);
  }
  void on_hit(buddy::slot_id s) noexcept {
    std::visit([&](auto& m) { m.on_hit(s); }, model_);
  }
  void on_erase(buddy::slot_id s) noexcept {
    std::visit([&](auto& m) { m.on_erase(s); }, model_);
  }
  void on_ghost(buddy::expert_key k) noexcept {
    std::visit(
        [&](auto& m) {
          if constexpr (requires { m.on_ghost(k); }) m.on_ghost(k);
        },
        model_);
  }
  template <class MayLeave>
  [[nodiscard]] buddy::slot_id victim(MayLeave const& may_leave) const noexcept {
    return std::visit([&](auto const& m) { return m.victim(may_leave); }, model_);
  }

 private:
  model model_;
};

static_assert(buddy::eviction_policy<any_eviction>);

}  // namespace harness
