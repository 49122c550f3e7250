// SPDX-License-Identifier: Apache-2.0
/// @file
/// Where the routing of a stack without a model comes from.
#pragma once

#include "harness/layers/layer_stack.hpp"

#include <buddy/counters.hpp>
#include <buddy/routing.hpp>
#include <buddy/routing_trace.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace harness {

/// Routing of as many steps as a run takes; the tokens of one step lie behind one another.
struct step_routing {
  buddy::routing_trace trace;
  std::uint32_t n_tokens{1};                ///< of one step
  std::vector<std::vector<float>> routers;  ///< [n_layers] of [n_experts, n_features]; only from a router
  std::vector<float> inputs;                ///< [n_tokens of the trace, n_layers, n_features]; only from a router
  std::uint32_t n_features{};
  std::string source;  ///< in words

  [[nodiscard]] std::size_t n_steps() const noexcept { return trace.n_tokens() / n_tokens; }
};

/// Tokens of a recording: the batch's rows are streams that begin at equal distances, as if so many texts were decoded
/// at once. A prompt's chunk is one stretch of it instead. Begins again from the front where the recording is short.
/// @param consecutive  the tokens of a step follow each other: a chunk of a prompt
/// @throws buddy::config_error when it is of a model of other sizes, or a token lacks a layer
[[nodiscard]] step_routing routing_from_trace(layer_stack const& stack, buddy::routing_trace const& trace,
                                              std::size_t n_steps, std::uint32_t n_tokens, bool consecutive);

/// Experts drawn so that an LRU of every size hits as the curve says; gate weights fall off by a third each.
/// @param curve  a published curve's name, or empty: the one that belongs to the stack's name
/// @throws buddy::config_error when there is none
[[nodiscard]] step_routing routing_from_profile(layer_stack const& stack, std::string const& curve, std::size_t n_steps,
                                                std::uint32_t n_tokens, bool consecutive, std::uint64_t seed);

/// Random routers read a vector that changes slowly from token to token and from layer to layer, as a residual stream
/// does. They read `router_features` of it, so that inputs of long runs stay small.
[[nodiscard]] step_routing routing_from_router(layer_stack const& stack, std::size_t n_steps, std::uint32_t n_tokens,
                                               bool consecutive, std::uint64_t seed);

inline constexpr std::uint32_t router_features = 128;

/// One layer of one step, gathered into arrays of its own.
class layer_reader {
 public:
  explicit layer_reader(step_routing const& from);

  /// Valid until the next call. @pre step < n_steps
  [[nodiscard]] buddy::routing at(std::size_t step, std::uint16_t layer) noexcept;

 private:
  step_routing const* from_;
  std::vector<std::uint16_t> experts_;  // [n_tokens, top_k]
  std::vector<float> weights_;          // [n_tokens, top_k]
  std::vector<float> inputs_;           // [n_tokens, n_features]
};

}  // namespace harness
