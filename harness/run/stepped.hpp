// SPDX-License-Identifier: Apache-2.0
/// @file
/// Sequences through the model, one token at a time.
#pragma once

#include "harness/model/cpu/decoder.hpp"
#include "harness/model/cpu/kv_cache.hpp"
#include "harness/model/weights.hpp"
#include "harness/tasks/sequences.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace harness {

/// Logits after every step of every sequence.
class evaluation_logits {
 public:
  explicit evaluation_logits(std::size_t vocab_size) : vocab_size_(vocab_size) {}

  void push(std::span<float const> logits) { values_.insert(values_.end(), logits.begin(), logits.end()); }

  /// [remaining steps, vocab_size], from this step on
  [[nodiscard]] std::span<float const> from(std::size_t step) const noexcept {
    return std::span{values_}.subspan(step * vocab_size_);
  }

  bool operator==(evaluation_logits const&) const = default;

 private:
  std::vector<float> values_;
  std::size_t vocab_size_;
};

/// The decoder on the CPU with the cache of one sequence.
class cpu_decoder {
 public:
  /// @param model  must outlive this
  explicit cpu_decoder(weights const& model) : decoder_{model}, cache_{model.config()} {}

  void begin_sequence() noexcept { cache_.reset(); }

  template <class Moe>
  std::span<float const> step(std::uint8_t token, Moe& moe) {
    return decoder_.step(token, cache_, moe);
  }

 private:
  decoder decoder_;
  kv_cache cache_;
};

/// The key-value cache starts anew with each sequence; whatever `moe` remembers lives on.
/// @param d    has `begin_sequence()` and `step(token, moe)`, which returns logits, as `cpu_decoder` and
/// `device_decoder`
/// @param moe  as `decoder::step` calls it; also `begin_sequence()` and `begin_step()`
/// @param each_step  told of the logits after each step
template <class Decoder, class Moe, class EachStep>
  requires requires(Decoder& d) { d.begin_sequence(); }
void step_through(Decoder& d, std::span<sequence const> set, Moe& moe, EachStep const& each_step) {
  for (sequence const& s : set) {
    d.begin_sequence();
    moe.begin_sequence();
    for (std::size_t i = 0; i != s.n_predictions(); ++i) {
      moe.begin_step();
      each_step(d.step(s.bytes[i], moe));
    }
  }
}

/// The same on the CPU.
template <class Moe, class EachStep>
void step_through(weights const& model, std::span<sequence const> set, Moe& moe, EachStep const& each_step) {
  cpu_decoder d{model};
  step_through(d, set, moe, each_step);
}

template <class Moe>
[[nodiscard]] evaluation_logits logits_of(weights const& model, std::span<sequence const> set, Moe& moe) {
  evaluation_logits logits{model.config().vocab_size};
  step_through(model, set, moe, [&](std::span<float const> x) { logits.push(x); });
  return logits;
}

/// The exact model: every expert is resident.
class exact_moe {
 public:
  void begin_sequence() noexcept {}
  void begin_step() noexcept {}
  std::span<expert_use const> operator()(std::uint16_t layer, router_output const& routed,
                                         std::span<float const> input) noexcept {
    return all_(layer, routed, input);
  }

 private:
  all_resident all_;
};

}  // namespace harness
