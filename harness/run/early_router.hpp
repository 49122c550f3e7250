// SPDX-License-Identifier: Apache-2.0
/// @file
/// An experiment: each layer runs the experts that its router would choose for what an earlier layer reads.
#pragma once

#include <buddy/model_shape.hpp>
#include <buddy/policies/prediction/committed.hpp>
#include <buddy/policies/prediction/next_gate.hpp>
#include <buddy/routing.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <array>
#include <cstdint>

namespace harness {

/// Changes the routing of the model itself, whatever is resident: copies could all be made in time.
class early_router {
 public:
  /// @param routers  [n_layers] of [n_experts, hidden_size]; must outlive this
  /// @param ahead    layers between decision and use; the first `ahead` layers route as ever
  early_router(buddy::model_shape const& shape, buddy::view<buddy::view<float const> const> routers,
               std::uint16_t ahead)
      : top_k_(shape.top_k), gate_(shape, routers, ahead), committed_(shape) {}

  /// @param truth  one token with inputs and scores
  /// @returns what runs; valid until the next call
  [[nodiscard]] buddy::routing commit(std::uint16_t layer, buddy::routing const& truth) noexcept {
    std::array<std::uint16_t, buddy::max_top_k> named;
    std::uint32_t const n = gate_.predict(layer, {named.data(), top_k_});
    gate_.observe(layer, truth);
    return committed_.commit({named.data(), n}, truth);
  }

 private:
  std::uint16_t top_k_;
  buddy::prediction::next_gate gate_;
  buddy::prediction::committed committed_;
};

}  // namespace harness
