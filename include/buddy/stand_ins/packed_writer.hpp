// SPDX-License-Identifier: Apache-2.0
/// @file
/// Rounds weights into few bits.
#pragma once

#include <buddy/io/half.hpp>
#include <buddy/stand_ins/packed_values.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace buddy::inline v0::stand_ins {

/// Scale and minimum of a group as they are stored.
struct group_range {
  float scale{};
  float minimum{};

  /// The nearest code of a value.
  [[nodiscard]] std::uint32_t code_of(packed_format const& f, float x) const noexcept {
    if (f.bits == 1) return x >= 0.0F ? 1 : 0;
    if (!(scale > 0.0F)) return 0;
    float const code = std::nearbyint((x - minimum) / scale);
    return static_cast<std::uint32_t>(std::clamp(code, 0.0F, static_cast<float>(f.max_code())));
  }

  [[nodiscard]] float value_of(packed_format const& f, std::uint32_t code) const noexcept {
    if (f.bits == 1) return code != 0 ? scale : -scale;
    return minimum + scale * static_cast<float>(code);
  }
};

/// Writes what `packed_values` reads.
class packed_writer {
 public:
  /// @param bytes  [format.bytes(n)]; becomes all zeros
  packed_writer(packed_format format, std::size_t n, std::uint8_t* bytes) noexcept
      : format_{format}, n_{n}, bytes_{bytes} {
    std::fill_n(bytes, format.bytes(n), std::uint8_t{0});
  }

  /// @returns the range rounded to what is stored
  group_range set_range(std::size_t group, group_range range) noexcept {
    std::size_t const scales = format_.code_bytes(n_);
    range.scale = put_half(scales + 2 * group, range.scale);
    if (format_.has_minimum()) range.minimum = put_half(scales + 2 * (format_.n_groups(n_) + group), range.minimum);
    return range;
  }

  /// @pre every code is set at most once
  void set_code(std::size_t i, std::uint32_t code) noexcept {
    std::size_t const bit = i * format_.bits;
    std::uint32_t const two = code << bit % 8;
    bytes_[bit / 8] = static_cast<std::uint8_t>(bytes_[bit / 8] | two);
    if ((two >> 8) != 0) bytes_[bit / 8 + 1] = static_cast<std::uint8_t>(bytes_[bit / 8 + 1] | two >> 8);
  }

  /// For binary16. @returns the value as it is stored
  float set_half(std::size_t i, float x) noexcept { return put_half(2 * i, x); }

 private:
  float put_half(std::size_t at, float x) noexcept {
    std::uint16_t const half = io::f32_to_f16(std::clamp(x, -65504.0F, 65504.0F));
    bytes_[at] = static_cast<std::uint8_t>(half & 0xff);
    bytes_[at + 1] = static_cast<std::uint8_t>(half >> 8);
    return io::f16_to_f32(half);
  }

  packed_format format_;
  std::size_t n_;
  std::uint8_t* bytes_;
};

/// The range that spans a group's values; with one bit the scale is their mean size, which is nearest in squares.
[[nodiscard]] inline group_range spanning_range(packed_format const& f, float const* x, std::size_t n) noexcept {
  if (f.bits == 1) {
    float sum = 0.0F;
    for (std::size_t i = 0; i != n; ++i) sum += std::fabs(x[i]);
    return {sum / static_cast<float>(n), 0.0F};
  }
  auto const [least, most] = std::minmax_element(x, x + n);
  return {(*most - *least) / static_cast<float>(f.max_code()), *least};
}

/// Every value to the nearest code of its group's spanning range.
/// @param x      [n] finite
/// @param bytes  [f.bytes(n)] out
inline void pack_nearest(packed_format const& f, float const* x, std::size_t n, std::uint8_t* bytes) noexcept {
  packed_writer out{f, n, bytes};
  if (!f.has_groups()) {
    for (std::size_t i = 0; i != n; ++i) out.set_half(i, x[i]);
    return;
  }
  for (std::size_t group = 0; group != f.n_groups(n); ++group) {
    std::size_t const first = group * f.group;
    std::size_t const count = std::min<std::size_t>(f.group, n - first);
    group_range const range = out.set_range(group, spanning_range(f, x + first, count));
    for (std::size_t i = first; i != first + count; ++i) out.set_code(i, range.code_of(f, x[i]));
  }
}

}  // namespace buddy::inline v0::stand_ins
