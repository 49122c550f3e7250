// SPDX-License-Identifier: Apache-2.0
// One decision, two machines: the device's against the host's, and the host's against the policy's.
#include "catch.hpp"
#include "cuda/device_vector.hpp"
#include "property/chosen_model.hpp"
#include "property/policy_run.hpp"
#include "property/random_routing.hpp"

#include <buddy/cuda/resolve_rows.cuh>

#include <cuda_runtime.h>

#include <cstdint>
#include <string>
#include <vector>

using buddy::slot_outcome;

namespace {

constexpr std::uint32_t n_tokens = 37;  // no multiple of a block
constexpr buddy::model_shape shape{.n_layers = 2, .n_experts = 10, .top_k = 3, .expert_bytes = 10};

bool same(slot_outcome const& a, slot_outcome const& b) {
  return a.how == b.how && a.why == b.why && a.expert == b.expert && a.rank == b.rank && a.scale_q16 == b.scale_q16;
}

/// The rules of the tokens, one set a row: every reason to refuse is met.
std::vector<buddy::row_rules> rules_table() {
  using buddy::refusal;
  using buddy::resolution;
  auto const lightest = buddy::budget_order::lightest_first;
  return {{},
          {.token_budget = 1},
          {.order = lightest, .token_budget = 1},
          {.otherwise = resolution::drop, .window_budget = 1},
          {.otherwise = resolution::host, .order = lightest, .token_budget = 2, .window_budget = 1},
          {.closed = refusal::distribution_gate},
          {.closed = refusal::exact_mode, .otherwise = resolution::host}};
}

/// Every other expert is resident, and one more.
std::vector<buddy::slot_id> half_resident() {
  std::vector<buddy::slot_id> slot_of(shape.n_experts, buddy::no_slot);
  for (std::uint32_t e = 1; e < shape.n_experts; e += 2) slot_of[e] = buddy::slot_id{e / 2};
  slot_of[4] = buddy::slot_id{5};
  return slot_of;
}

template <class F>
void for_each_gate_and_selector(buddy::buddy_table_ref table, F const& f) {
  for (std::size_t g = 0; g != chosen::n_gates; ++g) {
    for (std::size_t s = 0; s != chosen::n_selectors; ++s) {
      chosen::gate gate = chosen::eager_gate(g);
      gate.entropy = gate.entropy.with_margin(0.5);
      chosen::selector selector = chosen::eager_selector(s, table);
      selector.rank_window.alpha_q16 = buddy::q16_one / 4 * 3;
      selector.coactivation.eta_q16 = g % 2 == 0 ? 0 : buddy::q16_one / 2;
      f(gate, selector);
    }
  }
}

std::vector<slot_outcome> on_host(buddy::cuda::layer_rows const& rows, buddy::row_rules const& rules,
                                  chosen::gate const& gate, chosen::selector const& selector) {
  std::vector<slot_outcome> out(rows.batch.experts.size);
  for (std::uint32_t t = 0; t != rows.batch.n_tokens; ++t)
    buddy::cuda::resolve_token(rows, t, rules, gate, selector, {out.data(), rows.batch.experts.size});
  return out;
}

/// Slots in which the two differ.
std::uint32_t differences(std::vector<slot_outcome> const& a, std::vector<slot_outcome> const& b) {
  std::uint32_t n = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i != a.size() && i != b.size(); ++i) n += same(a[i], b[i]) ? 0 : 1;
  return n;
}

}  // namespace

TEST_CASE("a token resolved alone ends as the policy resolves it", "[cuda][resolve_rows]") {
  auto const table = neighbours(shape);
  for_each_gate_and_selector(table.ref(), [&](chosen::gate const& gate, chosen::selector const& selector) {
    buddy::policy_config const config{.rho = 2, .refill_after = 0, .max_tokens = n_tokens};
    chosen::policy policy{shape,
                          buddy::slot_cache<chosen::eviction>(shape, {.bytes = 140}, std::size_t{0}),
                          chosen::predictor(shape, 0),
                          gate,
                          selector,
                          config};
    std::vector<buddy::expert_key> const warm{{1, 1}, {1, 4}, {1, 3}, {1, 9}, {1, 7}};
    policy.cache().warm({warm.data(), 5});
    random_routing routing(shape, n_tokens, 1);
    auto const r = routing.next();
    auto const slots = policy.cache().residents(1);
    std::vector<buddy::slot_id> const slot_of(slots.begin(), slots.end());  // before the plan changes them
    policy.begin_step();
    auto const& plan = policy.resolve(1, r);
    buddy::cuda::layer_rows const rows{1, n_tokens, r, {slot_of.data(), shape.n_experts}};  // step 1 of n_tokens each
    auto const alone = on_host(rows, {.token_budget = 2}, gate, selector);
    std::uint32_t different = 0;
    for (std::uint32_t i = 0; i != plan.assignments.size; ++i) {
      auto const& a = plan.assignments[i];
      different += same(alone[i], {a.how, a.why, a.expert, a.rank}) ? 0 : 1;
    }
    INFO("gate " << gate.kind << ", selector " << selector.kind);
    CHECK(different == 0);
  });
}

TEST_CASE("the rows of a batch of nothing launch nothing, with or without a device", "[cuda][resolve_rows]") {
  buddy::cuda::layer_rows rows{};
  rows.batch.n_tokens = 0;
  CHECK(buddy::cuda::resolve_rows(rows, {}, chosen::gate{}, chosen::selector{}, {}, cudaStream_t{}) == cudaSuccess);
}

TEST_CASE("every gate and selector decides on the device as on the host", "[cuda][gpu][resolve_rows]") {
  if (no_gpu()) return;
  auto const table = neighbours(shape);
  auto const ref = table.ref();
  device_vector<std::uint16_t> const list_experts(ref.experts);
  device_vector<buddy::q16> const list_similarities(ref.similarities);
  device_vector<std::uint16_t> const list_lengths(ref.lengths);
  auto const slot_of = half_resident();
  device_vector<buddy::slot_id> const d_slot_of(slot_of);
  random_routing routing(shape, n_tokens, static_cast<std::uint64_t>(GENERATE(range(1, 4))));
  auto const r = routing.next();
  device_vector<std::uint16_t> const experts(r.experts);
  device_vector<float> const weights(r.weights);
  device_vector<float> const scores(r.scores);
  buddy::cuda::layer_rows const host{1, 100, r, {slot_of.data(), shape.n_experts}};
  buddy::cuda::layer_rows const device{1, 100, {experts.all(), weights.all(), scores.all(), n_tokens}, d_slot_of.all()};
  for_each_gate_and_selector(ref, [&](chosen::gate const& gate, chosen::selector const& selector) {
    chosen::selector d_selector = selector;
    d_selector.use({list_experts.all(), list_similarities.all(), list_lengths.all(), ref.n_experts, ref.stride});
    for (auto const& rules : rules_table()) {
      device_vector<slot_outcome> const out(std::vector<slot_outcome>(n_tokens * shape.top_k));
      REQUIRE(buddy::cuda::resolve_rows(device, rules, gate, d_selector, out.all(), cudaStream_t{}) == cudaSuccess);
      INFO("gate " << gate.kind << ", selector " << selector.kind);
      CHECK(differences(out.to_host(), on_host(host, rules, gate, selector)) == 0);
    }
  });
}
