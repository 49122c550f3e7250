// SPDX-License-Identifier: Apache-2.0
/// @file
/// Checks the laws of `buddy_selector` on any model, yours included, under any test framework.
#pragma once

#include <buddy/concepts/buddy_selector.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/resolution.hpp>
#include <buddy/testing/dice.hpp>
#include <buddy/testing/token_sample.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace buddy::inline v0::testing {

namespace detail {

/// A token one of whose experts is missing.
struct selection_sample {
  token_sample token;
  std::vector<slot_id> slot_of;  // [n_experts]
  expert_set taken;
  std::uint32_t s{};

  template <buddy_selector S>
  [[nodiscard]] stand_in ask(S const& selector) const noexcept {
    return selector.select(token.as_view(), {slot_of.data(), static_cast<std::uint32_t>(slot_of.size())}, taken, s);
  }
  [[nodiscard]] bool allows(stand_in const& found) const noexcept {
    return found.expert < slot_of.size() && slot_of[found.expert] != no_slot && !taken.contains(found.expert);
  }
};

/// None, few, half or all of the layer's experts are resident; some that were not routed are taken.
inline selection_sample random_selection(model_shape const& shape, dice& random) {
  selection_sample sample{random_token(shape, random), {}, expert_set(shape.n_experts), 0};
  std::uint32_t const quarters = random.roll(5);
  for (std::uint32_t e = 0; e != shape.n_experts; ++e) {
    sample.slot_of.push_back(random.roll(4) < quarters ? slot_id{e} : no_slot);
    if (random.roll(16) == 0) sample.taken.insert(e);
  }
  for (std::uint16_t const e : sample.token.experts) sample.taken.insert(e);
  sample.s = random.roll(shape.top_k);
  sample.slot_of[sample.token.experts[sample.s]] = no_slot;
  return sample;
}

inline bool is_stand_in(resolution how) noexcept {
  return how == resolution::buddy || how == resolution::surrogate || how == resolution::low_precision ||
         how == resolution::drop;
}

inline bool same(stand_in const& a, stand_in const& b) noexcept {
  return a.found == b.found &&
         (!a.found || (a.how == b.how && a.expert == b.expert && a.rank == b.rank && a.scale_q16 == b.scale_q16));
}

}  // namespace detail

/// Asks for stand-ins in random situations of a model of this shape.
/// That ties go to the lower id cannot be seen from outside.
/// @returns the law that was broken first, or an empty view
template <buddy_selector S>
[[nodiscard]] std::string_view broken_selector_law(S const& selector, model_shape const& shape, std::uint32_t seed,
                                                   int tokens = 1000) {
  dice random(seed);
  for (int i = 0; i != tokens; ++i) {
    detail::selection_sample const sample = detail::random_selection(shape, random);
    stand_in const found = sample.ask(selector);
    if (found.found && !detail::is_stand_in(found.how))
      return "a stand-in must be a buddy, a surrogate, a low-precision copy or a drop";
    if (found.found && found.how == resolution::buddy && !sample.allows(found))
      return "a buddy must be resident and not taken";
    detail::selection_sample const twin = sample;
    S const other = selector;
    if (!detail::same(found, sample.ask(selector)) || !detail::same(found, twin.ask(other)))
      return "equal inputs must give equal answers";
  }
  return {};
}

}  // namespace buddy::inline v0::testing
