// SPDX-License-Identifier: Apache-2.0
/// @file
/// Completes a prompt with a model whose experts are managed: what a program adds is marked with (1) to (3).
#include "buddy_llama.h"

#include <CLI/CLI.hpp>
#include <ggml-backend.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

namespace {

struct arguments {
  std::string model, prompt = "Once upon a time", config, backends = BUDDY_LLAMA_BACKENDS;
  int n_tokens = 64, n_threads = 4;
  unsigned n_context = 2048, n_ubatch = 512;
};

int fail(std::string const& why) {
  std::fprintf(stderr, "complete: %s\n", why.c_str());
  return 2;
}

std::vector<llama_token> tokens_of(llama_vocab const* vocab, std::string const& text) {
  std::vector<llama_token> tokens(text.size() + 8);
  int const n = llama_tokenize(vocab, text.data(), static_cast<int>(text.size()), tokens.data(),
                               static_cast<int>(tokens.size()), true, true);
  tokens.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  return tokens;
}

void print(llama_vocab const* vocab, llama_token token) {
  char piece[256];
  int const n = llama_token_to_piece(vocab, token, piece, sizeof piece, 0, true);
  if (n > 0) std::fwrite(piece, 1, static_cast<std::size_t>(n), stdout);
  std::fflush(stdout);
}

/// @returns the seconds it took, or a negative number when decoding failed
double complete(llama_context* context, llama_vocab const* vocab, arguments const& a) {
  auto tokens = tokens_of(vocab, a.prompt);
  if (tokens.empty()) return -1.0;
  llama_sampler* const greedy = llama_sampler_init_greedy();
  std::fputs(a.prompt.c_str(), stdout);
  double seconds =
      llama_decode(context, llama_batch_get_one(tokens.data(), static_cast<int>(tokens.size()))) == 0 ? 0.0 : -1.0;
  for (int i = 0; i != a.n_tokens && seconds >= 0.0; ++i) {
    auto const begin = std::chrono::steady_clock::now();
    llama_token token = llama_sampler_sample(greedy, context, -1);
    if (llama_vocab_is_eog(vocab, token)) break;
    print(vocab, token);
    if (llama_decode(context, llama_batch_get_one(&token, 1)) != 0)
      seconds = -1.0;
    else
      seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  llama_sampler_free(greedy);
  return seconds;
}

void report(buddy_llama const* buddy) {
  std::string text(buddy_llama_report(buddy, nullptr, 0) + 1, '\0');
  buddy_llama_report(buddy, text.data(), text.size());
  std::fputs(text.c_str(), stdout);
}

/// @param buddy  null: plain llama.cpp
int run(llama_model* model, buddy_llama* buddy, arguments const& a) {
  auto params = llama_context_default_params();
  params.n_ctx = a.n_context;
  params.n_batch = params.n_ctx;
  params.n_ubatch = a.n_ubatch;
  params.n_threads = params.n_threads_batch = a.n_threads;
  if (buddy != nullptr && buddy_llama_context_params(buddy, &params) != 0)
    return fail(buddy_llama_error(buddy));  // (3)
  llama_context* const context = llama_init_from_model(model, params);
  if (context == nullptr) return fail("no context");
  double const seconds = complete(context, llama_model_get_vocab(model), a);
  llama_free(context);
  std::printf("\n\n%.2f tokens/s\n", seconds > 0.0 ? a.n_tokens / seconds : 0.0);
  if (buddy != nullptr) report(buddy);
  if (seconds >= 0.0) return 0;
  char const* const why = buddy != nullptr ? buddy_llama_error(buddy) : nullptr;
  return fail(why != nullptr ? why : "decoding failed");
}

}  // namespace

int main(int argc, char** argv) {
  arguments a;
  CLI::App app{"Completes a prompt with llama.cpp and buddy"};
  app.add_option("model", a.model, "GGUF file")->required();
  app.add_option("--buddy-config", a.config, "JSON file, or JSON; without it: plain llama.cpp");
  app.add_option("--prompt", a.prompt);
  app.add_option("--tokens", a.n_tokens, "to generate");
  app.add_option("--threads", a.n_threads);
  app.add_option("--context", a.n_context);
  app.add_option("--ubatch", a.n_ubatch);
  app.add_option("--backends", a.backends, "folder of ggml's libraries");
  CLI11_PARSE(app, argc, argv);

  llama_log_set(
      [](ggml_log_level level, char const* text, void*) {
        if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
      },
      nullptr);
  ggml_backend_load_all_from_path(a.backends.c_str());
  auto params = llama_model_default_params();
  params.load_mode = LLAMA_LOAD_MODE_MMAP;
  buddy_llama_model_params(&params);  // (1)
  llama_model* const model = llama_model_load_from_file(a.model.c_str(), params);
  if (model == nullptr) return fail("'" + a.model + "' cannot be loaded");
  buddy_llama* const buddy = a.config.empty() ? nullptr : buddy_llama_attach(model, a.config.c_str());  // (2)
  int const status = a.config.empty() || buddy != nullptr ? run(model, buddy, a) : fail(buddy_llama_error(nullptr));
  buddy_llama_detach(buddy);
  llama_model_free(model);
  return status;
}
