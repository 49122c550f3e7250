// SPDX-License-Identifier: Apache-2.0
/// @file
/// Memory, and the graph of a step.
#include "harness/layers/cuda/cuda_parts.hpp"

#include <buddy/cuda/check.hpp>
#include <buddy/cuda/device.hpp>
#include <buddy/io/half.hpp>
#include <buddy/splitmix64.hpp>

#include <algorithm>
#include <cstring>
#include <new>
#include <span>
#include <thread>

namespace harness {

namespace {

namespace gpu = buddy::cuda;

std::uint16_t half_of(float x, buddy::weight_type type) {
  return type == buddy::weight_type::bf16 ? buddy::io::f32_to_bf16(x) : buddy::io::f32_to_f16(x);
}

/// Uniform in [-1/32, 1/32): zeros would be easier on the power, and so faster.
float small_weight(std::uint64_t i) { return static_cast<float>(buddy::splitmix64(i) >> 40) * 0x1p-28F - 0.03125F; }

/// As many copies of a layer's other weights as it takes to leave the second-level cache four times over.
std::uint32_t rest_copies(layer_stack const& s) {
  if (s.rest_bytes == 0) return 1;
  auto const cache = static_cast<std::uint64_t>(gpu::device_attribute(cudaDevAttrL2CacheSize, gpu::current_device()));
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(s.n_layers, 4 * cache / s.rest_bytes + 2));
}

wave_arrays wave_of(std::uint32_t n_routed) {
  return {gpu::device_buffer<buddy::slot_id>(n_routed), gpu::device_buffer<float>(n_routed),
          gpu::device_buffer<buddy::slot_outcome>(n_routed)};
}

std::size_t pinned_uploads(layer_stack const& s, std::uint32_t n_tokens) {
  return cuda_parts::n_uploads * std::size_t{n_tokens} * s.top_k * (sizeof(buddy::slot_id) + sizeof(float));
}

}  // namespace

cuda_parts::cuda_parts(layer_stack const& s, step_routing const& r, std::uint32_t slots, std::uint32_t spare)
    : stack(s),
      routing(&r),
      n_slots(slots),
      early(can_launch_early()),
      records(s.shape().n_keys() * s.record.aligned_bytes()),
      slab(slots + spare, s.record.bytes()),
      fills{computed.ref()},
      n_rest(rest_copies(s)),
      sink(1),
      x(std::size_t{r.n_tokens} * s.record.hidden),
      y(x.size()),
      wave(wave_of(r.n_tokens * s.top_k)),
      uploads(pinned_uploads(s, r.n_tokens)),
      host_x(x.size() * sizeof(std::uint16_t)),
      host_y(x.size() * sizeof(float)),
      host_sum(x.size()),
      step_experts(std::size_t{s.n_layers} * r.n_tokens * s.top_k),
      step_weights(step_experts.size()),
      step_number(1),
      table(s.shape().n_keys()),
      values((std::size_t{slots} + 1) * sizeof(buddy::slot_id)),
      in_slot(slots) {
  rest = gpu::device_buffer<std::byte>(n_rest * s.rest_bytes);
  BUDDY_CUDA_TRY(rest.fill_bytes(0x3c, compute.get()));
  fill_records();
  make_vectors();
  make_table();
  workspace = gpu::device_buffer<std::byte>(gpu::workspace_bytes(arrays_of(r.n_tokens, wave, true)));
  if (n_routed() > most_unsorted()) make_sort(slots + spare);
  for (std::uint16_t l = 0; l != s.n_layers; ++l) layer_waves.push_back(wave_of(n_routed()));
  upload_routing();
  make_movers();
}

/// What the experts read, on both sides.
void cuda_parts::make_vectors() {
  for (auto* const p : {&uploads, &host_x, &host_y}) p->pin();
  std::vector<std::uint16_t> inputs;
  for (std::size_t i = 0; i != x.size(); ++i) inputs.push_back(half_of(32.0F * small_weight(i), stack.record.type));
  x.load_from(std::span<std::uint16_t const>(inputs));
  std::memcpy(host_x.bytes().data(), inputs.data(), host_x.bytes().size());
}

void cuda_parts::make_sort(std::uint32_t all_slots) {
  sort_counts = gpu::device_buffer<std::uint32_t>(std::size_t{sort_parts} * all_slots);
  sort_order = gpu::device_buffer<std::uint32_t>(n_routed());
  sort_offsets = gpu::device_buffer<std::uint32_t>(std::size_t{all_slots} + 1);
  sort_tiles = gpu::device_buffer<gpu::token_tile>(gpu::token_order::max_tiles(n_routed(), all_slots));
  sort_n_tiles = gpu::device_buffer<std::uint32_t>(1);
}

/// The words that entries of the table are copied from.
void cuda_parts::make_table() {
  auto* const numbers = ::new (values.bytes().data()) buddy::slot_id[std::size_t{n_slots} + 1];
  for (std::uint32_t i = 0; i != n_slots; ++i) numbers[i] = buddy::slot_id{i};
  numbers[n_slots] = buddy::no_slot;
  values.pin();
}

