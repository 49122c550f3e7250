// SPDX-License-Identifier: Apache-2.0
/// @file
/// Profiles as safetensors files, to lie beside the checkpoint they were made from.
///
/// Tensors: `activations` U64 [L, E], `coactivations` and `transitions` U32 [L, E, E]; optional `min_weighted` U64
/// [L, E, E] in 1/65536, `entropy_percentiles` U32 [L, 101] in 1/65536, `router_cosine`, `output_cosine`,
/// `output_cka`, `output_frobenius` F32 [L, E, E]. Metadata: format, version, model, layers, experts_per_layer, top_k,
/// expert_bytes, n_tokens. What `stand_in_io.hpp` says of stand-ins is optional too.
#pragma once

#include <buddy/io/file_format.hpp>
#include <buddy/io/profile_rules.hpp>
#include <buddy/io/safetensors.hpp>
#include <buddy/io/safetensors_writer.hpp>
#include <buddy/io/stand_in_io.hpp>
#include <buddy/io/tensor_values.hpp>
#include <buddy/io/tensor_view.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/profile.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace buddy::inline v0::io {

inline constexpr file_format profile_format{"buddy.profile", "1"};

namespace detail {

template <class T>
std::vector<T> optional_values(safetensors_file const& file, std::string_view name, tensor_shape const& shape) {
  return file.find(name) == nullptr ? std::vector<T>{} : values<T>(file.at(name, dtype_of<T>(), shape));
}

}  // namespace detail

/// @throws config_error naming file, tensor and rule when anything in it is not as it must be
[[nodiscard]] inline profile read_profile(std::filesystem::path const& path) {
  auto const file = safetensors_file::open(path);
  require_format(file, profile_format);
  profile p;
  p.model = file.metadata_at("model");
  p.shape = metadata_shape(file);
  p.shape.expert_bytes = metadata_number(file, "expert_bytes");
  p.n_tokens = metadata_number(file, "n_tokens");
  tensor_shape const experts{p.shape.n_layers, p.shape.n_experts};
  tensor_shape const pairs{p.shape.n_layers, p.shape.n_experts, p.shape.n_experts};
  p.activations = values<std::uint64_t>(file.at("activations", dtype::u64, experts));
  p.coactivations = values<std::uint32_t>(file.at("coactivations", dtype::u32, pairs));
  p.transitions = values<std::uint32_t>(file.at("transitions", dtype::u32, pairs));
  p.min_weighted = detail::optional_values<std::uint64_t>(file, "min_weighted", pairs);
  p.entropy_percentiles = detail::optional_values<q16>(file, "entropy_percentiles", {p.shape.n_layers, n_percentiles});
  p.router_cosine = detail::optional_values<float>(file, "router_cosine", pairs);
  p.output_cosine = detail::optional_values<float>(file, "output_cosine", pairs);
  p.output_cka = detail::optional_values<float>(file, "output_cka", pairs);
  p.output_frobenius = detail::optional_values<float>(file, "output_frobenius", pairs);
  detail::read_stand_ins(file, p);
  detail::profile_rules{p, path}.check();
  detail::stand_in_rules{p, path}.check();
  return p;
}

/// The same, but only the profile of this model.
/// @throws config_error also when the file was made for another model; the message names both
[[nodiscard]] inline profile read_profile(std::filesystem::path const& path, std::string const& model,
                                          model_shape const& shape) {
  profile p = read_profile(path);
  std::string const difference = model_difference(p, model, shape);
  if (!difference.empty()) detail::fail(path, difference);
  return p;
}

/// The file appears whole or not at all.
/// @throws config_error when the profile breaks a rule of the format or the file cannot be written
inline void write_profile(std::filesystem::path const& path, profile const& p) {
  validate(p.shape);
  if (p.n_tokens == 0) detail::fail(path, "a profile must have seen at least one token");
  detail::profile_rules{p, path}.check();
  detail::stand_in_rules{p, path}.check();
  safetensors_writer file;
  file.set("format", std::string(profile_format.name));
  file.set("version", std::string(profile_format.version));
  file.set("model", p.model);
  file.set("layers", std::to_string(p.shape.n_layers));
  file.set("experts_per_layer", std::to_string(p.shape.n_experts));
  file.set("top_k", std::to_string(p.shape.top_k));
  file.set("expert_bytes", std::to_string(p.shape.expert_bytes));
  file.set("n_tokens", std::to_string(p.n_tokens));
  tensor_shape const pairs{p.shape.n_layers, p.shape.n_experts, p.shape.n_experts};
  file.add("activations", {p.shape.n_layers, p.shape.n_experts}, std::span{p.activations});
  file.add("coactivations", pairs, std::span{p.coactivations});
  file.add("transitions", pairs, std::span{p.transitions});
  if (!p.min_weighted.empty()) file.add("min_weighted", pairs, std::span{p.min_weighted});
  if (!p.entropy_percentiles.empty())
    file.add("entropy_percentiles", {p.shape.n_layers, n_percentiles}, std::span{p.entropy_percentiles});
  if (!p.router_cosine.empty()) file.add("router_cosine", pairs, std::span{p.router_cosine});
  if (!p.output_cosine.empty()) file.add("output_cosine", pairs, std::span{p.output_cosine});
  if (!p.output_cka.empty()) file.add("output_cka", pairs, std::span{p.output_cka});
  if (!p.output_frobenius.empty()) file.add("output_frobenius", pairs, std::span{p.output_frobenius});
  detail::write_stand_ins(file, p);
  file.write(path);
}

}  // namespace buddy::inline v0::io
