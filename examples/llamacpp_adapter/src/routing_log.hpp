// SPDX-License-Identifier: Apache-2.0
/// @file
/// Writes down what the routers chose: a trace, a profile, or both.
#pragma once

#include "src/moe_graph.hpp"

#include <buddy/counters.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/profile_builder.hpp>
#include <buddy/trace_recorder.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace llama_adapter {

class routing_log {
 public:
  /// @param trace_file, profile_file  empty: not wanted
  routing_log(buddy::model_shape const& shape, std::string model, std::string trace_file, std::string profile_file);

  /// Tells the profile how alike the routers' rows are.
  void router(std::uint16_t layer, buddy::view<float const> rows);

  void begin_sequence();
  void begin_step(std::uint32_t n_tokens, buddy::phase p);
  /// Layers that see fewer tokens than the step (the last one skips what nobody asked logits for) stay without record.
  void record(std::uint16_t layer, buddy::routing const& r);

  /// @throws buddy::config_error when a file cannot be written
  void write() const;

 private:
  std::string trace_file_, profile_file_;
  std::optional<buddy::trace_recorder> trace_;
  std::optional<buddy::profile_builder> profile_;
  std::uint32_t n_tokens_ = 0;
};

}  // namespace llama_adapter
