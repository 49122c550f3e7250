// SPDX-License-Identifier: Apache-2.0
/// @file
/// The hidden units that matter most, and a constant for the rest.
#pragma once

#include <buddy/concepts/stand_in_model.hpp>
#include <buddy/resolution.hpp>
#include <buddy/stand_ins/expert_size.hpp>
#include <buddy/stand_ins/gated_units.hpp>
#include <buddy/stand_ins/packed_values.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0::stand_ins {

/// The units in the order in which they are kept; which ones they were is not stored.
class truncated : public gated_units {
 public:
  static constexpr std::string_view name = "truncated";
  static constexpr resolution how = resolution::surrogate;

  /// @param units  to keep, at most the expert's width
  [[nodiscard]] static constexpr gated_format format(std::uint32_t units, packed_format const& stored) noexcept {
    return {units, stored, stored, true};
  }

  using gated_units::gated_units;
};

static_assert(stand_in_model<truncated>);

}  // namespace buddy::inline v0::stand_ins
