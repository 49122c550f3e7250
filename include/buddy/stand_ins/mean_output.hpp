// SPDX-License-Identifier: Apache-2.0
/// @file
/// The expert's mean output, whatever the token.
#pragma once

#include <buddy/concepts/stand_in_model.hpp>
#include <buddy/resolution.hpp>
#include <buddy/stand_ins/expert_size.hpp>
#include <buddy/stand_ins/packed_values.hpp>

#include <cstdint>
#include <string_view>

namespace buddy::inline v0::stand_ins {

/// One vector in binary16.
class mean_output {
 public:
  static constexpr std::string_view name = "mean_output";
  static constexpr resolution how = resolution::surrogate;

  [[nodiscard]] static constexpr std::uint64_t bytes_of(expert_size const& e) noexcept {
    return packed_format{}.bytes(e.hidden);
  }

  /// @param record  [bytes_of(e)]; must outlive this
  mean_output(expert_size const& e, std::uint8_t const* record) noexcept : mean_{{}, e.hidden, record} {}

  [[nodiscard]] std::uint64_t bytes() const noexcept { return packed_format{}.bytes(mean_.size()); }

  /// Time O(hidden).
  void add(float weight, float const*, float* y) const noexcept { mean_.add(0, mean_.size(), weight, y); }

 private:
  packed_values mean_;
};

static_assert(stand_in_model<mean_output>);

}  // namespace buddy::inline v0::stand_ins
