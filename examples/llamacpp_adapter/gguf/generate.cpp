// SPDX-License-Identifier: Apache-2.0
/// @file
/// Writes a model with random weights: for tests, and for measuring speed where no real model is at hand.
#include "gguf/generated_model.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>
#include <map>
#include <string>

int main(int argc, char** argv) {
  llama_adapter::generated_model m;
  std::string file;
  std::map<std::string, ggml_type> const types{
      {"f32", GGML_TYPE_F32}, {"f16", GGML_TYPE_F16}, {"q8_0", GGML_TYPE_Q8_0}, {"q4_0", GGML_TYPE_Q4_0}};
  CLI::App app{"Writes a GGUF file with random weights"};
  app.add_option("file", file)->required();
  app.add_option("--architecture", m.architecture,
                 "qwen3moe, qwen2moe, olmoe, llama, deepseek2, gpt-oss or minimax-m2");
  app.add_option("--layers", m.n_layers);
  app.add_option("--width", m.width);
  app.add_option("--expert-width", m.expert_width);
  app.add_option("--experts", m.n_experts);
  app.add_option("--top-k", m.top_k);
  app.add_option("--heads", m.n_heads);
  app.add_option("--type", m.expert_type, "of the experts: f32, f16, q8_0 or q4_0")
      ->transform(CLI::CheckedTransformer(types));
  app.add_option("--seed", m.seed);
  app.add_option("--align", m.data_alignment, "of the tensors in the file, bytes");
  CLI11_PARSE(app, argc, argv);
  try {
    llama_adapter::write_generated_model(m, file);
    return 0;
  } catch (std::exception const& e) {
    std::fprintf(stderr, "buddy-generate-gguf: %s\n", e.what());
    return 2;
  }
}
