// SPDX-License-Identifier: Apache-2.0
/// @file
/// llama.cpp is set up once, and quiet: some tests fail its decoding on purpose.
#include "tests/tiny_run.hpp"

#include "catch.hpp"

#include <ggml-backend.h>
#include <unistd.h>

#include <cstring>
#include <map>

namespace llama_test {

namespace {

/// Everything that lives as long as the process.
struct session {
  session() : folder{std::filesystem::temp_directory_path() / ("buddy-llama-" + std::to_string(getpid()))} {
    std::filesystem::create_directories(folder);
    llama_log_set([](ggml_log_level, char const*, void*) {}, nullptr);
    ggml_backend_load_all_from_path(BUDDY_LLAMA_BACKENDS);
    llama_backend_init();
  }
  ~session() {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  }
  std::filesystem::path folder;
  std::map<std::string, std::filesystem::path> models;
};

session& all() {
  static session s;
  return s;
}

/// Varied, and the same every time.
llama_token token_at(std::size_t i) { return static_cast<llama_token>('a' + (i * 7 + i / 5) % 26); }

void keep_logits(llama_context* context, int i, std::vector<float>& out) {
  int const n = llama_vocab_n_tokens(llama_model_get_vocab(llama_get_model(context)));
  float const* const logits = llama_get_logits_ith(context, i);
  REQUIRE(logits != nullptr);
  out.insert(out.end(), logits, logits + n);
}

}  // namespace

std::filesystem::path scratch_file(std::string const& name) { return all().folder / name; }

llama_adapter::generated_model tiny(std::string_view architecture) {
  llama_adapter::generated_model m;
  m.architecture = architecture;
  return m;
}

std::filesystem::path file_of(llama_adapter::generated_model const& m) {
  std::string const name = m.architecture + "-" + std::to_string(m.n_layers) + "-" + std::to_string(m.n_experts) + "-" +
                           std::to_string(m.top_k) + "-" + ggml_type_name(m.expert_type) + "-" +
                           std::to_string(m.data_alignment) + ".gguf";
  auto& file = all().models[name];
  if (file.empty()) llama_adapter::write_generated_model(m, file = scratch_file(name));
  return file;
}

model_ptr load(std::filesystem::path const& file, bool mapped) {
  all();
  auto params = llama_model_default_params();
  buddy_llama_model_params(&params);
  params.load_mode = mapped ? LLAMA_LOAD_MODE_MMAP : LLAMA_LOAD_MODE_NONE;
  model_ptr model{llama_model_load_from_file(file.c_str(), params), llama_model_free};
  REQUIRE(model != nullptr);
  return model;
}

attached::attached(llama_model* model, std::string const& config) : handle{buddy_llama_attach(model, config.c_str())} {
  INFO(config << ": " << (handle == nullptr ? buddy_llama_error(nullptr) : ""));
  REQUIRE(handle != nullptr);
}

attached::~attached() { detach(); }

void attached::detach() { buddy_llama_detach(std::exchange(handle, nullptr)); }

buddy_llama_counts attached::counts() const {
  buddy_llama_counts c{};
  REQUIRE(buddy_llama_stats(handle, &c) == 0);
  return c;
}

std::string refusal_of(llama_model* model, std::string const& config) {
  buddy_llama* const handle = buddy_llama_attach(model, config.c_str());
  if (handle == nullptr) return buddy_llama_error(nullptr);
  buddy_llama_detach(handle);
  return {};
}

llama_context_params params_of(run_options const& o) {
  auto params = llama_context_default_params();
  params.n_ctx = 512;
  params.n_batch = 512;
  params.n_ubatch = o.n_ubatch;
  params.n_threads = params.n_threads_batch = o.n_threads;
  params.type_k = params.type_v = GGML_TYPE_F32;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  return params;
}

std::vector<float> logits_of(llama_context* context, run_options const& o) {
  std::vector<float> out;
  llama_batch batch = llama_batch_init(static_cast<int>(o.n_prompt), 0, 1);
  batch.n_tokens = static_cast<int>(o.n_prompt);
  for (int i = 0; i != batch.n_tokens; ++i) {
    batch.token[i] = token_at(static_cast<std::size_t>(i));
    batch.pos[i] = i;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = o.all_logits || i + 1 == batch.n_tokens;
  }
  int const result = llama_decode(context, batch);
  if (result == 0)
    for (int i = 0; i != batch.n_tokens; ++i)
      if (batch.logits[i]) keep_logits(context, i, out);
  llama_batch_free(batch);
  REQUIRE(result == 0);
  for (std::size_t i = o.n_prompt; i != o.n_prompt + o.n_decoded; ++i) {
    REQUIRE(decode_one(context, token_at(i), static_cast<int>(i)) == 0);
    keep_logits(context, 0, out);
  }
  return out;
}

std::vector<float> run(llama_model* model, buddy_llama* buddy, run_options const& o) {
  auto params = params_of(o);
  if (buddy != nullptr) REQUIRE(buddy_llama_context_params(buddy, &params) == 0);
  context_ptr const context{llama_init_from_model(model, params), llama_free};
  REQUIRE(context != nullptr);
  return logits_of(context.get(), o);
}

int decode_one(llama_context* context, llama_token token, int position) {
  llama_batch batch = llama_batch_init(1, 0, 1);
  batch.n_tokens = 1;
  batch.token[0] = token;
  batch.pos[0] = position;
  batch.n_seq_id[0] = 1;
  batch.seq_id[0][0] = 0;
  batch.logits[0] = 1;
  int const result = llama_decode(context, batch);
  llama_batch_free(batch);
  return result;
}

bool same_bits(std::vector<float> const& a, std::vector<float> const& b) {
  return !a.empty() && a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace llama_test
