// SPDX-License-Identifier: Apache-2.0
/// @file
/// What a guarded run says of its guard.
#pragma once

#include "harness/model/config.hpp"
#include "harness/sim/layer_cost.hpp"

#include <buddy/guard_options.hpp>

#include <cstdint>

namespace harness {

/// What audits took, for their price.
struct audit_counts {
  std::uint64_t slots{};
  std::uint64_t tokens{};
  std::uint64_t token_misses{};  ///< experts of audited tokens that were not in fast memory
};

struct guard_report {
  std::uint64_t target_ub{};
  buddy::guard_status status{};
  audit_counts audits{};
  std::uint64_t audit_ns{};  ///< modelled
};

/// The dear way, as if nothing ran beside it: an audited slot is computed by the CPU; an audited token runs through the
/// layers once more, its missing experts on the CPU.
[[nodiscard]] inline std::uint64_t audit_ns(audit_counts const& n, layer_cost const& cost, model_config const& c) {
  std::uint64_t const pass = c.n_layers * (cost.rest_ns + c.top_k * cost.expert_ns);
  return (n.slots + n.token_misses) * cost.host_expert_ns + n.tokens * pass;
}

}  // namespace harness
