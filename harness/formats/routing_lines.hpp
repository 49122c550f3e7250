// SPDX-License-Identifier: Apache-2.0
/// @file
/// Per-token expert ids in JSON lines as a trace.
#pragma once

#include <buddy/routing_trace.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace harness {

/// One object a line, all lines of one of two kinds:
///
///     {"layer": 0, "token": 7, "experts": [5, 1], "weights": [0.8, 0.2]}
///     {"routed_experts": [[[5, 1], [3, 2]], [[5, 0], [2, 7]]], "prompt_tokens": 1}
///
/// The first is one token at one layer; `weights`, `sequence` (a number) and `phase` ("prefill" | "decode") are
/// optional; `token_idx`, `topk_ids` and `topk_weights` are other names, as loggers for vLLM write them. The second is
/// one sequence, [tokens, layers, top_k] as vLLM and SGLang return it when decoded to lists; its first `prompt_tokens`
/// tokens are prefill. Other members are for others. With weights, slots are sorted by them; without, they stay as they
/// are. `n_experts`, given or else one more than the largest id, is that of all layers.
/// @throws buddy::config_error naming file, line and rule when anything is not as it must be
[[nodiscard]] buddy::routing_trace parse_routing_lines(std::string_view text, std::string const& name,
                                                       std::uint32_t n_experts = 0);
[[nodiscard]] buddy::routing_trace read_routing_lines(std::filesystem::path const& file, std::uint32_t n_experts = 0);

}  // namespace harness
