// SPDX-License-Identifier: Apache-2.0
/// @file
/// Takes memory, fills it, pins it.
#include "harness/model/cuda/device_model.hpp"

#include "harness/model/cpu/layers.hpp"
#include "harness/model/cuda/device_parts.hpp"
#include "harness/model/cuda/kernels.hpp"

#include <buddy/cuda/device.hpp>
#include <buddy/error.hpp>
#include <buddy/io/half.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace harness {

namespace {

namespace cuda = buddy::cuda;
using buddy::weight_type;

/// Where each dense array begins, before there is memory for it.
class dense_layout {
 public:
  void add(float const*& place, std::span<float const> values) {
    arrays_.push_back({&place, values});
    size_ += aligned_floats::padded(values.size());
  }

  cuda::device_buffer<float> upload() const {
    std::vector<float> all(size_);
    cuda::device_buffer<float> memory(size_);
    std::size_t at = 0;
    for (auto const& [place, values] : arrays_) {
      std::copy(values.begin(), values.end(), all.begin() + static_cast<std::ptrdiff_t>(at));
      *place = memory.data() + at;
      at += aligned_floats::padded(values.size());
    }
    memory.load_from(all);
    return memory;
  }

 private:
  struct array {
    float const** place;
    std::span<float const> values;
  };
  std::vector<array> arrays_;
  std::size_t size_{};
};

std::uint16_t round_to(weight_type type, float x) {
  return type == weight_type::f16 ? buddy::io::f32_to_f16(x) : buddy::io::f32_to_bf16(x);
}

bool holds(weight_type type, float x) {
  std::uint16_t const bits = round_to(type, x);
  return (type == weight_type::f16 ? buddy::io::f16_to_f32(bits) : buddy::io::bf16_to_f32(bits)) == x;
}

/// The format that holds every weight of every expert exactly.
std::optional<weight_type> exact_format(weights const& w) {
  for (weight_type const type : {weight_type::f16, weight_type::bf16}) {
    bool all = true;
    for (std::size_t l = 0; l != w.config().n_layers && all; ++l)
      for (auto const record : w.layer(l).experts)
        all = all && std::all_of(record.begin(), record.end(), [type](float x) { return holds(type, x); });
    if (all) return type;
  }
  return std::nullopt;
}

[[noreturn]] void refuse(std::string const& why) { throw buddy::config_error("--backend cuda: " + why); }

buddy::expert_record record_of(weights const& w) {
  model_config const& c = w.config();
  if (c.hidden_size % 8 != 0 || c.expert_hidden % 8 != 0)
    refuse("the kernels need hidden sizes that are multiples of 8");
  if (c.head_dim > device::max_head_dim) refuse("the kernels know heads of at most 256 numbers");
  auto const type = exact_format(w);
  buddy::expert_record const record{c.hidden_size, c.expert_hidden, type.value_or(weight_type::f16)};
  if (!type || record.bytes() != w.expert_bytes()) refuse("the model's experts must be stored as f16 or bf16");
  return record;
}

void place_dense(weights const& w, cpu::rope_table const& rope, device_model::parts& p) {
  dense_layout layout;
  layout.add(p.embedding, w.embedding());
  layout.add(p.head, w.head());
  layout.add(p.final_norm, w.final_norm());
  layout.add(p.cosines, rope.cosines());
  layout.add(p.sines, rope.sines());
  p.layers.resize(w.config().n_layers);
  for (std::size_t l = 0; l != p.layers.size(); ++l) {
    layer_weights const& from = w.layer(l);
    device_layer& to = p.layers[l];
    layout.add(to.input_norm, from.input_norm);
    layout.add(to.qkv, from.qkv);
    layout.add(to.q_norm, from.q_norm);
    layout.add(to.k_norm, from.k_norm);
    layout.add(to.output, from.output);
    layout.add(to.expert_norm, from.expert_norm);
    layout.add(to.router, from.router);
  }
  p.dense = layout.upload();
}

/// Records begin at pages, so that any number of them can be pinned at once.
void place_experts(weights const& w, device_model::parts& p) {
  constexpr std::size_t page = 4096;
  std::size_t const stride = cuda::round_up(p.record.bytes(), page);
  std::uint32_t const n_experts = w.config().n_experts;
  std::uint32_t const n = w.config().n_layers * n_experts;
  p.records = cuda::pinned_buffer(n * stride);
  std::byte* const first = p.records.bytes().data();
  for (std::uint32_t i = 0; i != n; ++i) {
    std::byte* to = first + i * stride;
    for (float const x : w.layer(i / n_experts).experts[i % n_experts]) {
      std::uint16_t const bits = round_to(p.record.type, x);
      std::memcpy(to, &bits, sizeof bits);
      to += sizeof bits;
    }
  }
  p.records.pin(stride);
  p.experts = {first, stride, n};
}

std::string name_of_device() {
  cudaDeviceProp properties{};
  BUDDY_CUDA_TRY(cudaGetDeviceProperties(&properties, cuda::current_device()));
  return properties.name;
}

}  // namespace

std::string why_no_device() { return cuda::gpu_available() ? "" : std::string{"no GPU: "} + cuda::why_no_gpu(); }

device_model::device_model(weights const& w) : weights_{&w}, parts_{std::make_unique<parts>()} {
  if (std::string const why = why_no_device(); !why.empty()) refuse(why);
  parts_->record = record_of(w);
  device_name_ = name_of_device();
  place_dense(w, cpu::rope_table{w.config()}, *parts_);
  place_experts(w, *parts_);
}

device_model::~device_model() = default;

}  // namespace harness
