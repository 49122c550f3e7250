// SPDX-License-Identifier: Apache-2.0
/// @file
/// Verbs of the loop as work on two streams.
#include "harness/layers/cuda/cuda_machine.hpp"

#include "harness/calibrate/stopwatch.hpp"
#include "harness/layers/cuda/cuda_parts.hpp"
#include "harness/layers/cuda/ranges.hpp"

#include <buddy/cuda/check.hpp>
#include <buddy/cuda/device.hpp>
#include <buddy/error.hpp>

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

namespace harness {

namespace gpu = buddy::cuda;

buddy::ticket cuda_link::submit(buddy::expert_copy const& c) noexcept { return parts_->engine->submit(c); }
bool cuda_link::done(buddy::ticket t) const noexcept { return parts_->engine->done(t); }
void cuda_link::wait(buddy::ticket t) noexcept {
  nvtx_range const range{"wait for copy"};
  parts_->engine->wait(t);
}
bool cuda_link::cancel(buddy::ticket t) noexcept { return parts_->engine->cancel(t); }

std::string cuda_machine::why_not() { return gpu::why_no_gpu(); }

std::uint64_t cuda_machine::staging_bytes(layer_stack const& s, std::uint32_t n) {
  return cuda_parts::n_uploads * std::uint64_t{n} * s.top_k * 8 + std::uint64_t{n} * s.record.hidden * 6;
}

cuda_machine::cuda_machine(layer_stack const& stack, step_routing const& routing, std::uint32_t n_slots)
    : parts_(std::make_unique<cuda_parts>(stack, routing, n_slots, spare)), link_(*parts_) {}

cuda_machine::~cuda_machine() = default;

std::uint64_t cuda_machine::now_ns() const noexcept { return steady_nanoseconds{}.now_ns(); }
std::uint32_t cuda_machine::n_slots() const noexcept { return parts_->n_slots; }

std::uint32_t cuda_machine::copies_per_wave() const noexcept {
  return parts_->n_routed() > most_unsorted() ? spare / 2 : parts_->stack.n_experts;
}

std::uint64_t cuda_machine::link_bytes(std::uint64_t ns) const noexcept {
  return static_cast<std::uint64_t>(static_cast<double>(ns) * parts_->link_gbps);
}

/// The host waits: an engine learns here what the router chose, and what the CPU's lane will read.
void cuda_machine::rest(std::uint16_t layer, std::uint32_t n_tokens) noexcept {
  nvtx_range const range{"rest"};
  cuda_parts& p = *parts_;
  p.next_upload = 0;
  p.keep(read_bytes(p.rest.data() + layer % p.n_rest * p.stack.rest_bytes, p.stack.rest_bytes, p.sink.data(),
                    p.compute.get()));
  p.keep(cudaMemcpyAsync(p.host_x.bytes().data(), p.x.data(),
                         std::size_t{n_tokens} * p.stack.record.hidden * sizeof(std::uint16_t), cudaMemcpyDeviceToHost,
                         p.compute.get()));
  p.keep(p.routed.ref().record(p.compute.get()));
  p.keep(p.routed.ref().wait());
}

void cuda_machine::host_begin(host_experts const& h) noexcept {
  cuda_parts& p = *parts_;
  p.worker_used = !h.entries.empty();
  if (p.worker_used) p.worker->begin(h, [&](std::uint16_t e) { return p.record_of({h.layer, e}); });
}

void cuda_machine::experts(expert_wave const& w) noexcept {
  nvtx_range const range{"experts"};
  cuda_parts& p = *parts_;
  if (p.next_upload == cuda_parts::n_uploads) {  // more waves than places: wait until the first have been read
    p.keep(cudaStreamSynchronize(p.compute.get()));
    p.next_upload = 0;
  }
  std::size_t const n = w.slots.size;
  std::size_t const place = std::size_t{p.n_routed()} * (sizeof(buddy::slot_id) + sizeof(float));
  std::byte* const at = p.uploads.bytes().data() + p.next_upload++ * place;
  std::memcpy(at, w.slots.data, n * sizeof(buddy::slot_id));
  std::memcpy(at + n * sizeof(buddy::slot_id), w.weights.data, n * sizeof(float));
  p.keep(cudaMemcpyAsync(p.wave.slots.data(), at, n * sizeof(buddy::slot_id), cudaMemcpyHostToDevice, p.compute.get()));
  p.keep(cudaMemcpyAsync(p.wave.weights.data(), at + n * sizeof(buddy::slot_id), n * sizeof(float),
                         cudaMemcpyHostToDevice, p.compute.get()));
  gpu::token_order const order{p.n_slots + spare,     cuda_parts::sort_parts, p.sort_counts.data(), p.sort_order.data(),
                               p.sort_offsets.data(), p.sort_tiles.data(),    p.sort_n_tiles.data()};
  p.keep(compute_wave(p.arrays_of(w.n_tokens, p.wave, w.first), order, p.early, p.compute.get()));
  p.mark_computed();
}

void cuda_machine::host_end() noexcept {
  cuda_parts& p = *parts_;
  if (!p.worker_used) return;
  nvtx_range const range{"wait for CPU"};
  p.worker->wait();
  p.keep(cudaMemcpyAsync(p.host_sum.data(), p.host_y.bytes().data(), p.host_y.bytes().size(), cudaMemcpyHostToDevice,
                         p.compute.get()));
  p.keep(add_to(p.y.data(), p.host_sum.data(), static_cast<std::uint32_t>(p.y.size()), p.compute.get()));
}

void cuda_machine::finish() noexcept { parts_->keep(cudaStreamSynchronize(parts_->compute.get())); }

void cuda_machine::place(buddy::expert_copy const& c) {
  cuda_parts& p = *parts_;
  BUDDY_CUDA_TRY(cudaMemcpyAsync(p.slab.ref().record(static_cast<std::uint32_t>(c.slot)), p.record_of(c.expert),
                                 p.stack.record.bytes(), cudaMemcpyHostToDevice, p.compute.get()));
  publish(c);
}

void cuda_machine::begin_mode(policy_settings const& s) {
  cuda_parts& p = *parts_;
  std::vector<buddy::slot_id> const absent(p.table.size(), buddy::no_slot);
  p.table.load_from(std::span<buddy::slot_id const>(absent));
  std::fill(p.in_slot.begin(), p.in_slot.end(), std::nullopt);
  device_selector who = device_selector::none;
  if (s.selector == "random_resident") who = device_selector::random_resident;
  if (s.selector == "zero_fill") who = device_selector::zero_fill;
  if (p.n_routed() <= most_unsorted()) p.capture_step(who, s.seed);
}

void cuda_machine::launch_step(std::size_t step) noexcept {
  nvtx_range const range{"step"};
  cuda_parts& p = *parts_;
  std::size_t const n = p.step_experts.size();
  p.keep(cudaMemcpyAsync(p.step_experts.data(), p.all_experts.data() + step * n, n * sizeof(std::uint16_t),
                         cudaMemcpyDeviceToDevice, p.compute.get()));
  p.keep(cudaMemcpyAsync(p.step_weights.data(), p.all_weights.data() + step * n, n * sizeof(float),
                         cudaMemcpyDeviceToDevice, p.compute.get()));
  p.keep(p.step_graph->ref().launch(p.compute.get()));
  p.mark_computed();
}

/// Behind the step that may read the slot, ahead of the next; its copy waits for the same step.
void cuda_machine::withdraw(buddy::slot_id slot) noexcept {
  auto& who = parts_->in_slot[static_cast<std::size_t>(slot)];
  if (who) parts_->write_entry(*who, buddy::no_slot);
  who.reset();
}

void cuda_machine::publish(buddy::expert_copy const& c) noexcept {
  withdraw(c.slot);
  parts_->in_slot[static_cast<std::size_t>(c.slot)] = c.expert;
  parts_->write_entry(c.expert, c.slot);
}

std::uint64_t cuda_machine::digest() noexcept {
  std::vector<float> y(parts_->y.size());
  parts_->keep(cudaMemcpy(y.data(), parts_->y.data(), y.size() * sizeof(float), cudaMemcpyDeviceToHost));
  std::uint64_t digest = 0xcbf2'9ce4'8422'2325U;
  for (float const v : y) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &v, sizeof bits);
    digest = (digest ^ bits) * 0x100'0000'01b3U;
  }
  return digest;
}

