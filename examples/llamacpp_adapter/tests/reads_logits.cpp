// SPDX-License-Identifier: Apache-2.0
/// @file
/// A program that knows nothing of the adapter: prints the bits of some logits, for runs with and without preloading.
#include <ggml-backend.h>
#include <llama.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  llama_log_set([](ggml_log_level, char const*, void*) {}, nullptr);
  ggml_backend_load_all_from_path(BUDDY_LLAMA_BACKENDS);
  llama_model* const model = llama_model_load_from_file(argv[1], llama_model_default_params());
  if (model == nullptr) return 3;
  auto params = llama_context_default_params();
  params.n_ctx = 128;
  params.n_threads = params.n_threads_batch = 1;
  llama_context* const context = llama_init_from_model(model, params);
  if (context == nullptr) return 4;
  int const n = llama_vocab_n_tokens(llama_model_get_vocab(model));
  std::uint64_t hash = 14695981039346656037U;
  for (llama_token token = 'a'; token != 'k'; ++token) {
    if (llama_decode(context, llama_batch_get_one(&token, 1)) != 0) return 5;
    float const* const logits = llama_get_logits_ith(context, -1);
    for (int i = 0; i != n; ++i) {
      std::uint32_t bits = 0;
      std::memcpy(&bits, logits + i, sizeof bits);
      hash = (hash ^ bits) * 1099511628211U;
    }
  }
  std::printf("%016llx\n", static_cast<unsigned long long>(hash));
  llama_free(context);
  llama_model_free(model);
  return 0;
}
