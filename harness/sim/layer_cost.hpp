// SPDX-License-Identifier: Apache-2.0
/// @file
/// Hardware and shape brought together: what the parts of one layer take.
#pragma once

#include "harness/policy/settings.hpp"
#include "harness/sim/charged_shape.hpp"
#include "harness/sim/hardware.hpp"

#include <buddy/policies/transfer/sim_link.hpp>

#include <cmath>
#include <cstdint>

namespace harness {

/// Whole nanoseconds, so that sums do not depend on their order.
struct layer_cost {
  std::uint64_t rest_ns{};         ///< the layer without its routed experts
  std::uint64_t resolve_ns{};      ///< the policy's decision
  std::uint64_t expert_ns{};       ///< one expert read from device memory
  std::uint64_t handshake_ns{};    ///< to the host and back
  std::uint64_t host_expert_ns{};  ///< one expert read by the CPU
};

namespace detail {

/// 1 GB/s is one byte a nanosecond.
inline std::uint64_t read_ns(std::uint64_t bytes, double gbps) {
  return static_cast<std::uint64_t>(std::llround(static_cast<double>(bytes) / gbps));
}

inline std::uint64_t us_to_ns(double us) { return static_cast<std::uint64_t>(std::llround(us * 1000.0)); }

}  // namespace detail

/// One decoded token is bound by memory: a matrix takes the time in which its weights are read.
[[nodiscard]] inline layer_cost cost_of(hardware const& h, charged_shape const& s) {
  return {detail::read_ns(s.bytes_per_layer, h.device_gbps) + detail::us_to_ns(h.layer_fixed_us + h.moe_fixed_us),
          detail::us_to_ns(h.resolve_us), detail::read_ns(s.expert_bytes, h.device_gbps),
          detail::us_to_ns(h.host_handshake_us), detail::read_ns(s.expert_bytes, h.cpu_gbps)};
}

/// Settings whose rule of the miss lanes knows what the two lanes take on this machine.
[[nodiscard]] inline policy_settings priced(policy_settings s, hardware const& h, charged_shape const& shape) {
  s.rules.lanes.fetch_ns = detail::us_to_ns(h.link_latency_us) + detail::read_ns(shape.expert_bytes, h.link_gbps);
  s.rules.lanes.host_ns = detail::read_ns(shape.expert_bytes, h.cpu_gbps);
  return s;
}

/// One copy at a time, each with its own latency: M copies take M (latency + bytes / bandwidth).
[[nodiscard]] inline buddy::transfer::sim_link_options link_of(hardware const& h) {
  return {detail::us_to_ns(h.link_latency_us), static_cast<std::uint64_t>(std::llround(h.link_gbps * 1e9)), 1, 1024};
}

}  // namespace harness
