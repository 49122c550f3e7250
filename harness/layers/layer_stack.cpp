// SPDX-License-Identifier: Apache-2.0
/// @file
/// Sizes of the experts from the models' configurations; what else a layer reads comes from `charged_shape`.
#include "harness/layers/layer_stack.hpp"

#include <buddy/error.hpp>

#include <array>

namespace harness {

namespace {

layer_stack stack(char const* name, buddy::expert_record record, std::uint16_t n_layers, std::uint16_t n_experts,
                  std::uint16_t top_k) {
  return {name, record, n_layers, n_experts, top_k, find_shape(name, {}).bytes_per_layer};
}

std::array<layer_stack, 4> const& stacks() {
  static std::array<layer_stack, 4> const all{
      stack("deepseek-v2-lite", {2048, 1408}, 26, 64, 6), stack("qwen3-30b-a3b", {2048, 768}, 48, 128, 8),
      stack("olmoe-1b-7b", {2048, 1024}, 16, 64, 8), stack("mixtral-8x7b", {4096, 14336}, 32, 8, 2)};
  return all;
}

}  // namespace

std::span<layer_stack const> builtin_stacks() { return stacks(); }

layer_stack find_stack(std::string const& name) {
  std::string known;
  for (layer_stack const& s : stacks()) {
    if (s.name == name) return s;
    known += (known.empty() ? "" : ", ") + s.name;
  }
  throw buddy::config_error("unknown shape '" + name + "': one of " + known);
}

void validate(layer_stack const& s) {
  constexpr std::uint32_t most = 1U << 17;
  auto const refuse = [](char const* what) { throw buddy::config_error(std::string{"--"} + what); };
  if (s.record.hidden == 0 || s.record.hidden > most || s.record.hidden % 8 != 0)
    refuse("hidden must be a multiple of 8 in [8, 131072]");
  if (s.record.width == 0 || s.record.width > most || s.record.width % 8 != 0)
    refuse("width must be a multiple of 8 in [8, 131072]");
  if (s.rest_bytes > (std::uint64_t{1} << 40)) refuse("rest-mib must be at most 1048576");
  buddy::validate(s.shape());
}

}  // namespace harness
