// SPDX-License-Identifier: Apache-2.0
/// @file
/// Another resident expert, its output scaled by least squares.
#pragma once

#include <buddy/concepts/stand_in_model.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/resolution.hpp>

#include <concepts>
#include <cstdint>
#include <string_view>
#include <utility>

namespace buddy::inline v0::stand_ins {

/// Which gate weight a buddy serves with.
enum class buddy_weight : std::uint8_t {
  missing,  ///< that of the expert it replaces
  own,      ///< its own probability, brought to the scale of the gate weights
};

/// Costs no bytes: the expert is in the cache anyway. Its factor is `expected_error_ref::buddy_loss`'s.
/// @tparam Expert  `void operator()(float weight, float const* x, float* y) const noexcept` adds the weighted output
template <std::invocable<float, float const*, float*> Expert>
class scaled_buddy {
 public:
  static constexpr std::string_view name = "scaled_buddy";
  static constexpr resolution how = resolution::buddy;

  /// @param own_over_missing  router's probability of the buddy over that of the missing expert; only for `own`
  scaled_buddy(Expert expert, q16 scale_q16, buddy_weight mode = buddy_weight::missing, float own_over_missing = 1.0F)
      : expert_{std::move(expert)},
        factor_{static_cast<float>(scale_q16) / 65536.0F * (mode == buddy_weight::own ? own_over_missing : 1.0F)} {}

  [[nodiscard]] static constexpr std::uint64_t bytes() noexcept { return 0; }

  void add(float weight, float const* x, float* y) const noexcept { expert_(weight * factor_, x, y); }

 private:
  Expert expert_;
  float factor_;
};

}  // namespace buddy::inline v0::stand_ins
