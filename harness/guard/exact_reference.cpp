// SPDX-License-Identifier: Apache-2.0
/// @file
/// Runs the exact model once.
#include "harness/guard/exact_reference.hpp"

#include "harness/run/stepped.hpp"
#include "harness/tasks/quality.hpp"

#include <buddy/routing.hpp>

#include <cmath>
#include <cstddef>

namespace harness {

namespace {

/// The exact model, and the hidden states' norms.
class measured_moe {
 public:
  explicit measured_moe(std::size_t n_layers) : inverse_squares_(n_layers, 0.0) {}

  void begin_sequence() noexcept {}
  void begin_step() noexcept { ++n_tokens_; }
  std::span<expert_use const> operator()(std::uint16_t layer, router_output const& routed,
                                         std::span<float const> input) noexcept {
    double const norm = static_cast<double>(routed.hidden_norm);
    if (norm > 0.0) inverse_squares_[layer] += 1.0 / (norm * norm);
    return all_(layer, routed, input);
  }

  [[nodiscard]] std::vector<std::int32_t> norms() const {
    std::vector<std::int32_t> all;
    for (double const sum : inverse_squares_)
      all.push_back(buddy::norm_log2_q16(static_cast<float>(std::sqrt(static_cast<double>(n_tokens_) / sum))));
    return all;
  }

 private:
  all_resident all_;
  std::vector<double> inverse_squares_;
  std::size_t n_tokens_ = 0;
};

}  // namespace

exact_reference measure_exact(weights const& model, std::span<sequence const> calibration) {
  measured_moe moe{model.config().n_layers};
  double bits = 0;
  double n = 0;
  std::size_t of = 0;
  std::size_t at = 0;
  step_through(model, calibration, moe, [&](std::span<float const> logits) {
    bits += score_prediction(logits, logits, calibration[of].bytes[at + 1]).bits_exact;
    ++n;
    if (++at == calibration[of].n_predictions()) ++of, at = 0;
  });
  return {bits / n, moe.norms()};
}

}  // namespace harness
