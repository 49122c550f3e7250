// SPDX-License-Identifier: Apache-2.0
/// @file
/// The harness and llama.cpp on the bundled model: the same logits, and for the same policy the same experts.
#include "catch.hpp"
#include "harness/model/cpu/decoder.hpp"
#include "harness/model/cpu/kv_cache.hpp"
#include "harness/model/weights.hpp"
#include "harness/policy/compose.hpp"
#include "harness/policy/presets.hpp"
#include "tests/tiny_run.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

using namespace llama_test;

namespace {

constexpr std::string_view text =
    "def add(a, b):\n    return a + b\n\nThe sum of 17 and 25 is 42. It was a bright cold day in April.";

std::filesystem::path const& reference_file() {
  static std::filesystem::path const file = [] {
    auto const to = scratch_file("reference.gguf");
    std::string const command = std::string{BUDDY_TO_GGUF} + " " + BUDDY_SOURCE_DIR "/models/reference " + to.string();
    REQUIRE(std::system(command.c_str()) == 0);
    return to;
  }();
  return file;
}

struct decoded {
  std::vector<float> logits;           // [tokens, 256]
  std::vector<std::uint16_t> experts;  // [tokens, layers, top_k] that ran, in the router's order
  std::size_t n_stand_ins = 0;
};

/// What the harness's decoder calls at every layer; copies arrive at once.
struct policy_at_once {
  std::span<harness::expert_use const> operator()(std::uint16_t layer, harness::router_output const& routed,
                                                  std::span<float const>) {
    auto const of = [](auto x) { return buddy::view{x.data(), static_cast<std::uint32_t>(x.size())}; };
    auto const& plan = policy->resolve(layer, {of(routed.experts), of(routed.weights), of(routed.probabilities)});
    std::size_t n = 0;
    for (auto const& a : plan.assignments) {
      uses[n++] = {a.expert, a.weight, buddy::no_slot};
      out->experts.push_back(a.expert);
      out->n_stand_ins += a.how == buddy::resolution::buddy;
    }
    for (auto const& c : plan.fetches) policy->commit(c);
    return {uses.data(), n};
  }

  harness::harness_policy* policy;
  decoded* out;
  std::array<harness::expert_use, buddy::max_top_k> uses{};
};

decoded in_harness(harness::policy_settings const& settings) {
  static auto const weights = harness::weights::load(BUDDY_SOURCE_DIR "/models/reference");
  auto const& c = weights.config();
  buddy::model_shape const shape{static_cast<std::uint16_t>(c.n_layers), static_cast<std::uint16_t>(c.n_experts),
                                 static_cast<std::uint16_t>(c.top_k), 4 * c.expert_parameters()};
  harness::composed_policy composed{settings, shape, nullptr};
  harness::decoder decoder{weights};
  harness::kv_cache cache{c};
  decoded out;
  policy_at_once moe{&composed.policy(), &out};
  for (char const token : text) {
    composed.policy().begin_step();
    auto const logits = decoder.step(static_cast<std::uint8_t>(token), cache, moe);
    out.logits.insert(out.logits.end(), logits.begin(), logits.end());
  }
  return out;
}

/// @param config  residency must leave expert ids as they are, so that a watch can read who runs
decoded in_llama(std::string const& config) {
  auto const model = load(reference_file());
  attached const buddy{model.get(), config};
  decoded out;
  node_watch watch{[](ggml_tensor* n) { return std::strncmp(n->name, "ffn_moe_down-", 13) == 0; },
                   [&](ggml_tensor* n) {
                     auto const* const ids = static_cast<std::int32_t const*>(n->src[2]->data);
                     for (int s = 0; s != n->src[2]->ne[0]; ++s)
                       out.experts.push_back(static_cast<std::uint16_t>(ids[s]));
                   }};
  auto params = params_of({.n_ubatch = 1});
  watch.install(params);
  REQUIRE(buddy_llama_context_params(buddy.handle, &params) == 0);
  context_ptr const context{llama_init_from_model(model.get(), params), llama_free};
  for (std::size_t i = 0; i != text.size(); ++i) {
    REQUIRE(decode_one(context.get(), static_cast<unsigned char>(text[i]), static_cast<int>(i)) == 0);
    float const* const logits = llama_get_logits_ith(context.get(), 0);
    out.logits.insert(out.logits.end(), logits, logits + 256);
  }
  out.n_stand_ins = buddy.counts().slots_stand_in;
  return out;
}

double largest_difference(std::vector<float> const& a, std::vector<float> const& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0.0;
  for (std::size_t i = 0; i != a.size(); ++i) largest = std::max(largest, std::abs(double{a[i]} - double{b[i]}));
  return largest;
}

}  // namespace

TEST_CASE("harness and llama.cpp agree on the bundled model", "[llama][agreement]") {
  for (char const* preset : {"all_resident", "fetch", "live_light", "rank_window", "random_light"}) {
    INFO(preset);
    auto const harness_run = in_harness(harness::preset_settings(preset));
    auto const llama_run =
        in_llama(std::string{R"({"residency":"page_cache","max-ubatch":1,"policy":")"} + preset + R"("})");
    CHECK(harness_run.experts == llama_run.experts);
    CHECK(harness_run.n_stand_ins == llama_run.n_stand_ins);
    CHECK(largest_difference(harness_run.logits, llama_run.logits) < 2e-3);  // logits are as large as 20
    CHECK((harness_run.n_stand_ins > 0) == (std::string{preset} != "all_resident" && std::string{preset} != "fetch"));
  }
}
