// SPDX-License-Identifier: Apache-2.0
/// @file
/// All that a configuration can say.
#pragma once

#include "harness/policy/settings.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace llama_adapter {

/// What "resident" means.
enum class residency : std::uint8_t {
  pool,        ///< in a slot of memory of our own
  page_cache,  ///< in the page cache, of a model that is mapped from its file
  observe,     ///< nothing moves; what the router chose is written down
};

struct adapter_settings {
  harness::policy_settings policy;
  residency where = residency::pool;
  std::optional<double> budget_mib;  ///< bytes of all resident experts, instead of `policy.cache_ratio`
  std::string device;                ///< of the pool, by ggml's name; empty: the CPU
  std::uint32_t n_readers = 2;       ///< threads that read experts
  std::uint32_t read_ahead = 4;      ///< background reads that may be under way
  bool direct = true;                ///< past the page cache, where the file system can
  std::uint32_t max_tokens = 2048;   ///< largest n_ubatch of a context
  std::uint32_t decode_tokens = 8;   ///< a ubatch with more tokens is a prompt
  std::string profile;               ///< of this model; empty: none
  std::string trace_file;            ///< routing is recorded there; empty: nowhere
  std::string profile_file;          ///< a profile is made there; empty: nowhere
  bool report_at_end = false;        ///< the preloaded library prints its table
};

/// @param json  an object: "policy" is a preset of the harness, every other name is one of `adapter_settings` or a flag
///              of the harness without its dashes; '_' and '-' are the same
/// @param more  names and values that override, as from the environment
/// @throws buddy::config_error naming what is wrong
[[nodiscard]] adapter_settings parse_settings(std::string const& json,
                                              std::vector<std::pair<std::string, std::string>> const& more = {});

/// From `BUDDY_LLAMA_CONFIG` (a file or JSON) and one variable for each other name: BUDDY_LLAMA_CACHE_RATIO=0.25.
[[nodiscard]] adapter_settings settings_from_environment();

/// @param config  a file, JSON that begins with '{', or null: the environment
[[nodiscard]] adapter_settings read_settings(char const* config);

}  // namespace llama_adapter
