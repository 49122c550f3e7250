// SPDX-License-Identifier: Apache-2.0
/// @file
/// What calibration on the real model gives: the offline knowledge that the tables are made of.
#pragma once

#include <buddy/fixed_point.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/resolution.hpp>
#include <buddy/types.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace buddy::inline v0 {

/// Percentiles 0, 1, ..., 100 of a distribution.
inline constexpr std::size_t n_percentiles = 101;

/// One kind of stand-in for every expert of a model, and what it is expected to cost.
struct stand_in_set {
  std::string name;                   ///< as whoever fitted it calls it
  resolution how{resolution::drop};   ///< `surrogate`, `low_precision` or `drop`
  std::uint64_t record_bytes{};       ///< of fast memory for each expert
  std::vector<float> errors;          ///< [L, E] mean of |E(x) - S(x)|^2 / |h|^2 by gate^2; h is the layer's output
  std::vector<float> loss_weights;    ///< [L] bits of loss for one token per unit of share^2 x error
  std::vector<std::uint8_t> records;  ///< [L, E, record_bytes]

  bool operator==(stand_in_set const&) const = default;
};

/// Routing statistics of one model on one text. L layers, E experts a layer; every table is row-major.
///
/// Counts are exact, so that what is derived from them does not depend on the machine. Tables that the calibration
/// could not fill are empty: `min_weighted` and `entropy_percentiles` need gate weights, `router_cosine` the router,
/// the three of outputs the experts themselves.
struct profile {
  model_shape shape;
  std::string model;         ///< identity of the model, as its files name it
  std::uint64_t n_tokens{};  ///< tokens that the layer with the most records saw

  std::vector<std::uint64_t> activations;    ///< [L, E] tokens routed to i
  std::vector<std::uint32_t> coactivations;  ///< [L, E, E] tokens routed to both i and j; symmetric, diagonal 0
  std::vector<std::uint64_t> min_weighted;   ///< [L, E, E] sum of min(share of i, share of j) over those tokens, Q16
  std::vector<std::uint32_t> transitions;    ///< [L, E, E] tokens routed to i here and to j at the layer that follows
  std::vector<q16> entropy_percentiles;      ///< [L, 101] of the token entropy, Q16
  std::vector<float> router_cosine;          ///< [L, E, E] cosine of the router's rows

  // How alike the outputs of experts i and j are on a sample of n inputs x of the layer, whichever experts those inputs
  // were routed to. A is [n, hidden], row t the output E_i(x_t) without its gate weight; B the same of j. Symmetric.
  std::vector<float> output_cosine;  ///< [L, E, E] mean over t of the cosine of A's and B's rows, in [-1, 1]
  /// [L, E, E] linear CKA, |A'B|^2 / (|A'A| |B'B|) in Frobenius norms with the columns' means taken off, in [0, 1]
  std::vector<float> output_cka;
  std::vector<float> output_frobenius;  ///< [L, E, E] 1 - |A - B| / (|A| + |B|) in Frobenius norms, in [0, 1]

  // What takes a missing expert's place. Errors are of outputs without their gate weight, on the tokens that the router
  // sent to the expert; a token counts as much as its gate weight squared.
  std::vector<std::uint64_t> output_samples;  ///< [L, E] tokens behind the errors; 0: never seen
  std::vector<stand_in_set> stand_ins;        ///< needs `output_samples`
  std::vector<float> buddy_errors;            ///< [L, E (missing), E] as `stand_in_set::errors`, output of j scaled
  std::vector<float> buddy_scales;            ///< [L, E (missing), E] least-squares factor of j's output, at least 0
  std::vector<float> buddy_loss_weights;      ///< [L] as `stand_in_set::loss_weights`

  /// Position of (i, j) in a table `[L, E, E]`.
  [[nodiscard]] std::size_t pair_index(std::uint16_t layer, std::uint16_t i, std::uint16_t j) const noexcept {
    return shape.index({layer, i}) * shape.n_experts + j;
  }

  /// Smallest entropy that at least `percent` % of the layer's tokens do not exceed. @pre entropies were measured
  [[nodiscard]] q16 entropy_percentile(std::uint16_t layer, std::uint32_t percent) const noexcept {
    return entropy_percentiles[layer * n_percentiles + percent];
  }

  bool operator==(profile const&) const = default;
};

/// Why a profile is not knowledge of this model, naming both; empty when it is. Expert sizes may differ: routing does
/// not depend on how weights are stored.
[[nodiscard]] inline std::string model_difference(profile const& p, std::string const& model,
                                                  model_shape const& shape) {
  auto const sizes = [](model_shape const& s) {
    return std::to_string(s.n_layers) + " layers of " + std::to_string(s.n_experts) + " experts, top-" +
           std::to_string(s.top_k);
  };
  if (p.model != model) return "the profile is of model '" + p.model + "', but the model here is '" + model + "'";
  if (sizes(p.shape) != sizes(shape))
    return "the profile of '" + p.model + "' has " + sizes(p.shape) + ", but the model here has " + sizes(shape);
  return {};
}

}  // namespace buddy::inline v0
