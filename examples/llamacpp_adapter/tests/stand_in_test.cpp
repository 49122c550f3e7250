// SPDX-License-Identifier: Apache-2.0
/// @file
/// A stand-in gives the bits of a model in which its weights were copied over the missing expert's.
#include "catch.hpp"
#include "tests/tiny_run.hpp"

#include <buddy/io/profile_io.hpp>
#include <buddy/profile.hpp>

#include <ggml-backend.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <string>
#include <vector>

using namespace llama_test;

namespace {

constexpr std::uint16_t n_layers = 3, n_experts = 16, top_k = 4;

/// Experts 1, 5, 9 and 13 are never resident, and each has the expert before it as its only buddy. When that one was
/// chosen too, there is no stand-in: the expert is left out.
bool is_missing(int expert) { return expert % 4 == 1; }

llama_adapter::generated_model small(std::string_view architecture) {
  auto m = tiny(architecture);
  m.n_layers = n_layers;
  return m;
}

/// A profile by which the others are the most popular, so that they fill 12 slots of a warm start.
std::string profile_file() {
  buddy::profile p;
  p.shape = {n_layers, n_experts, top_k, 1};
  p.model = "generated";
  p.n_tokens = 1000;
  p.activations.assign(p.shape.n_keys(), 0);
  p.coactivations.assign(p.shape.n_keys() * n_experts, 0);
  p.transitions.assign(p.shape.n_keys() * n_experts, 0);
  for (std::uint16_t l = 0; l != n_layers; ++l) {
    for (std::uint16_t e = 0; e != n_experts; ++e) p.activations[p.shape.index({l, e})] = is_missing(e) ? 100 : 500;
    for (std::uint16_t e = 1; e < n_experts; e += 4)
      for (bool const turned : {false, true}) {
        auto const a = static_cast<std::uint16_t>(turned ? e - 1 : e);
        auto const b = static_cast<std::uint16_t>(turned ? e : e - 1);
        p.coactivations[p.pair_index(l, a, b)] = 50;
      }
  }
  auto const file = scratch_file("buddies.safetensors");
  buddy::io::write_profile(file, p);
  return file.string();
}

std::string config(std::string const& weights) {
  return R"({"policy":"buddy","cache_ratio":0.75,"warm":true,"k-max":1,"refill-after":0,"on-refused":"drop","weights":")" +
         weights + R"(","profile":")" + profile_file() + R"("})";
}

/// The model's expert tensors, found with a watch of the test's own.
std::vector<ggml_tensor*> expert_tensors(llama_model* model) {
  std::set<ggml_tensor*> found;
  node_watch watch{[&](ggml_tensor* n) {
                     if (n->op == GGML_OP_MUL_MAT_ID) found.insert(n->src[0]);
                     return false;
                   },
                   [](ggml_tensor*) {}};
  auto params = params_of({});
  watch.install(params);
  context_ptr const context{llama_init_from_model(model, params), llama_free};
  REQUIRE(decode_one(context.get(), 'a', 0) == 0);
  return {found.begin(), found.end()};
}

/// Copies each buddy's weights over those of the expert it stands in for.
void copy_buddies(llama_model* model) {
  for (ggml_tensor* const t : expert_tensors(model)) {
    auto* const data = static_cast<char*>(t->data);
    for (std::size_t e = 1; e < n_experts; e += 4)
      std::memcpy(data + e * t->nb[2], data + (e - 1) * t->nb[2], t->nb[2]);
  }
}

/// Gate weights of the reference run: 0 where an expert is left out, times the ratio of scores where weights are `own`.
struct reference_weights {
  explicit reference_weights(bool own_weights) : own{own_weights} {}

  /// "<base><number>", and no view of it.
  static bool is(ggml_tensor const* n, char const* base) {
    return std::strncmp(n->name, base, std::strlen(base)) == 0 && std::strchr(n->name, ' ') == nullptr;
  }
  bool wants(ggml_tensor const* n) const { return is(n, "ffn_moe_weights-") || is(n, last); }
  void computed(ggml_tensor* n) {
    if (is(n, "ffn_moe_weights-")) remember(n);
    if (!is(n, last)) return;
    auto* const weights = static_cast<float*>(n->data);
    for (std::size_t i = 0; i != factors.size(); ++i)
      if (factors[i] != 1.0F) weights[i] *= factors[i];
  }
  void remember(ggml_tensor const* n) {
    ggml_tensor const* const ids = n->src[1];
    auto const* const scores = static_cast<float const*>(n->src[0]->data);
    factors.clear();
    for (std::int64_t t = 0; t != ids->ne[1]; ++t) {
      auto const* const row = reinterpret_cast<std::int32_t const*>(static_cast<char const*>(ids->data) +
                                                                    static_cast<std::size_t>(t) * ids->nb[1]);
      for (int s = 0; s != top_k; ++s) {
        bool const is_taken = std::find(row, row + top_k, row[s] - 1) != row + top_k;
        float const* const of = scores + t * n_experts + row[s];
        factors.push_back(!is_missing(row[s]) ? 1.0F : is_taken ? 0.0F : own ? of[-1] / of[0] : 1.0F);
        dropped += is_missing(row[s]) && is_taken;
        replaced += is_missing(row[s]) && !is_taken;
      }
    }
  }

