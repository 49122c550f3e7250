// SPDX-License-Identifier: Apache-2.0
// Which models meet in the property tests: every three of different roles, not all five, or each new model
// would multiply the time of the tests.
#pragma once

#include "property/chosen_model.hpp"

#include <buddy/cache_budget.hpp>

#include <array>
#include <cstddef>
#include <set>
#include <string>
#include <vector>

namespace chosen {

/// Which models, and the settings that change how they meet.
struct combination {
  std::size_t eviction{};
  buddy::pool_layout pool{};
  std::size_t predictor{};
  std::size_t gate{};
  std::size_t selector{};

  [[nodiscard]] std::string show() const {
    return std::string(name_of<evictions>(eviction)) +
           (pool == buddy::pool_layout::global ? " global " : " per-layer ") +
           std::string(name_of<predictors>(predictor)) + " " + std::string(name_of<gates>(gate)) + " " +
           std::string(name_of<selectors>(selector));
  }
};

namespace detail {

inline constexpr std::size_t n_roles = 5;
inline constexpr std::array<std::size_t, n_roles> n_models{n_evictions, 2, n_predictors, n_gates, n_selectors};

using choice = std::array<std::size_t, n_roles>;

/// Three models of different roles, as (role, model) each.
using meeting = std::array<std::size_t, 6>;

inline std::set<meeting> meetings_of(choice const& c) {
  std::set<meeting> all;
  for (std::size_t x = 0; x != n_roles; ++x)
    for (std::size_t y = x + 1; y != n_roles; ++y)
      for (std::size_t z = y + 1; z != n_roles; ++z) all.insert({x, c[x], y, c[y], z, c[z]});
  return all;
}

/// The i-th of all choices in a scrambled order: neighbours in it differ in every role.
inline choice choice_at(std::size_t i, std::size_t n_choices) {
  std::size_t rest = i * 7919 % n_choices;  // a prime, so that no choice comes twice
  choice c{};
  for (std::size_t role = 0; role != n_roles; ++role) {
    c[role] = rest % n_models[role];
    rest /= n_models[role];
  }
  return c;
}

}  // namespace detail

/// Combinations in which each three models of different roles meet at least once: first those that bring many new
/// meetings, then whatever is left.
inline std::vector<combination> const& combinations() {
  static std::vector<combination> const all = [] {
    std::vector<combination> chosen;
    std::set<detail::meeting> met;
    std::size_t n_choices = 1;
    for (std::size_t const n : detail::n_models) n_choices *= n;
    for (std::size_t wanted = 10; wanted != 0; --wanted) {  // five roles make ten threes
      for (std::size_t i = 0; i != n_choices; ++i) {
        auto const c = detail::choice_at(i, n_choices);
        auto unmet = detail::meetings_of(c);
        std::erase_if(unmet, [&](detail::meeting const& m) { return met.contains(m); });
        if (unmet.size() < wanted) continue;
        met.merge(unmet);
        chosen.push_back(
            {c[0], c[1] == 0 ? buddy::pool_layout::global : buddy::pool_layout::per_layer, c[2], c[3], c[4]});
      }
    }
    return chosen;
  }();
  return all;
}

template <class F>
void for_each_combination(F const& f) {
  for (combination const& c : combinations()) f(c);
}

}  // namespace chosen
