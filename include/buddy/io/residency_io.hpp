// SPDX-License-Identifier: Apache-2.0
/// @file
/// Which experts a cache held, as a safetensors file: what the next run starts warm from.
///
/// Tensor: `experts` U16 [n, 2], the layer and the id of each, the least worthy first. Metadata: format, version,
/// model, layers, experts_per_layer, top_k.
#pragma once

#include <buddy/io/file_format.hpp>
#include <buddy/io/mapped_file.hpp>
#include <buddy/io/safetensors.hpp>
#include <buddy/io/safetensors_writer.hpp>
#include <buddy/io/tensor_values.hpp>
#include <buddy/io/tensor_view.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace buddy::inline v0::io {

inline constexpr file_format residency_format{"buddy.residency", "1"};

/// What `slot_cache::by_worth` names, and of which model.
struct saved_residency {
  std::string model;
  model_shape shape{};              ///< expert_bytes is not stored: a cache of other records may start from it too
  std::vector<expert_key> experts;  ///< the least worthy first, none twice

  bool operator==(saved_residency const&) const = default;
};

namespace detail {

/// @throws config_error when an expert is not of the shape or occurs twice
inline void check_residency(saved_residency const& saved, std::filesystem::path const& path) {
  std::vector<std::uint8_t> seen(saved.shape.n_keys(), 0);
  for (std::size_t i = 0; i != saved.experts.size(); ++i) {
    expert_key const k = saved.experts[i];
    auto const refuse = [&](std::string const& rule) {
      fail(path, "tensor 'experts': " + rule + " (row " + std::to_string(i) + ")");
    };
    if (k.layer >= saved.shape.n_layers) refuse("layer " + std::to_string(k.layer) + " must be below layers");
    if (k.expert >= saved.shape.n_experts)
      refuse("id " + std::to_string(k.expert) + " must be below experts_per_layer");
    if (seen[saved.shape.index(k)]++ != 0)
      refuse("expert " + std::to_string(k.expert) + " of layer " + std::to_string(k.layer) + " must not occur twice");
  }
}

}  // namespace detail

/// @throws config_error naming file, tensor and rule when anything in it is not as it must be
[[nodiscard]] inline saved_residency read_residency(std::filesystem::path const& path) {
  auto const file = safetensors_file::open(path);
  require_format(file, residency_format);
  saved_residency saved;
  saved.model = file.metadata_at("model");
  saved.shape = metadata_shape(file);
  auto const& experts = file.at("experts");
  std::uint64_t const n = experts.shape.empty() ? 0 : experts.shape.front();
  auto const ids = values<std::uint16_t>(file.at("experts", dtype::u16, {n, 2}));
  for (std::size_t i = 0; i != ids.size(); i += 2) saved.experts.push_back({ids[i], ids[i + 1]});
  detail::check_residency(saved, path);
  return saved;
}

/// The file appears whole or not at all.
/// @throws config_error when the content breaks a rule of the format or the file cannot be written
inline void write_residency(std::filesystem::path const& path, saved_residency const& saved) {
  validate(
      model_shape{saved.shape.n_layers, saved.shape.n_experts, saved.shape.top_k, 1});  // else it could not be read
  detail::check_residency(saved, path);
  std::vector<std::uint16_t> ids;
  for (expert_key const k : saved.experts) ids.insert(ids.end(), {k.layer, k.expert});
  safetensors_writer file;
  file.set("format", std::string(residency_format.name));
  file.set("version", std::string(residency_format.version));
  file.set("model", saved.model);
  file.set("layers", std::to_string(saved.shape.n_layers));
  file.set("experts_per_layer", std::to_string(saved.shape.n_experts));
  file.set("top_k", std::to_string(saved.shape.top_k));
  file.add("experts", {saved.experts.size(), 2}, std::span<std::uint16_t const>{ids});
  file.write(path);
}

/// What keeps a cache of `model` and `shape` from starting with it, or an empty text.
[[nodiscard]] inline std::string model_difference(saved_residency const& saved, std::string const& model,
                                                  model_shape const& shape) {
  if (saved.model != model)
    return "the residency is of model '" + saved.model + "', but the model here is '" + model + "'";
  if (!routes_alike(saved.shape, shape)) return "the residency of '" + model + "' is of another number of experts";
  return {};
}

}  // namespace buddy::inline v0::io
