// SPDX-License-Identifier: Apache-2.0
/// @file
/// Weights in few bits: codes of 1 to 8 bits in groups that share a scale, or 16-bit floats.
#pragma once

#include <buddy/error.hpp>
#include <buddy/io/half.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace buddy::inline v0::stand_ins {

/// How n values are stored.
///
/// A value is `minimum + scale * code`, with scale and minimum of its group in binary16; with one bit it is +scale or
/// -scale, and there is no minimum. Groups are runs of the values in their order, whatever the rows of the matrix.
struct packed_format {
  std::uint32_t bits{16};    ///< 1 to 8, or 16: binary16 without groups
  std::uint32_t group{128};  ///< values that share a scale; the last group may be shorter

  [[nodiscard]] constexpr bool has_groups() const noexcept { return bits != 16; }
  [[nodiscard]] constexpr bool has_minimum() const noexcept { return has_groups() && bits != 1; }
  [[nodiscard]] constexpr std::uint32_t max_code() const noexcept { return (1U << bits) - 1; }

  [[nodiscard]] constexpr std::size_t n_groups(std::size_t n) const noexcept {
    return has_groups() ? (n + group - 1) / group : 0;
  }
  [[nodiscard]] constexpr std::size_t code_bytes(std::size_t n) const noexcept { return (n * bits + 7) / 8; }

  /// Bytes of n values, scales and minima included: codes, then scales, then minima, without gaps.
  [[nodiscard]] constexpr std::size_t bytes(std::size_t n) const noexcept {
    return code_bytes(n) + n_groups(n) * (has_minimum() ? 4 : 2);
  }

  constexpr bool operator==(packed_format const&) const = default;
};

/// @throws config_error when the bits are not 1 to 8 or 16, or a group is empty
constexpr void validate(packed_format const& f) {
  if ((f.bits == 0 || f.bits > 8) && f.bits != 16)
    buddy::detail::throw_config_error("buddy::stand_ins: bits must be 1 to 8, or 16");
  if (f.group == 0) buddy::detail::throw_config_error("buddy::stand_ins: a group must have at least 1 value");
}

/// Reads n stored values from bytes that somebody else owns, at any alignment.
class packed_values {
 public:
  packed_values() = default;

  /// @param bytes  [format.bytes(n)]
  packed_values(packed_format format, std::size_t n, std::uint8_t const* bytes) noexcept
      : format_{format}, n_{n}, bytes_{bytes} {}

  [[nodiscard]] std::size_t size() const noexcept { return n_; }

  /// Values [first, first + count).
  void decode(std::size_t first, std::size_t count, float* out) const noexcept {
    if (!format_.has_groups()) {
      for (std::size_t i = 0; i != count; ++i) out[i] = half_at(2 * (first + i));
      return;
    }
    for (std::size_t done = 0; done != count;) {
      std::size_t const i = first + done;
      std::size_t const group = i / format_.group;
      std::size_t const run = std::min(count - done, (group + 1) * format_.group - i);
      decode_run(group, i, run, out + done);
      done += run;
    }
  }

  /// Sum of value[first + i] * x[i]. @param x  [count]
  [[nodiscard]] float dot(std::size_t first, std::size_t count, float const* x) const noexcept {
    std::array<float, lanes> sums{};
    std::array<float, chunk> values;
    for (std::size_t done = 0; done < count; done += chunk) {
      std::size_t const n = std::min(chunk, count - done);
      decode(first + done, n, values.data());
      std::size_t const whole = n / lanes * lanes;
      for (std::size_t i = 0; i != whole; i += lanes)
        for (std::size_t k = 0; k != lanes; ++k) sums[k] += values[i + k] * x[done + i + k];
      for (std::size_t i = whole; i != n; ++i) sums[i - whole] += values[i] * x[done + i];
    }
    float sum = 0.0F;
    for (float const s : sums) sum += s;
    return sum;
  }

  /// y[i] += factor * value[first + i]. @param y  [count]
  void add(std::size_t first, std::size_t count, float factor, float* y) const noexcept {
    std::array<float, chunk> values;
    for (std::size_t done = 0; done < count; done += chunk) {
      std::size_t const n = std::min(chunk, count - done);
      decode(first + done, n, values.data());
      for (std::size_t i = 0; i != n; ++i) y[done + i] += factor * values[i];
    }
  }

 private:
  static constexpr std::size_t chunk = 128;
  static constexpr std::size_t lanes = 16;  // sums side by side, for the vector unit

  [[nodiscard]] float half_at(std::size_t at) const noexcept {
    return io::f16_to_f32(static_cast<std::uint16_t>(bytes_[at] | bytes_[at + 1] << 8));
  }

  /// A run within one group.
  void decode_run(std::size_t group, std::size_t first, std::size_t count, float* out) const noexcept {
    std::size_t const scales = format_.code_bytes(n_);
    float const scale = half_at(scales + 2 * group);
    bool const is_sign = !format_.has_minimum();
    float const minimum = is_sign ? -scale : half_at(scales + 2 * (format_.n_groups(n_) + group));
    float const step = is_sign ? 2.0F * scale : scale;
    std::size_t const bit = first * format_.bits;
    if (bit % 8 == 0 && 8 % format_.bits == 0) {
      decode_bytes(bytes_ + bit / 8, count, minimum, step, out);
    } else {
      decode_bits(bit, count, minimum, step, out);
    }
  }

  /// Codes that begin with a byte and fill it: a loop for each width, for the vector unit.
  void decode_bytes(std::uint8_t const* codes, std::size_t count, float minimum, float step,
                    float* out) const noexcept {
    if (format_.bits == 1) return decode_whole<1>(codes, count, minimum, step, out);
    if (format_.bits == 2) return decode_whole<2>(codes, count, minimum, step, out);
    if (format_.bits == 4) return decode_whole<4>(codes, count, minimum, step, out);
    decode_whole<8>(codes, count, minimum, step, out);
  }

  template <std::uint32_t Bits>
  static void decode_whole(std::uint8_t const* codes, std::size_t count, float minimum, float step,
                           float* out) noexcept {
    constexpr std::size_t in_byte = 8 / Bits;
    constexpr std::uint32_t mask = (1U << Bits) - 1;
    std::size_t const whole = count / in_byte * in_byte;
    for (std::size_t i = 0; i != whole; i += in_byte)
      for (std::size_t k = 0; k != in_byte; ++k)
        out[i + k] = minimum + step * static_cast<float>(codes[i / in_byte] >> k * Bits & mask);
    for (std::size_t i = whole; i != count; ++i)
      out[i] = minimum + step * static_cast<float>(codes[i / in_byte] >> i % in_byte * Bits & mask);
  }

  void decode_bits(std::size_t bit, std::size_t count, float minimum, float step, float* out) const noexcept {
    for (std::size_t i = 0; i != count; ++i, bit += format_.bits) {
      // Scales follow the codes, so that the byte behind the last code is there.
      std::uint32_t const two = bytes_[bit / 8] | static_cast<std::uint32_t>(bytes_[bit / 8 + 1]) << 8;
      out[i] = minimum + step * static_cast<float>(two >> bit % 8 & format_.max_code());
    }
  }

  packed_format format_{};
  std::size_t n_{};
  std::uint8_t const* bytes_{};
};

}  // namespace buddy::inline v0::stand_ins
