// SPDX-License-Identifier: Apache-2.0
/// @file
/// Routing traces as safetensors files.
///
/// Tensors: `experts` U16 [n_tokens, n_layers, top_k], slots by falling weight, 65535 throughout a token's layer that
/// has no record; `weights` F16 of the same shape, optional; `sequence_lengths` U32 [n_sequences]; `phase` U8
/// [n_tokens], optional, 0 prefill, 1 decode; of the engine that was recorded, both optional: `resident` U8 of the
/// shape of `experts`, 1 where its cache held the expert, and `record_bytes` U64 [n_layers]. Metadata: format, version,
/// model, layers, experts_per_layer, top_k; optional source and licence.
#pragma once

#include <buddy/counters.hpp>
#include <buddy/io/file_format.hpp>
#include <buddy/io/half.hpp>
#include <buddy/io/mapped_file.hpp>
#include <buddy/io/safetensors.hpp>
#include <buddy/io/safetensors_writer.hpp>
#include <buddy/io/tensor_values.hpp>
#include <buddy/io/tensor_view.hpp>
#include <buddy/routing_trace.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace buddy::inline v0::io {

inline constexpr file_format trace_format{"buddy.routing-trace", "1"};

namespace detail {

/// What the rules are checked with, for a trace that was read as for one that is to be written.
class trace_rules {
 public:
  trace_rules(routing_trace const& trace, std::filesystem::path const& path) : trace_{trace}, path_{path} {}

  void check() const {
    std::size_t const slots = trace_.n_tokens() * trace_.n_layers * trace_.top_k;
    if (trace_.experts.size() != slots) refuse("experts", "must be [n_tokens, layers, top_k]");
    if (!trace_.weights.empty() && trace_.weights.size() != slots) refuse("weights", "must have the shape of experts");
    if (!trace_.phases.empty() && trace_.phases.size() != trace_.n_tokens()) refuse("phase", "must be [n_tokens]");
    check_engine(slots);
    check_sequences();
    for (std::size_t t = 0; t != trace_.n_tokens(); ++t) {
      for (std::uint16_t l = 0; l != trace_.n_layers; ++l) {
        check_experts(t, l);
        if (!trace_.weights.empty()) check_weights(t, l);
      }
    }
  }

 private:
  [[noreturn]] void refuse(std::string const& tensor, std::string const& rule) const {
    fail(path_, "tensor '" + tensor + "': " + rule);
  }

  static std::string place(std::size_t token, std::uint16_t layer) {
    return " (token " + std::to_string(token) + ", layer " + std::to_string(layer) + ")";
  }

  void check_engine(std::size_t slots) const {
    if (!trace_.resident.empty() && trace_.resident.size() != slots)
      refuse("resident", "must have the shape of experts");
    if (std::any_of(trace_.resident.begin(), trace_.resident.end(), [](std::uint8_t r) { return r > 1; }))
      refuse("resident", "must be 0 or 1");
    auto const& bytes = trace_.record_bytes;
    if (!bytes.empty() && bytes.size() != trace_.n_layers) refuse("record_bytes", "must be [layers]");
    if (std::any_of(bytes.begin(), bytes.end(), [](std::uint64_t b) { return b == 0 || b > max_record_bytes; }))
      refuse("record_bytes", "must be in [1, 2^40]");
  }

  void check_sequences() const {
    std::uint64_t sum = 0;
    for (auto const n : trace_.sequence_lengths) {
      if (n == 0) refuse("sequence_lengths", "a sequence must have at least one token");
      sum += n;
    }
    if (sum != trace_.n_tokens())
      refuse("sequence_lengths",
             "must add up to the " + std::to_string(trace_.n_tokens()) + " tokens, not to " + std::to_string(sum));
  }

  void check_experts(std::size_t token, std::uint16_t layer) const {
    auto const ids = trace_.at(token, layer).experts;
    if (std::count(ids.begin(), ids.end(), no_expert) == ids.size) return;
    for (std::uint32_t a = 0; a != ids.size; ++a) {
      if (ids[a] >= trace_.n_experts)
        refuse("experts", "id " + std::to_string(ids[a]) + " must be below experts_per_layer, or 65535 in all slots" +
                              place(token, layer));
      for (std::uint32_t b = 0; b != a; ++b)
        if (ids[a] == ids[b])
          refuse("experts", "id " + std::to_string(ids[a]) + " must not occur twice" + place(token, layer));
    }
  }

