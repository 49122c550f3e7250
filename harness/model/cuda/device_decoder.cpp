// SPDX-License-Identifier: Apache-2.0
/// @file
/// The parts of one decoding step on the device.
#include "harness/model/cuda/device_decoder.hpp"

#include "harness/model/cpu/layers.hpp"
#include "harness/model/cuda/device_parts.hpp"
#include "harness/model/cuda/kernels.hpp"

#include <buddy/cuda/stream.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <new>
#include <vector>

namespace harness {

namespace cuda = buddy::cuda;

/// Arrays of one token. Each array of the host is the other end of one of the device.
struct device_decoder::parts {
  parts(device_model const& m, device_slots const& s);

  device_model::parts const* model;
  device_slots::parts const* slots;
  cuda::stream stream;

  cuda::device_buffer<float> memory;
  float* residual{};   // [hidden_size]
  float* normed{};     // [hidden_size]
  float* qkv{};        // [q_size + 2 kv_size]
  float* attended{};   // [q_size]
  float* to_host{};    // [hidden_size] what router and experts see, [hidden_size] the residual, [n_experts] scores
  float* logits{};     // [vocab_size]
  float* from_host{};  // [hidden_size] added by the CPU
  float* keys{};       // [n_layers, n_kv_heads, max_positions, head_dim]
  float* values{};     // the same
  cuda::device_buffer<std::uint16_t> half;    // [hidden_size] what the experts see
  cuda::device_buffer<std::uint32_t> choice;  // [top_k] slots, [top_k] weights
  cuda::device_buffer<std::byte> workspace;
  cuda::dispatch_arrays experts;

  cuda::pinned_buffer host;
  std::span<float> host_scores;          // as `to_host`
  std::span<float> host_logits;          // [vocab_size]
  std::span<float> host_sum;             // [hidden_size]
  std::span<std::uint32_t> host_choice;  // as `choice`

  std::vector<float> gates;            // [top_k]
  std::vector<std::uint16_t> chosen;   // [top_k]
  std::vector<float> scratch, output;  // of an expert on the CPU

