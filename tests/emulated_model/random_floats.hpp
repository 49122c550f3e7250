// SPDX-License-Identifier: Apache-2.0
// Numbers for kernels to work on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

/// Normal with this deviation.
inline std::vector<float> random_floats(std::size_t n, std::uint32_t seed, float deviation = 1.0F) {
  std::mt19937 random{seed};
  std::normal_distribution<float> normal{0.0F, deviation};
  std::vector<float> x(n);
  for (float& v : x) v = normal(random);
  return x;
}
