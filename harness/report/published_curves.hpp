// SPDX-License-Identifier: Apache-2.0
/// @file
/// Hit rates that others have published: facts with their sources, to make traces from.
#pragma once

#include <buddy/model_shape.hpp>
#include <buddy/testing/trace_from_curve.hpp>

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace harness {

/// LRU per layer at a few sizes; straight lines in between are our guess.
struct published_curve {
  std::string_view name;
  std::string_view source;
  buddy::model_shape shape;  ///< without bytes
  std::vector<buddy::testing::curve_point> points;
};

[[nodiscard]] inline std::array<published_curve, 3> const& published_curves() {
  static std::array<published_curve, 3> const all{{
      {"olmoe",
       "OLMoE, 64 experts top-8, as measured by colibri: 8, 16, 24 slots a layer",
       {16, 64, 8, 1},
       {{8, 0.277}, {16, 0.514}, {24, 0.684}}},
      {"qwen3-30b-a3b",
       "Qwen3-30B-A3B, 128 experts, 6 a token: BigMoeOnEdge's route traces of 2026-07-15, replayed with LRU per layer",
       {48, 128, 6, 1},
       {{8, 0.427}, {16, 0.609}, {24, 0.726}, {32, 0.816}, {48, 0.920}, {64, 0.958}}},
      {"qwen3.8-flash-next",
       "512 experts, top-10: github.com/kekzl/imp pull request 2061, LRU",
       {0, 512, 10, 1},
       {{93, 0.435}, {186, 0.620}, {279, 0.720}, {372, 0.789}, {512, 0.850}}},
  }};
  return all;
}

}  // namespace harness
