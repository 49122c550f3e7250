// SPDX-License-Identifier: Apache-2.0
/// @file
/// Feeds a profile builder.
#include "harness/run/calibration.hpp"

#include "harness/fidelity/self_text.hpp"
#include "harness/run/output_similarity.hpp"
#include "harness/run/stepped.hpp"

#include <buddy/profile_builder.hpp>
#include <buddy/routing.hpp>

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>

namespace harness {

namespace {

/// The exact model, watched.
class observed_moe {
 public:
  observed_moe(buddy::profile_builder& builder, input_sample& sample) : builder_{&builder}, sample_{&sample} {}

  void begin_sequence() noexcept { builder_->begin_sequence(); }
  void begin_step() noexcept {}

  std::span<expert_use const> operator()(std::uint16_t layer, router_output const& routed,
                                         std::span<float const> input) {
    auto const n = static_cast<std::uint32_t>(routed.experts.size());
    builder_->observe(layer, {{routed.experts.data(), n}, {routed.weights.data(), n}, {}, 1});
    sample_->observe(layer, input);
    return all_(layer, routed, input);
  }

 private:
  buddy::profile_builder* builder_;
  input_sample* sample_;
  all_resident all_;
};

}  // namespace

std::vector<sequence> calibration_texts(weights const& model, calibration_options const& options) {
  std::size_t const positions = model.config().max_positions;
  if (options.text != "self") return calibration_set({options.text, true, options.n_tokens, options.seed}, positions);
  std::uint32_t const n_written = options.n_tokens / 2;
  auto const problems =
      calibration_set({"none", true, std::max(1U, options.n_tokens - n_written), options.seed}, positions);
  auto const begun = calibration_set({"builtin", false, options.n_tokens, options.seed}, positions);
  auto const written = self_written(model, begun, n_written, options.seed);
  std::vector<sequence> set;
  for (std::size_t i = 0; i < std::max(written.size(), problems.size()); ++i) {
    if (i < written.size()) set.push_back(written[i]);
    if (i < problems.size()) set.push_back(problems[i]);
  }
  return set;
}

buddy::profile calibrate(weights const& model, calibration_options const& options) {
  auto const set = calibration_texts(model, options);
  buddy::profile_builder builder{model.shape(), model.identity()};
  for (std::uint16_t l = 0; l != model.config().n_layers; ++l) {
    auto const rows = model.layer(l).router;
    builder.router_rows(l, {rows.data(), static_cast<std::uint32_t>(rows.size())});
  }
  input_sample sample{model.config().n_layers, count_predictions(set), options.n_outputs};
  observed_moe moe{builder, sample};
  step_through(model, set, moe, [](std::span<float const>) {});
  buddy::profile p = builder.finish();
  add_output_similarity(model, sample, p);
  return p;
}

buddy::profile with_outputs(weights const& model, calibration_options const& options, buddy::profile base) {
  buddy::profile made = calibrate(model, options);
  base.output_cosine = std::move(made.output_cosine);
  base.output_cka = std::move(made.output_cka);
  base.output_frobenius = std::move(made.output_frobenius);
  return base;
}

}  // namespace harness
