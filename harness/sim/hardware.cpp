// SPDX-License-Identifier: Apache-2.0
/// @file
/// The built-in machines, and the reader of others.
#include "harness/sim/hardware.hpp"

#include <buddy/error.hpp>
#include <buddy/io/mapped_file.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace harness {

namespace {

// Device memory is charged at 0.9 of its datasheet bandwidth, which large copies reach. The links are what one pinned
// copy stream reaches on PCIe 5.0 x16 and 4.0 x16; the handshake is a synchronising round trip under Linux. Launches of
// one decoded layer cost 5 us for attention and 12 us for the experts, the policy's own kernel 2 us. Large products in
// bfloat16 reach 0.7 of the datasheet.
std::array<hardware, 3> const& machines() {
  static std::array<hardware, 3> const all{{
      {"rtx4090-pcie4", 1008 * 0.9, 25, 10, 60, 5, 12, 2, 26, 165 * 0.7},
      {"a100-pcie4", 2039 * 0.9, 25, 10, 100, 5, 12, 2, 26, 312 * 0.7},
      {"h200-pcie5", 4800 * 0.9, 55, 10, 200, 5, 12, 2, 26, 989 * 0.7},
  }};
  return all;
}

using field = hardware_field;

constexpr double most_gbps = 1e6;
constexpr double most_us = 1e6;
constexpr std::array<field, 9> fields{{
    {"device_gbps", &hardware::device_gbps, 1e-3, most_gbps},
    {"link_gbps", &hardware::link_gbps, 1e-3, most_gbps},
    {"link_latency_us", &hardware::link_latency_us, 0, most_us},
    {"cpu_gbps", &hardware::cpu_gbps, 1e-3, most_gbps},
    {"layer_fixed_us", &hardware::layer_fixed_us, 0, most_us},
    {"moe_fixed_us", &hardware::moe_fixed_us, 0, most_us},
    {"resolve_us", &hardware::resolve_us, 0, most_us},
    {"host_handshake_us", &hardware::host_handshake_us, 0, most_us},
    {"device_tflops", &hardware::device_tflops, 0, 1e6},
}};

[[noreturn]] void refuse(std::string const& file, std::string const& rule) {
  throw buddy::config_error(file + ": " + rule);
}

double number_in(nlohmann::json const& object, field const& f, std::string const& file) {
  std::string const name{f.name};
  auto const at = object.find(name);
  if (at == object.end() && f.value == &hardware::device_tflops) return 0.0;  // it came later than the others
  if (at == object.end()) refuse(file, name + " is missing");
  if (!at->is_number()) refuse(file, name + " must be a number");
  auto const x = at->get<double>();
  if (!(x >= f.least && x <= f.most))
    refuse(file, name + " must be in [" + nlohmann::json(f.least).dump() + ", " + nlohmann::json(f.most).dump() + "]");
  return x;
}

/// Of two fields with one name the reader would keep the last, in silence.
nlohmann::json json_of(std::string_view text, std::string const& file) {
  std::set<std::pair<int, std::string>> seen;  // with its depth: `source` names the fields again
  auto const check = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    if (event == nlohmann::json::parse_event_t::key && !seen.insert({depth, value.get<std::string>()}).second)
      refuse(file, value.get<std::string>() + " is there twice");
    return true;
  };
  return nlohmann::json::parse(text, check, false);
}

/// It ends up in tables and CSV files.
std::string name_in(nlohmann::json const& object, std::string const& file) {
  auto const at = object.find("name");
  if (at == object.end() || !at->is_string()) refuse(file, "name must be a string");
  auto const name = at->get<std::string>();
  auto const is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (name.empty() || std::any_of(name.begin(), name.end(), is_control))
    refuse(file, "name must have a character, and no control characters");
  return name;
}

/// Only read by people, but checked: a wrong name would say nothing about its field.
void check_source(nlohmann::json const& source, std::string const& file) {
  if (!source.is_object()) refuse(file, "source must be an object");
  for (auto const& [name, text] : source.items())
    if (find_hardware_field(name) == nullptr || !text.is_string())
      refuse(file, "source must give a text for fields of a machine");
}

hardware parse(std::string_view text, std::string const& file) {
  auto const json = json_of(text, file);
  if (!json.is_object()) refuse(file, "must be one JSON object");
  hardware h;
  h.name = name_in(json, file);
  for (field const& f : fields) h.*f.value = number_in(json, f, file);
  std::size_t known = 1;
  for (field const& f : fields) known += json.contains(std::string{f.name}) ? 1 : 0;
  if (auto const at = json.find("source"); at != json.end()) {
    check_source(*at, file);
    ++known;
  }
  if (json.size() != known) refuse(file, "has fields that no machine has");
  return h;
}

}  // namespace

std::span<hardware const> builtin_hardware() { return machines(); }

std::span<hardware_field const> hardware_fields() { return fields; }

hardware_field const* find_hardware_field(std::string_view name) {
  auto const at = std::find_if(fields.begin(), fields.end(), [&](field const& f) { return f.name == name; });
  return at == fields.end() ? nullptr : &*at;
}

std::string hardware_json(hardware const& h, std::map<std::string, std::string> const& source) {
  nlohmann::ordered_json out{{"name", h.name}};
  for (field const& f : fields) out[std::string{f.name}] = h.*f.value;
  if (!source.empty()) out["source"] = source;
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

hardware load_hardware(std::string const& name) {
  if (name.size() > 5 && name.compare(name.size() - 5, 5, ".json") == 0) {
    buddy::io::mapped_file const file{name};
    auto const bytes = file.bytes();
    return parse({reinterpret_cast<char const*>(bytes.data()), bytes.size()}, name);
  }
  std::string known;
  for (hardware const& h : machines()) {
    if (h.name == name) return h;
    known += (known.empty() ? "" : ", ") + h.name;
  }
  throw buddy::config_error("unknown hardware '" + name + "': one of " + known + ", or a .json file");
}

}  // namespace harness
