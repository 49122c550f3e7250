// SPDX-License-Identifier: Apache-2.0
/// @file
/// A linear map of few dimensions: the mean output, and what changes with the token.
#pragma once

#include <buddy/concepts/stand_in_model.hpp>
#include <buddy/resolution.hpp>
#include <buddy/stand_ins/expert_size.hpp>
#include <buddy/stand_ins/packed_values.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace buddy::inline v0::stand_ins {

/// Sizes of a `low_rank` record: the constant in binary16, then `rank` rows that read x, then `rank` rows that are
/// added to y.
struct low_rank_format {
  std::uint32_t rank{4};
  std::uint32_t bits{8};  ///< of the factors: as `packed_format`, one group a row

  [[nodiscard]] constexpr packed_format factors(expert_size const& e) const noexcept { return {bits, e.hidden}; }
  [[nodiscard]] constexpr std::uint64_t bytes(expert_size const& e) const noexcept {
    return packed_format{}.bytes(e.hidden) + 2 * factors(e).bytes(std::size_t{rank} * e.hidden);
  }

  constexpr bool operator==(low_rank_format const&) const = default;
};

/// output = constant + sum over r of (reads[r] . x) * adds[r].
class low_rank {
 public:
  static constexpr std::string_view name = "low_rank";
  static constexpr resolution how = resolution::surrogate;

  /// @param record  [f.bytes(e)]; must outlive this
  low_rank(low_rank_format const& f, expert_size const& e, std::uint8_t const* record) noexcept
      : hidden_{e.hidden}, rank_{f.rank}, bytes_{f.bytes(e)}, constant_{{}, e.hidden, record} {
    std::size_t const n = std::size_t{f.rank} * e.hidden;
    record += packed_format{}.bytes(e.hidden);
    reads_ = {f.factors(e), n, record};
    adds_ = {f.factors(e), n, record + f.factors(e).bytes(n)};
  }

  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }

  /// Time O(rank x hidden).
  void add(float weight, float const* x, float* y) const noexcept {
    constant_.add(0, hidden_, weight, y);
    for (std::size_t r = 0; r != rank_; ++r)
      adds_.add(r * hidden_, hidden_, weight * reads_.dot(r * hidden_, hidden_, x), y);
  }

 private:
  std::size_t hidden_;
  std::size_t rank_;
  std::uint64_t bytes_;
  packed_values constant_;
  packed_values reads_;
  packed_values adds_;
};

static_assert(stand_in_model<low_rank>);

}  // namespace buddy::inline v0::stand_ins
