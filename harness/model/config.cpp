// SPDX-License-Identifier: Apache-2.0
/// @file
/// Checks every field of a config.json before it is believed.
#include "harness/model/config.hpp"

#include <buddy/io/mapped_file.hpp>
#include <buddy/types.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <string>

namespace harness {

namespace {

using nlohmann::json;

/// One field at a time, with errors that name file, field and rule.
class field_reader {
 public:
  field_reader(json const& object, std::filesystem::path const& file) : object_{object}, file_{file} {}

  [[nodiscard]] json const* find(char const* name) const {
    auto const it = object_.find(name);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }

  [[nodiscard]] json const& at(char const* name) const {
    json const* value = find(name);
    if (value == nullptr) fail(name, "is missing");
    return *value;
  }

  [[nodiscard]] std::uint32_t count(char const* name, std::uint32_t max) const {
    json const& value = at(name);
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() == 0 || value.get<std::uint64_t>() > max)
      fail(name, "must be a whole number from 1 to " + std::to_string(max));
    return value.get<std::uint32_t>();
  }

  [[nodiscard]] float positive(char const* name, double max) const {
    json const& value = at(name);
    double const x = value.is_number() ? value.get<double>() : 0.0;
    if (!(x > 0.0 && x <= max)) fail(name, "must be a number above 0 and at most " + std::to_string(max));
    return static_cast<float>(x);
  }

  [[nodiscard]] bool flag(char const* name, bool otherwise) const {
    json const* value = find(name);
    if (value == nullptr) return otherwise;
    if (!value->is_boolean()) fail(name, "must be true or false");
    return value->get<bool>();
  }

  [[noreturn]] void fail(char const* name, std::string const& rule) const {
    buddy::io::detail::fail(file_, "'" + std::string(name) + "' " + rule);
  }

 private:
  json const& object_;
  std::filesystem::path const& file_;
};

/// What would make the model another one than this harness computes.
void refuse_unsupported(field_reader const& field) {
  json const& type = field.at("model_type");
  if (type != "qwen3_moe") field.fail("model_type", "must be qwen3_moe, the one architecture that is computed");
  if (json const* v = field.find("mlp_only_layers"); v != nullptr && !(v->is_array() && v->empty()))
    field.fail("mlp_only_layers", "must be empty: dense layers are not supported");
  if (json const* v = field.find("decoder_sparse_step"); v != nullptr && *v != 1)
    field.fail("decoder_sparse_step", "must be 1: dense layers are not supported");
  if (json const* v = field.find("hidden_act"); v != nullptr && *v != "silu") field.fail("hidden_act", "must be silu");
  if (field.flag("attention_bias", false)) field.fail("attention_bias", "must be false: biases are not supported");
  if (field.flag("use_sliding_window", false))
    field.fail("use_sliding_window", "must be false: attention is over the whole context");
  if (field.find("rope_scaling") != nullptr) field.fail("rope_scaling", "must be null: it is not supported");
}

void check_consistency(model_config const& c, field_reader const& field) {
  if (c.n_heads % c.n_kv_heads != 0) field.fail("num_key_value_heads", "must divide num_attention_heads");
  if (c.head_dim % 2 != 0) field.fail("head_dim", "must be even: rotary embeddings turn pairs");
  if (c.top_k > c.n_experts) field.fail("num_experts_per_tok", "must be at most num_experts");
  if (c.vocab_size != 256) field.fail("vocab_size", "must be 256: the harness reads bytes");
}

}  // namespace

model_config parse_model_config(std::string_view text, std::filesystem::path const& file) {
  auto const shallow = [](int depth, json::parse_event_t, json&) { return depth < 8; };
  json const object = json::parse(text, shallow, false);
  if (!object.is_object()) buddy::io::detail::fail(file, "is not a JSON object");
  field_reader const field{object, file};
  refuse_unsupported(field);
  model_config c;
  c.hidden_size = field.count("hidden_size", 65536);
  c.n_layers = field.count("num_hidden_layers", 1024);
  c.n_heads = field.count("num_attention_heads", 1024);
  c.n_kv_heads = field.count("num_key_value_heads", 1024);
  c.head_dim = field.count("head_dim", 1024);
  c.n_experts = field.count("num_experts", buddy::max_experts);
  c.top_k = field.count("num_experts_per_tok", buddy::max_top_k);
  c.expert_hidden = field.count("moe_intermediate_size", 65536);
  c.max_positions = field.count("max_position_embeddings", 1U << 20);
  c.vocab_size = field.count("vocab_size", 1U << 20);
  c.rms_eps = field.positive("rms_norm_eps", 1.0);
  c.rope_theta = field.positive("rope_theta", 1e12);
  c.normalise_top_k = field.flag("norm_topk_prob", false);
  c.tied_embeddings = field.flag("tie_word_embeddings", false);
  check_consistency(c, field);
  return c;
}

model_config read_model_config(std::filesystem::path const& file) {
  buddy::io::mapped_file const map{file};
  auto const bytes = map.bytes();
  if (bytes.size() > (1U << 20)) buddy::io::detail::fail(file, "is longer than 1 MiB");
  return parse_model_config({reinterpret_cast<char const*>(bytes.data()), bytes.size()}, file);
}

}  // namespace harness
