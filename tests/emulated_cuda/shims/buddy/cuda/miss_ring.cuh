// SPDX-License-Identifier: Apache-2.0
// Stands in for the header of the same name: the two words that the kernels on trial touch. One fiber at a time runs.
#pragma once

#include <cstdint>

namespace buddy::inline v0::cuda {

struct device_memory {
  using word = std::uint32_t;

  static word load_from_reader(word const& w) noexcept { return w; }
  static void publish(word& w, word value) noexcept { w = value; }
};

}  // namespace buddy::inline v0::cuda