 private:
  void place_device(model_config const& c);
  void place_host(model_config const& c);
};

namespace {

std::size_t kv_size_of(model_config const& c) { return c.n_layers * c.kv_size() * c.max_positions; }

float norm_of(std::span<float const> x) {
  float sum = 0.0F;
  for (float const v : x) sum += v * v;
  return std::sqrt(sum);
}

template <class T>
std::span<T> take(std::byte*& from, std::size_t n) {
  auto* const first = ::new (from) T[n];
  from += aligned_floats::padded(n) * sizeof(T);
  return {first, n};
}

}  // namespace

device_decoder::parts::parts(device_model const& m, device_slots const& s) : model{&m.get()}, slots{&s.get()} {
  model_config const& c = m.host().config();
  place_device(c);
  place_host(c);
  gates.resize(c.top_k);
  chosen.resize(c.top_k);
  scratch.resize(std::size_t{2} * c.expert_hidden);
  output.resize(c.hidden_size);
}

void device_decoder::parts::place_device(model_config const& c) {
  struct array {
    float** place;
    std::size_t size;
  };
  std::size_t const d = c.hidden_size;
  std::array<array, 9> const arrays{{{&residual, d},
                                     {&normed, d},
                                     {&qkv, c.q_size() + 2 * c.kv_size()},
                                     {&attended, c.q_size()},
                                     {&to_host, 2 * d + c.n_experts},
                                     {&logits, c.vocab_size},
                                     {&from_host, d},
                                     {&keys, kv_size_of(c)},
                                     {&values, kv_size_of(c)}}};
  std::size_t total = 0;
  for (array const& a : arrays) total += aligned_floats::padded(a.size);
  memory = cuda::device_buffer<float>(total);
  std::size_t at = 0;
  for (array const& a : arrays) {
    *a.place = memory.data() + at;
    at += aligned_floats::padded(a.size);
  }
  half = cuda::device_buffer<std::uint16_t>(d);
  choice = cuda::device_buffer<std::uint32_t>(std::size_t{2} * c.top_k);
  auto const slab = slots->slab.ref();
  experts = {.record = model->record, .n_tokens = 1, .top_k = c.top_k, .pool = slab.base, .slot_stride = slab.stride};
  workspace = cuda::device_buffer<std::byte>(cuda::workspace_bytes(experts));
  experts.slots = reinterpret_cast<buddy::slot_id const*>(choice.data());
  experts.weights = reinterpret_cast<float const*>(choice.data() + c.top_k);
  experts.x = half.data();
  experts.base = experts.y = residual;
  experts.workspace = workspace.data();
}

void device_decoder::parts::place_host(model_config const& c) {
  std::size_t const d = c.hidden_size;
  std::size_t total = 0;
  for (std::size_t const n : {2 * d + c.n_experts, std::size_t{c.vocab_size}, d, std::size_t{2} * c.top_k})
    total += aligned_floats::padded(n) * sizeof(float);
  host = cuda::pinned_buffer(total);
  std::byte* at = host.bytes().data();
  host_scores = take<float>(at, 2 * d + c.n_experts);
  host_logits = take<float>(at, c.vocab_size);
  host_sum = take<float>(at, d);
  host_choice = take<std::uint32_t>(at, std::size_t{2} * c.top_k);
  host.pin();
}

device_decoder::device_decoder(device_model const& model, device_slots const& slots)
    : weights_{&model.host()}, config_{&weights_->config()}, parts_{std::make_unique<parts>(model, slots)} {
  warm_up();
}

/// The stream must be empty before what it uses is freed.
device_decoder::~device_decoder() { BUDDY_CUDA_WARN(parts_->stream.ref().wait()); }

/// The runtime loads a kernel when it is launched for the first time: that is no part of a step.
void device_decoder::warm_up() {
  begin(0);
  attend(0);
  static_cast<void>(route(0));
  run({});
  static_cast<void>(cleared_sum());
  send_sum();
  static_cast<void>(finish());
}

void device_decoder::begin(std::uint8_t token) {
  parts& p = *parts_;
  std::size_t const d = config_->hidden_size;
  BUDDY_CUDA_TRY(cudaMemcpyAsync(p.residual, p.model->embedding + token * d, d * sizeof(float),
                                 cudaMemcpyDeviceToDevice, p.stream.get()));
}

void device_decoder::attend(std::uint16_t layer) {
  parts& p = *parts_;
  model_config const& c = *config_;
  device_layer const& w = p.model->layers[layer];
  cudaStream_t const stream = p.stream.get();
  auto const q = static_cast<std::uint32_t>(c.q_size());
  auto const kv = static_cast<std::uint32_t>(c.kv_size());
  std::size_t const cached = layer * c.kv_size() * c.max_positions;
  device::attention_arrays const heads{p.qkv,           w.q_norm,          w.k_norm,   p.model->cosines, p.model->sines,
                                       p.keys + cached, p.values + cached, p.attended, c.n_heads,        c.n_kv_heads,
                                       c.head_dim,      c.max_positions,   position_,  c.rms_eps};
  BUDDY_CUDA_TRY(device::rms_norm({p.residual, w.input_norm, p.normed, nullptr, {}, c.hidden_size, c.rms_eps}, stream));
  BUDDY_CUDA_TRY(device::multiply({w.qkv, p.normed, nullptr, p.qkv, q + 2 * kv, c.hidden_size}, stream));
  BUDDY_CUDA_TRY(device::store_heads(heads, stream));
  BUDDY_CUDA_TRY(device::attend(heads, stream));
  BUDDY_CUDA_TRY(device::multiply({w.output, p.attended, p.residual, p.residual, c.hidden_size, q}, stream));
}

/// Scores, input and residual come in one copy; softmax and choice are those of the CPU, ties included.
router_output device_decoder::route(std::uint16_t layer) {
  parts& p = *parts_;
  model_config const& c = *config_;
  device_layer const& w = p.model->layers[layer];
  cudaStream_t const stream = p.stream.get();
  std::size_t const d = c.hidden_size;
  float* const scores = p.to_host + 2 * d;
  BUDDY_CUDA_TRY(device::rms_norm(
      {p.residual, w.expert_norm, p.to_host, p.half.data(), p.model->record.type, c.hidden_size, c.rms_eps}, stream));
  BUDDY_CUDA_TRY(device::multiply({w.router, p.to_host, nullptr, scores, c.n_experts, c.hidden_size}, stream));
  BUDDY_CUDA_TRY(cudaMemcpyAsync(p.to_host + d, p.residual, d * sizeof(float), cudaMemcpyDeviceToDevice, stream));
  BUDDY_CUDA_TRY(
      cudaMemcpyAsync(p.host_scores.data(), p.to_host, p.host_scores.size_bytes(), cudaMemcpyDeviceToHost, stream));
  BUDDY_CUDA_TRY(p.stream.ref().wait());
  auto const probabilities = p.host_scores.subspan(2 * d);
  cpu::softmax(probabilities);
  cpu::choose_top_k(probabilities, c.normalise_top_k, p.chosen, p.gates);
  return {p.chosen, p.gates, probabilities, norm_of(p.host_scores.subspan(d, d))};
}

std::span<float const> device_decoder::input() const noexcept {
  return parts_->host_scores.first(config_->hidden_size);
}

void device_decoder::run(std::span<expert_use const> uses) {
  parts& p = *parts_;
  std::size_t const k = config_->top_k;
  BUDDY_ASSERT(uses.size() <= k);
  for (std::size_t i = 0; i != k; ++i) {
    expert_use const use = i < uses.size() && !uses[i].replaced ? uses[i] : expert_use{};
    p.host_choice[i] = static_cast<std::uint32_t>(use.slot);
    p.host_choice[k + i] = std::bit_cast<std::uint32_t>(use.weight);
  }
  BUDDY_CUDA_TRY(cudaMemcpyAsync(p.choice.data(), p.host_choice.data(), p.host_choice.size_bytes(),
                                 cudaMemcpyHostToDevice, p.stream.get()));
  BUDDY_CUDA_TRY(device::run_experts(p.experts, p.stream.get()));
}

std::span<float> device_decoder::cleared_sum() noexcept {
  std::ranges::fill(parts_->host_sum, 0.0F);
  return parts_->host_sum;
}

void device_decoder::add_expert(std::uint16_t layer, expert_use const& use) noexcept {
  parts& p = *parts_;
  cpu::run_expert(weights_->expert({layer, use.expert}), input(), p.scratch, p.output);
  for (std::size_t i = 0; i != p.output.size(); ++i) p.host_sum[i] += use.weight * p.output[i];
}

void device_decoder::send_sum() {
  parts& p = *parts_;
  BUDDY_CUDA_TRY(
      cudaMemcpyAsync(p.from_host, p.host_sum.data(), p.host_sum.size_bytes(), cudaMemcpyHostToDevice, p.stream.get()));
  BUDDY_CUDA_TRY(device::add(p.from_host, p.residual, config_->hidden_size, p.stream.get()));
}

std::span<float const> device_decoder::finish() {
  parts& p = *parts_;
  model_config const& c = *config_;
  cudaStream_t const stream = p.stream.get();
  BUDDY_CUDA_TRY(
      device::rms_norm({p.residual, p.model->final_norm, p.normed, nullptr, {}, c.hidden_size, c.rms_eps}, stream));
  BUDDY_CUDA_TRY(device::multiply({p.model->head, p.normed, nullptr, p.logits, c.vocab_size, c.hidden_size}, stream));
  BUDDY_CUDA_TRY(
      cudaMemcpyAsync(p.host_logits.data(), p.logits, p.host_logits.size_bytes(), cudaMemcpyDeviceToHost, stream));
  BUDDY_CUDA_TRY(p.stream.ref().wait());
  return p.host_logits;
}

}  // namespace harness
