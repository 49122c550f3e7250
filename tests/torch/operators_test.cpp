// SPDX-License-Identifier: Apache-2.0
// The operators against the library's scalar resolver, and against each other.
#include "torch/random_tensors.hpp"
#include "torch/torch_catch.hpp"
#include "torch/words.hpp"

#include <buddy/buddy.hpp>

#include <ATen/core/dispatch/Dispatcher.h>
#include <buddy_torch/resolve_on_tensors.hpp>
#include <buddy_torch/resolve_rows.hpp>

#include <cstdint>
#include <set>
#include <string>
#include <tuple>
#include <vector>

using namespace buddy::torch;
using at::Tensor;
using buddy::resolution;

namespace {

resolve_options random_options(buddy::testing::dice& random) {
  double const shares[]{0.0, 0.05, 0.12, 0.3, 1.0};
  resolve_options o{.protect_share = shares[random.roll(5)], .rho = random.roll(5)};
  if (random.chance(3)) o.rho = 32;
  if (random.chance(3)) o.beta = 0.25 * random.roll(5);
  if (random.chance(2)) o.weights = buddy::weight_mode::own;
  o.on_refused = random.chance(2) ? resolution::drop : resolution::fetch;
  o.renormalise = random.chance(2);
  if (random.chance(8)) o.exact = true, o.on_refused = resolution::host;
  return o;
}

/// One token by the whole composed policy, whose cache holds just the residents of `r`: the slow way round.
std::vector<buddy::assignment> by_policy(routing_tensors const& r, resolve_options const& o) {
  buddy::model_shape const shape{1, static_cast<std::uint16_t>(r.n_experts()), static_cast<std::uint16_t>(r.top_k()),
                                 1};
  auto const n = static_cast<std::uint32_t>(r.n_tokens());
  auto config = o.config();
  config.max_tokens = n;
  config.refill_after = 0;
  buddy::policy policy{shape,
                       buddy::slot_cache<buddy::eviction::fifo>(shape, {.bytes = shape.n_experts}),
                       buddy::prediction::none(shape),
                       o.gate(),
                       buddy::selection::live_score{},
                       config};
  std::vector<buddy::expert_key> residents;
  for (std::uint16_t e = 0; e != shape.n_experts; ++e)
    if (r.slot_of[e].item<std::int32_t>() >= 0) residents.push_back({0, e});
  policy.cache().warm({residents.data(), static_cast<std::uint32_t>(residents.size())});
  std::vector<std::uint16_t> ids;
  for (std::int64_t i = 0; i != r.ids.numel(); ++i)
    ids.push_back(static_cast<std::uint16_t>(r.ids.data_ptr<std::int64_t>()[i]));
  policy.begin_step();
  auto const& plan = policy.resolve(0, {{ids.data(), static_cast<std::uint32_t>(ids.size())},
                                        {r.weights.data_ptr<float>(), static_cast<std::uint32_t>(ids.size())},
                                        {r.scores.data_ptr<float>(), n * shape.n_experts},
                                        n});
  return {plan.assignments.begin(), plan.assignments.end()};
}

bool same_bits(Tensor const& a, Tensor const& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() && at::equal(a, b);
}

resolved_tensors by_operator(routing_tensors const& r, resolve_options const& o) {
  static auto const op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("buddy::resolve", "")
                             .typed<std::tuple<Tensor, Tensor, Tensor>(
                                 Tensor const&, Tensor const&, Tensor const&, Tensor const&, double, std::int64_t,
                                 c10::optional<double>, c10::string_view, c10::string_view, bool, bool)>();
  auto const refused = buddy::to_string(o.on_refused);
  auto const out = op.call(r.ids, r.weights, r.scores, r.slot_of, o.protect_share, o.rho,
                           o.beta ? c10::optional<double>{*o.beta} : c10::nullopt,
                           o.weights == buddy::weight_mode::own ? "own" : "keep",
                           c10::string_view{refused.data(), refused.size()}, o.renormalise, o.exact);
  return {std::get<0>(out), std::get<1>(out), std::get<2>(out)};
}

Tensor stand_in_by_operator(Tensor const& ids, Tensor const& scores, Tensor const& slot_of) {
  static auto const op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("buddy::stand_in", "")
                             .typed<Tensor(Tensor const&, Tensor const&, Tensor const&)>();
  return op.call(ids, scores, slot_of);
}

}  // namespace

