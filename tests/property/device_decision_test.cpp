// SPDX-License-Identifier: Apache-2.0
// The decision of the kernels, run by an emulated warp, against the decision of the policy.
#include "catch.hpp"
#include "property/decision_run.hpp"
#include "property/policy_run.hpp"

#include <buddy/cuda/miss_queue.hpp>
#include <buddy/testing/dice.hpp>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace {

bool same_bits(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }

buddy::policy_config varied(std::uint64_t seed, std::uint32_t n_tokens) {
  std::uint64_t const bits = buddy::splitmix64(seed);
  buddy::policy_config c;
  c.exact = bits % 16 == 0;
  if (bits / 16 % 4 == 0) c.beta = 0.7;
  c.rho = bits / 64 % 3 == 0 ? 1 : buddy::max_top_k;
  c.order = static_cast<buddy::budget_order>(bits / 256 % 3);
  // With more tokens the host shares fetches, which the kernels do not.
  if (n_tokens != 1 && c.order == buddy::budget_order::least_loss) c.order = buddy::budget_order::router;
  if (c.order == buddy::budget_order::least_loss && bits / 65536 % 4 != 0)
    c.loss = {.target_ub = 400, .window_tokens = 4, .cap_tokens = 3};
  c.replacement_ratio = bits / 512 % 3 == 0 ? 0.25 : 1.0;
  c.ratio_window = 5;
  c.weights = bits / 2048 % 2 == 0 ? buddy::weight_mode::keep : buddy::weight_mode::own;
  c.renormalise = bits / 4096 % 2 == 0;
  c.on_refused = bits / 8192 % 2 == 0 ? buddy::resolution::fetch : buddy::resolution::host;
  if (!c.exact && bits / 16384 % 4 == 0) c.on_refused = buddy::resolution::drop;
  c.max_tokens = n_tokens;
  return c;
}

/// Where the two differ in one plan; empty when they agree.
std::string difference(buddy::layer_plan const& plan, decision_arrays const& device) {
  for (std::uint32_t i = 0; i != plan.assignments.size; ++i) {
    auto const& host = plan.assignments[i];
    auto const& end = device.outcomes[i];
    if (end.how != host.how || end.why != host.why) return "how or why";
    if (end.expert != host.expert || end.rank != host.rank) return "expert or rank";
    bool const here = host.how == buddy::resolution::own || host.how == buddy::resolution::buddy;
    if (device.slots[i] != (here ? host.slot : buddy::no_slot)) return "slot";
    if (!same_bits(device.slot_weights[i], host.weight)) return "weight";
  }
  return {};
}

/// Plays the policy and the kernels side by side on the same residents.
std::string first_difference(run_settings const& s, buddy::layer_counters& total) {
  auto const table = neighbours(s.shape);
  auto policy = make_policy(s, table.ref());
  random_routing routing(s.shape, s.config.max_tokens, s.seed);
  decision_arrays device{s.shape, s.config.max_tokens};
  if (s.config.replacement_ratio < 1.0) device.limit(s.config.replacement_ratio, s.config.ratio_window);
  if (s.config.loss.target_ub != 0) device.limit(policy.loss_budget());
  device.last_use.resize(policy.cache().capacity());
  auto const rules = buddy::cuda::rules_of(s.config);
  for (int step = 0; step != 6; ++step) {
    policy.begin_step();
    ++device.step;
    for (std::uint16_t l = 0; l != s.shape.n_layers; ++l) {
      auto const r = routing.next();
      auto const residents = policy.cache().residents(l);
      device.slot_of.assign(residents.begin(), residents.end());  // before the plan changes them
      device.take(r);
      emulate_decide(device.arrays(l), rules, gate_of(s), selector_of(s, table.ref()));
      auto const& plan = policy.resolve(l, r);
      if (auto const what = difference(plan, device); !what.empty()) return what;
      for (auto const list : {plan.fetches, plan.waits, plan.refills})
        for (auto const& c : list) policy.commit(c);
    }
  }
  total += policy.total();
  return {};
}

}  // namespace

TEST_CASE("the kernels decide as the policy does, whatever the gate and the selector", "[property][decide][warp]") {
  std::uint64_t seed = 0;
  std::string different;
  buddy::layer_counters total;
  chosen::for_each_combination([&](chosen::combination const& models) {
    for (std::uint32_t const n_tokens : {1U, 4U}) {
      run_settings s{.models = models, .config = varied(++seed, n_tokens), .seed = seed};
      if (seed % 2 == 0) s.shape = {.n_layers = 2, .n_experts = 70, .top_k = 5, .expert_bytes = 1};
      auto const what = first_difference(s, total);
      if (!what.empty() && different.empty()) different = what + ": " + models.show();
    }
  });
  CHECK(different == "");
  // Nothing was left out that could have differed.
  for (auto const how : {buddy::resolution::own, buddy::resolution::buddy, buddy::resolution::fetch,
                         buddy::resolution::host, buddy::resolution::drop})
    CHECK(total.slots_ending(how) > 0);
  for (std::size_t why = 0; why != buddy::n_refusals; ++why) CHECK(total.refusals[why] > 0);
}

