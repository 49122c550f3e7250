// SPDX-License-Identifier: Apache-2.0
/// @file
/// Buddy lists from a matrix of similarities: every expert's peers, the most similar first.
#pragma once

#include <buddy/buddy_table.hpp>
#include <buddy/error.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/profile.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <vector>

namespace buddy::inline v0 {

/// How a similarity becomes a share in [0, 1].
enum class similarity_scale : std::uint8_t {
  unit,    ///< it is one already; what is outside is clipped
  cosine,  ///< (1 + c) / 2
};

/// Which similarity of calibration outputs; `profile` has their definitions.
enum class output_kind : std::uint8_t { cosine, cka, frobenius };

/// The enumerator's name, as reports write it.
[[nodiscard]] constexpr std::string_view to_string(output_kind k) noexcept {
  return k == output_kind::cosine ? "cosine" : k == output_kind::cka ? "cka" : "frobenius";
}

/// @param matrix   [L, E, E] similarity of i and j
/// @param seen     [L, E] tokens that calibration routed to i: 0 gives an empty list; an empty vector: all were seen
/// @param longest  most entries of a list; more than there are peers is all of them
/// @returns lists by falling similarity, ties by rising id, never the expert itself
/// @throws config_error when a size is not the model's, or a similarity is not finite
[[nodiscard]] inline buddy_table build_neighbours(model_shape const& shape, std::vector<float> const& matrix,
                                                  similarity_scale scale, std::vector<std::uint64_t> const& seen,
                                                  std::uint32_t longest = max_experts) {
  validate(shape);
  if (matrix.size() != shape.n_keys() * shape.n_experts || (!seen.empty() && seen.size() != shape.n_keys()))
    detail::throw_config_error("buddy::build_neighbours: the tables must have the size of the model's shape");
  if (!std::all_of(matrix.begin(), matrix.end(), [](float x) { return std::isfinite(x); }))
    detail::throw_config_error("buddy::build_neighbours: similarities must be finite");
  if (longest == 0) detail::throw_config_error("buddy::build_neighbours: lists must be at least 1 long");
  buddy_table table(shape, std::min<std::uint32_t>(longest, shape.n_experts));
  std::vector<std::uint16_t> peers;
  for (std::uint16_t l = 0; l != shape.n_layers; ++l) {
    for (std::uint16_t i = 0; i != shape.n_experts; ++i) {
      if (!seen.empty() && seen[shape.index({l, i})] == 0) continue;
      float const* const row = matrix.data() + shape.index({l, i}) * shape.n_experts;
      peers.clear();
      for (std::uint16_t j = 0; j != shape.n_experts; ++j)
        if (j != i) peers.push_back(j);
      std::stable_sort(peers.begin(), peers.end(), [&](auto a, auto b) { return row[a] > row[b]; });
      peers.resize(std::min<std::size_t>(peers.size(), longest));
      for (std::uint16_t const j : peers) {
        float const share = scale == similarity_scale::cosine ? 0.5F + 0.5F * row[j] : row[j];
        table.append({l, i}, j, to_q16(std::clamp(share, 0.0F, 1.0F)));
      }
    }
  }
  return table;
}

/// Peers by the cosine of the router's rows, mapped to [0, 1].
/// @throws config_error when the profile has none
[[nodiscard]] inline buddy_table router_neighbours(profile const& p, std::uint32_t longest = max_experts) {
  if (p.router_cosine.empty()) detail::throw_config_error("buddy::router_neighbours: the profile has no router_cosine");
  return build_neighbours(p.shape, p.router_cosine, similarity_scale::cosine, p.activations, longest);
}

/// Peers by the similarity of their outputs on calibration text; cosines are mapped to [0, 1].
/// @throws config_error when the profile has no such table
[[nodiscard]] inline buddy_table output_neighbours(profile const& p, output_kind kind,
                                                   std::uint32_t longest = max_experts) {
  auto const& matrix = kind == output_kind::cosine ? p.output_cosine
                       : kind == output_kind::cka  ? p.output_cka
                                                   : p.output_frobenius;
  if (matrix.empty())
    detail::throw_config_error("buddy::output_neighbours: the profile has no outputs of that kind; calibrate again");
  auto const scale = kind == output_kind::cosine ? similarity_scale::cosine : similarity_scale::unit;
  return build_neighbours(p.shape, matrix, scale, p.activations, longest);
}

}  // namespace buddy::inline v0
