// SPDX-License-Identifier: Apache-2.0
/// @file
/// One token of a batch, as gates and selectors see it.
#pragma once

#include <buddy/fixed_point.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/routing.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstdint>

namespace buddy::inline v0 {

/// Holds the shares that `token` points to, so it stays where it is made. Time O(top_k).
class token_row {
 public:
  /// @param number  running number of the token
  /// @param t       its place in the batch
  token_row(model_shape const& shape, std::uint16_t layer, std::uint64_t number, routing const& r,
            std::uint32_t t) noexcept {
    std::uint32_t const k = shape.top_k;
    weights = r.weights.part(t * k, k);
    normalise(weights, {shares_, k});
    token = {layer,
             number,
             r.experts.part(t * k, k),
             {shares_, k},
             r.scores.empty() ? r.scores : r.scores.part(t * shape.n_experts, shape.n_experts),
             r.hidden_norms.empty() ? unknown_norm : norm_log2_q16(r.hidden_norms[t])};
  }
  token_row(token_row const&) = delete;
  token_row& operator=(token_row const&) = delete;

  token_view token{};
  view<float const> weights;  ///< [top_k] the router's gate weights

 private:
  q16 shares_[max_top_k];
};

}  // namespace buddy::inline v0
