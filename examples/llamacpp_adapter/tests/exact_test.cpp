// SPDX-License-Identifier: Apache-2.0
/// @file
/// Without substitution nothing may change, whatever is resident and however the batch is cut.
#include "catch.hpp"
#include "tests/tiny_run.hpp"

#include <string>

using namespace llama_test;

namespace {

/// A quarter of the experts, less than a prompt needs. @param more  more of the configuration
std::string quarter(std::string const& more = "") {
  return R"({"policy":"fetch","cache_ratio":0.25,"exact":true)" + more + "}";
}

}  // namespace

TEST_CASE("exact runs give the bits of plain llama.cpp for every architecture", "[llama][exact]") {
  for (auto const architecture : llama_adapter::generated_architectures()) {
    INFO(std::string{architecture});
    auto const model = load(file_of(tiny(architecture)));
    auto const plain = run(model.get(), nullptr);
    attached const buddy{model.get(), quarter()};
    CHECK(same_bits(plain, run(model.get(), buddy.handle)));
    auto const counts = buddy.counts();
    CHECK(counts.fetches > 0);
    CHECK(counts.slots_stand_in == 0);
    CHECK(counts.staged_layers > 0);  // 24 tokens ask for more than 4 experts of a layer
  }
}

TEST_CASE("exact runs give the bits of plain llama.cpp for all threads and ubatches", "[llama][exact]") {
  auto m = tiny();
  m.n_layers = 2;  // threads that wait for each other are slow where processors are few
  auto const model = load(file_of(m));
  for (int const threads : {1, 2}) {
    for (std::uint32_t const n_ubatch : {1U, 16U, 256U}) {
      INFO(threads << " threads, n_ubatch " << n_ubatch);
      run_options const o{.n_threads = threads, .n_ubatch = n_ubatch, .n_prompt = 18, .n_decoded = 2};
      attached const buddy{model.get(), quarter()};
      CHECK(same_bits(run(model.get(), nullptr, o), run(model.get(), buddy.handle, o)));
    }
  }
}

TEST_CASE("exact runs of quantised experts give the bits of plain llama.cpp", "[llama][exact]") {
  for (ggml_type const type : {GGML_TYPE_F16, GGML_TYPE_Q8_0}) {
    auto m = tiny();
    m.expert_type = type;
    auto const model = load(file_of(m));
    attached const buddy{model.get(), quarter()};
    CHECK(same_bits(run(model.get(), nullptr), run(model.get(), buddy.handle)));
  }
}

TEST_CASE("prefetches, refills and small pools change no bit of an exact run", "[llama][exact]") {
  auto const model = load(file_of(tiny()));
  run_options const o{.n_prompt = 12, .n_decoded = 24};
  auto const plain = run(model.get(), nullptr, o);
  for (char const* more : {R"(,"predictor":"markov")", R"(,"predictor":"previous_token","prefetch-mode":"governed")",
                           R"(,"predictor":"next_gate","prefetch-width":2)", R"(,"pool":"global")",
                           R"(,"cache_ratio":0.125)", R"(,"eviction":"sieve","readers":1)", R"(,"direct":false)"}) {
    INFO(more);
    attached const buddy{model.get(), quarter(more)};
    CHECK(same_bits(plain, run(model.get(), buddy.handle, o)));
  }
}

TEST_CASE("a model in memory serves its slots from there", "[llama][exact]") {
  auto const model = load(file_of(tiny()), false);
  attached const buddy{model.get(), quarter()};
  CHECK(same_bits(run(model.get(), nullptr), run(model.get(), buddy.handle)));
}

TEST_CASE("records that begin on a page are read into their slots without a copy", "[llama][exact]") {
  auto m = tiny();  // a matrix of an expert: 64 x 32 x 4 bytes, two pages
  m.data_alignment = 4096;
  auto const model = load(file_of(m));
  attached const buddy{model.get(), quarter()};
  CHECK(same_bits(run(model.get(), nullptr), run(model.get(), buddy.handle)));
}

TEST_CASE("layers without a token and prompts without logits are no trouble", "[llama][exact]") {
  auto const model = load(file_of(tiny()));
  run_options const o{.n_ubatch = 8, .n_prompt = 20, .n_decoded = 2, .all_logits = false};
  attached const buddy{model.get(), quarter()};
  CHECK(same_bits(run(model.get(), nullptr, o), run(model.get(), buddy.handle, o)));
}

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // programs still do it

TEST_CASE("a warm-up, which asks for every expert, is exact too", "[llama][exact]") {
  auto const model = load(file_of(tiny()));
  attached const buddy{model.get(), quarter()};
  auto params = params_of({});
  REQUIRE(buddy_llama_context_params(buddy.handle, &params) == 0);
  context_ptr const hooked{llama_init_from_model(model.get(), params), llama_free};
  context_ptr const plain{llama_init_from_model(model.get(), params_of({})), llama_free};
  std::vector<float> logits[2];
  for (int i = 0; i != 2; ++i) {
    llama_context* const context = i == 0 ? hooked.get() : plain.get();
    llama_set_warmup(context, true);
    REQUIRE(decode_one(context, 'x', 0) == 0);
    logits[i].assign(llama_get_logits_ith(context, 0), llama_get_logits_ith(context, 0) + 256);
  }
  CHECK(same_bits(logits[0], logits[1]));
}
