// SPDX-License-Identifier: Apache-2.0
/// @file
/// Which misses that were not fetched earn a copy in the background, under a budget of bytes for each step.
#pragma once

#include <buddy/model_shape.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace buddy::inline v0 {

/// Counts the misses of absent experts (ghosts). Without a budget the n-th such miss earns a copy.
///
/// With one, a bar above n rises when more misses earn copies than bytes allow and falls when bytes are left over, so
/// that the bytes go to those who are missed most; counts are halved, one layer a step, so that the past fades with a
/// half-life of n_layers steps. Unspent bytes are kept for three steps. No allocation after construction.
class refill_budget {
 public:
  /// @param after           the n-th miss earns a copy; 0: none ever does
  /// @param bytes_per_step  0: no limit
  /// @param largest_bytes   of all records: so much is always saved up in time
  refill_budget(model_shape const& shape, std::uint32_t after, std::uint64_t bytes_per_step,
                std::uint64_t largest_bytes)
      : shape_(shape),
        after_(after),
        bar_(after),
        bytes_per_step_(bytes_per_step),
        most_(4 * bytes_per_step + largest_bytes),
        ghosts_(shape.n_keys(), 0) {}

  void begin_step(std::uint64_t step) noexcept {
    if (bytes_per_step_ == 0) return;
    if (credit_ + bytes_per_step_ >= most_ && bar_ > after_) --bar_;  // bytes are left over
    credit_ = std::min(credit_ + bytes_per_step_, most_);
    auto const layer = static_cast<std::uint16_t>(step % shape_.n_layers);
    std::uint32_t* const of_layer = ghosts_.data() + shape_.index({layer, 0});
    for (std::uint32_t e = 0; e != shape_.n_experts; ++e) of_layer[e] /= 2;
  }

  /// An absent expert was missed once more, and not fetched.
  /// @returns whether a copy of `bytes` may be planned for it now
  [[nodiscard]] bool earns(expert_key key, std::uint64_t bytes) noexcept {
    if (after_ == 0) return false;
    if (++ghosts_[shape_.index(key)] < bar_) return false;
    if (bytes_per_step_ == 0 || credit_ >= bytes) return true;
    ++bar_;
    return false;
  }

  /// The copy that it earned was planned.
  void spend(expert_key key, std::uint64_t bytes) noexcept {
    forget(key);
    if (bytes_per_step_ != 0) credit_ -= bytes;
  }

  /// That copy will not happen.
  void refund(std::uint64_t bytes) noexcept {
    if (bytes_per_step_ != 0) credit_ = std::min(credit_ + bytes, most_);
  }

  /// It came in some other way.
  void forget(expert_key key) noexcept { ghosts_[shape_.index(key)] = 0; }

  /// Misses that earn a copy at present.
  [[nodiscard]] std::uint32_t bar() const noexcept { return bar_; }

 private:
  model_shape shape_;
  std::uint32_t after_;
  std::uint32_t bar_;
  std::uint64_t bytes_per_step_;
  std::uint64_t most_;  // bytes that are kept
  std::uint64_t credit_ = 0;
  std::vector<std::uint32_t> ghosts_;  // [n_layers, n_experts] misses since the last copy
};

}  // namespace buddy::inline v0
