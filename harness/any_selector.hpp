// SPDX-License-Identifier: Apache-2.0
/// @file
/// One type for every buddy selector, so that a name on the command line can choose.
#pragma once

#include <buddy/concepts/buddy_selector.hpp>
#include <buddy/config.hpp>
#include <buddy/policies/selection/cache_prior.hpp>
#include <buddy/policies/selection/coactivation.hpp>
#include <buddy/policies/selection/expected_error.hpp>
#include <buddy/policies/selection/live_score.hpp>
#include <buddy/policies/selection/none.hpp>
#include <buddy/policies/selection/output_similarity.hpp>
#include <buddy/policies/selection/precision_by_mass.hpp>
#include <buddy/policies/selection/random_resident.hpp>
#include <buddy/policies/selection/rank_window.hpp>
#include <buddy/policies/selection/router_similarity.hpp>
#include <buddy/policies/selection/zero_fill.hpp>

#include <cstdint>
#include <string_view>

namespace harness {

/// All selectors side by side and which of them speaks: a variant would not be standard layout, as the device wants.
struct any_selector {
  enum class model : std::uint8_t {
    none,
    random_resident,
    coactivation,
    live_score,
    zero_fill,
    router_similarity,
    output_similarity,
    cache_prior,
    rank_window,
    precision_by_mass,
    expected_error
  };

  model chosen = model::none;
  buddy::selection::none none{};
  buddy::selection::random_resident random_resident{};
  buddy::selection::coactivation coactivation{};
  buddy::selection::live_score live_score{};
  buddy::selection::zero_fill zero_fill{};
  buddy::selection::router_similarity router_similarity{};
  buddy::selection::output_similarity output_similarity{};
  buddy::selection::cache_prior cache_prior{};
  buddy::selection::rank_window rank_window{};
  buddy::selection::precision_by_mass precision_by_mass{};
  buddy::selection::expected_error expected_error{};

 private:
  // First, since its return type is deduced.
  template <class Question>
  BUDDY_HD constexpr auto ask(Question const& question) const noexcept {
    switch (chosen) {
      case model::random_resident:
        return question(random_resident);
      case model::coactivation:
        return question(coactivation);
      case model::live_score:
        return question(live_score);
      case model::zero_fill:
        return question(zero_fill);
      case model::router_similarity:
        return question(router_similarity);
      case model::output_similarity:
        return question(output_similarity);
      case model::cache_prior:
        return question(cache_prior);
      case model::rank_window:
        return question(rank_window);
      case model::precision_by_mass:
        return question(precision_by_mass);
      case model::expected_error:
        return question(expected_error);
      case model::none:
        break;
    }
    return question(none);
  }

 public:
  [[nodiscard]] constexpr std::string_view name() const noexcept {
    return ask([](auto const& m) { return std::string_view{m.name}; });
  }

  [[nodiscard]] BUDDY_HD constexpr buddy::stand_in select(buddy::token_view const& token,
                                                          buddy::view<buddy::slot_id const> slot_of,
                                                          buddy::expert_set const& taken,
                                                          std::uint32_t s) const noexcept {
    return ask([&](auto const& m) { return m.select(token, slot_of, taken, s); });
  }
};

static_assert(buddy::buddy_selector<any_selector>);

}  // namespace harness
