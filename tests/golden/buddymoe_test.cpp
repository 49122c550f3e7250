// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/policies/buddymoe.hpp>
#include <buddy/policies/eviction/lru.hpp>
#include <buddy/policies/prediction/none.hpp>
#include <buddy/profile_builder.hpp>
#include <buddy/slot_cache.hpp>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

using buddy::refusal;
using buddy::resolution;
using buddy::policies::buddymoe;
using buddy::policies::buddymoe_options;

namespace {

constexpr buddy::model_shape shape{1, 8, 3, 100};

using ids = std::vector<std::uint16_t>;
using floats = std::vector<float>;

/// Top-3 of 8, all tokens with shares 1/2 1/4 1/4: {5,0,1} three times, {5,2,6} twice, {5,3,7} once; 4 never.
///
/// Lists (M): of 5: 0 (3), 1 (3), 2 (2), 6 (2), 3 (1), 7 (1); of 6: 2 (2), 5 (2); of 7: 3 (1), 5 (1); of 4: none.
buddy::profile calibration() {
  buddy::profile_builder builder{shape, "tiny"};
  floats const weights{2, 1, 1};
  auto const see = [&](ids const& experts, int times) {
    for (int i = 0; i != times; ++i) builder.observe(0, {{experts.data(), 3}, {weights.data(), 3}});
  };
  see({5, 0, 1}, 3);
  see({5, 2, 6}, 2);
  see({5, 3, 7}, 1);
  return builder.finish();
}

/// How the slots of one step end, as "resolution/expert/refusal" words.
std::vector<std::string> outcome(buddymoe const& method, std::initializer_list<std::uint16_t> residents,
                                 ids const& experts, floats const& weights) {
  auto const n_tokens = static_cast<std::uint32_t>(experts.size() / 3);
  buddy::slot_cache<buddy::eviction::lru> cache{shape, buddy::cache_budget::from_ratio(shape, 5.0 / 8.0)};
  std::vector<buddy::expert_key> keys;
  for (auto const e : residents) keys.push_back({0, e});
  cache.warm({keys.data(), static_cast<std::uint32_t>(keys.size())});
  auto config = method.config();
  config.max_tokens = n_tokens;
  auto policy = method.compose(std::move(cache), buddy::prediction::none{shape}, config);
  policy.begin_step();
  auto const& plan = policy.resolve(0, {{experts.data(), n_tokens * 3}, {weights.data(), n_tokens * 3}, {}, n_tokens});
  CHECK(plan.refills.empty());
  std::vector<std::string> words;
  for (std::uint32_t i = 0; i != plan.assignments.size; ++i) {
    auto const& a = plan.assignments[i];
    CHECK(a.weight == weights[i]);  // the missing expert's, whatever stands in
    words.push_back(std::string(to_string(a.how)) + "/" + std::to_string(a.expert) + "/" +
                    std::string(to_string(a.why)));
  }
  return words;
}

using words = std::vector<std::string>;

}  // namespace

TEST_CASE("buddymoe lets the first resident unused peer stand in with the missing expert's weight",
          "[golden][buddymoe]") {
  buddymoe const method{calibration()};
  // 5: 0 leads its list but is routed by this token, so 1. 6: 2 leads its list.
  CHECK(outcome(method, {0, 1, 2, 3, 4}, {5, 0, 6}, {1, 1, 1}) == words{"buddy/1/none", "own/0/none", "buddy/2/none"});
}

TEST_CASE("buddymoe never gives one stand-in to two slots of a token", "[golden][buddymoe]") {
  // 5 takes 2 (third in its list); 6 wants 2 as well, and 5 is not resident. The loser is fetched.
  CHECK(outcome(buddymoe{calibration()}, {2, 3, 4}, {5, 6, 3}, {1, 1, 1}) ==
        words{"buddy/2/none", "fetch/6/no_stand_in", "own/3/none"});
}

TEST_CASE("buddymoe fetches what the profile has never seen", "[golden][buddymoe]") {
  CHECK(outcome(buddymoe{calibration()}, {0, 1, 2, 3}, {4, 0, 1}, {1, 1, 1}) ==
        words{"fetch/4/no_stand_in", "own/0/none", "own/1/none"});
}

