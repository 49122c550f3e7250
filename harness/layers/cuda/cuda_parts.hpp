// SPDX-License-Identifier: Apache-2.0
/// @file
/// What a `cuda_machine` owns.
#pragma once

#include "harness/layers/cuda/host_worker.hpp"
#include "harness/layers/cuda/kernels.hpp"
#include "harness/layers/layer_stack.hpp"
#include "harness/layers/routing_source.hpp"

#include <buddy/cuda/copy_engine.hpp>
#include <buddy/cuda/cuda_copy_backend.hpp>
#include <buddy/cuda/device_buffer.hpp>
#include <buddy/cuda/device_slab.hpp>
#include <buddy/cuda/event.hpp>
#include <buddy/cuda/graph.hpp>
#include <buddy/cuda/pinned_buffer.hpp>
#include <buddy/cuda/stream.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace harness {

/// Every fill waits for what was computed until it was asked for: nothing reads a slot that is being filled.
struct ordered_fills {
  buddy::cuda::event_ref computed;

  [[nodiscard]] cudaError_t before_fill(buddy::cuda::copy_piece const&, cudaStream_t copies) const noexcept {
    return computed.wait_in(copies);
  }
  [[nodiscard]] cudaError_t after_fill(buddy::cuda::copy_piece const&, cudaStream_t) const noexcept {
    return cudaSuccess;
  }
};

/// Arrays of one wave of the host's loop, and of each layer of a step that the device runs alone.
struct wave_arrays {
  buddy::cuda::device_buffer<buddy::slot_id> slots;
  buddy::cuda::device_buffer<float> weights;
  buddy::cuda::device_buffer<buddy::slot_outcome> outcomes;
};

struct cuda_parts {
  static constexpr std::uint32_t sort_parts = 32;
  static constexpr std::uint32_t n_uploads = 128;  ///< waves of one layer that may be under way
  using engine_type = buddy::cuda::copy_engine<buddy::cuda::cuda_copy_backend<ordered_fills>>;

  cuda_parts(layer_stack const& s, step_routing const& r, std::uint32_t slots, std::uint32_t spare);

  [[nodiscard]] std::uint32_t n_routed() const noexcept { return routing->n_tokens * stack.top_k; }
  [[nodiscard]] std::size_t record_stride() const noexcept { return stack.record.aligned_bytes(); }
  [[nodiscard]] std::byte const* record_of(buddy::expert_key key) const noexcept {
    return records.bytes().data() + stack.shape().index(key) * record_stride();
  }
  [[nodiscard]] buddy::cuda::dispatch_arrays arrays_of(std::uint32_t n_tokens, wave_arrays const& w, bool first) const;
  void keep(cudaError_t code) noexcept {
    if (error == cudaSuccess) error = code;
  }
  /// What was launched so far must have ended before a slot is filled.
  void mark_computed() noexcept { keep(computed.ref().record(compute.get())); }

  void make_vectors();
  void make_sort(std::uint32_t all_slots);
  void make_table();
  void make_movers();
  void fill_records();
  void upload_routing();
  void capture_step(device_selector who, std::uint64_t seed);
  void write_entry(buddy::expert_key key, buddy::slot_id slot) noexcept;

  layer_stack stack;
  step_routing const* routing;
  std::uint32_t n_slots;
  cudaError_t error = cudaSuccess;
  double link_gbps = 25.0;
  bool early{};

  buddy::cuda::pinned_buffer records;
  buddy::cuda::device_slab slab;
  buddy::cuda::stream compute;
  buddy::cuda::event computed;
  buddy::cuda::event routed;  ///< the router's choice is known to the host
  ordered_fills fills;
  std::optional<engine_type> engine;

  buddy::cuda::device_buffer<std::byte> rest;  ///< [n_rest, rest_bytes]: more than the second-level cache holds
  std::uint32_t n_rest{};
  buddy::cuda::device_buffer<std::uint32_t> sink;
  buddy::cuda::device_buffer<std::uint16_t> x;
  buddy::cuda::device_buffer<float> y;
  buddy::cuda::device_buffer<std::byte> workspace;
  buddy::cuda::device_buffer<std::uint32_t> sort_counts, sort_order, sort_offsets, sort_n_tiles;
  buddy::cuda::device_buffer<buddy::cuda::token_tile> sort_tiles;
  wave_arrays wave;
  buddy::cuda::pinned_buffer uploads;  ///< [n_uploads] of slots, then weights
  std::uint32_t next_upload{};

  buddy::cuda::pinned_buffer host_x;  ///< [n_tokens, hidden] what the CPU's lane reads
  buddy::cuda::pinned_buffer host_y;
  buddy::cuda::device_buffer<float> host_sum;
  std::unique_ptr<host_worker> worker;
  bool worker_used{};

  // A step that the device runs alone.
  buddy::cuda::device_buffer<std::uint16_t> all_experts;  ///< [n_steps, n_layers, n_tokens, top_k]
  buddy::cuda::device_buffer<float> all_weights;
  buddy::cuda::device_buffer<std::uint16_t> step_experts;  ///< [n_layers, n_tokens, top_k]
  buddy::cuda::device_buffer<float> step_weights;
  buddy::cuda::device_buffer<std::uint64_t> step_number;
  std::vector<wave_arrays> layer_waves;              ///< [n_layers]
  buddy::cuda::device_buffer<buddy::slot_id> table;  ///< [n_layers, n_experts]
  buddy::cuda::pinned_buffer values;  ///< every slot's number, then `no_slot`: what entries are copied from
  std::vector<std::optional<buddy::expert_key>> in_slot;  ///< whom `table` finds there
  std::optional<buddy::cuda::graph> step_graph;
};

}  // namespace harness
