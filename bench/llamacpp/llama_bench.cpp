// SPDX-License-Identifier: Apache-2.0
/// @file
/// What substitution saves in llama.cpp when experts come from the disk, and what the callback costs.
///
/// Every policy has a context of its own, and all of them decode the same tokens in turns, so that whatever else the
/// machine does falls on all. Experts that are not resident are really on the disk: pools read past the page cache, and
/// the page cache gives up what the policy evicts.
#include "buddy_llama.h"
#include "gguf/generated_model.hpp"

#include <CLI/CLI.hpp>
#include <ggml-backend.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;

struct options {
  std::string file = "bench-experts.gguf";
  std::string mode = "policies";
  llama_adapter::generated_model model;
  double resident = 0.25;
  int n_threads = 2, n_warm = 60, n_tokens = 20, n_rounds = 4;
};

/// A policy with everything that it needs to decode.
struct contender {
  contender(std::string label, std::string configuration) : name{std::move(label)}, config{std::move(configuration)} {}

  std::string name;
  std::string config;  // empty: no callback at all
  buddy_llama* buddy = nullptr;
  llama_context* context = nullptr;
  int position = 0;
  std::vector<double> ms;
  double bytes = 0.0, wait_seconds = 0.0, hook_seconds = 0.0, lookups = 0.0, hits = 0.0, stand_ins = 0.0;
};

[[noreturn]] void fail(std::string const& why) { throw std::runtime_error(why); }

/// Text that repeats words, as text does.
llama_token token_at(int position) {
  constexpr char text[] = "the quick brown fox jumps over the lazy dog. ";
  constexpr int n = sizeof text - 1;
  return text[(position * 7 + position / n) % n];
}

void decode(contender& c) {
  llama_token token = token_at(c.position++);
  if (llama_decode(c.context, llama_batch_get_one(&token, 1)) != 0)
    fail(c.name + ": " +
         (c.buddy != nullptr && buddy_llama_error(c.buddy) ? buddy_llama_error(c.buddy) : "no decoding"));
}

void open(contender& c, llama_model* model, options const& o) {
  auto params = llama_context_default_params();
  params.n_ctx = 1024;
  params.n_batch = params.n_ubatch = 64;
  params.n_threads = params.n_threads_batch = o.n_threads;
  if (!c.config.empty()) {
    c.buddy = buddy_llama_attach(model, c.config.c_str());
    if (c.buddy == nullptr || buddy_llama_context_params(c.buddy, &params) != 0) fail(buddy_llama_error(c.buddy));
  }
  c.context = llama_init_from_model(model, params);
  if (c.context == nullptr) fail("no context");
  for (int i = 0; i != o.n_warm; ++i) decode(c);
}

void close(contender& c) {
  llama_free(c.context);
  buddy_llama_detach(c.buddy);
  c.buddy = nullptr;
  c.position = 0;
}

/// A quarter of the tokens were faster: steadier than the median where other programs run.
double lower_quartile(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return x[x.size() / 4];
}

double mean(std::vector<double> const& x) {
  double sum = 0.0;
  for (double const v : x) sum += v;
  return sum / static_cast<double>(x.size());
}

void add_counts(contender& c, buddy_llama_counts const& before) {
  buddy_llama_counts now{};
  buddy_llama_stats(c.buddy, &now);
  c.bytes += static_cast<double>(now.bytes_read - before.bytes_read);
  c.wait_seconds += now.wait_seconds - before.wait_seconds;
  c.hook_seconds += now.hook_seconds - before.hook_seconds;
  c.lookups += static_cast<double>(now.lookups - before.lookups);
  c.hits += static_cast<double>(now.hits - before.hits);
  c.stand_ins += static_cast<double>(now.slots_stand_in - before.slots_stand_in);
}

void measure(contender& c, options const& o) {
  decode(c);  // whoever was before has taken the processor's caches
  buddy_llama_counts before{};
  if (c.buddy != nullptr) buddy_llama_stats(c.buddy, &before);
  for (int i = 0; i != o.n_tokens; ++i) {
    auto const begin = clock_type::now();
    decode(c);
    c.ms.push_back(std::chrono::duration<double, std::milli>(clock_type::now() - begin).count());
  }
  if (c.buddy != nullptr) add_counts(c, before);
}

void run_in_turns(std::vector<contender>& all, llama_model* model, options const& o) {
  for (contender& c : all) open(c, model, o);
  for (int round = 0; round != o.n_rounds; ++round)
    for (contender& c : all) measure(c, o);
  for (contender& c : all) close(c);
}

/// There is one page cache for all of them: each begins anew in every round.
void run_apart(std::vector<contender>& all, llama_model* model, options const& o) {
  for (int round = 0; round != o.n_rounds; ++round) {
    for (contender& c : all) {
      open(c, model, o);
      measure(c, o);
      close(c);
    }
  }
}