TEST_CASE("resolve equals the composed policy on random batches", "[torch][operators]") {
  buddy::testing::dice random{20250801};
  std::set<int> ends;
  for (std::uint64_t seed = 0; seed != 300; ++seed) {
    std::int64_t const n_experts = 4 + random.roll(40);
    random_sizes const size{1 + random.roll(6), n_experts, 1 + random.roll(std::min<std::size_t>(n_experts, 8)),
                            random.roll(9)};
    auto const r = random_tensors(size, seed);
    auto const o = random_options(random);
    auto const got = by_operator(r, o);
    auto const want = by_policy(r, o);
    for (std::size_t i = 0; i != want.size(); ++i) {
      auto const how = static_cast<resolution>(got.resolutions.data_ptr<std::int8_t>()[i]);
      ends.insert(static_cast<int>(how));
      REQUIRE(how == want[i].how);
      REQUIRE(got.weights.data_ptr<float>()[i] == want[i].weight);
      bool const here = how == resolution::own || how == resolution::buddy;
      std::int32_t const slot = here ? r.slot_of.data_ptr<std::int32_t>()[want[i].expert] : -1;
      REQUIRE(got.slots.data_ptr<std::int32_t>()[i] == slot);
    }
  }
  CHECK(ends.size() == 5);  // own, buddy, host, fetch, drop: none was left untried
}

TEST_CASE("resolve in tensor operations gives the bits of the scalar resolver", "[torch][operators]") {
  buddy::testing::dice random{77};
  for (std::uint64_t seed = 0; seed != 400; ++seed) {
    std::int64_t const n_experts = 2 + random.roll(70);
    random_sizes const size{random.roll(9), n_experts, 1 + random.roll(std::min<std::size_t>(n_experts, 9)),
                            random.roll(9), 2 + random.roll(60)};
    auto const r = random_tensors(size, 1000 + seed);
    auto const o = random_options(random);
    auto const rows = resolve_rows(r, o);
    auto const tensors = resolve_on_tensors(r, o);
    INFO("seed " << seed);
    REQUIRE(same_bits(rows.slots, tensors.slots));
    REQUIRE(same_bits(rows.weights, tensors.weights));
    REQUIRE(same_bits(rows.resolutions, tensors.resolutions));
    REQUIRE(same_bits(stand_in_rows(r), stand_in_on_tensors(r)));
  }
}

TEST_CASE("no token computes one slot twice", "[torch][operators]") {
  for (std::uint64_t seed = 0; seed != 100; ++seed) {
    auto const r = random_tensors({.n_tokens = 16, .n_experts = 24, .top_k = 6}, seed);
    auto const out = by_operator(r, {.protect_share = 1.0});
    auto const named = stand_in_by_operator(r.ids, r.scores, r.slot_of);
    for (std::int64_t t = 0; t != 16; ++t) {
      std::set<std::int32_t> slots;
      std::set<std::int64_t> experts;
      for (std::int64_t s = 0; s != 6; ++s) {
        if (auto const slot = out.slots[t][s].item<std::int32_t>(); slot >= 0) CHECK(slots.insert(slot).second);
        if (auto const e = named[t][s].item<std::int64_t>(); e >= 0) CHECK(experts.insert(e).second);
      }
    }
  }
}

TEST_CASE("stand_in names the best live score for each miss", "[torch][operators]") {
  // Residents 1, 3, 4. The token asks for 0, 3, 2: 3 stays; 0 gets 4 (score .3 against .1 of 1), 2 gets what is
  // left, 1.
  auto const ids = at::tensor({0, 3, 2}, at::kLong).view({1, 3});
  auto const scores = at::tensor({0.4F, 0.1F, 0.05F, 0.15F, 0.3F}).view({1, 5});
  auto const slot_of = at::tensor({-1, 0, -1, 1, 2}, at::kInt);
  CHECK(at::equal(stand_in_by_operator(ids, scores, slot_of), at::tensor({4, 3, 1}, at::kLong).view({1, 3})));
  // With 3 and 4 alone resident nobody is left for 2.
  auto const fewer = at::tensor({-1, -1, -1, 1, 2}, at::kInt);
  CHECK(at::equal(stand_in_by_operator(ids, scores, fewer), at::tensor({4, 3, -1}, at::kLong).view({1, 3})));
}

TEST_CASE("resolve keeps the dtype of the gate weights and takes strided tensors", "[torch][operators]") {
  auto const r = random_tensors({.n_tokens = 8, .n_experts = 16, .top_k = 4}, 3);
  for (auto const type : {at::kHalf, at::kBFloat16}) {
    auto narrow = r;
    narrow.weights = r.weights.to(type);
    narrow.scores = r.scores.to(type);
    auto const out = by_operator(narrow, {.protect_share = 1.0});
    CHECK(out.weights.scalar_type() == type);
    routing_tensors const wide{r.ids, narrow.weights.to(at::kFloat), narrow.scores.to(at::kFloat), r.slot_of};
    CHECK(same_bits(out.slots, by_operator(wide, {.protect_share = 1.0}).slots));
  }
  auto strided = r;
  strided.ids = r.ids.t().contiguous().t();
  strided.scores = r.scores.t().contiguous().t();
  CHECK(same_bits(by_operator(strided, {}).slots, by_operator(r, {}).slots));
}

