// SPDX-License-Identifier: Apache-2.0
/// @file
/// What happened when: layers, copies, stalls and the CPU's part, to be looked at.
#pragma once

#include <buddy/layer_plan.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace harness {

/// What a stretch of time went into.
enum class span_kind : std::uint8_t {
  layer,    ///< a layer from its begin to its end
  rest,     ///< all of it but the routed experts
  resolve,  ///< the policy's decision
  experts,  ///< experts computed on the device
  stall,    ///< the device waits for a copy or for the CPU
  host,     ///< experts computed on the CPU
  copy,     ///< a record's bytes on the link
};

/// From one time to another, of one layer.
struct timeline_span {
  std::uint64_t begin_ns{};
  std::uint64_t end_ns{};
  span_kind kind{};
  std::uint16_t layer{};
  std::uint16_t expert{};                              ///< only of a copy
  buddy::copy_reason why{buddy::copy_reason::demand};  ///< only of a copy
  std::uint64_t bytes{};                               ///< only of a copy
  std::uint64_t step{};                                ///< filled in by `timeline::add`
};

/// Keeps the first spans from one step on. Takes its memory at once: adding neither allocates nor throws.
class timeline {
 public:
  /// @param first_step  steps to pass over, from 0
  /// @param capacity    spans that are kept
  explicit timeline(std::uint64_t first_step = 0, std::size_t capacity = 200'000)
      : first_step_(first_step), capacity_(capacity) {
    spans_.reserve(capacity);
  }

  /// A layer that does not follow the one before begins another step.
  void begin_layer(std::uint16_t layer) noexcept {
    if (n_layers_++ != 0 && layer <= last_layer_) ++step_;
    last_layer_ = layer;
  }

  void add(timeline_span span) noexcept {
    if (step_ < first_step_) return;
    if (spans_.size() == capacity_) {
      ++left_out_;
      return;
    }
    span.step = step_;
    spans_.push_back(span);
  }

  [[nodiscard]] std::vector<timeline_span> const& spans() const noexcept { return spans_; }
  /// Spans for which there was no room.
  [[nodiscard]] std::uint64_t left_out() const noexcept { return left_out_; }
  [[nodiscard]] std::uint64_t first_step() const noexcept { return first_step_; }

 private:
  std::uint64_t first_step_;
  std::size_t capacity_;
  std::vector<timeline_span> spans_;
  std::uint64_t left_out_{};
  std::uint64_t step_{};
  std::uint64_t n_layers_{};
  std::uint16_t last_layer_{};
};

}  // namespace harness
