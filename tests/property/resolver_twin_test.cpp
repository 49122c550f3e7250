// SPDX-License-Identifier: Apache-2.0
// The resolver against the same rules written down with lists and sets, for every gate and every selector.
#include "catch.hpp"
#include "property/chosen_model.hpp"
#include "property/policy_run.hpp"
#include "property/random_routing.hpp"

#include <buddy/resolver.hpp>
#include <buddy/testing/dice.hpp>

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

using buddy::resolution;

namespace {

constexpr buddy::model_shape shape{.n_layers = 2, .n_experts = 12, .top_k = 4, .expert_bytes = 1};

bool same(buddy::slot_outcome const& a, buddy::slot_outcome const& b) {
  return a.how == b.how && a.why == b.why && a.expert == b.expert && a.rank == b.rank && a.scale_q16 == b.scale_q16;
}

/// The order in which the missing slots are served.
std::vector<std::uint32_t> serving_order(buddy::token_view const& t, buddy::view<buddy::slot_id const> slot_of,
                                         buddy::budget_order order) {
  std::vector<std::uint32_t> missing;
  for (std::uint32_t s = 0; s != t.experts.size; ++s)
    if (slot_of[t.experts[s]] == buddy::no_slot) missing.push_back(s);
  if (order == buddy::budget_order::lightest_first) {
    std::reverse(missing.begin(), missing.end());
    std::stable_sort(missing.begin(), missing.end(), [&](auto a, auto b) { return t.shares[a] < t.shares[b]; });
  }
  return missing;
}

std::vector<buddy::slot_outcome> plainly(buddy::token_view const& t, buddy::view<buddy::slot_id const> slot_of,
                                         buddy::row_rules const& rules, chosen::gate const& gate,
                                         chosen::selector const& selector) {
  std::vector<buddy::slot_outcome> out;
  for (auto const e : t.experts) out.push_back({.expert = e});
  buddy::expert_set taken(shape.n_experts);
  for (auto const e : t.experts) taken.insert(e);
  std::uint32_t given = 0;
  for (auto const s : serving_order(t, slot_of, rules.order)) {
    auto& o = out[s];
    o.how = rules.otherwise;
    o.why = rules.closed;
    if (o.why != buddy::refusal::none) continue;
    if ((gate.replaceable(t) >> s & 1) == 0) {
      o.why = buddy::refusal::sensitivity;
    } else if (given == rules.token_budget || given == rules.window_budget) {
      o.why = given == rules.token_budget ? buddy::refusal::token_budget : buddy::refusal::replacement_ratio;
    } else if (auto const found = selector.select(t, slot_of, taken, s); !found.found) {
      o.why = buddy::refusal::no_stand_in;
    } else {
      o = {found.how, {}, found.how == resolution::buddy ? found.expert : o.expert, found.rank, found.scale_q16};
      taken.insert(o.expert);
      ++given;
    }
  }
  return out;
}

/// Rules from the dice: every reason to refuse is met.
buddy::row_rules random_rules(buddy::testing::dice& random) {
  buddy::row_rules r;
  if (random.chance(12)) r.closed = buddy::refusal::distribution_gate;
  r.otherwise = random.chance(2) ? resolution::fetch : resolution::drop;
  r.order = random.chance(2) ? buddy::budget_order::router : buddy::budget_order::lightest_first;
  if (random.chance(3)) r.token_budget = random.roll(4);
  if (random.chance(3)) r.window_budget = random.roll(4);
  return r;
}

/// What is wrong with one token, or an empty view; counts what was given.
class check {
 public:
  check(std::size_t gate, std::size_t selector, std::uint64_t seed)
      : table_(neighbours(shape)),
        gate_(chosen::eager_gate(gate)),
        selector_(chosen::eager_selector(selector, table_.ref(), losses(shape))),
        routing_(shape, 1, seed),
        random_(seed) {
    selector_.rank_window.alpha_q16 = buddy::q16_one / 2;
  }

  std::string_view broken() {
    auto const r = routing_.next();
    std::array<buddy::q16, shape.top_k> shares{};
    buddy::normalise(r.weights, {shares.data(), shape.top_k});
    std::array<buddy::slot_id, shape.n_experts> slots{};
    for (std::uint32_t e = 0; e != shape.n_experts; ++e)
      slots[e] = random_.chance(2) ? buddy::slot_id{e} : buddy::no_slot;
    buddy::view<buddy::slot_id const> const slot_of{slots.data(), shape.n_experts};
    buddy::token_view const t{1, random_.next(), r.experts, {shares.data(), shape.top_k}, r.scores};
    auto const rules = random_rules(random_);
    std::array<buddy::slot_outcome, shape.top_k> out{};
    given_ += buddy::resolve_row(t, slot_of, rules, gate_, selector_, {out.data(), shape.top_k});
    auto const plain = plainly(t, slot_of, rules, gate_, selector_);
    if (!std::equal(out.begin(), out.end(), plain.begin(), same)) return "the resolver differs from its rules";
    std::set<std::uint16_t> used;
    for (std::uint32_t s = 0; s != shape.top_k; ++s) {
      bool const hit = slots[t.experts[s]] != buddy::no_slot;
      if (hit != (out[s].how == resolution::own)) return "a hit changed, or a miss became one";
      if (hit && (out[s].expert != t.experts[s] || out[s].scale_q16 != buddy::q16_one)) return "a hit changed";
      if (!used.insert(out[s].expert).second) return "an expert is used twice";
    }
    return {};
  }

  [[nodiscard]] std::uint32_t given() const { return given_; }

 private:
  buddy::buddy_table table_;
  chosen::gate gate_;
  chosen::selector selector_;
  random_routing routing_;
  buddy::testing::dice random_;
  std::uint32_t given_ = 0;
};

}  // namespace

TEST_CASE("every gate and selector is resolved as the rules say, and leaves hits alone", "[property][resolver]") {
  std::set<std::size_t> idle_selectors;
  std::set<std::size_t> idle_gates;
  for (std::size_t g = 0; g != chosen::n_gates; ++g) idle_gates.insert(g);
  for (std::size_t s = 0; s != chosen::n_selectors; ++s) idle_selectors.insert(s);
  for (std::size_t g = 0; g != chosen::n_gates; ++g) {
    for (std::size_t s = 0; s != chosen::n_selectors; ++s) {
      check tokens(g, s, g * 100 + s + 1);
      std::string_view broken;
      for (int i = 0; i != 400 && broken.empty(); ++i) broken = tokens.broken();
      INFO(chosen::name_of<chosen::gates>(g) << ", " << chosen::name_of<chosen::selectors>(s));
      CHECK(broken == "");
      if (tokens.given() == 0) continue;
      idle_gates.erase(g);
      idle_selectors.erase(s);
    }
  }
  CHECK(idle_gates == std::set<std::size_t>{0});      // never
  CHECK(idle_selectors == std::set<std::size_t>{0});  // none
}