TEST_CASE("buddymoe protects tokens whose entropy is at most tau", "[golden][buddymoe]") {
  words const fetched{"fetch/5/sensitivity", "own/0/none", "fetch/6/sensitivity"};
  words const replaced{"buddy/1/none", "own/0/none", "buddy/2/none"};
  auto const at_tau = [](double tau, floats const& weights) {
    return outcome(buddymoe{calibration(), {.tau = tau}}, {0, 1, 2, 3, 4}, {5, 0, 6}, weights);
  };
  // Shares .8 .1 .1: (.8 log2 1.25 + .2 log2 10) / log2 3 = .9219 / 1.5850 = .5817.
  CHECK(at_tau(0.95, {8, 1, 1}) == fetched);
  CHECK(at_tau(0.59, {8, 1, 1}) == fetched);
  CHECK(at_tau(0.57, {8, 1, 1}) == replaced);
  // Equal shares have entropy 1 exactly: tau = 1 forbids them too.
  CHECK(at_tau(1.0, {1, 1, 1}) == fetched);
  CHECK(at_tau(0.99, {1, 1, 1}) == replaced);
}

TEST_CASE("buddymoe can take tau from the profile", "[golden][buddymoe]") {
  // Every calibration token has shares 1/2 1/4 1/4, entropy 1.5 / 1.5850 = .9464: any percentile is that.
  buddymoe const method{calibration(), {.percentile = 15}};
  auto const with = [&](floats const& weights) { return outcome(method, {0, 1, 2, 3, 4}, {5, 0, 6}, weights).front(); };
  CHECK(with({2, 1, 1}) == "fetch/5/sensitivity");  // equal to tau
  CHECK(with({1.9F, 1, 1}) == "buddy/1/none");      // flatter
}

TEST_CASE("buddymoe gives a token at most rho stand-ins, in the router's order", "[golden][buddymoe]") {
  auto const with = [](std::uint32_t rho) {
    return outcome(buddymoe{calibration(), {.rho = rho}}, {0, 1, 2, 3, 4}, {5, 6, 7}, {1, 1, 1});
  };
  CHECK(with(3) == words{"buddy/0/none", "buddy/2/none", "buddy/3/none"});
  CHECK(with(2) == words{"buddy/0/none", "buddy/2/none", "fetch/7/token_budget"});
  CHECK(with(0).front() == "fetch/5/token_budget");
}

TEST_CASE("buddymoe bypasses a batch that misses a share beta of its distinct experts", "[golden][buddymoe]") {
  // Tokens {5,0,6} and {0,1,5}: distinct 0 1 5 6, missing 5 6: delta = 2/4, although 3 of 6 slots miss too.
  auto const with = [](buddymoe_options const& options) {
    return outcome(buddymoe{calibration(), options}, {0, 1, 2, 3, 4}, {5, 0, 6, 0, 1, 5}, {1, 1, 1, 1, 1, 1});
  };
  CHECK(with({.beta = 0.5}).front() == "fetch/5/distribution_gate");
  CHECK(with({.beta = 0.5001}).front() == "buddy/1/none");
  // Without beta there is no gate. The second token uses 0 and 1 itself, so its 5 gets 2.
  CHECK(with({}) == words{"buddy/1/none", "own/0/none", "buddy/2/none", "own/0/none", "own/1/none", "buddy/2/none"});
}

TEST_CASE("buddymoe can forbid by margin as well", "[golden][buddymoe]") {
  // Shares .4 .3 .3: entropy .991 passes tau; the margin is .1.
  auto const with = [](double gamma) {
    return outcome(buddymoe{calibration(), {.gamma = gamma}}, {0, 1, 2, 3, 4}, {5, 0, 6}, {4, 3, 3}).front();
  };
  CHECK(with(0.09) == "fetch/5/sensitivity");
  CHECK(with(0.11) == "buddy/1/none");
}