/// The link and the CPU's lane; one core is left to the host's loop.
void cuda_parts::make_movers() {
  engine.emplace(gpu::cuda_copy_backend<ordered_fills>(
      {records.bytes().data(), record_stride(), static_cast<std::uint32_t>(stack.shape().n_keys())}, stack.n_experts,
      slab.ref(), fills, {.n_marks = 2}));
  unsigned const cores = std::max(2U, std::thread::hardware_concurrency());
  worker = std::make_unique<host_worker>(
      buddy::host::lane_config{
          .record = stack.record, .max_tokens = routing->n_tokens, .max_uses = n_routed(), .n_workers = cores - 1},
      reinterpret_cast<std::uint16_t const*>(host_x.bytes().data()), reinterpret_cast<float*>(host_y.bytes().data()));
}

/// One random record, turned by a different length for each expert; pinned when it is there.
void cuda_parts::fill_records() {
  std::size_t const bytes = stack.record.bytes();
  std::vector<std::uint16_t> made(bytes / sizeof(std::uint16_t));
  for (std::size_t i = 0; i != made.size(); ++i) made[i] = half_of(small_weight(~i), stack.record.type);
  auto const* const from = reinterpret_cast<std::byte const*>(made.data());
  for (std::size_t e = 0; e != stack.shape().n_keys(); ++e) {
    std::byte* const to = records.bytes().data() + e * record_stride();
    std::size_t const turn = (e * 194 + 2) % bytes / 2 * 2;
    std::memcpy(to, from + turn, bytes - turn);
    std::memcpy(to + bytes - turn, from, turn);
  }
  records.pin(record_stride());
}

/// Where a router's kernel would leave its choice: the host sends nothing while steps run.
void cuda_parts::upload_routing() {
  layer_reader reader{*routing};
  std::vector<std::uint16_t> experts;
  std::vector<float> weights;
  for (std::size_t i = 0; i != routing->n_steps(); ++i) {
    for (std::uint16_t l = 0; l != stack.n_layers; ++l) {
      auto const r = reader.at(i, l);
      experts.insert(experts.end(), r.experts.begin(), r.experts.end());
      weights.insert(weights.end(), r.weights.begin(), r.weights.end());
    }
  }
  all_experts = gpu::device_buffer<std::uint16_t>(experts.size());
  all_weights = gpu::device_buffer<float>(weights.size());
  all_experts.load_from(std::span<std::uint16_t const>(experts));
  all_weights.load_from(std::span<float const>(weights));
}

gpu::dispatch_arrays cuda_parts::arrays_of(std::uint32_t n_tokens, wave_arrays const& w, bool first) const {
  return {.record = stack.record,
          .n_tokens = n_tokens,
          .top_k = stack.top_k,
          .pool = slab.ref().base,
          .slot_stride = slab.ref().stride,
          .slots = w.slots.data(),
          .weights = w.weights.data(),
          .x = x.data(),
          .base = first ? nullptr : y.data(),
          .y = y.data(),
          .workspace = workspace.data()};
}

/// Layer after layer: the other weights, the decision, the experts.
void cuda_parts::capture_step(device_selector who, std::uint64_t seed) {
  std::uint64_t const zero = 0;
  step_number.load_from({&zero, 1});
  step_graph = gpu::graph::capture(compute.get(), [&](cudaStream_t stream) {
    cudaError_t e = count_step(step_number.data(), stream);
    for (std::uint16_t l = 0; l != stack.n_layers && e == cudaSuccess; ++l) {
      std::size_t const first = std::size_t{l} * n_routed();
      gpu::layer_arrays a{};
      a.layer = l, a.n_experts = stack.n_experts, a.top_k = stack.top_k;
      a.n_tokens = a.max_tokens = routing->n_tokens;
      a.slot_of = table.data() + stack.shape().index({l, 0});
      a.step = step_number.data();
      a.experts = step_experts.data() + first;
      a.weights = step_weights.data() + first;
      wave_arrays const& w = layer_waves[l];
      a.slots = w.slots.data(), a.slot_weights = w.weights.data(), a.outcomes = w.outcomes.data();
      e = read_bytes(rest.data() + l % n_rest * stack.rest_bytes, stack.rest_bytes, sink.data(), stream);
      if (e == cudaSuccess) e = decide_layer(a, who, seed, stream);
      if (e == cudaSuccess) e = compute_wave(arrays_of(routing->n_tokens, w, true), {}, early, stream);
    }
    return e;
  });
}

/// In the order of the compute stream.
void cuda_parts::write_entry(buddy::expert_key key, buddy::slot_id slot) noexcept {
  std::size_t const at = slot == buddy::no_slot ? n_slots : static_cast<std::size_t>(slot);
  keep(cudaMemcpyAsync(table.data() + stack.shape().index(key), values.bytes().data() + at * sizeof(buddy::slot_id),
                       sizeof(buddy::slot_id), cudaMemcpyHostToDevice, compute.get()));
}

}  // namespace harness
