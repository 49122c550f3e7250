// SPDX-License-Identifier: Apache-2.0
/// @file
/// The keyword arguments of the operators, checked, in the words of the library.
#pragma once

#include <buddy/distribution_gate.hpp>
#include <buddy/policies/sensitivity/weight_gate.hpp>
#include <buddy/policy_config.hpp>
#include <buddy/resolution.hpp>
#include <buddy/types.hpp>

#include <c10/util/Exception.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace buddy::inline v0::torch {

/// How `resolve` decides: a weight gate in front of the best live score, with the rules of `policy_config`.
struct resolve_options {
  double protect_share{0.12};  ///< an expert with this share of its token's gate weight, or more, must be itself
  std::int64_t rho{max_top_k};
  std::optional<double> beta{};
  weight_mode weights{weight_mode::keep};
  resolution on_refused{resolution::fetch};
  bool renormalise{};
  bool exact{};

  [[nodiscard]] policy_config config() const {
    return {.exact = exact,
            .on_refused = on_refused,
            .beta = beta,
            .rho = static_cast<std::uint32_t>(rho),
            .weights = weights,
            .renormalise = renormalise};
  }
  [[nodiscard]] sensitivity::weight_gate gate() const { return sensitivity::weight_gate::fixed(protect_share); }
  [[nodiscard]] std::optional<q16> beta_q16() const {
    return beta ? std::optional{static_cast<q16>(*beta * q16_one)} : std::nullopt;
  }
};

namespace detail {

inline weight_mode weight_mode_named(std::string_view name) {
  TORCH_CHECK_VALUE(name == "keep" || name == "own", "buddy::resolve: gate_weight must be 'keep' or 'own', not '", name,
                    "'");
  return name == "own" ? weight_mode::own : weight_mode::keep;
}

inline resolution refused_named(std::string_view name) {
  for (auto const r : {resolution::fetch, resolution::host, resolution::drop})
    if (name == to_string(r)) return r;
  TORCH_CHECK_VALUE(false, "buddy::resolve: on_refused must be 'fetch', 'host' or 'drop', not '", name, "'");
}

/// @throws c10::ValueError naming the argument
inline void check(resolve_options const& o) {
  auto const share = [](double x) { return x >= 0.0 && x <= 1.0; };
  TORCH_CHECK_VALUE(share(o.protect_share), "buddy::resolve: protect_share must be in [0, 1], not ", o.protect_share);
  TORCH_CHECK_VALUE(!o.beta || share(*o.beta), "buddy::resolve: beta must be in [0, 1], not ", *o.beta);
  TORCH_CHECK_VALUE(o.rho >= 0 && o.rho <= max_top_k, "buddy::resolve: rho must be in [0, 32], not ", o.rho);
  TORCH_CHECK_VALUE(!(o.exact && o.on_refused == resolution::drop),
                    "buddy::resolve: on_refused must be 'fetch' or 'host' where exact is true");
}

}  // namespace detail

}  // namespace buddy::inline v0::torch