TEST_CASE("the kernel's own top-k leads to the decision that a plain router leads to", "[property][decide][warp]") {
  buddy::model_shape const shape{.n_layers = 1, .n_experts = 130, .top_k = 6, .expert_bytes = 1};
  buddy::testing::dice roll(7);
  for (int round = 0; round != 200; ++round) {
    decision_arrays fused{shape, 3};
    for (float& z : fused.logits) z = static_cast<float>(roll.roll(400)) / 100.0F;
    for (auto& slot : fused.slot_of) slot = roll.roll(2) == 0 ? buddy::no_slot : buddy::slot_id{roll.roll(64)};
    decision_arrays plain = fused;
    for (std::uint32_t t = 0; t != 3; ++t)
      buddy::route_token({plain.logits.data() + t * 130, 130}, {}, {plain.experts.data() + t * 6, 6},
                         {plain.weights.data() + t * 6, 6}, {plain.scores.data() + t * 130, 130});
    buddy::cuda::decision_rules const rules{.weights = buddy::weight_mode::own};
    emulate_decide(fused.arrays(0, true), rules, buddy::sensitivity::always{}, buddy::selection::live_score{});
    emulate_decide(plain.arrays(0), rules, buddy::sensitivity::always{}, buddy::selection::live_score{});
    REQUIRE(fused.experts == plain.experts);
    REQUIRE(fused.slots == plain.slots);
    REQUIRE(std::equal(fused.outcomes.begin(), fused.outcomes.end(), plain.outcomes.begin(), same));
    REQUIRE(std::memcmp(fused.slot_weights.data(), plain.slot_weights.data(), 18 * sizeof(float)) == 0);
    REQUIRE(fused.last_use == plain.last_use);
  }
}

TEST_CASE("the kernel stamps the slots that were hit with the step", "[property][decide]") {
  // Experts 0 and 2 are routed; 0 sits in slot 3, 2 is missing: only slot 3 is stamped.
  decision_arrays a{{.n_layers = 1, .n_experts = 4, .top_k = 2, .expert_bytes = 1}, 1};
  a.step = (std::uint64_t{1} << 32) + 9;
  a.slot_of[0] = buddy::slot_id{3};
  a.experts = {0, 2};
  a.weights = {0.5F, 0.5F};
  emulate_decide(a.arrays(0), {}, buddy::sensitivity::never{}, buddy::selection::none{});
  CHECK(a.last_use == std::vector<std::uint32_t>{0, 0, 0, 9});
  CHECK(a.slots == std::vector<buddy::slot_id>{buddy::slot_id{3}, buddy::no_slot});
}

TEST_CASE("the kernel tells the host of every slot that missed", "[property][decide]") {
  // Top-10 of 12, expert 4 and 7 resident: 8 missing slots in one record, none in a second; without expert 7 there
  // are 9.
  auto const without_seven = GENERATE(false, true);
  decision_arrays a{{.n_layers = 1, .n_experts = 12, .top_k = 10, .expert_bytes = 1}, 1};
  a.step = 300;
  a.slot_of[4] = buddy::slot_id{0};
  if (!without_seven) a.slot_of[7] = buddy::slot_id{1};
  for (std::uint16_t s = 0; s != 10; ++s) a.experts[s] = s;
  a.weights.assign(10, 0.1F);
  std::vector<buddy::cuda::miss_record> records(4);
  std::uint32_t tail = 0;
  buddy::cuda::miss_ring_control control;
  auto arrays = a.arrays(5);
  arrays.misses = {records.data(), &tail, &control, 4};
  emulate_decide(arrays, {.otherwise = buddy::resolution::host}, buddy::sensitivity::never{}, buddy::selection::none{});
  std::vector<std::uint16_t> told;
  buddy::cuda::miss_reader reader{{records.data(), 4}, tail};
  auto const n = reader.drain([&](buddy::cuda::miss_record const& r) {
    CHECK(r.layer == 5);
    CHECK(r.step == 44);  // 300 - 256
    for (std::uint32_t i = 0; i != r.size; ++i) {
      told.push_back(r.experts[i]);
      CHECK(r.ending(i) == buddy::resolution::host);
    }
  });
  CHECK(n == (without_seven ? 2 : 1));
  CHECK(told == (without_seven ? std::vector<std::uint16_t>{0, 1, 2, 3, 5, 6, 7, 8, 9}
                               : std::vector<std::uint16_t>{0, 1, 2, 3, 5, 6, 8, 9}));
}
