// SPDX-License-Identifier: Apache-2.0
/// @file
/// One record at a time through the host lane.
#include "harness/layers/cpu_machine.hpp"

#include "harness/calibrate/stopwatch.hpp"

#include <buddy/io/half.hpp>
#include <buddy/splitmix64.hpp>

#include <algorithm>
#include <cstring>
#include <span>

namespace harness {

namespace {

std::uint16_t half_of(float x, buddy::weight_type type) {
  return type == buddy::weight_type::bf16 ? buddy::io::f32_to_bf16(x) : buddy::io::f32_to_f16(x);
}

/// Uniform in [-1/32, 1/32), the same on every machine.
float small_weight(std::uint64_t i) { return static_cast<float>(buddy::splitmix64(i) >> 40) * 0x1p-28F - 0.03125F; }

constexpr std::size_t queue = 4096;

}  // namespace

cpu_machine::cpu_machine(layer_stack const& stack, std::uint32_t n_slots, std::uint32_t max_tokens,
                         std::uint32_t n_threads)
    : stack_(stack),
      n_slots_(n_slots),
      max_tokens_(max_tokens),
      records_(stack.all_bytes()),
      slots_((std::size_t{n_slots} + spare) * stack.record.bytes()),
      rest_(stack.rest_bytes),
      lane_({.record = stack.record,
             .max_tokens = max_tokens,
             .max_uses = max_tokens * stack.top_k,
             .n_workers = n_threads}),
      link_([this](buddy::expert_copy const& c) { return std::pair{record_in(c.slot), record_of(c.expert)}; }, queue),
      scratch_(size_of_y()),
      parts_(std::size_t{size_of_y()} * stack.top_k),
      computed_(std::size_t{max_tokens} * stack.top_k),
      host_y_(size_of_y()),
      y_(size_of_y()) {
  for (std::uint32_t i = 0; i != size_of_y(); ++i) x_.push_back(half_of(32.0F * small_weight(i), stack.record.type));
  uses_.reserve(computed_.size());
  routed_.reserve(computed_.size());
  fill_records();
}

/// One random record, turned by a different length for each expert: all differ, and none takes long to make.
void cpu_machine::fill_records() {
  std::size_t const bytes = stack_.record.bytes();
  std::vector<std::uint16_t> values(bytes / sizeof(std::uint16_t));
  for (std::size_t i = 0; i != values.size(); ++i) values[i] = half_of(small_weight(~i), stack_.record.type);
  auto const* const from = reinterpret_cast<std::byte const*>(values.data());
  for (std::size_t e = 0; e != stack_.shape().n_keys(); ++e) {
    std::byte* const to = records_.bytes().data() + e * bytes;
    std::size_t const turn = (e * 194 + 2) % bytes / 2 * 2;
    std::memcpy(to, from + turn, bytes - turn);
    std::memcpy(to + bytes - turn, from, turn);
  }
  auto const touch = [](std::span<std::byte> all) { std::fill(all.begin(), all.end(), std::byte{1}); };
  touch(slots_.bytes());
  touch(rest_.bytes());
}

std::uint64_t cpu_machine::now_ns() const noexcept { return steady_nanoseconds{}.now_ns(); }

void cpu_machine::rest(std::uint16_t, std::uint32_t n_tokens) noexcept {
  n_tokens_ = n_tokens;
  host_used_ = false;
  std::uint64_t sum = 0;
  std::byte const* const p = rest_.bytes().data();
  for (std::size_t i = 0; i + sizeof sum <= rest_.bytes().size(); i += sizeof sum) {
    std::uint64_t word = 0;
    std::memcpy(&word, p + i, sizeof word);
    sum ^= word;
  }
  sink_ ^= sum;
}

/// `uses_` into `scratch_`.
void cpu_machine::compute_record(std::byte const* record, std::uint32_t n_uses, std::uint32_t n_tokens) noexcept {
  buddy::host::lane_expert const expert{record, 0, n_uses};
  lane_.compute({{&expert, 1}, {uses_.data(), n_uses}, x_.data(), scratch_.data(), n_tokens});
}

void cpu_machine::host_begin(host_experts const& h) noexcept {
  if (h.entries.empty()) return;
  host_used_ = true;
  std::uint32_t const n = h.n_tokens * stack_.record.hidden;
  std::fill_n(host_y_.begin(), n, 0.0F);
  routed_.clear();
  for (std::uint32_t i = 0; i != h.entries.size; ++i) routed_.push_back(i);
  auto const expert = [&](std::uint32_t i) { return h.entries[i].expert; };
  std::sort(routed_.begin(), routed_.end(),
            [&](auto a, auto b) { return expert(a) != expert(b) ? expert(a) < expert(b) : a < b; });
  for (std::size_t i = 0; i != routed_.size();) {
    std::uint16_t const e = expert(routed_[i]);
    uses_.clear();
    for (; i != routed_.size() && expert(routed_[i]) == e; ++i)
      uses_.push_back({h.entries[routed_[i]].token, h.entries[routed_[i]].weight});
    compute_record(record_of({h.layer, e}), static_cast<std::uint32_t>(uses_.size()), h.n_tokens);
    for (std::uint32_t j = 0; j != n; ++j) host_y_[j] += scratch_[j];
  }
}

void cpu_machine::experts(expert_wave const& w) noexcept {
  if (w.first) std::fill_n(computed_.begin(), w.slots.size, std::uint8_t{0});
  routed_.clear();
  for (std::uint32_t i = 0; i != w.slots.size; ++i)
    if (w.slots[i] != buddy::no_slot) routed_.push_back(i);
  std::sort(routed_.begin(), routed_.end(),
            [&](auto a, auto b) { return w.slots[a] != w.slots[b] ? w.slots[a] < w.slots[b] : a < b; });
  std::uint32_t const hidden = stack_.record.hidden;
  for (std::size_t i = 0; i != routed_.size();) {
    buddy::slot_id const slot = w.slots[routed_[i]];
    std::size_t const first = i;
    uses_.clear();
    for (; i != routed_.size() && w.slots[routed_[i]] == slot; ++i)
      uses_.push_back({routed_[i] / w.top_k, w.weights[routed_[i]]});
    compute_record(record_in(slot), static_cast<std::uint32_t>(uses_.size()), w.n_tokens);
    for (std::size_t j = first; j != i; ++j) {
      std::uint32_t const r = routed_[j];
      std::copy_n(scratch_.begin() + static_cast<std::ptrdiff_t>(r / w.top_k * hidden), hidden,
                  parts_.begin() + static_cast<std::ptrdiff_t>(std::size_t{r} * hidden));
      computed_[r] = 1;
    }
  }
}

void cpu_machine::host_end() noexcept {
  add_outputs();
  std::uint32_t const n = n_tokens_ * stack_.record.hidden;
  for (std::uint32_t i = 0; i != n; ++i) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &y_[i], sizeof bits);
    digest_ = (digest_ ^ bits) * 0x100'0000'01b3U;
  }
}