TEST_CASE("resolve and stand_in trace on meta tensors", "[torch][operators]") {
  auto const r = random_tensors({.n_tokens = 5, .n_experts = 16, .top_k = 4}, 9);
  routing_tensors const meta{r.ids.to(at::kMeta), r.weights.to(at::kMeta), r.scores.to(at::kMeta),
                             r.slot_of.to(at::kMeta)};
  auto const out = by_operator(meta, {});
  CHECK(out.slots.is_meta());
  CHECK(out.slots.sizes() == r.ids.sizes());
  CHECK(out.slots.scalar_type() == at::kInt);
  CHECK(out.weights.scalar_type() == at::kFloat);
  CHECK(out.resolutions.scalar_type() == at::kChar);
  auto const named = stand_in_by_operator(meta.ids, meta.scores, meta.slot_of);
  CHECK(named.is_meta());
  CHECK(named.scalar_type() == at::kLong);
}

TEST_CASE("resolve leaves its arguments as they are", "[torch][operators]") {
  auto const r = random_tensors({.n_tokens = 4, .n_experts = 16, .top_k = 4}, 21);
  routing_tensors const before{r.ids.clone(), r.weights.clone(), at::nan_to_num(r.scores), r.slot_of.clone()};
  for (bool const on_tensors : {false, true}) {
    auto const out = on_tensors ? resolve_on_tensors(r, {.weights = buddy::weight_mode::own, .renormalise = true})
                                : resolve_rows(r, {.weights = buddy::weight_mode::own, .renormalise = true});
    CHECK(at::equal(r.ids, before.ids));
    CHECK(at::equal(r.weights, before.weights));
    CHECK(at::equal(at::nan_to_num(r.scores), before.scores));
    CHECK(at::equal(r.slot_of, before.slot_of));
    CHECK(out.weights.data_ptr() != r.weights.data_ptr());
  }
}

TEST_CASE("an error of resolve names the argument", "[torch][operators]") {
  auto const good = random_tensors({.n_tokens = 2, .n_experts = 8, .top_k = 3}, 1);
  auto const with = [&](auto const& change, resolve_options const& o = {}) {
    routing_tensors r{good.ids.clone(), good.weights, good.scores, good.slot_of};
    change(r);
    return words_of([&] { static_cast<void>(by_operator(r, o)); });
  };
  auto const same = [](routing_tensors&) {};
  CHECK(with(same).empty());
  CHECK(says(with([](auto& r) { r.ids = r.ids.to(at::kInt); }), "ids must have dtype Long, but has Int"));
  CHECK(says(with([](auto& r) { r.slot_of = r.slot_of.to(at::kLong); }), "slot_of must have dtype Int"));
  CHECK(says(with([](auto& r) { r.weights = r.weights.to(at::kDouble); }), "weights must have dtype Float, Half"));
  CHECK(says(with([](auto& r) { r.scores = r.scores.narrow(1, 0, 7); }), "scores has 7 in dimension 1, but must have"));
  CHECK(says(with([](auto& r) { r.weights = r.weights.narrow(0, 0, 1); }), "weights has 1 in dimension 0"));
  CHECK(says(with([](auto& r) { r.ids = r.ids.view({-1}); }), "ids must be [n_tokens, top_k], but has 1 dim"));
  CHECK(says(with([](auto& r) { r.ids[1][2] = 8; }), "ids of token 1 hold 8, but there are 8 experts"));
  CHECK(says(with([](auto& r) { r.ids[1][2] = r.ids[1][0].clone(); }), "must be distinct within a token, but token 1"));
  CHECK(says(with([](auto& r) { r.scores = r.scores.to(at::kMeta); }), "scores is on meta, but ids is on cpu"));
  CHECK(
      says(with([](auto& r) { r.weights = r.weights.clone().requires_grad_(); }), "weights requires grad, but buddy"));
  CHECK(says(with(same, {.protect_share = 1.5}), "protect_share must be in [0, 1], not 1.5"));
  CHECK(says(with(same, {.rho = -1}), "rho must be in [0, 32], not -1"));
  CHECK(says(with(same, {.beta = 2.0}), "beta must be in [0, 1], not 2"));
  CHECK(
      says(with(same, {.on_refused = resolution::buddy}), "on_refused must be 'fetch', 'host' or 'drop', not 'buddy'"));
  CHECK(
      says(with(same, {.on_refused = resolution::drop, .exact = true}), "on_refused must be 'fetch' or 'host' where"));
  at::NoGradGuard const inference;
  CHECK(with([](auto& r) { r.weights = r.weights.clone().requires_grad_(); }).empty());
}
