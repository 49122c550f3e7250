// SPDX-License-Identifier: Apache-2.0
/// @file
/// One type for every sensitivity estimator, so that a name on the command line can choose.
#pragma once

#include <buddy/concepts/sensitivity_estimator.hpp>
#include <buddy/config.hpp>
#include <buddy/policies/sensitivity/adapmoe_gate.hpp>
#include <buddy/policies/sensitivity/always.hpp>
#include <buddy/policies/sensitivity/drop_cold.hpp>
#include <buddy/policies/sensitivity/entropy_gate.hpp>
#include <buddy/policies/sensitivity/keep_top.hpp>
#include <buddy/policies/sensitivity/margin_gate.hpp>
#include <buddy/policies/sensitivity/never.hpp>
#include <buddy/policies/sensitivity/score_gate.hpp>
#include <buddy/policies/sensitivity/ser_gate.hpp>
#include <buddy/policies/sensitivity/share_gate.hpp>
#include <buddy/policies/sensitivity/weight_gate.hpp>

#include <cstdint>
#include <string_view>

namespace harness {

/// All estimators side by side and which of them speaks: a variant would not be standard layout, as the device wants.
struct any_sensitivity {
  enum class model : std::uint8_t {
    never,
    always,
    entropy_gate,
    margin_gate,
    weight_gate,
    keep_top,
    drop_cold,
    ser_gate,
    adapmoe_gate,
    score_gate,
    share_gate
  };

  model chosen = model::never;
  buddy::sensitivity::never never{};
  buddy::sensitivity::always always{};
  buddy::sensitivity::entropy_gate entropy_gate{};
  buddy::sensitivity::margin_gate margin_gate{};
  buddy::sensitivity::weight_gate weight_gate{};
  buddy::sensitivity::keep_top keep_top{};
  buddy::sensitivity::drop_cold drop_cold{};
  buddy::sensitivity::ser_gate ser_gate{};
  buddy::sensitivity::adapmoe_gate adapmoe_gate{};
  buddy::sensitivity::score_gate score_gate{};
  buddy::sensitivity::share_gate share_gate{};

 private:
  // First, since its return type is deduced.
  template <class Question>
  BUDDY_HD constexpr auto ask(Question const& question) const noexcept {
    switch (chosen) {
      case model::always:
        return question(always);
      case model::entropy_gate:
        return question(entropy_gate);
      case model::margin_gate:
        return question(margin_gate);
      case model::weight_gate:
        return question(weight_gate);
      case model::keep_top:
        return question(keep_top);
      case model::drop_cold:
        return question(drop_cold);
      case model::ser_gate:
        return question(ser_gate);
      case model::adapmoe_gate:
        return question(adapmoe_gate);
      case model::score_gate:
        return question(score_gate);
      case model::share_gate:
        return question(share_gate);
      case model::never:
        break;
    }
    return question(never);
  }

 public:
  [[nodiscard]] constexpr std::string_view name() const noexcept {
    return ask([](auto const& m) { return std::string_view{m.name}; });
  }

  [[nodiscard]] BUDDY_HD constexpr buddy::slot_mask replaceable(buddy::token_view const& token) const noexcept {
    return ask([&](auto const& m) { return m.replaceable(token); });
  }
};

static_assert(buddy::sensitivity_estimator<any_sensitivity>);

}  // namespace harness