void cuda_machine::require_healthy() const {
  cudaError_t const e = parts_->error != cudaSuccess ? parts_->error : parts_->engine->backend().error();
  if (e != cudaSuccess) throw buddy::config_error(std::string{"--backend cuda failed: "} + cudaGetErrorString(e));
}

namespace {

/// Median of some rounds, from event to event on a stream.
template <class Work>
double device_seconds(cudaStream_t stream, Work const& work) {
  gpu::event const begin{gpu::event_kind::timed};
  gpu::event const end{gpu::event_kind::timed};
  std::vector<double> all;
  for (int i = 0; i != 9; ++i) {
    BUDDY_CUDA_TRY(begin.ref().record(stream));
    BUDDY_CUDA_TRY(work());
    BUDDY_CUDA_TRY(end.ref().record(stream));
    BUDDY_CUDA_TRY(end.ref().wait());
    float ms = 0;
    BUDDY_CUDA_TRY(cudaEventElapsedTime(&ms, begin.get(), end.get()));
    if (i > 1) all.push_back(ms * 1e-3);  // the first two warm up
  }
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

}  // namespace

hardware cuda_machine::measure(hardware const& base) {
  cuda_parts& p = *parts_;
  auto const record = static_cast<double>(p.stack.record.bytes());
  std::size_t const large = std::min<std::size_t>(
      {std::size_t{256} << 20, p.records.bytes().size(), std::size_t{p.n_slots} * p.slab.ref().stride});
  hardware h = base;
  h.name = "this GPU";
  h.link_gbps = p.link_gbps = gbps(static_cast<double>(large), device_seconds(p.compute.get(), [&] {
                                     return cudaMemcpyAsync(p.slab.ref().base, p.records.bytes().data(), large,
                                                            cudaMemcpyHostToDevice, p.compute.get());
                                   }));
  double const alone = time_of(steady_nanoseconds{}, [&] {
                         link_.wait(link_.submit({{0, 0}, buddy::slot_id{p.n_slots}, p.stack.record.bytes(), {}}));
                       }).median;
  h.link_latency_us = std::max(0.0, alone - record / h.link_gbps * 1e-9) * 1e6;
  std::size_t const pool = std::size_t{p.n_slots} * p.slab.ref().stride;
  h.device_gbps = gbps(static_cast<double>(pool), device_seconds(p.compute.get(), [&] {
                         return read_bytes(p.slab.ref().base, pool, p.sink.data(), p.compute.get());
                       }));
  buddy::host::mail_entry const one{0, 0, 1.0F};
  double const on_host = time_of(steady_nanoseconds{}, [&] {
                           host_begin({0, 1, {&one, 1}, 1});
                           p.worker->wait();
                         }).median;
  h.cpu_gbps = gbps(record, on_host);
  double const rest_s = time_of(steady_nanoseconds{}, [&] { rest(0, p.routing->n_tokens); }).median;
  double const read_s = static_cast<double>(p.stack.rest_bytes) / h.device_gbps * 1e-9;
  h.layer_fixed_us = std::max(0.0, rest_s - read_s) * 1e6;
  h.resolve_us = 0.0;  // in what the host's loop takes
  require_healthy();
  return h;
}

/// Nobody is resident and every slot is left out: what is left is the other weights and the launches.
hardware cuda_machine::measure_alone(hardware const& measured) {
  cuda_parts& p = *parts_;
  hardware h = measured;
  if (p.n_routed() > most_unsorted()) return h;
  policy_settings settings;
  settings.selector = "zero_fill";
  begin_mode(settings);
  double const step_s = time_of(steady_nanoseconds{}, [&] {
                          launch_step(0);
                          finish();
                        }).median;
  double const read_s = static_cast<double>(p.stack.rest_bytes) / h.device_gbps * 1e-9;
  h.layer_fixed_us = std::max(0.0, step_s / p.stack.n_layers - read_s) * 1e6;
  h.moe_fixed_us = h.resolve_us = 0.0;
  require_healthy();
  return h;
}

}  // namespace harness