/// In the order of the routed slots, whatever came first; the CPU's lane last.
void cpu_machine::add_outputs() noexcept {
  std::uint32_t const hidden = stack_.record.hidden;
  for (std::uint32_t t = 0; t != n_tokens_; ++t) {
    float* const y = y_.data() + std::size_t{t} * hidden;
    std::fill_n(y, hidden, 0.0F);
    for (std::uint32_t s = 0; s != stack_.top_k; ++s) {
      std::size_t const r = std::size_t{t} * stack_.top_k + s;
      if (computed_[r] == 0) continue;
      for (std::uint32_t i = 0; i != hidden; ++i) y[i] += parts_[r * hidden + i];
    }
    if (!host_used_) continue;
    for (std::uint32_t i = 0; i != hidden; ++i) y[i] += host_y_[std::size_t{t} * hidden + i];
  }
}

void cpu_machine::place(buddy::expert_copy const& c) {
  std::memcpy(record_in(c.slot), record_of(c.expert), stack_.record.bytes());
}

double cpu_machine::seconds_of_experts(std::uint32_t n_experts, std::uint32_t n_uses) {
  uses_.clear();
  for (std::uint32_t t = 0; t != n_uses; ++t) uses_.push_back({t, 1.0F});
  std::uint32_t next = 0;
  auto const work = [&] {
    for (std::uint32_t i = 0; i != n_experts; ++i)
      compute_record(record_in(buddy::slot_id{next++ % n_slots_}), n_uses, n_uses);
  };
  return time_of(steady_nanoseconds{}, work).median / n_experts;
}

hardware cpu_machine::measure() {
  auto const bytes = static_cast<double>(stack_.record.bytes());
  auto const n_keys = static_cast<std::uint32_t>(stack_.shape().n_keys());
  std::uint32_t next = 0;
  auto const copies = [&](std::uint32_t n) {
    return time_of(steady_nanoseconds{},
                   [&, n] {
                     buddy::ticket last{};
                     for (std::uint32_t i = 0; i != n; ++i, ++next) {
                       std::uint32_t const k = next % n_keys;
                       buddy::expert_key const key{static_cast<std::uint16_t>(k / stack_.n_experts),
                                                   static_cast<std::uint16_t>(k % stack_.n_experts)};
                       last = link_.submit({key, buddy::slot_id{n_slots_ + next % spare}, stack_.record.bytes(), {}});
                     }
                     link_.wait(last);
                   })
        .median;
  };
  hardware h{};
  h.name = "this CPU";
  double const queued = copies(4) / 4;
  h.link_gbps = link_gbps_ = gbps(bytes, queued);
  h.link_latency_us = std::max(0.0, copies(1) - queued) * 1e6;
  h.device_gbps = h.cpu_gbps = gbps(bytes, seconds_of_experts(4, 1));
  double const rest_s = time_of(steady_nanoseconds{}, [&] { rest(0, 1); }).median;
  double const charged_s = static_cast<double>(stack_.rest_bytes) / h.device_gbps * 1e-9;
  h.layer_fixed_us = std::max(0.0, rest_s - charged_s) * 1e6;
  if (max_tokens_ > 1) {
    std::uint32_t const n = std::min(max_tokens_, 8U);
    h.device_tflops = 6.0 * stack_.record.hidden * stack_.record.width * n / seconds_of_experts(4, n) * 1e-12;
  }
  return h;
}

}  // namespace harness
