// SPDX-License-Identifier: Apache-2.0
// The module on the bundled model, against PyTorch's golden logits and against the harness: decisions and logits.
#include "harness/model/cpu/decoder.hpp"
#include "harness/model/cpu/kv_cache.hpp"
#include "harness/model/weights.hpp"
#include "torch/adapted_model.hpp"
#include "torch/torch_catch.hpp"
#include "torch/words.hpp"

#include <buddy/buddy.hpp>

#include <buddy_torch/moe.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

using namespace buddy::torch;
using buddy::resolution;

namespace {

/// What the harness's decoder calls, with the same policy.
template <class Policy>
struct harness_moe {
  Policy policy;
  std::vector<buddy::assignment> decisions;
  std::array<harness::expert_use, buddy::max_top_k> uses{};
  float least_margin = 1.0F;  ///< by which the last chosen expert beats the first that was not

  std::span<harness::expert_use const> operator()(std::uint16_t layer, harness::router_output const& r,
                                                  std::span<float const>) {
    auto const of = [](auto x) {
      return buddy::view<typename decltype(x)::element_type>{x.data(), static_cast<std::uint32_t>(x.size())};
    };
    auto const& plan = policy.resolve(layer, {of(r.experts), of(r.weights), of(r.probabilities)});
    for (auto const& c : plan.fetches) policy.commit(c);
    for (auto const& c : plan.refills) policy.commit(c);
    std::size_t n = 0;
    for (auto const& a : plan.assignments) {
      decisions.push_back(a);
      uses[n++] = {a.expert, a.weight};
    }
    if (layer + 1U != policy.shape().n_layers)
      for (auto const& c : policy.prefetch(static_cast<std::uint16_t>(layer + 1))) policy.commit(c);
    return {uses.data(), n};
  }
};

}  // namespace

TEST_CASE("the module gives PyTorch's logits in exact mode, whatever fits", "[torch][moe]") {
  auto const file = buddy::io::safetensors_file::open(folder / "golden.safetensors");
  auto const& logits = file.at("logits");
  auto const golden = at::empty({70, 256});
  std::memcpy(golden.data_ptr(), logits.bytes.data(), logits.bytes.size());
  auto const tokens = at::empty({70}, at::kInt);
  std::memcpy(tokens.data_ptr(), file.at("tokens").bytes.data(), file.at("tokens").bytes.size());
  for (double const ratio : {1.0, 0.25}) {
    for (auto const math : {row_math::fastest, row_math::row_exact}) {
      adapted a{ratio, {.exact = true, .refill_after = 0, .max_tokens = 70}, math};
      CHECK(largest_difference(a.model->step(tokens), golden) < 1e-4);
      a.model->begin_sequence();
      for (std::int64_t t = 0; t != 70; ++t)
        CHECK(largest_difference(a.model->step(tokens.narrow(0, t, 1))[0], golden[t]) < 1e-4);
    }
  }
}

TEST_CASE("the module decides as the harness does, and gives its logits", "[torch][moe]") {
  buddy::policy_config const configs[]{
      {.refill_after = 0},
      {.on_refused = resolution::drop, .rho = 3, .weights = buddy::weight_mode::own, .renormalise = true},
      {.on_refused = resolution::host, .beta = 0.7, .refill_after = 2, .prefetch_width = 2}};
  auto const w = harness::weights::load(folder);
  auto const text = text_of("english-prose.txt", 200);
  for (auto const& config : configs) {
    adapted ours{0.5, config};
    auto shape = w.shape();
    shape.expert_bytes *= 2;  // the adapter holds floats
    harness_moe<decltype(composed(shape, 0.5, config))> theirs{composed(shape, 0.5, config), {}, {}};
    harness::decoder decoder{w};
    harness::kv_cache cache{w.config()};
    double largest = 0.0;
    for (char const c : text) {
      theirs.policy.begin_step();
      auto const logits = decoder.step(static_cast<std::uint8_t>(c), cache, theirs);
      auto const got = ours.model->step(tokens_of({c}))[0];
      for (std::size_t i = 0; i != logits.size(); ++i)
        largest = std::max<double>(largest, std::abs(got.data_ptr<float>()[i] - logits[i]));
    }
    CHECK(largest < 1e-4);
    REQUIRE(ours.decisions.size() == theirs.decisions.size());
    std::size_t substituted = 0;
    for (std::size_t i = 0; i != ours.decisions.size(); ++i) {
      auto const& a = ours.decisions[i];
      auto const& b = theirs.decisions[i];
      REQUIRE(std::tuple{a.expert, a.how, a.why, a.slot, a.rank} == std::tuple{b.expert, b.how, b.why, b.slot, b.rank});
      substituted += a.how == resolution::buddy ? 1U : 0U;
    }
    CHECK(substituted > 100);
    auto const counted = ours.session->policy().total();
    CHECK(counted.lookups == theirs.policy.total().lookups);
    CHECK(counted.fetches == theirs.policy.total().fetches);
  }
}

TEST_CASE("with row_exact a token's bits do not depend on the batch", "[torch][moe]") {
  adapted a{0.5, {.exact = true, .refill_after = 0, .max_tokens = 40}, row_math::row_exact};
  at::manual_seed(5);
  auto const x = at::randn({40, 128});
  auto const together = a.blocks[0]->forward(x);
  for (std::int64_t const n : {1, 3, 8})
    for (std::int64_t t = 0; t + n <= 40; t += n)
      REQUIRE(at::equal(a.blocks[0]->forward(x.narrow(0, t, n)), together.narrow(0, t, n)));
}

