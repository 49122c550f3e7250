// SPDX-License-Identifier: Apache-2.0
// The least gate, selector and routing that a hand-worked case needs.
#pragma once

#include <buddy/buddy.hpp>

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <utility>
#include <vector>

namespace tiny {

/// Forbids the slots whose bit is not set.
struct masked {
  static constexpr std::string_view name = "masked";

  buddy::slot_mask mask = ~buddy::slot_mask{0};

  BUDDY_HD constexpr buddy::slot_mask replaceable(buddy::token_view const& token) const noexcept {
    return mask & ((buddy::slot_mask{1} << token.experts.size) - 1);
  }
};

/// The resident of the lowest id that the token does not use.
struct lowest_resident {
  static constexpr std::string_view name = "lowest_resident";

  BUDDY_HD constexpr buddy::stand_in select(buddy::token_view const&, buddy::view<buddy::slot_id const> slot_of,
                                            buddy::expert_set const& taken, std::uint32_t) const noexcept {
    for (std::uint16_t e = 0; e != slot_of.size; ++e)
      if (slot_of[e] != buddy::no_slot && !taken.contains(e)) return {true, buddy::resolution::buddy, e, 0};
    return {};
  }
};

/// Always the same stand-in, if it is resident and free; rank 5.
struct only {
  static constexpr std::string_view name = "only";

  std::uint16_t expert{};

  BUDDY_HD constexpr buddy::stand_in select(buddy::token_view const&, buddy::view<buddy::slot_id const> slot_of,
                                            buddy::expert_set const& taken, std::uint32_t) const noexcept {
    if (slot_of[expert] == buddy::no_slot || taken.contains(expert)) return {};
    return {true, buddy::resolution::buddy, expert, 5};
  }
};

/// Foretells the same experts for ever.
struct foretold {
  static constexpr std::string_view name = "foretold";

  std::vector<std::uint16_t> experts{};

  void observe(std::uint16_t, buddy::routing const&) noexcept {}
  std::uint32_t predict(std::uint16_t, buddy::view<std::uint16_t> out) noexcept {
    std::uint32_t n = 0;
    for (; n != out.size && n != experts.size(); ++n) out[n] = experts[n];
    return n;
  }
};

/// One batch's routing and the memory it views.
struct batch {
  std::vector<std::uint16_t> experts;
  std::vector<float> weights;
  std::uint32_t n_tokens = 1;
  std::vector<float> scores{};

  /// Weights 1/k each unless given.
  batch(std::initializer_list<std::uint16_t> e, std::uint32_t tokens = 1)
      : experts(e), weights(e.size(), static_cast<float>(tokens) / static_cast<float>(e.size())), n_tokens(tokens) {}
  batch(std::initializer_list<std::uint16_t> e, std::initializer_list<float> w) : experts(e), weights(w) {}

  // NOLINTNEXTLINE(google-explicit-constructor): reads as the routing it is
  operator buddy::routing() const {
    return {{experts.data(), static_cast<std::uint32_t>(experts.size())},
            {weights.data(), static_cast<std::uint32_t>(weights.size())},
            {scores.data(), static_cast<std::uint32_t>(scores.size())},
            n_tokens};
  }
};

using cache = buddy::slot_cache<buddy::eviction::lru>;

/// A policy of one layer of 12 experts of 10 bytes, with room for `slots`.
/// @param residents  in fast memory from the start; the first of them is the first to leave
template <class Selector = lowest_resident, class Predictor = foretold>
auto one_layer(std::uint16_t top_k, std::uint32_t slots, std::initializer_list<std::uint16_t> residents,
               buddy::policy_config const& config = {}, masked gate = {}, Selector selector = {},
               Predictor predictor = {}) {
  buddy::model_shape const shape{.n_layers = 1, .n_experts = 12, .top_k = top_k, .expert_bytes = 10};
  buddy::policy policy{shape, cache(shape, {.bytes = slots * shape.expert_bytes}), std::move(predictor), gate, selector,
                       config};
  std::vector<buddy::expert_key> keys;
  for (std::uint16_t const e : residents) keys.push_back({0, e});
  policy.cache().warm({keys.data(), static_cast<std::uint32_t>(keys.size())});
  return policy;
}

/// The next step's plan, whose copies arrive at once.
template <class Policy>
buddy::layer_plan const& step(Policy& policy, batch const& b) {
  policy.begin_step();
  auto const& plan = policy.resolve(0, b);
  for (auto const& c : plan.fetches) policy.commit(c);
  for (auto const& c : plan.waits) policy.commit(c);
  for (auto const& c : plan.refills) policy.commit(c);
  return plan;
}

}  // namespace tiny
