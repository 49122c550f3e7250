// SPDX-License-Identifier: Apache-2.0
/// @file
/// What is behind `device_model` and `device_slots`.
#pragma once

#include "harness/model/cuda/device_model.hpp"
#include "harness/model/cuda/device_slots.hpp"

#include <buddy/cuda/copy_engine.hpp>
#include <buddy/cuda/cuda_copy_backend.hpp>
#include <buddy/cuda/device_buffer.hpp>
#include <buddy/cuda/device_slab.hpp>
#include <buddy/cuda/pinned_buffer.hpp>
#include <buddy/cuda/record_array.hpp>
#include <buddy/expert_record.hpp>

#include <cstddef>
#include <vector>

namespace harness {

/// One layer's dense weights on the device, as `layer_weights` names them.
struct device_layer {
  float const* input_norm{};
  float const* qkv{};
  float const* q_norm{};
  float const* k_norm{};
  float const* output{};
  float const* expert_norm{};
  float const* router{};
};

struct device_model::parts {
  buddy::cuda::device_buffer<float> dense;  // all of them, one after the other
  float const* embedding{};
  float const* head{};
  float const* final_norm{};
  float const* cosines{};
  float const* sines{};
  std::vector<device_layer> layers;
  buddy::expert_record record;
  buddy::cuda::pinned_buffer records;  // [n_layers, n_experts]
  buddy::cuda::host_records experts;   // in it
};

struct device_slots::parts {
  using engine = buddy::cuda::copy_engine<buddy::cuda::cuda_copy_backend<>>;

  parts(device_model const& model, std::uint32_t n_slots);

  buddy::cuda::unpublished nobody;  // kernels are told their slots by the host, which has waited for the copies
  buddy::cuda::device_slab slab;
  engine copies;
  std::uint64_t record_bytes;
};

}  // namespace harness