  void check_weights(std::size_t token, std::uint16_t layer) const {
    auto const weights = trace_.at(token, layer).weights;
    for (std::uint32_t s = 0; s != weights.size; ++s) {
      if (!(std::isfinite(weights[s]) && weights[s] >= 0.0F))
        refuse("weights", "must be finite and at least 0" + place(token, layer));
      if (s != 0 && weights[s] > weights[s - 1]) refuse("weights", "must not rise" + place(token, layer));
    }
  }

  static constexpr std::uint64_t max_record_bytes = std::uint64_t{1} << 40;  // sums over a model stay below 2^64

  routing_trace const& trace_;
  std::filesystem::path const& path_;
};

inline std::vector<phase> phases(safetensors_file const& file, std::uint64_t n_tokens) {
  std::vector<phase> out;
  if (file.find("phase") == nullptr) return out;
  for (auto const value : values<std::uint8_t>(file.at("phase", dtype::u8, {n_tokens}))) {
    if (value > 1) file.fail("phase", "must be 0 (prefill) or 1 (decode), not " + std::to_string(value));
    out.push_back(static_cast<phase>(value));
  }
  return out;
}

}  // namespace detail

/// @throws config_error naming file, tensor and rule when anything in it is not as it must be
[[nodiscard]] inline routing_trace read_trace(std::filesystem::path const& path) {
  auto const file = safetensors_file::open(path);
  require_format(file, trace_format);
  routing_trace trace;
  trace.model = file.metadata_at("model");
  trace.source = metadata_or_empty(file, "source");
  trace.licence = metadata_or_empty(file, "licence");
  model_shape const sizes = metadata_shape(file);
  trace.n_layers = sizes.n_layers;
  trace.n_experts = sizes.n_experts;
  trace.top_k = sizes.top_k;
  auto const& experts = file.at("experts");
  std::uint64_t const n_tokens = experts.shape.empty() ? 0 : experts.shape.front();
  tensor_shape const shape{n_tokens, trace.n_layers, trace.top_k};
  trace.experts = values<std::uint16_t>(file.at("experts", dtype::u16, shape));
  if (file.find("weights") != nullptr) trace.weights = widened(file.at("weights", dtype::f16, shape));
  auto const& lengths = file.at("sequence_lengths");
  trace.sequence_lengths = values<std::uint32_t>(file.at("sequence_lengths", dtype::u32, {lengths.n_elements()}));
  trace.phases = detail::phases(file, n_tokens);
  if (file.find("resident") != nullptr) trace.resident = values<std::uint8_t>(file.at("resident", dtype::u8, shape));
  if (file.find("record_bytes") != nullptr)
    trace.record_bytes = values<std::uint64_t>(file.at("record_bytes", dtype_of<std::uint64_t>(), {trace.n_layers}));
  detail::trace_rules{trace, path}.check();
  return trace;
}

/// Weights are rounded to half precision. The file appears whole or not at all.
/// @throws config_error when the trace breaks a rule of the format or the file cannot be written
inline void write_trace(std::filesystem::path const& path, routing_trace const& trace) {
  detail::trace_rules{trace, path}.check();
  safetensors_writer file;
  file.set("format", std::string(trace_format.name));
  file.set("version", std::string(trace_format.version));
  file.set("model", trace.model);
  if (!trace.source.empty()) file.set("source", trace.source);
  if (!trace.licence.empty()) file.set("licence", trace.licence);
  file.set("layers", std::to_string(trace.n_layers));
  file.set("experts_per_layer", std::to_string(trace.n_experts));
  file.set("top_k", std::to_string(trace.top_k));
  tensor_shape const shape{trace.n_tokens(), trace.n_layers, trace.top_k};
  file.add("experts", shape, std::span{trace.experts});
  if (!trace.weights.empty()) {
    std::vector<std::uint16_t> halves;
    for (float const w : trace.weights) {
      if (w >= 65520.0F) detail::fail(path, "tensor 'weights': must be below 65520 to fit half precision");
      halves.push_back(f32_to_f16(w));
    }
    file.add("weights", dtype::f16, shape, std::as_bytes(std::span{halves}));
  }
  file.add("sequence_lengths", {trace.sequence_lengths.size()}, std::span{trace.sequence_lengths});
  if (!trace.phases.empty()) file.add("phase", dtype::u8, {trace.n_tokens()}, std::as_bytes(std::span{trace.phases}));
  if (!trace.resident.empty()) file.add("resident", shape, std::span{trace.resident});
  if (!trace.record_bytes.empty()) file.add("record_bytes", {trace.n_layers}, std::span{trace.record_bytes});
  file.write(path);
}

}  // namespace buddy::inline v0::io
