// SPDX-License-Identifier: Apache-2.0
/// @file
/// What the modelled machine is like.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

namespace harness {

/// One machine with an accelerator. Gigabytes are 10^9 bytes.
struct hardware {
  std::string name;
  double device_gbps{};        ///< effective bandwidth of device memory, GB/s
  double link_gbps{};          ///< host to device, GB/s
  double link_latency_us{};    ///< of one isolated copy
  double cpu_gbps{};           ///< rate at which the CPU reads the weights of experts that it computes, GB/s
  double layer_fixed_us{};     ///< launches of the layer without its experts
  double moe_fixed_us{};       ///< launches of the expert part
  double resolve_us{};         ///< the policy's decision on the device
  double host_handshake_us{};  ///< device to host and back, once for each layer that uses the CPU
  double device_tflops{};  ///< of large products, 10^12 a second, for prompts; 0: not charged. May be absent in a file
};

/// A number of a machine under the name that files give it.
struct hardware_field {
  std::string_view name;
  double hardware::* value;
  double least;
  double most;
};

[[nodiscard]] std::span<hardware_field const> hardware_fields();

/// Null when no machine has it.
[[nodiscard]] hardware_field const* find_hardware_field(std::string_view name);

/// A file's text that `load_hardware` reads.
/// @param source  by field: where its value comes from; may be empty
[[nodiscard]] std::string hardware_json(hardware const& h, std::map<std::string, std::string> const& source = {});

/// The machines known by name.
[[nodiscard]] std::span<hardware const> builtin_hardware();

/// @param name  of a machine, or a file ending in .json with exactly the fields above; and, if it likes, `source`, an
///              object that says by field where the value comes from
/// @throws buddy::config_error when there is no such machine, or the file breaks a rule
[[nodiscard]] hardware load_hardware(std::string const& name);

}  // namespace harness
