// SPDX-License-Identifier: Apache-2.0
/// @file
/// Predictors on the bundled model: how much of what its routers choose they had named.
#include "catch.hpp"
#include "harness/model/weights.hpp"
#include "harness/run/early_router.hpp"
#include "harness/run/evaluation_set.hpp"
#include "harness/run/session.hpp"
#include "harness/run/stepped.hpp"

#include <buddy/policies/prediction/next_gate.hpp>
#include <buddy/policies/prediction/previous_token.hpp>
#include <buddy/prediction_recall.hpp>

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace {

using namespace harness;
using buddy::recall_budget;

template <class T>
buddy::view<T const> of(std::span<T const> x) {
  return {x.data(), static_cast<std::uint32_t>(x.size())};
}

/// The exact model, before whose layers two predictors speak.
class asked_before {
 public:
  asked_before(weights const& model, buddy::view<buddy::view<float const> const> routers)
      : gate_(model.shape(), routers), previous_(model.shape()), gate(model.shape()), previous(model.shape()) {}

  void begin_sequence() noexcept {}
  void begin_step() noexcept {}

  std::span<expert_use const> operator()(std::uint16_t layer, router_output const& routed,
                                         std::span<float const> input) {
    buddy::routing const r{of(routed.experts), of(routed.weights), {}, 1, of(input)};
    ask(gate_, gate, layer, r);
    ask(previous_, previous, layer, r);
    std::array<std::uint16_t, buddy::max_top_k> fresh{};
    std::uint32_t const n = gate_.rank(layer, input.data(), {fresh.data(), r.experts.size});
    control.count(layer, {fresh.data(), n}, r);
    return all_(layer, routed, input);
  }

 private:
  template <class P>
  static void ask(P& predictor, buddy::prediction_recall& recall, std::uint16_t layer, buddy::routing const& r) {
    std::vector<std::uint16_t> named(recall.width());
    named.resize(predictor.predict(layer, {named.data(), recall.width()}));
    recall.count(layer, {named.data(), static_cast<std::uint32_t>(named.size())}, r);
    predictor.observe(layer, r);
  }

  buddy::prediction::next_gate gate_;
  buddy::prediction::previous_token previous_;
  all_resident all_;

 public:
  buddy::prediction_recall gate;
  buddy::prediction_recall previous;
  buddy::prediction_recall control{gate};  ///< each router on its own input
};

std::filesystem::path reference() { return std::filesystem::path{BUDDY_SOURCE_DIR} / "models" / "reference"; }

TEST_CASE("next_gate names more of the experts than previous_token does", "[harness][prediction]") {
  weights const model = weights::load(reference());
  auto const rows = model.routers();
  evaluation_options options;
  options.n_tokens = 512;
  asked_before moe{model, {rows.data(), static_cast<std::uint32_t>(rows.size())}};
  step_through(model, evaluation_set(options, model.config().max_positions), moe, [](std::span<float const>) {});

  CHECK(moe.control.total().recall(recall_budget::top_k) == 1.0);
  CHECK(moe.gate.of_layer(0).recall(recall_budget::four_times) == 0.0);  // its input is not known yet
  for (std::uint16_t l = 1; l != model.config().n_layers; ++l) {
    CHECK(moe.gate.of_layer(l).recall(recall_budget::top_k) > moe.previous.of_layer(l).recall(recall_budget::top_k));
    CHECK(moe.gate.of_layer(l).mass_recall(recall_budget::twice) > moe.gate.of_layer(l).recall(recall_budget::top_k));
  }
}

TEST_CASE("routing ahead of the last layer changes nothing, nearer it costs quality", "[harness][prediction]") {
  session_options options;
  options.evaluation.n_tokens = 256;
  session const s{options};
  policy_settings settings;
  settings.cache_ratio = 1.0;
  settings.route_ahead = static_cast<std::uint16_t>(s.model().config().n_layers);
  CHECK(s.run(settings).text->kl_nats.mean == 0.0);
  settings.route_ahead = 1;
  CHECK(s.run(settings).text->kl_nats.mean > 0.0);
}

}  // namespace
