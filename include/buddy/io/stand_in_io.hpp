// SPDX-License-Identifier: Apache-2.0
/// @file
/// The part of a profile that speaks of stand-ins.
///
/// Tensors, all optional: `output_samples` U64 [L, E]; `buddy_errors` and `buddy_scales` F32 [L, E, E] with
/// `buddy_loss_weights` F32 [L]; for stand-ins number n, from 0: `stand_ins.n.errors` F32 [L, E],
/// `stand_ins.n.loss_weights` F32 [L], and, where a record has bytes, `stand_ins.n.records` U8 [L, E, record bytes].
/// Metadata: `stand_ins` says how many, `stand_ins.n.name` and `stand_ins.n.how` what they are.
#pragma once

#include <buddy/io/file_format.hpp>
#include <buddy/io/safetensors.hpp>
#include <buddy/io/safetensors_writer.hpp>
#include <buddy/io/tensor_values.hpp>
#include <buddy/io/tensor_view.hpp>
#include <buddy/profile.hpp>
#include <buddy/resolution.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace buddy::inline v0::io {

/// Most kinds of stand-ins in one profile.
inline constexpr std::uint64_t max_stand_in_sets = 256;

namespace detail {

inline std::string set_key(std::size_t n, char const* what) { return "stand_ins." + std::to_string(n) + "." + what; }

inline bool is_resident_kind(resolution r) noexcept {
  return r == resolution::surrogate || r == resolution::low_precision || r == resolution::drop;
}

inline resolution kind_at(safetensors_file const& file, std::string const& key) {
  std::string const& word = file.metadata_at(key);
  for (std::size_t i = 0; i != n_resolutions; ++i)
    if (word == resolution_names[i] && is_resident_kind(static_cast<resolution>(i))) return static_cast<resolution>(i);
  fail(file.path(), "metadata '" + key + "' must be surrogate, low_precision or drop, not '" + word + "'");
}

inline stand_in_set read_set(safetensors_file const& file, model_shape const& shape, std::size_t n) {
  stand_in_set s;
  s.name = file.metadata_at(set_key(n, "name"));
  s.how = kind_at(file, set_key(n, "how"));
  s.errors = values<float>(file.at(set_key(n, "errors"), dtype::f32, {shape.n_layers, shape.n_experts}));
  s.loss_weights = values<float>(file.at(set_key(n, "loss_weights"), dtype::f32, {shape.n_layers}));
  tensor_view const* const records = file.find(set_key(n, "records"));
  if (records == nullptr) return s;
  if (records->shape.size() != 3 || records->shape[2] == 0)
    file.fail(records->name, "shape must be [layers, experts, bytes of a record]");
  s.record_bytes = records->shape[2];
  s.records =
      values<std::uint8_t>(file.at(records->name, dtype::u8, {shape.n_layers, shape.n_experts, records->shape[2]}));
  return s;
}

inline void read_stand_ins(safetensors_file const& file, profile& p) {
  tensor_shape const experts{p.shape.n_layers, p.shape.n_experts};
  tensor_shape const pairs{p.shape.n_layers, p.shape.n_experts, p.shape.n_experts};
  auto const optional = [&]<class T>(std::vector<T>& to, char const* name, tensor_shape const& shape) {
    if (file.find(name) != nullptr) to = values<T>(file.at(name, dtype_of<T>(), shape));
  };
  optional(p.output_samples, "output_samples", experts);
  optional(p.buddy_errors, "buddy_errors", pairs);
  optional(p.buddy_scales, "buddy_scales", pairs);
  optional(p.buddy_loss_weights, "buddy_loss_weights", {p.shape.n_layers});
  if (metadata_or_empty(file, "stand_ins").empty()) return;
  std::uint64_t const n = metadata_number(file, "stand_ins", max_stand_in_sets);
  for (std::size_t i = 0; i != n; ++i) p.stand_ins.push_back(read_set(file, p.shape, i));
}

inline void write_stand_ins(safetensors_writer& file, profile const& p) {
  tensor_shape const experts{p.shape.n_layers, p.shape.n_experts};
  tensor_shape const pairs{p.shape.n_layers, p.shape.n_experts, p.shape.n_experts};
  if (!p.output_samples.empty()) file.add("output_samples", experts, std::span{p.output_samples});
  if (!p.buddy_errors.empty()) {
    file.add("buddy_errors", pairs, std::span{p.buddy_errors});
    file.add("buddy_scales", pairs, std::span{p.buddy_scales});
    file.add("buddy_loss_weights", {p.shape.n_layers}, std::span{p.buddy_loss_weights});
  }
  if (!p.stand_ins.empty()) file.set("stand_ins", std::to_string(p.stand_ins.size()));
  for (std::size_t n = 0; n != p.stand_ins.size(); ++n) {
    stand_in_set const& s = p.stand_ins[n];
    file.set(set_key(n, "name"), s.name);
    file.set(set_key(n, "how"), std::string(to_string(s.how)));
    file.add(set_key(n, "errors"), experts, std::span{s.errors});
    file.add(set_key(n, "loss_weights"), {p.shape.n_layers}, std::span{s.loss_weights});
    if (s.record_bytes != 0)
      file.add(set_key(n, "records"), {p.shape.n_layers, p.shape.n_experts, s.record_bytes}, std::span{s.records});
  }
}

/// What must hold for stand-ins, whoever made them.
class stand_in_rules {
 public:
  stand_in_rules(profile const& p, std::filesystem::path const& path) : p_{p}, path_{path} {}

