// SPDX-License-Identifier: Apache-2.0
/// @file
/// One measured property of a machine.
#pragma once

#include <string>

namespace harness {

struct figure {
  std::string name;  ///< what, with its axes: "cpu/gemv/threads:4"
  std::string unit;  ///< GB/s, us
  double value{};    ///< median
  double least{};    ///< of the samples
  double most{};
  std::string field;  ///< the field of a hardware profile that it gives, or empty
};

}  // namespace harness