void print(std::vector<contender> const& all, int n_layers) {
  auto const n = static_cast<double>(all[0].ms.size());
  std::printf(
      "| policy | ms/token, mean | x first | lower quartile | x first | disk MiB/token | wait ms/token | "
      "hook us/layer | hits %% | stand-ins %% |\n|---|---|---|---|---|---|---|---|---|---|\n");
  for (contender const& c : all) {
    double const quartile = lower_quartile(c.ms);
    double const per_cent = c.lookups > 0.0 ? 100.0 / c.lookups : 0.0;
    std::printf("| %s | %.2f | %.2f | %.2f | %.2f | %.1f | %.2f | %.1f | %.1f | %.1f |\n", c.name.c_str(), mean(c.ms),
                mean(c.ms) / mean(all[0].ms), quartile, quartile / lower_quartile(all[0].ms), c.bytes / 1048576.0 / n,
                1e3 * c.wait_seconds / n, 1e6 * (c.hook_seconds - c.wait_seconds) / n / n_layers, c.hits * per_cent,
                c.stand_ins * per_cent);
  }
}

std::vector<contender> policies(std::string const& residency, double resident) {
  std::string const rest = R"(,"residency":")" + residency + R"(","cache_ratio":)";
  std::string const some = rest + std::to_string(resident) + "}";
  std::string const live = R"(,"selector":"live_score","refill-after":0)";
  return {{"all warm", R"({"policy":"all_resident")" + rest + "1.0}"},
          {"LRU load on miss", R"({"policy":"fetch")" + some},
          {"LRU load, governed prefetch", R"({"policy":"prefetch_governed","predictor":"next_gate")" + some},
          {"mix: load the two heaviest, substitute the rest",
           R"({"policy":"fetch","sensitivity":"keep_top","keep-top":2)" + live + some},
          {"substitute all", R"({"policy":"fetch","sensitivity":"always")" + live + some}};
}

std::vector<contender> contenders(options const& o) {
  if (o.mode == "pages") return policies("page_cache", o.resident);
  if (o.mode == "overhead") return {{"no callback", ""}, {"every expert resident", R"({"policy":"all_resident"})"}};
  if (o.mode == "prefetch") {
    auto all = policies("pool", o.resident);
    return {all[1], all[2]};
  }
  return policies("pool", o.resident);
}

void run(options const& o) {
  if (!std::filesystem::exists(o.file)) llama_adapter::write_generated_model(o.model, o.file);
  auto params = llama_model_default_params();
  buddy_llama_model_params(&params);
  params.load_mode = o.mode == "overhead" ? LLAMA_LOAD_MODE_NONE : LLAMA_LOAD_MODE_MMAP;
  std::unique_ptr<llama_model, void (*)(llama_model*)> const model{llama_model_load_from_file(o.file.c_str(), params),
                                                                   llama_model_free};
  if (!model) fail("'" + o.file + "' cannot be loaded");
  auto all = contenders(o);
  if (o.mode == "pages") {
    run_apart(all, model.get(), o);
  } else {
    run_in_turns(all, model.get(), o);
  }
  print(all, llama_model_n_layer(model.get()));
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  o.model = {.n_layers = 12,
             .width = 1024,
             .expert_width = 512,
             .n_experts = 64,
             .top_k = 8,
             .n_heads = 16,
             .expert_type = GGML_TYPE_Q8_0,
             .data_alignment = 4096};
  std::string backends = BUDDY_LLAMA_BACKENDS;
  CLI::App app{"Time per token of llama.cpp under several policies, as a table"};
  app.add_option("--file", o.file, "model; generated when it is not there");
  app.add_option("--mode", o.mode, "policies (slot pool) | pages (page cache) | prefetch | overhead (of the callback)");
  app.add_option("--layers", o.model.n_layers, "of a generated model; each has 102 MiB of experts");
  app.add_option("--resident", o.resident, "share of the experts in fast memory");
  app.add_option("--threads", o.n_threads);
  app.add_option("--warm-up", o.n_warm, "tokens before anything is measured");
  app.add_option("--tokens", o.n_tokens, "of each policy in a round");
  app.add_option("--rounds", o.n_rounds);
  app.add_option("--backends", backends, "folder of ggml's libraries");
  CLI11_PARSE(app, argc, argv);
  try {
    llama_log_set([](ggml_log_level, char const*, void*) {}, nullptr);
    ggml_backend_load_all_from_path(backends.c_str());
    run(o);
    return 0;
  } catch (std::exception const& e) {
    std::fprintf(stderr, "bench-llama: %s\n", e.what());
    return 2;
  }
}
