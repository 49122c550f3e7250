// SPDX-License-Identifier: Apache-2.0
// Random experts, and what they compute in double precision: the yardstick of every fast path.
#pragma once

#include <buddy/expert_record.hpp>
#include <buddy/io/half.hpp>
#include <buddy/testing/dice.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace reference {

inline double value_of(buddy::weight_type type, std::uint16_t bits) {
  return type == buddy::weight_type::bf16 ? buddy::io::bf16_to_f32(bits) : buddy::io::f16_to_f32(bits);
}

inline std::uint16_t bits_of(buddy::weight_type type, float value) {
  return type == buddy::weight_type::bf16 ? buddy::io::f32_to_bf16(value) : buddy::io::f32_to_f16(value);
}

using numbers = buddy::testing::dice;

/// Uniform in [-scale, scale).
inline float uniform(numbers& random, float scale) {
  return (static_cast<float>(random.next() >> 40) * 0x1p-23F - 1.0F) * scale;
}

inline std::vector<std::uint16_t> random_bits(std::size_t n, buddy::weight_type type, float scale, numbers& random) {
  std::vector<std::uint16_t> bits(n);
  for (auto& b : bits) b = bits_of(type, uniform(random, scale));
  return bits;
}

/// [n_records] records behind one another, `stride` bytes apart. Outputs of the size of their inputs, whatever the
/// shape.
inline std::vector<std::byte> random_records(buddy::expert_record const& r, std::size_t n_records, std::size_t stride,
                                             numbers& random) {
  std::vector<std::byte> bytes(n_records * stride);
  for (std::size_t i = 0; i != n_records; ++i) {
    auto const fill = [&](std::size_t offset, std::uint32_t n_inputs) {
      float const scale = std::sqrt(6.0F / static_cast<float>(n_inputs));
      auto const bits = random_bits(std::size_t{r.hidden} * r.width, r.type, scale, random);
      std::memcpy(bytes.data() + i * stride + offset, bits.data(), r.matrix_bytes());
    };
    fill(r.gate_offset(), r.hidden);
    fill(r.up_offset(), r.hidden);
    fill(r.down_offset(), r.width);
  }
  return bytes;
}

inline double dot(buddy::expert_record const& r, std::byte const* row, std::vector<double> const& x) {
  double sum = 0.0;
  for (std::size_t i = 0; i != x.size(); ++i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, row + i * sizeof bits, sizeof bits);
    sum += value_of(r.type, bits) * x[i];
  }
  return sum;
}

/// Adds weight * expert(x) to y.
/// @param x  [hidden]
/// @param y  [hidden]
inline void add_expert(buddy::expert_record const& r, std::byte const* record, std::uint16_t const* x, double weight,
                       double* y) {
  std::vector<double> input(r.hidden);
  for (std::uint32_t i = 0; i != r.hidden; ++i) input[i] = value_of(r.type, x[i]);
  std::vector<double> inner(r.width);
  for (std::uint32_t i = 0; i != r.width; ++i) {
    std::size_t const row = std::size_t{i} * r.hidden * sizeof(std::uint16_t);
    double const gate = dot(r, record + r.gate_offset() + row, input);
    inner[i] = gate / (1.0 + std::exp(-gate)) * dot(r, record + r.up_offset() + row, input);
  }
  for (std::uint32_t i = 0; i != r.hidden; ++i)
    y[i] += weight * dot(r, record + r.down_offset() + std::size_t{i} * r.width * sizeof(std::uint16_t), inner);
}

/// ||out - expected|| / ||expected||; ||out|| when nothing is expected. Not a number when `out` holds one that is not.
inline double relative_error(std::vector<float> const& out, std::vector<double> const& expected) {
  double difference = 0.0;
  double norm = 0.0;
  for (std::size_t i = 0; i != expected.size(); ++i) {
    double const d = static_cast<double>(out[i]) - expected[i];
    difference += d * d;
    norm += expected[i] * expected[i];
  }
  return norm == 0.0 ? std::sqrt(difference) : std::sqrt(difference / norm);
}

}  // namespace reference
