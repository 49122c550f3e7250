// SPDX-License-Identifier: Apache-2.0
// The block that decides on the device: its outputs against plain loops, its table against the bytes in the slots.
#include "torch/torch_catch.hpp"
#include "torch/words.hpp"

#include <buddy/buddy.hpp>

#include <buddy_torch/table_moe.hpp>

#include <cstdint>
#include <memory>
#include <set>
#include <vector>

using namespace buddy::torch;
using buddy::resolution;

namespace {

constexpr expert_sizes sizes{.n_layers = 2, .n_experts = 16, .hidden = 24, .width = 8};
resolve_options const rules{.protect_share = 0.3, .on_refused = resolution::drop};

struct blocks {
  std::shared_ptr<table_session> session;
  std::vector<at::Tensor> routers;
  std::vector<TableMoE> moes;

  explicit blocks(double ratio, std::size_t n_warm) {
    at::manual_seed(4);
    auto const shape = sizes.shape(3, at::kFloat);
    buddy::slot_cache<buddy::eviction::lru> cache(shape, buddy::cache_budget::from_ratio(shape, ratio));
    std::vector<buddy::expert_key> keys;
    auto const store = std::make_shared<ExpertStore>(sizes, static_cast<std::int64_t>(cache.capacity()));
    for (std::uint16_t l = 0; l != 2; ++l)
      for (std::uint16_t e = 0; e != 16; ++e) {
        store->set({l, e}, at::randn({8, 24}), at::randn({8, 24}), at::randn({24, 8}));
        if (e < n_warm) keys.push_back({l, e});
      }
    cache.warm({keys.data(), static_cast<std::uint32_t>(keys.size())});
    any_policy policy{buddy::policy{shape, std::move(cache), buddy::prediction::none(shape),
                                    buddy::sensitivity::never{}, buddy::selection::none{},
                                    buddy::policy_config{.max_tokens = 4}}};
    session = std::make_shared<table_session>(std::move(policy), store, rules);
    for (std::uint16_t l = 0; l != 2; ++l) {
      routers.push_back(at::randn({16, 24}) * 0.3);
      moes.emplace_back(moe_options{.layer = l}, routers.back(), session);
    }
  }
};

/// What the block must compute for the table as it is: row by row, slot by slot.
at::Tensor expected(blocks& b, std::uint16_t layer, at::Tensor const& x) {
  auto const scores = at::softmax(at::linear(x, b.routers[layer]), -1);
  auto const best = scores.topk(3, -1);
  auto const weights = std::get<0>(best) / std::get<0>(best).sum(-1, true);
  auto const r = resolve_rows({std::get<1>(best), weights, scores, b.session->table()[layer]}, rules);
  auto const y = at::zeros_like(x);
  for (std::int64_t t = 0; t != x.size(0); ++t)
    for (std::int64_t s = 0; s != 3; ++s) {
      auto const slot = r.slots[t][s].item<std::int32_t>();
      if (slot < 0) continue;
      auto const m = b.session->store().matrices_of(b.session->store().slot(buddy::slot_id(slot)));
      auto const h = at::matmul(m.gate_up, x[t]).chunk(2);
      y[t] += at::matmul(m.down, at::silu(h[0]) * h[1]) * r.weights[t][s];
    }
  return y;
}

/// Every expert of the table is in its slot, byte for byte, and no slot has two. @returns how many there are
std::size_t check_table(blocks& b) {
  std::set<std::int32_t> slots;
  for (std::uint16_t l = 0; l != 2; ++l)
    for (std::uint16_t e = 0; e != 16; ++e) {
      auto const slot = b.session->table()[l][e].item<std::int32_t>();
      if (slot < 0) continue;
      REQUIRE(slots.insert(slot).second);
      REQUIRE(at::equal(b.session->store().slot(buddy::slot_id(slot)), b.session->store().master({l, e})));
    }
  return slots.size();
}

}  // namespace

TEST_CASE("the table names only experts whose bytes are there, while residents come and go", "[torch][table]") {
  blocks b{0.5, 3};
  CHECK(check_table(b) == 6);
  auto const before = b.session->table().clone();
  at::manual_seed(9);
  for (int step = 0; step != 60; ++step) {
    auto const x = at::randn({1 + step % 4, 24});
    for (std::uint16_t l = 0; l != 2; ++l) {
      auto const y = b.moes[l]->forward(x);  // layer 0 publishes first, so the table is what it decided by
      REQUIRE(at::allclose(y, expected(b, l, x), 1e-4, 1e-5));
    }
    check_table(b);
  }
  CHECK(check_table(b) > 8);  // of 16 slots; the last step's copies are not published yet
  CHECK(!at::equal(before, b.session->table()));
  CHECK(b.session->policy().total().fetches > 50);
}

TEST_CASE("the policy sees a step when the next one begins", "[torch][table]") {
  blocks b{0.5, 0};
  auto const x = at::ones({1, 24});
  static_cast<void>(b.moes[0]->forward(x));
  CHECK(b.session->policy().total().lookups == 0);
  static_cast<void>(b.moes[1]->forward(x));
  static_cast<void>(b.moes[0]->forward(x));  // three experts of two layers were asked for, and nobody was there
  CHECK(b.session->policy().total().lookups == 6);
  CHECK(b.session->policy().total().fetches == 6);
  static_cast<void>(b.moes[1]->forward(x));
  static_cast<void>(b.moes[0]->forward(x));
  CHECK(b.session->policy().total().hits == 6);
}

TEST_CASE("an error of the block that decides on the device names the argument", "[torch][table]") {
  blocks b{0.5, 0};
  auto& moe = b.moes[0];
  CHECK(says(words_of([&] { moe->forward(at::zeros({5, 24})); }), "x has 5 tokens, but must have 1 to max_tokens = 4"));
  CHECK(says(words_of([&] { moe->forward(at::zeros({1, 23})); }), "x has 23 in dimension 1"));
  CHECK(says(words_of([&] { moe->forward(at::zeros({1, 24}).requires_grad_()); }), "x requires grad, but buddy"));
  auto const shape = sizes.shape(3, at::kFloat);
  auto const policy = [&] {
    return any_policy{buddy::policy{
        shape, buddy::slot_cache<buddy::eviction::lru>(shape, buddy::cache_budget::from_ratio(shape, 0.5)),
        buddy::prediction::none(shape), buddy::sensitivity::never{}, buddy::selection::none{}}};
  };
  CHECK(says(words_of([&] { table_session(policy(), std::make_shared<ExpertStore>(sizes, 16), {}); }),
             "on_refused must be drop"));
  CHECK(says(words_of([&] { table_session(policy(), std::make_shared<ExpertStore>(sizes, 15), rules); }),
             "the store has 15 slots, but the policy's cache 16"));
}
