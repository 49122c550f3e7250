// SPDX-License-Identifier: Apache-2.0
/// @file
/// The whole expert in few bits.
#pragma once

#include <buddy/concepts/stand_in_model.hpp>
#include <buddy/resolution.hpp>
#include <buddy/stand_ins/expert_size.hpp>
#include <buddy/stand_ins/gated_units.hpp>
#include <buddy/stand_ins/packed_values.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0::stand_ins {

/// A low-precision copy with all hidden units; gate and up may have another number of bits than down.
class low_bit : public gated_units {
 public:
  static constexpr std::string_view name = "low_bit";
  static constexpr resolution how = resolution::low_precision;

  [[nodiscard]] static constexpr gated_format format(expert_size const& e, packed_format const& gate_up,
                                                     packed_format const& down, bool has_constant = false) noexcept {
    return {e.width, gate_up, down, has_constant};
  }

  using gated_units::gated_units;
};

static_assert(stand_in_model<low_bit>);

}  // namespace buddy::inline v0::stand_ins