TEST_CASE("buddymoe passes its list options on", "[golden][buddymoe]") {
  auto const with = [](buddymoe_options const& options) {
    return outcome(buddymoe{calibration(), options}, {2, 3, 4}, {5, 3, 4}, {1, 1, 1}).front();
  };
  CHECK(with({}) == "buddy/2/none");  // third in the list
  CHECK(with({.k_max = 2}) == "fetch/5/no_stand_in");
  CHECK(with({.alpha = 0.5}) == "fetch/5/no_stand_in");  // 3 + 3 of 12 cover one half
  CHECK(with({.alpha = 0.51}) == "buddy/2/none");
  CHECK(with({.alpha_per_layer = {0.5}}) == "fetch/5/no_stand_in");
  CHECK(with({.search_limit = 2}) == "fetch/5/no_stand_in");
  // kappa 1 takes all worth from 2 but leaves it eligible; with 6 resident and near, 6 wins.
  buddymoe_options const far{.kappa = 1.0, .hops = {0, 0, 1, 0, 0, 0, 0, 0}};
  CHECK(with(far) == "buddy/2/none");
  CHECK(outcome(buddymoe{calibration(), far}, {2, 3, 4, 6}, {5, 3, 4}, {1, 1, 1}).front() == "buddy/6/none");
}

TEST_CASE("buddymoe keeps its own rules whatever the host configures", "[golden][buddymoe]") {
  buddymoe const method{calibration(), {.beta = 0.9, .rho = 2}};
  buddy::policy_config const host{.on_refused = resolution::drop,
                                  .rho = 7,
                                  .order = buddy::budget_order::lightest_first,
                                  .replacement_ratio = 0.5,
                                  .ratio_window = 9,
                                  .weights = buddy::weight_mode::own,
                                  .renormalise = true,
                                  .refill_after = 4,
                                  .prefetch_width = 5,
                                  .max_tokens = 6};
  buddy::slot_cache<buddy::eviction::lru> cache{shape, buddy::cache_budget::from_ratio(shape, 0.5)};
  auto const policy = method.compose(std::move(cache), buddy::prediction::none{shape}, host);
  auto const& c = policy.config();
  CHECK(c.beta == 0.9);
  CHECK(c.rho == 2);
  CHECK(c.order == buddy::budget_order::router);
  CHECK(c.weights == buddy::weight_mode::keep);
  CHECK_FALSE(c.renormalise);
  CHECK(c.on_refused == resolution::drop);
  CHECK(c.replacement_ratio == 0.5);
  CHECK(c.ratio_window == 9);
  CHECK(c.refill_after == 4);
  CHECK(c.prefetch_width == 5);
  CHECK(c.max_tokens == 6);
}

TEST_CASE("buddymoe stays whole when it is copied or moved", "[golden][buddymoe]") {
  buddymoe first{calibration(), {.percentile = 15}};
  buddymoe const copy = first;
  buddymoe const moved = std::move(first);
  for (auto const* const method : {&copy, &moved})
    CHECK(outcome(*method, {0, 1, 2, 3, 4}, {5, 0, 6}, {2, 1, 1}).front() == "fetch/5/sensitivity");
}

TEST_CASE("buddymoe refuses options that cannot work", "[golden][buddymoe]") {
  auto const p = calibration();
  auto const refuses = [&](buddymoe_options const& options) {
    CHECK_THROWS_AS((buddymoe{p, options}), buddy::config_error);
  };
  refuses({.tau = 1.5});
  refuses({.percentile = 101});
  refuses({.percentile = 12.5});
  refuses({.percentile = 15, .temperature = 1.2});  // the profile's percentiles are of temperature 1
  refuses({.temperature = 0.0});
  refuses({.gamma = -0.1});
  refuses({.beta = 1.1});
  refuses({.alpha = 0.0});
  refuses({.k_max = 0});
  refuses({.search_limit = 0});
  refuses({.eta = -1.0});
  refuses({.kappa = 1e9});
  refuses({.hops = {1, 2, 3}});

  auto without_entropies = p;
  without_entropies.entropy_percentiles.clear();
  CHECK_THROWS_AS((buddymoe{without_entropies, {.percentile = 15}}), buddy::config_error);

  buddymoe const method{p};
  buddy::model_shape const other{1, 9, 3, 100};
  buddy::slot_cache<buddy::eviction::lru> cache{other, buddy::cache_budget::from_ratio(other, 0.5)};
  CHECK_THROWS_AS(method.compose(std::move(cache), buddy::prediction::none{other}), buddy::config_error);
}
