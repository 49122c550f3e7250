// SPDX-License-Identifier: Apache-2.0
/// @file
/// Where a result comes from.
#pragma once

#include <optional>
#include <string>

namespace harness {

/// Commit of the source tree that the program was built from; nothing when that is no git checkout.
[[nodiscard]] std::optional<std::string> source_commit();

/// Name of the processor, nothing when the system does not tell.
[[nodiscard]] std::optional<std::string> machine_name();

}  // namespace harness
