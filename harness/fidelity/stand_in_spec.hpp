// SPDX-License-Identifier: Apache-2.0
/// @file
/// A kind of stand-in by the name that commands and profiles call it.
#pragma once

#include <buddy/resolution.hpp>
#include <buddy/stand_ins/expert_size.hpp>
#include <buddy/stand_ins/gated_units.hpp>
#include <buddy/stand_ins/low_bit.hpp>
#include <buddy/stand_ins/low_rank.hpp>
#include <buddy/stand_ins/mean_output.hpp>
#include <buddy/stand_ins/truncated.hpp>
#include <buddy/stand_ins/zero.hpp>

#include <cstdint>
#include <string>
#include <variant>

namespace harness {

/// One of the models of `buddy/stand_ins/`, with its sizes.
///
/// Names: `zero`; `mean`; `low_rank:R` with halves, `low_rank:R,8` with factors of 8 bits; `truncated:U,B` keeps U
/// hidden units in B bits; `low_bit:B` all units in B bits. Behind the last two: `gN` groups of N weights (128), `dB`
/// down in another number of bits, and for low_bit `c` a constant as well.
struct stand_in_spec {
  enum class kind : std::uint8_t { zero, mean, low_rank, truncated, low_bit };

  kind what{kind::zero};
  buddy::stand_ins::low_rank_format map{};  ///< of `low_rank`
  buddy::stand_ins::gated_format gated{};   ///< of `truncated` and `low_bit`; units are 0 for the latter

  /// @throws buddy::config_error when it is no name
  [[nodiscard]] static stand_in_spec parse(std::string const& text);

  [[nodiscard]] std::string name() const;
  [[nodiscard]] buddy::resolution how() const noexcept;

  /// The format with the units that an expert of this size keeps.
  /// @throws buddy::config_error when it has fewer
  [[nodiscard]] buddy::stand_ins::gated_format units_of(buddy::stand_ins::expert_size const& e) const;

  /// Bytes of one record.
  [[nodiscard]] std::uint64_t bytes(buddy::stand_ins::expert_size const& e) const;

  bool operator==(stand_in_spec const&) const = default;
};

/// Any of them, ready to compute.
class any_stand_in {
 public:
  /// @param record  [spec.bytes(e)]; must outlive this
  any_stand_in(stand_in_spec const& spec, buddy::stand_ins::expert_size const& e, std::uint8_t const* record);

  [[nodiscard]] std::uint64_t bytes() const noexcept {
    return std::visit([](auto const& m) -> std::uint64_t { return m.bytes(); }, model_);
  }
  /// y += weight * output(x)
  void add(float weight, float const* x, float* y) const noexcept {
    std::visit([&](auto const& m) { m.add(weight, x, y); }, model_);
  }

 private:
  using model = std::variant<buddy::stand_ins::zero, buddy::stand_ins::mean_output, buddy::stand_ins::low_rank,
                             buddy::stand_ins::truncated, buddy::stand_ins::low_bit>;

  static model make(stand_in_spec const& spec, buddy::stand_ins::expert_size const& e, std::uint8_t const* record);

  model model_;
};

}  // namespace harness
