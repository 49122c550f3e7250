// SPDX-License-Identifier: Apache-2.0
/// @file
/// Some hidden units of a gated expert in few bits: what `truncated` and `low_bit` compute with.
#pragma once

#include <buddy/stand_ins/expert_size.hpp>
#include <buddy/stand_ins/packed_values.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace buddy::inline v0::stand_ins {

/// Sizes of the record: a constant in binary16 where there is one, then gate, up and down, each [units, hidden]. Down
/// is stored by unit, unlike in the expert, so that a unit is a row everywhere and may be left out.
struct gated_format {
  std::uint32_t units{};
  packed_format gate_up{};
  packed_format down{};
  bool has_constant{};

  [[nodiscard]] constexpr std::uint64_t constant_bytes(expert_size const& e) const noexcept {
    return has_constant ? packed_format{}.bytes(e.hidden) : 0;
  }
  [[nodiscard]] constexpr std::size_t values(expert_size const& e) const noexcept {
    return std::size_t{units} * e.hidden;
  }
  [[nodiscard]] constexpr std::uint64_t bytes(expert_size const& e) const noexcept {
    return constant_bytes(e) + 2 * gate_up.bytes(values(e)) + down.bytes(values(e));
  }

  constexpr bool operator==(gated_format const&) const = default;
};

/// output = constant + sum over units u of silu(gate[u] . x) (up[u] . x) down[u].
class gated_units {
 public:
  /// @param record  [f.bytes(e)]; must outlive this
  gated_units(gated_format const& f, expert_size const& e, std::uint8_t const* record) noexcept
      : hidden_{e.hidden}, units_{f.units}, bytes_{f.bytes(e)} {
    std::size_t const n = f.values(e);
    if (f.has_constant) constant_ = {{}, e.hidden, record};
    record += f.constant_bytes(e);
    gate_ = {f.gate_up, n, record};
    up_ = {f.gate_up, n, record + f.gate_up.bytes(n)};
    down_ = {f.down, n, record + 2 * f.gate_up.bytes(n)};
  }

  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }

  /// Time O(units x hidden).
  void add(float weight, float const* x, float* y) const noexcept {
    constant_.add(0, constant_.size(), weight, y);
    for (std::size_t u = 0; u != units_; ++u) down_.add(u * hidden_, hidden_, weight * activation(u, x), y);
  }

  /// silu(gate[u] . x) (up[u] . x)
  [[nodiscard]] float activation(std::size_t u, float const* x) const noexcept {
    float const gate = gate_.dot(u * hidden_, hidden_, x);
    return gate / (1.0F + std::exp(-gate)) * up_.dot(u * hidden_, hidden_, x);
  }

 private:
  std::size_t hidden_;
  std::size_t units_;
  std::uint64_t bytes_;
  packed_values constant_;
  packed_values gate_;
  packed_values up_;
  packed_values down_;
};

}  // namespace buddy::inline v0::stand_ins
