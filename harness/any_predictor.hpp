// SPDX-License-Identifier: Apache-2.0
/// @file
/// One type for every expert predictor, so that a name on the command line can choose.
#pragma once

#include <buddy/concepts/expert_predictor.hpp>
#include <buddy/policies/prediction/activation_map.hpp>
#include <buddy/policies/prediction/frequency.hpp>
#include <buddy/policies/prediction/markov.hpp>
#include <buddy/policies/prediction/next_gate.hpp>
#include <buddy/policies/prediction/none.hpp>
#include <buddy/policies/prediction/oracle.hpp>
#include <buddy/policies/prediction/previous_token.hpp>
#include <buddy/policies/prediction/previous_token_fill.hpp>

#include <cstdint>
#include <string_view>
#include <utility>
#include <variant>

namespace harness {

/// Holds the chosen predictor by value; a call costs one switch more.
class any_predictor {
 public:
  using model =
      std::variant<buddy::prediction::none, buddy::prediction::previous_token, buddy::prediction::previous_token_fill,
                   buddy::prediction::frequency, buddy::prediction::markov, buddy::prediction::next_gate,
                   buddy::prediction::activation_map, buddy::prediction::oracle>;

  explicit any_predictor(model chosen) : model_(std::move(chosen)) {}

  [[nodiscard]] std::string_view name() const noexcept {
    return std::visit([](auto const& m) { return buddy::name_of(m); }, model_);
  }

  void begin_sequence() noexcept {
    std::visit(
        [](auto& m) {
          if constexpr (requires { m.begin_sequence(); }) m.begin_sequence();
        },
        model_);
  }

  void observe(std::uint16_t layer, buddy::routing const& r) noexcept {
    std::visit([&](auto& m) { m.observe(layer, r); }, model_);
  }
  [[nodiscard]] std::uint32_t predict(std::uint16_t layer, buddy::view<std::uint16_t> out) noexcept {
    return std::visit([&](auto& m) { return m.predict(layer, out); }, model_);
  }

 private:
  model model_;
};

static_assert(buddy::expert_predictor<any_predictor>);

}  // namespace harness
