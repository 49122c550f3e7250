// SPDX-License-Identifier: Apache-2.0
/// @file
/// Names become policies.
#include "harness/policy/presets.hpp"

#include "catch.hpp"
#include "harness/policy/compose.hpp"
#include "harness/policy/registry.hpp"

#include <buddy/error.hpp>
#include <buddy/expected_error.hpp>
#include <buddy/policies/buddymoe.hpp>
#include <buddy/profile_builder.hpp>
#include <buddy/splitmix64.hpp>

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace {

// 2 layers of 12 experts, top-4; a token's experts and weights are a hash of its number.
buddy::model_shape const shape{2, 12, 4, 100};

struct drawn_routing {
  explicit drawn_routing(std::uint64_t seed) {
    float sum = 0.0F;
    for (std::size_t e = 0; e != scores.size(); ++e) {
      scores[e] = 0.01F + static_cast<float>(buddy::splitmix64(seed * 64 + e) % 1000) / 1000.0F;
      sum += scores[e];
    }
    for (float& x : scores) x /= sum;
    for (std::size_t s = 0; s != experts.size(); ++s) {
      std::uint16_t best = 0;
      while (taken(best, s)) ++best;
      for (std::uint16_t e = best; e != scores.size(); ++e) {
        if (!taken(e, s) && scores[e] > scores[best]) best = e;
      }
      experts[s] = best;
      weights[s] = scores[best];
    }
  }

  [[nodiscard]] buddy::routing view() const {
    return {{experts.data(), 4}, {weights.data(), 4}, {scores.data(), 12}, 1};
  }

  std::array<std::uint16_t, 4> experts{};
  std::array<float, 4> weights{};
  std::array<float, 12> scores{};

 private:
  [[nodiscard]] bool taken(std::uint16_t e, std::size_t n) const {
    for (std::size_t s = 0; s != n; ++s) {
      if (experts[s] == e) return true;
    }
    return false;
  }
};

buddy::profile drawn_profile() {
  buddy::profile_builder builder{shape, "drawn"};
  for (std::uint64_t t = 0; t != 400; ++t) {
    for (std::uint16_t l = 0; l != shape.n_layers; ++l) {
      drawn_routing const r{t * 2 + l + 1000};
      builder.observe(l, {r.view().experts, r.view().weights, {}, 1});
    }
  }
  auto p = builder.finish();
  for (std::size_t i = 0; i != shape.n_keys() * shape.n_experts; ++i)
    p.router_cosine.push_back(static_cast<float>(buddy::splitmix64(i) % 1000) / 1000.0F);
  p.output_cosine = p.output_cka = p.output_frobenius = p.router_cosine;
  return p;
}

/// Every plan of 200 tokens in one line of numbers.
template <class Policy>
std::vector<std::uint32_t> decisions(Policy& policy) {
  std::vector<std::uint32_t> out;
  for (std::uint64_t t = 0; t != 200; ++t) {
    policy.begin_step();
    for (std::uint16_t l = 0; l != shape.n_layers; ++l) {
      drawn_routing const r{t * 2 + l};
      auto const& plan = policy.resolve(l, r.view());
      for (auto const& a : plan.assignments) out.push_back(a.expert * 16U + static_cast<std::uint32_t>(a.how));
      for (auto const& c : plan.fetches) policy.commit(c);
      for (auto const& c : plan.refills) policy.commit(c);
    }
  }
  return out;
}

bool contains(std::string const& text, std::string const& part) { return text.find(part) != std::string::npos; }

buddy::view<std::uint64_t const> activations_of(buddy::profile const& p) {
  return {p.activations.data(), static_cast<std::uint32_t>(p.activations.size())};
}

template <class Call>
std::string message_of(Call const& call) {
  try {
    call();
  } catch (buddy::config_error const& e) {
    return e.what();
  }
  return {};
}

TEST_CASE("every preset composes and runs, and stays what it says", "[harness][presets]") {
  auto const profile = drawn_profile();
  buddy::expected_errors const known{shape, 1000};
  for (harness::preset const& p : harness::presets()) {
    INFO(p.name);
    auto settings = harness::preset_settings(p.name);
    CHECK(settings.name == p.name);
    if (settings.loss.stand_ins == "planned") settings.loss.stand_ins = "zero";  // a plan is made before
    harness::composed_policy composed{settings, shape, &profile, {}, {known.ref(), {}}};
    auto const plans = decisions(composed.policy());
    CHECK(plans.size() == 200 * 2 * 4);
    CHECK(composed.policy().cache().audit());
    auto const total = composed.policy().total();
    CHECK(total.tokens == 400);
    bool const fetches = p.name == "fetch" || p.name == "prefetch";
    if (p.name == "drop") CHECK(total.fetches == 0);
    if (p.name == "hobbit") CHECK(total.slots_ending(buddy::resolution::low_precision) > 0);
    for (auto const* const name : {"cache_prior", "rank_window", "sere"})
      if (p.name == name) CHECK(total.slots_ending(buddy::resolution::buddy) > 0);
    for (auto const* const name : {"drop_cold", "zero_fill", "ser", "adapmoe"})
      if (p.name == name) CHECK(total.slots_ending(buddy::resolution::fetch) > 0);
    if (p.name == "all_resident") CHECK(total.hits == total.lookups);
    if (fetches) CHECK(total.slots_ending(buddy::resolution::fetch) == total.lookups - total.hits);
  }
}

TEST_CASE("equal settings give equal decisions, another seed others", "[harness][presets]") {
  auto settings = harness::preset_settings("random");
  harness::composed_policy a{settings, shape, nullptr};
  harness::composed_policy b{settings, shape, nullptr};
  settings.seed = 2;
  harness::composed_policy c{settings, shape, nullptr};
  auto const first = decisions(a.policy());
  CHECK(first == decisions(b.policy()));
  CHECK(first != decisions(c.policy()));
}

TEST_CASE("every eviction composes and runs, in either layout of the pool", "[harness][presets]") {
  auto const profile = drawn_profile();
  for (auto const pool : {buddy::pool_layout::per_layer, buddy::pool_layout::global}) {
    for (auto const& line : harness::evictions()) {
      INFO(line.name);
      auto settings = harness::preset_settings("fetch");
      settings.eviction = line.name;
      settings.pool = pool;
      harness::composed_policy composed{settings, shape, &profile};
      CHECK(decisions(composed.policy()).size() == 200 * 2 * 4);
      CHECK(composed.policy().cache().audit());
      CHECK(composed.policy().total().hits > 0);
      CHECK(composed.policy().cache().evictions() > 0);
    }
  }
}

/// Whether expert 0 of layer 0 is there after these, one a step, with two slots a layer.
bool first_stays(harness::policy_settings settings, buddy::profile const* profile,
                 std::vector<std::uint16_t> const& asked) {
  buddy::model_shape const one_at_a_time{2, 12, 1, 100};
  settings.cache_ratio = 2.0 / 12.0;
  harness::composed_policy composed{settings, one_at_a_time, profile};
  auto& policy = composed.policy();
  float const weight = 1.0F;
  for (std::uint16_t const e : asked) {
    policy.begin_step();
    for (auto const& c : policy.resolve(0, {{&e, 1}, {&weight, 1}, {}, 1}).fetches) policy.commit(c);
  }
  return policy.cache().where({0, 0}) == buddy::residency::resident;
}

TEST_CASE("an eviction with a memory is told the model", "[harness][presets]") {
  // Two slots. 0 0 0, 1 and 2: 2 takes the place of 1, and 1 that of 2. Counted since the start 0 has 3, and 1 has as
  // many when it comes again: then 5 takes the place of 0, used longer ago. Counted since it entered 1 has 2.
  std::vector<std::uint16_t> const asked{0, 0, 0, 1, 2, 1, 1, 5};
  auto settings = harness::preset_settings("fetch");
  settings.eviction = "lfu";
  CHECK(first_stays(settings, nullptr, asked));
  settings.eviction = "lfu_persistent";
  CHECK_FALSE(first_stays(settings, nullptr, asked));
  // The same with scores that never decay: 3 against 3 by the same sums, and the lower expert goes.
  settings.eviction = "lfu_decayed";
  settings.half_life = std::numeric_limits<double>::infinity();
  CHECK_FALSE(first_stays(settings, nullptr, asked));
}

TEST_CASE("static_top keeps what the profile says", "[harness][presets]") {
  auto settings = harness::preset_settings("fetch");
  settings.eviction = "static_top";
  CHECK(contains(message_of([&] { harness::composed_policy{settings, shape, nullptr}; }), "needs a profile"));
  buddy::model_shape const one_at_a_time{2, 12, 1, 100};
  for (bool const popular : {false, true}) {
    // Expert 0 is seen once and expert 1 four times, or three times and twice.
    buddy::profile_builder builder{one_at_a_time, "few"};
    float const weight = 1.0F;
    for (std::uint16_t const e : std::array<std::uint16_t, 3>{0, 1, 1})
      builder.observe(0, {{&e, 1}, {&weight, 1}, {}, 1});
    std::uint16_t const often = popular ? 0 : 1;
    for (int i = 0; i != 2; ++i) builder.observe(0, {{&often, 1}, {&weight, 1}, {}, 1});
    auto const profile = builder.finish();
    CHECK(first_stays(settings, &profile, {0, 1, 5}) == popular);
  }
}

TEST_CASE("the preset buddymoe decides as the library's buddymoe", "[harness][presets]") {
  auto const profile = drawn_profile();
  auto settings = harness::preset_settings("buddymoe");
  settings.tau = 0.99;  // so that the gate says both yes and no
  harness::composed_policy preset{settings, shape, &profile};
  buddy::policies::buddymoe const published{profile, {.tau = 0.99}};
  auto policy =
      published.compose(buddy::slot_cache<buddy::eviction::lru>{shape, buddy::cache_budget::from_ratio(shape, 0.5)},
                        buddy::prediction::none{shape});
  CHECK(decisions(preset.policy()) == decisions(policy));
  CHECK(policy.total().slots_ending(buddy::resolution::buddy) > 0);
  CHECK(policy.total().refused(buddy::refusal::sensitivity) > 0);
}

TEST_CASE("a warm cache holds the profile's most popular experts", "[harness][presets]") {
  auto const profile = drawn_profile();
  for (auto const pool : {buddy::pool_layout::per_layer, buddy::pool_layout::global}) {
    auto settings = harness::preset_settings("fetch");
    settings.warm = true;
    settings.pool = pool;
    harness::composed_policy composed{settings, shape, &profile};
    auto const& cache = composed.policy().cache();
    for (std::uint16_t l = 0; l != shape.n_layers; ++l) {
      std::uint64_t least_inside = ~std::uint64_t{0};
      std::uint64_t most_outside = 0;
      std::uint32_t n_inside = 0;
      for (std::uint16_t e = 0; e != shape.n_experts; ++e) {
        auto const count = profile.activations[shape.index({l, e})];
        bool const inside = cache.where({l, e}) == buddy::residency::resident;
        n_inside += inside ? 1 : 0;
        if (inside) least_inside = std::min(least_inside, count);
        if (!inside) most_outside = std::max(most_outside, count);
      }
      CHECK(n_inside == 6);  // half of 12
      CHECK(least_inside >= most_outside);
    }
  }
}

TEST_CASE("unknown names are answered with the known ones", "[harness][presets]") {
  CHECK(contains(message_of([] { static_cast<void>(harness::preset_settings("fetsh")); }), "all_resident, fetch"));
  auto settings = harness::preset_settings("fetch");
  settings.eviction = "x";
  CHECK(message_of([&] { harness::composed_policy{settings, shape, nullptr}; }) ==
        "unknown eviction 'x': one of lru, lru_token, lru_ds, fifo, lfu, lfu_persistent, lfu_decayed, lfru, slru, arc, "
        "clock, sieve, s3_fifo, least_stale, window_hot, static_top, random, auto");
  CHECK(contains(message_of([] { harness::composed_policy{harness::preset_settings("buddy"), shape, nullptr}; }),
                 "needs a profile"));
  settings = harness::preset_settings("fetch");
  settings.cache_ratio = 0.0;
  CHECK(contains(message_of([&] { harness::composed_policy{settings, shape, nullptr}; }), "cache ratio"));
}

TEST_CASE("low-precision copies take their bytes from the slots", "[harness][presets]") {
  // Half of 24 records of 100 bytes are 1200; copies of 25 bytes of all 24 take 600, and 600 are 3 slots a layer.
  auto settings = harness::preset_settings("hobbit");
  harness::composed_policy const quarter{settings, shape, nullptr};
  CHECK(quarter.policy().cache().capacity() == 6);
  settings.other.low_precision_ratio = 0.0;
  harness::composed_policy const free{settings, shape, nullptr};
  CHECK(free.policy().cache().capacity() == 12);
  settings.other.low_precision_ratio = 0.5;
  CHECK(contains(message_of([&] { harness::composed_policy{settings, shape, nullptr}; }), "takes all the bytes"));
  settings.other.low_precision_ratio = -1.0;
  CHECK(contains(message_of([&] { harness::composed_policy{settings, shape, nullptr}; }), "low-precision-ratio"));
}

TEST_CASE("stand-ins of the profile take their bytes from the slots", "[harness][presets]") {
  // Half of 24 records of 100 bytes are 1200; 20 of the 80 bytes that a record had in the profile are 25 of 100.
  auto profile = drawn_profile();
  profile.shape.expert_bytes = 80;
  profile.output_samples.assign(shape.n_keys(), 1);
  profile.stand_ins.push_back({"copy", buddy::resolution::low_precision, 20, {}, {}, {}});
  buddy::expected_errors const known{shape, 1000};
  auto settings = harness::preset_settings("stand_in");
  settings.loss.stand_ins = "copy";
  auto const slots = [&] {
    return harness::composed_policy{settings, shape, &profile, {}, {known.ref(), {}}}.policy().cache().capacity();
  };
  CHECK(slots() == 6);
  settings.loss.free_stand_ins = true;
  CHECK(slots() == 12);
  settings.loss.free_stand_ins = false;
  settings.loss.layer_stand_ins = {"copy", "copy"};
  settings.loss.layer_slots = {1, 5};
  CHECK(slots() == 6);
  settings.loss.layer_slots = {1, 6};  // 600 + 700 bytes
  CHECK_FALSE(message_of(slots).empty());
  settings.loss.layer_stand_ins = {"copy", "other"};
  CHECK(contains(message_of(slots), "no stand-ins 'other'; it has: copy"));
}

TEST_CASE("each table finds its own names", "[harness][presets]") {
  buddy::expected_errors const known{shape};
  auto const profile = drawn_profile();
  auto const settings = harness::preset_settings("fetch");
  std::vector<float> const router(shape.n_experts, 1.0F);  // hidden size 1
  std::vector<buddy::view<float const>> const routers(shape.n_layers, {router.data(), shape.n_experts});
  harness::component_source const from{
      settings,         shape, &profile, {}, {}, {routers.data(), static_cast<std::uint32_t>(routers.size())},
      {known.ref(), {}}};
  for (auto const& line : harness::predictors()) CHECK(line.make(from).name() == line.name);
  for (auto const& line : harness::sensitivities()) CHECK(line.make(from).name() == line.name);
  for (auto const& line : harness::selectors()) CHECK(line.make(from).name() == line.name);
  harness::eviction_options const options{.shape = shape, .activations = activations_of(profile)};
  for (auto const& line : harness::evictions()) CHECK(harness::any_eviction{4, line.make, options}.name() == line.name);
}

}  // namespace