  bool own;
  char const* last = "ffn_moe_weights-";
  std::vector<float> factors;
  std::size_t dropped = 0, replaced = 0;
};

/// @param final_weights  begins the name of the node that applies to the experts' outputs
std::vector<float> reference_run(llama_model* model, reference_weights& reference, char const* final_weights,
                                 run_options const& o) {
  reference.last = final_weights;
  node_watch watch{[&](ggml_tensor* n) { return reference.wants(n); }, [&](ggml_tensor* n) { reference.computed(n); }};
  auto params = params_of(o);
  watch.install(params);
  context_ptr const context{llama_init_from_model(model, params), llama_free};
  return logits_of(context.get(), o);
}

void check_stand_ins(std::string_view architecture, char const* final_weights, bool own, run_options const& o) {
  INFO(std::string{architecture} << (own ? " own" : " keep") << ", " << o.n_threads << " threads, n_ubatch "
                                 << o.n_ubatch);
  auto const file = file_of(small(architecture));
  auto const model = load(file);
  attached const buddy{model.get(), config(own ? "own" : "keep")};
  auto const got = run(model.get(), buddy.handle, o);
  auto const changed = load(file, false);
  copy_buddies(changed.get());
  reference_weights reference{own};
  auto const wanted = reference_run(changed.get(), reference, final_weights, o);
  CHECK(same_bits(wanted, got));
  CHECK(buddy.counts().slots_stand_in == reference.replaced);
  CHECK(buddy.counts().slots_dropped == reference.dropped);
  CHECK(reference.replaced > 20);
  CHECK(reference.dropped > 5);
  CHECK_FALSE(same_bits(run(model.get(), nullptr, o), got));  // it makes a difference at all
}

}  // namespace

TEST_CASE("stand-ins with the missing expert's weight give the bits of copied weights", "[llama][stand_in]") {
  for (std::uint32_t const n_ubatch : {1U, 16U, 256U})
    check_stand_ins("qwen3moe", "ffn_moe_weights_norm-", false, {.n_ubatch = n_ubatch, .n_prompt = 40});
  check_stand_ins("qwen3moe", "ffn_moe_weights_norm-", false, {.n_threads = 2, .n_prompt = 24, .n_decoded = 2});
  check_stand_ins("olmoe", "ffn_moe_weights-", false, {.n_prompt = 40});
}

TEST_CASE("stand-ins with their own weight give the bits of copied weights and their scores", "[llama][stand_in]") {
  check_stand_ins("qwen3moe", "ffn_moe_weights_norm-", true, {.n_ubatch = 16, .n_prompt = 40});
  check_stand_ins("olmoe", "ffn_moe_weights-", true, {.n_prompt = 40});
  check_stand_ins("minimax-m2", "ffn_moe_weights_norm-", true, {.n_prompt = 40});
}

TEST_CASE("every policy keeps the ids of a token distinct and within its slots", "[llama][stand_in]") {
  for (auto const architecture : llama_adapter::generated_architectures()) {
    auto const model = load(file_of(tiny(architecture)));
    for (char const* policy : {"live_score", "live_light", "drop", "random", "cache_prior", "rank_window", "ser"}) {
      INFO(std::string{architecture} << " " << policy);
      attached const buddy{model.get(), std::string{R"({"cache_ratio":0.5,"policy":")"} + policy + R"("})"};
      std::size_t rows = 0, wrong = 0;
      node_watch watch{
          [](ggml_tensor* n) { return n->op == GGML_OP_MUL_MAT_ID; },
          [&](ggml_tensor* n) {
            for (std::int64_t t = 0; t != n->src[2]->ne[1]; ++t, ++rows) {
              auto const* const row = reinterpret_cast<std::int32_t const*>(
                  static_cast<char const*>(n->src[2]->data) + static_cast<std::size_t>(t) * n->src[2]->nb[1]);
              std::set<std::int32_t> const distinct(row, row + top_k);
              wrong += distinct.size() != top_k || *distinct.begin() < 0 || *distinct.rbegin() >= n->src[0]->ne[2];
            }
          }};
      auto params = params_of({});
      watch.install(params);  // a callback that was there is called too
      REQUIRE(buddy_llama_context_params(buddy.handle, &params) == 0);
      context_ptr const context{llama_init_from_model(model.get(), params), llama_free};
      for (float const logit : logits_of(context.get(), {.n_prompt = 12})) REQUIRE(std::isfinite(logit));
      CHECK(rows > 100);
      CHECK(wrong == 0);
    }
  }
}
