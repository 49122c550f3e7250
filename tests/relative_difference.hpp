// SPDX-License-Identifier: Apache-2.0
// How far two arrays of floats are apart.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

/// Largest difference relative to the largest value.
template <class A, class B>
inline double relative_difference(A const& a, B const& b) {
  double difference = 0, largest = 0;
  for (std::size_t i = 0; i != b.size(); ++i) {
    difference = std::max(difference, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    largest = std::max(largest, std::abs(static_cast<double>(b[i])));
  }
  return difference / largest;
}
