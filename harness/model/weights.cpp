// SPDX-License-Identifier: Apache-2.0
/// @file
/// Loads a model: first every tensor is checked and gets its place, then memory is taken and filled.
#include "harness/model/weights.hpp"

#include <buddy/io/safetensors.hpp>
#include <buddy/io/tensor_values.hpp>
#include <buddy/stand_ins/packed_values.hpp>
#include <buddy/stand_ins/packed_writer.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <initializer_list>
#include <string>

namespace harness {

namespace {

namespace io = buddy::io;

std::uint64_t fnv1a(std::span<std::byte const> bytes, std::uint64_t hash) {
  for (std::byte const b : bytes) hash = (hash ^ static_cast<std::uint64_t>(b)) * 0x100000001b3U;
  return hash;
}

std::string identity_of(std::initializer_list<std::filesystem::path> files) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (std::filesystem::path const& file : files) hash = fnv1a(io::mapped_file{file}.bytes(), hash);
  std::string digits(16, '0');
  for (std::size_t i = 0; i != 16; ++i) digits[i] = "0123456789abcdef"[(hash >> (60 - 4 * i)) & 15];
  return digits;
}

}  // namespace

class weights_builder {
 public:
  weights_builder(model_config const& config, io::safetensors_file const& file) : file_{file} {
    w_.config_ = config;
    w_.layers_.resize(config.n_layers);
  }

  weights build() {
    place_all();
    w_.storage_ = aligned_floats{size_};
    for (placed const& p : placed_) fill(p);
    for (wanted const& v : wanted_) *v.view = w_.storage_.all().subspan(v.begin, v.size);
    return std::move(w_);
  }

 private:
  struct placed {
    io::tensor_view const* tensor;
    std::size_t begin;
  };
  struct wanted {
    std::span<float const>* view;
    std::size_t begin, size;
  };
  struct part {
    std::string name;
    io::tensor_shape shape;
  };

  /// One contiguous, aligned array of all parts, seen through `view`. @return bytes stored in the file
  std::uint64_t place(std::span<float const>& view, std::initializer_list<part> parts) {
    std::size_t const begin = size_;
    std::uint64_t bytes = 0;
    for (part const& p : parts) {
      io::tensor_view const& t = file_.at(p.name, p.shape);
      if (!io::can_widen(t.type)) file_.fail(p.name, "dtype must be F16, BF16 or F32");
      placed_.push_back({&t, size_});
      size_ += t.n_elements();
      bytes += t.bytes.size();
    }
    wanted_.push_back({&view, begin, size_ - begin});
    size_ = aligned_floats::padded(size_);
    return bytes;
  }

  /// One NaN would make every result NaN, far from its cause.
  void fill(placed const& p) {
    auto const values = w_.storage_.all().subspan(p.begin, p.tensor->n_elements());
    io::widen(*p.tensor, values);
    auto const finite = [](float x) { return std::isfinite(x); };
    auto const bad = std::find_if_not(values.begin(), values.end(), finite);
    if (bad != values.end())
      file_.fail(p.tensor->name, "all values must be finite, unlike number " + std::to_string(bad - values.begin()));
  }

  void place_all() {
    model_config const& c = w_.config_;
    place(w_.embedding_, {{"model.embed_tokens.weight", {c.vocab_size, c.hidden_size}}});
    place(w_.final_norm_, {{"model.norm.weight", {c.hidden_size}}});
    char const* const head = c.tied_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
    place(w_.head_, {{head, {c.vocab_size, c.hidden_size}}});
    for (std::size_t l = 0; l != c.n_layers; ++l) {
      place_attention(l);
      place_experts(l);
    }
  }

  void place_attention(std::size_t l) {
    model_config const& c = w_.config_;
    layer_weights& to = w_.layers_[l];
    std::string const at = "model.layers." + std::to_string(l) + ".";
    place(to.input_norm, {{at + "input_layernorm.weight", {c.hidden_size}}});
    place(to.qkv, {{at + "self_attn.q_proj.weight", {c.q_size(), c.hidden_size}},
                   {at + "self_attn.k_proj.weight", {c.kv_size(), c.hidden_size}},
                   {at + "self_attn.v_proj.weight", {c.kv_size(), c.hidden_size}}});
    place(to.q_norm, {{at + "self_attn.q_norm.weight", {c.head_dim}}});
    place(to.k_norm, {{at + "self_attn.k_norm.weight", {c.head_dim}}});
    place(to.output, {{at + "self_attn.o_proj.weight", {c.hidden_size, c.q_size()}}});
    place(to.expert_norm, {{at + "post_attention_layernorm.weight", {c.hidden_size}}});
    place(to.router, {{at + "mlp.gate.weight", {c.n_experts, c.hidden_size}}});
  }

  void place_experts(std::size_t l) {
    model_config const& c = w_.config_;
    layer_weights& to = w_.layers_[l];
    to.experts.resize(c.n_experts);
    for (std::size_t e = 0; e != c.n_experts; ++e) {
      std::string const at = "model.layers." + std::to_string(l) + ".mlp.experts." + std::to_string(e) + ".";
      std::uint64_t const bytes = place(to.experts[e], {{at + "gate_proj.weight", {c.expert_hidden, c.hidden_size}},
                                                        {at + "up_proj.weight", {c.expert_hidden, c.hidden_size}},
                                                        {at + "down_proj.weight", {c.hidden_size, c.expert_hidden}}});
      if (w_.expert_bytes_ == 0) w_.expert_bytes_ = bytes;
      if (w_.expert_bytes_ != bytes) file_.fail(at + "*", "all experts must be stored in the same dtype");
    }
  }

  io::safetensors_file const& file_;
  weights w_;
  std::vector<placed> placed_;
  std::vector<wanted> wanted_;
  std::size_t size_{};
};

weights weights::load(std::filesystem::path const& folder) {
  auto const config_file = folder / "config.json";
  auto const weight_file = folder / "model.safetensors";
  auto const config = read_model_config(config_file);
  auto const file = io::safetensors_file::open(weight_file);
  weights w = weights_builder{config, file}.build();
  w.identity_ = identity_of({config_file, weight_file});
  return w;
}

void weights::round_experts() {
  buddy::stand_ins::packed_format const f{4, 32};
  std::size_t const n = config_.expert_parameters();
  std::vector<std::uint8_t> bytes(f.bytes(n));
  for (layer_weights const& l : layers_) {
    for (auto const record : l.experts) {
      auto const first = static_cast<std::size_t>(record.data() - storage_.data());
      float* const values = storage_.data() + first;
      buddy::stand_ins::pack_nearest(f, values, n, bytes.data());
      buddy::stand_ins::packed_values{f, n, bytes.data()}.decode(0, n, values);
    }
  }
  expert_bytes_ = bytes.size();
  identity_ += "-int4";
}

}  // namespace harness