TEST_CASE("the module takes the shape it is given, and no gradient", "[torch][moe]") {
  adapted a{0.5, {.exact = true, .max_tokens = 12}};
  auto& block = a.blocks[0];
  CHECK(block->forward(at::zeros({2, 3, 128})).sizes() == at::IntArrayRef{2, 3, 128});
  CHECK(block->forward(at::zeros({128})).sizes() == at::IntArrayRef{128});
  CHECK(block->forward(at::zeros({0, 128})).sizes() == at::IntArrayRef{0, 128});
  CHECK(block->parameters().size() == 1);
  auto const error = [&](at::Tensor const& x) { return words_of([&] { block->forward(x); }); };
  CHECK(says(error(at::zeros({2, 64})), "buddy::MoE: x must be [..., hidden] with hidden = 128, but is [2, 64]"));
  CHECK(says(error(at::zeros({2, 128}, at::kHalf)), "buddy::MoE: x must have dtype Float, but has Half"));
  CHECK(says(error(at::zeros({2, 128}, at::kMeta)), "buddy::MoE: x is on meta, but the store is on cpu"));
  CHECK(says(error(at::zeros({2, 128}).requires_grad_()), "buddy::MoE: x requires grad, but buddy is for inference"));
  CHECK(says(error(at::zeros({13, 128})), "x has 13 tokens, but the policy was made for max_tokens = 12"));
  CHECK(says(error({}), "buddy::MoE: x is undefined"));
}

TEST_CASE("an error of the store, the session and the constructor names the argument", "[torch][moe]") {
  adapted a{0.5, {.max_tokens = 4}};
  auto const sizes = a.sizes.experts();
  auto const shape = sizes.shape(6, at::kFloat);
  auto const session = [&](expert_sizes const& s, std::int64_t n_slots, at::ScalarType type, row_math math) {
    return words_of([&] {
      expert_session{any_policy{composed(shape, 0.5, {})}, std::make_shared<ExpertStore>(s, n_slots, type), math};
    });
  };
  CHECK(session(sizes, 128, at::kFloat, row_math::row_exact).empty());
  CHECK(
      says(session(sizes, 127, at::kFloat, row_math::fastest), "the store has 127 slots, but the policy's cache 128"));
  CHECK(says(session({4, 32, 128, 32}, 128, at::kFloat, row_math::fastest), "the store has 4 layers of 32 experts"));
  CHECK(says(session(sizes, 128, at::kHalf, row_math::row_exact), "row_exact needs a store of float on the CPU"));
  CHECK(says(words_of([&] { ExpertStore{{4, 64, 0, 32}, 1}; }), "sizes must all be positive"));
  auto const gate = at::zeros({32, 128});
  CHECK(says(words_of([&] { a.session->store().set({0, 0}, gate, gate, gate); }), "down has 128 in dimension 1"));
  CHECK(says(words_of([&] { MoE(moe_options{}, at::zeros({63, 128}), a.session); }),
             "router has 63 in dimension 0, but must have"));
  CHECK(says(words_of([&] { MoE(moe_options{.layer = 4}, at::zeros({64, 128}), a.session); }), "layer 4 of 4"));
}

TEST_CASE("experts in bfloat16 are computed by LibTorch, to its precision", "[torch][moe]") {
  auto const sizes = reference::read_sizes(folder).experts();
  auto const shape = sizes.shape(6, at::kBFloat16);
  reference::weight_file const file{folder / "model.safetensors"};
  auto const router = file.get("model.layers.0.mlp.gate.weight");
  auto const block = [&](at::ScalarType type) {
    any_policy policy{composed(shape, 0.5, {.exact = true, .max_tokens = 16})};
    auto store = std::make_shared<ExpertStore>(sizes, static_cast<std::int64_t>(policy.capacity()), type);
    reference::load_experts(file, *store);
    return MoE{moe_options{}, router.to(type), std::make_shared<expert_session>(std::move(policy), store)};
  };
  at::manual_seed(2);
  auto const x = at::randn({16, 128});
  auto const exact = block(at::kFloat)->forward(x);
  auto const narrow = block(at::kBFloat16)->forward(x.to(at::kBFloat16)).to(at::kFloat);
  CHECK((narrow - exact).norm().item<double>() < 0.1 * exact.norm().item<double>());
}

TEST_CASE("ten thousand steps take no more memory than a thousand", "[torch][moe]") {
  adapted a{0.25, {.refill_after = 1, .prefetch_width = 2}};
  at::manual_seed(1);
  auto const inputs = at::randn({50, 128});
  auto const resident_kib = [] {  // what the process holds, from the kernel's own count of pages
    std::FILE* const file = std::fopen("/proc/self/statm", "r");
    long pages = 0;
    if (file != nullptr) static_cast<void>(std::fscanf(file, "%*d %ld", &pages)), std::fclose(file);
    return pages * 4;
  };
  auto const run = [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t t = first; t != last; ++t)
      for (auto& block : a.blocks) static_cast<void>(block->forward(inputs.narrow(0, t % 50, 1)));
  };
  run(0, 1000);
  auto const before = resident_kib();
  run(1000, 11000);
  CHECK(resident_kib() - before < 4096);  // a leak of one hidden state a layer would be 20 MB
}
