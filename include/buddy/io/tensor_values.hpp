// SPDX-License-Identifier: Apache-2.0
/// @file
/// Copies a tensor's elements out of a file into memory of the caller's own type.
#pragma once

#include <buddy/assert.hpp>
#include <buddy/io/half.hpp>
#include <buddy/io/tensor_view.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace buddy::inline v0::io {

/// The elements as they are stored. @pre t.type == dtype_of<T>(), or T is uint16_t and the elements have 16 bits
template <class T>
[[nodiscard]] std::vector<T> values(tensor_view const& t) {
  BUDDY_ASSERT(element_bytes(t.type) == sizeof(T));
  std::vector<T> out(t.bytes.size() / sizeof(T));
  if (!out.empty()) std::memcpy(out.data(), t.bytes.data(), t.bytes.size());
  return out;
}

/// Whether `widen` knows the type.
[[nodiscard]] constexpr bool can_widen(dtype t) noexcept {
  return t == dtype::f16 || t == dtype::bf16 || t == dtype::f32;
}

/// The elements as floats; exact.
/// @param out  [n_elements]
/// @pre can_widen(t.type)
inline void widen(tensor_view const& t, std::span<float> out) noexcept {
  BUDDY_ASSERT(can_widen(t.type) && out.size() == t.n_elements());
  if (t.type == dtype::f32) {
    if (!out.empty()) std::memcpy(out.data(), t.bytes.data(), t.bytes.size());
    return;
  }
  for (std::size_t i = 0; i != out.size(); ++i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, t.bytes.data() + 2 * i, 2);
    out[i] = t.type == dtype::f16 ? f16_to_f32(bits) : bf16_to_f32(bits);
  }
}

[[nodiscard]] inline std::vector<float> widened(tensor_view const& t) {
  std::vector<float> out(t.n_elements());
  widen(t, out);
  return out;
}

}  // namespace buddy::inline v0::io
