// SPDX-License-Identifier: Apache-2.0
// Several contexts side by side: what one policy does is no other's business.
#include "catch.hpp"
#include "property/policy_run.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace {

/// All that a host would act on, in one list of numbers.
using decisions = std::vector<std::uint64_t>;

void note(decisions& out, buddy::view<buddy::expert_copy const> copies) {
  out.push_back(copies.size);
  for (auto const& c : copies) {
    out.push_back(c.expert.expert);
    out.push_back(static_cast<std::uint64_t>(c.slot));
  }
}

/// One layer, whose copies arrive at once.
void resolve(chosen::policy& policy, std::uint16_t layer, random_routing& routing, decisions& out) {
  auto const& plan = policy.resolve(layer, routing.next());
  for (auto const& a : plan.assignments) {
    out.push_back(a.expert);
    out.push_back(static_cast<std::uint64_t>(a.how));
    out.push_back(static_cast<std::uint64_t>(a.slot));
  }
  for (auto const list : {plan.fetches, plan.waits, plan.refills}) {
    note(out, list);
    for (auto const& c : list) policy.commit(c);
  }
}

constexpr int n_steps = 20;

decisions alone(chosen::policy policy, run_settings const& s, std::uint64_t seed) {
  random_routing routing(s.shape, s.config.max_tokens, seed);
  decisions out;
  for (int i = 0; i != n_steps; ++i) {
    policy.begin_step();
    for (std::uint16_t l = 0; l != s.shape.n_layers; ++l) resolve(policy, l, routing, out);
  }
  return out;
}

/// Two contexts that take turns at every layer.
std::pair<decisions, decisions> in_turns(chosen::policy a, chosen::policy b, run_settings const& s,
                                         std::uint64_t seed) {
  random_routing for_a(s.shape, s.config.max_tokens, seed);
  random_routing for_b(s.shape, s.config.max_tokens, seed + 1000);
  std::pair<decisions, decisions> out;
  for (int i = 0; i != n_steps; ++i) {
    a.begin_step();
    b.begin_step();
    for (std::uint16_t l = 0; l != s.shape.n_layers; ++l) {
      resolve(a, l, for_a, out.first);
      resolve(b, l, for_b, out.second);
    }
  }
  return out;
}

}  // namespace

TEST_CASE("policies that take turns plan what each plans alone", "[property][policy]") {
  std::uint64_t seed = 0;
  std::string different;
  chosen::for_each_combination([&](chosen::combination const& models) {
    run_settings s{.models = models, .seed = ++seed};
    s.config.max_tokens = static_cast<std::uint32_t>(1 + seed % 3);
    auto const table = neighbours(s.shape);
    auto const both = in_turns(make_policy(s, table.ref()), make_policy(s, table.ref()), s, seed);
    bool const same = both.first == alone(make_policy(s, table.ref()), s, seed) &&
                      both.second == alone(make_policy(s, table.ref()), s, seed + 1000);
    if (!same && different.empty()) different = models.show();
    if (both.first == both.second && different.empty()) different = "two routings, one plan: " + models.show();
  });
  CHECK(different == "");
}