  /// @throws config_error naming file, tensor and rule
  void check() const {
    std::size_t const n_keys = p_.shape.n_keys();
    require(p_.output_samples.size() == n_keys || (p_.output_samples.empty() && !has_errors()), "output_samples",
            "must have the size of the model's shape");
    check_pairs();
    for (std::size_t n = 0; n != p_.stand_ins.size(); ++n) check_set(n);
  }

 private:
  [[nodiscard]] bool has_errors() const noexcept { return !p_.stand_ins.empty() || !p_.buddy_errors.empty(); }

  void require(bool holds, std::string const& tensor, std::string const& rule) const {
    if (!holds) fail(path_, "tensor '" + tensor + "': " + rule);
  }

  void require_costs(std::vector<float> const& x, std::size_t size, std::string const& tensor) const {
    require(x.size() == size, tensor, "must have the size of the model's shape");
    require(std::all_of(x.begin(), x.end(), [](float v) { return std::isfinite(v) && v >= 0.0F; }), tensor,
            "must be finite and at least 0");
  }

  void check_pairs() const {
    std::size_t const n = p_.buddy_errors.empty() ? 0 : p_.shape.n_keys() * p_.shape.n_experts;
    require_costs(p_.buddy_errors, n, "buddy_errors");
    require_costs(p_.buddy_scales, n, "buddy_scales");
    require_costs(p_.buddy_loss_weights, n == 0 ? 0 : p_.shape.n_layers, "buddy_loss_weights");
  }

  void check_set(std::size_t n) const {
    stand_in_set const& s = p_.stand_ins[n];
    for (std::size_t i = 0; i != n; ++i)
      require(p_.stand_ins[i].name != s.name, set_key(n, "errors"), "the name '" + s.name + "' is there twice");
    require(!s.name.empty(), set_key(n, "errors"), "must have a name");
    require(is_resident_kind(s.how), set_key(n, "errors"), "must be of a kind that is always resident");
    require_costs(s.errors, p_.shape.n_keys(), set_key(n, "errors"));
    require_costs(s.loss_weights, p_.shape.n_layers, set_key(n, "loss_weights"));
    require(s.records.size() == p_.shape.n_keys() * s.record_bytes, set_key(n, "records"),
            "must have the size of the model's shape");
  }

  profile const& p_;
  std::filesystem::path const& path_;
};

}  // namespace detail

}  // namespace buddy::inline v0::io
