// SPDX-License-Identifier: Apache-2.0
/// @file
/// A named array inside a file: element type, shape and where its bytes are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace buddy::inline v0::io {

/// Element types of the safetensors format whose elements are whole bytes.
enum class dtype : std::uint8_t {
  boolean,
  u8,
  i8,
  f8_e4m3,
  f8_e5m2,
  u16,
  i16,
  f16,
  bf16,
  u32,
  i32,
  f32,
  u64,
  i64,
  f64
};

namespace detail {

struct dtype_row {
  std::string_view name;
  std::uint32_t bytes;
};

/// In the order of `dtype`.
inline constexpr std::array<dtype_row, 15> dtype_rows{{{"BOOL", 1},
                                                       {"U8", 1},
                                                       {"I8", 1},
                                                       {"F8_E4M3", 1},
                                                       {"F8_E5M2", 1},
                                                       {"U16", 2},
                                                       {"I16", 2},
                                                       {"F16", 2},
                                                       {"BF16", 2},
                                                       {"U32", 4},
                                                       {"I32", 4},
                                                       {"F32", 4},
                                                       {"U64", 8},
                                                       {"I64", 8},
                                                       {"F64", 8}}};

}  // namespace detail

[[nodiscard]] constexpr std::string_view to_string(dtype t) noexcept {
  return detail::dtype_rows[static_cast<std::size_t>(t)].name;
}

[[nodiscard]] constexpr std::uint32_t element_bytes(dtype t) noexcept {
  return detail::dtype_rows[static_cast<std::size_t>(t)].bytes;
}

[[nodiscard]] constexpr std::optional<dtype> parse_dtype(std::string_view name) noexcept {
  for (std::size_t i = 0; i != detail::dtype_rows.size(); ++i)
    if (detail::dtype_rows[i].name == name) return static_cast<dtype>(i);
  return std::nullopt;
}

/// The dtype of a C++ number of fixed size.
template <class T>
[[nodiscard]] consteval dtype dtype_of() {
  static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>, "only numbers have a dtype");
  if constexpr (std::is_same_v<T, float>) return dtype::f32;
  if constexpr (std::is_same_v<T, double>) return dtype::f64;
  if constexpr (sizeof(T) == 1) return std::is_signed_v<T> ? dtype::i8 : dtype::u8;
  if constexpr (sizeof(T) == 2) return std::is_signed_v<T> ? dtype::i16 : dtype::u16;
  if constexpr (sizeof(T) == 4) return std::is_signed_v<T> ? dtype::i32 : dtype::u32;
  return std::is_signed_v<T> ? dtype::i64 : dtype::u64;
}

using tensor_shape = std::vector<std::uint64_t>;

/// "[2, 3]", for messages.
[[nodiscard]] inline std::string to_string(tensor_shape const& shape) {
  std::string text = "[";
  for (std::uint64_t const n : shape) text += (text.size() == 1 ? "" : ", ") + std::to_string(n);
  return text + "]";
}

/// Elements of a shape times bytes of one, or nothing when that does not fit 64 bits.
[[nodiscard]] inline std::optional<std::uint64_t> checked_bytes(dtype type, tensor_shape const& shape) noexcept {
  std::uint64_t bytes = element_bytes(type);
  for (std::uint64_t const n : shape)
    if (__builtin_mul_overflow(bytes, n, &bytes)) return std::nullopt;
  return bytes;
}

/// One tensor of a file; `bytes` belong to the file, are row-major, little endian, and may be misaligned.
struct tensor_view {
  std::string name;
  dtype type{};
  tensor_shape shape;
  std::span<std::byte const> bytes;

  [[nodiscard]] std::uint64_t n_elements() const noexcept { return bytes.size() / element_bytes(type); }
};

}  // namespace buddy::inline v0::io
