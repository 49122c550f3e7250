// SPDX-License-Identifier: Apache-2.0
/// @file
/// One type for every eviction policy, so that a name on the command line can choose.
#pragma once

#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/policies/eviction/lfu_decayed.hpp>
#include <buddy/policies/eviction/lru.hpp>
#include <buddy/policies/eviction/lru_token.hpp>
#include <buddy/policies/eviction/random.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>

namespace harness {

/// What single eviction policies take beside their capacity.
struct eviction_options {
  double half_life_steps = 32.0;  ///< of lfu_decayed
  std::uint64_t seed = 1;         ///< of random
};

/// Holds the chosen policy by value; a call costs one switch more.
class any_eviction {
 public:
  using model = std::variant<buddy::eviction::lru, buddy::eviction::lru_token, buddy::eviction::lfu_decayed,
                             buddy::eviction::random>;
  using maker = model (*)(std::size_t capacity, eviction_options const&);

  any_eviction(std::size_t capacity, maker make, eviction_options const& options) : model_(make(capacity, options)) {}

  [[nodiscard]] std::string_view name() const noexcept {
    return std::visit([](auto const& m) { return buddy::name_of(m); }, model_);
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
  template <class MayLeave>
  [[nodiscard]] buddy::slot_id victim(MayLeave const& may_leave) const noexcept {
    return std::visit([&](auto const& m) { return m.victim(may_leave); }, model_);
  }

 private:
  model model_;
};

static_assert(buddy::eviction_policy<any_eviction>);

}  // namespace harness
