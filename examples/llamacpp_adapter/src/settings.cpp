// SPDX-License-Identifier: Apache-2.0
/// @file
/// Names of our own first; the rest are the harness's flags, so that a policy is spelled alike everywhere.
#include "src/settings.hpp"

#include "harness/commands/policy_flags.hpp"
#include "harness/policy/presets.hpp"

#include <buddy/error.hpp>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>

namespace llama_adapter {

namespace {

using entry = std::pair<std::string, std::string>;

std::string with_dashes(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

template <class Number>
Number number(entry const& e, Number least, Number most) {
  Number value{};
  char const* const end = e.second.data() + e.second.size();
  auto const [stop, wrong] = std::from_chars(e.second.data(), end, value);
  if (wrong != std::errc{} || stop != end || !(value >= least && value <= most))
    throw buddy::config_error(e.first + " '" + e.second + "': must be a number in [" + std::to_string(least) + ", " +
                              std::to_string(most) + "]");
  return value;
}

bool truth(entry const& e) {
  if (e.second == "true" || e.second == "1") return true;
  if (e.second == "false" || e.second == "0") return false;
  throw buddy::config_error(e.first + " '" + e.second + "': true or false");
}

residency residency_of(entry const& e) {
  std::string const word = with_dashes(e.second);
  if (word == "pool") return residency::pool;
  if (word == "page-cache") return residency::page_cache;
  if (word == "observe") return residency::observe;
  throw buddy::config_error("residency '" + e.second + "': one of pool, page-cache, observe");
}

/// @returns whether the name is one of ours
bool set_own(adapter_settings& s, entry const& e) {
  if (e.first == "cache-ratio") {
    s.policy.cache_ratio = number<double>(e, 0.0, 1.0);
  } else if (e.first == "residency") {
    s.where = residency_of(e);
  } else if (e.first == "budget-mib") {
    s.budget_mib = number<double>(e, 0.0, 1e9);
  } else if (e.first == "device") {
    s.device = e.second;
  } else if (e.first == "readers") {
    s.n_readers = number<std::uint32_t>(e, 1, 64);
  } else if (e.first == "read-ahead") {
    s.read_ahead = number<std::uint32_t>(e, 1, 1024);
  } else if (e.first == "direct") {
    s.direct = truth(e);
  } else if (e.first == "max-ubatch") {
    s.max_tokens = number<std::uint32_t>(e, 1, 65536);
  } else if (e.first == "decode-tokens") {
    s.decode_tokens = number<std::uint32_t>(e, 1, 65536);
  } else if (e.first == "profile") {
    s.profile = e.second;
  } else if (e.first == "record-trace") {
    s.trace_file = e.second;
  } else if (e.first == "record-profile") {
    s.profile_file = e.second;
  } else if (e.first == "report") {
    s.report_at_end = truth(e);
  } else {
    return false;
  }
  return true;
}

/// The rest, as the harness's command line takes it.
void set_flags(harness::policy_settings& policy, std::vector<entry> const& flags) {
  CLI::App app;
  app.set_help_flag();
  harness::policy_flags known;
  known.add_to(app);
  std::vector<std::string> arguments;
  for (entry const& flag : flags) {
    if (flag.second == "false") continue;  // a switch that is off
    if (flag.second != "true") arguments.push_back(flag.second);
    arguments.push_back("--" + flag.first);  // CLI11 takes them last first
  }
  try {
    app.parse(arguments);
  } catch (CLI::ParseError const& e) {
    throw buddy::config_error(std::string{"configuration: "} + e.what());
  }
  known.apply(policy);
}

std::vector<entry> entries_of(std::string const& json) {
  auto const object = nlohmann::json::parse(json, nullptr, false);
  if (!object.is_object()) throw buddy::config_error("configuration: must be one JSON object");
  std::vector<entry> entries;
  for (auto const& [name, value] : object.items()) {
    if (!value.is_primitive() || value.is_null())
      throw buddy::config_error("configuration: '" + name + "' must be a word, a number, true or false");
    entries.emplace_back(with_dashes(name), value.is_string() ? value.get<std::string>() : value.dump());
  }
  return entries;
}

std::string text_of(std::string const& config) {
  if (config.empty()) return "{}";
  if (config[0] == '{') return config;
  std::ifstream in{config};
  if (!in) throw buddy::config_error("configuration '" + config + "' cannot be read");
  return {std::istreambuf_iterator<char>{in}, {}};
}

/// The adapter computes on one kind of memory: there is nobody to take over what such policies leave to others.
void refuse_foreign_rules(harness::policy_settings const& s) {
  using buddy::resolution;
  if (s.rules.on_refused == resolution::host || s.rules.over_cap == resolution::host ||
      s.rules.lanes.rule != buddy::lane_rule::fixed)
    throw buddy::config_error("llama.cpp adapter: there is no host lane; on-refused and over-cap must not be 'host'");
  if (harness::needs_low_precision(s))
    throw buddy::config_error("llama.cpp adapter: selector '" + s.selector + "' needs low-precision copies");
  if (s.route_ahead != 0) throw buddy::config_error("llama.cpp adapter: route-ahead must be 0");
}

}  // namespace

adapter_settings parse_settings(std::string const& json, std::vector<entry> const& more) {
  auto entries = entries_of(json);
  for (entry const& e : more) {
    std::erase_if(entries, [&](entry const& old) { return old.first == with_dashes(e.first); });
    entries.emplace_back(with_dashes(e.first), e.second);
  }
  adapter_settings s;
  std::string preset = "fetch";
  std::vector<entry> flags;
  for (entry const& e : entries)
    if (e.first == "policy") preset = e.second;
  s.policy = harness::preset_settings(preset);
  for (entry const& e : entries)
    if (e.first != "policy" && !set_own(s, e)) flags.push_back(e);
  set_flags(s.policy, flags);
  refuse_foreign_rules(s.policy);
  return s;
}

adapter_settings settings_from_environment() {
  constexpr std::string_view prefix = "BUDDY_LLAMA_";
  std::string config;
  std::vector<entry> more;
  for (char const* const* variable = environ; *variable != nullptr; ++variable) {
    std::string const text{*variable};
    auto const equals = text.find('=');
    if (!text.starts_with(prefix) || equals == std::string::npos) continue;
    std::string name = text.substr(prefix.size(), equals - prefix.size());
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    if (name == "config") {
      config = text.substr(equals + 1);
    } else {
      more.emplace_back(name, text.substr(equals + 1));
    }
  }
  return parse_settings(text_of(config), more);
}

adapter_settings read_settings(char const* config) {
  return config == nullptr ? settings_from_environment() : parse_settings(text_of(config));
}

}  // namespace llama_adapter
