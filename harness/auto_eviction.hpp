// SPDX-License-Identifier: Apache-2.0
/// @file
/// The eviction policy that picks one by itself, for each pool.
#pragma once

#include <buddy/model_shape.hpp>
#include <buddy/policies/eviction/adaptive.hpp>
#include <buddy/policies/eviction/lfru.hpp>
#include <buddy/policies/eviction/lfu_decayed.hpp>
#include <buddy/policies/eviction/lru.hpp>
#include <buddy/policies/eviction/lru_token.hpp>
#include <buddy/policies/eviction/s3_fifo.hpp>
#include <buddy/types.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace harness {

using adaptive_eviction =
    buddy::eviction::adaptive<buddy::eviction::lru, buddy::eviction::lru_token, buddy::eviction::lfu_decayed,
                              buddy::eviction::lfru, buddy::eviction::s3_fifo>;

/// Looks back between two steps, every 32 of them; what it looks back on is what they asked for.
class auto_eviction : public adaptive_eviction {
 public:
  static constexpr std::string_view name = "auto";
  static constexpr std::uint64_t period = 32;

  /// @param n_layers  that share the pool
  auto_eviction(std::size_t capacity, buddy::model_shape const& shape, std::uint32_t n_layers, double half_life_steps)
      : adaptive_eviction(capacity, {.window = static_cast<std::uint32_t>(period * n_layers * shape.top_k)},
                          buddy::eviction::lru(capacity), buddy::eviction::lru_token(capacity),
                          buddy::eviction::lfu_decayed(capacity, shape, half_life_steps),
                          buddy::eviction::lfru(capacity), buddy::eviction::s3_fifo(capacity)) {}

  void on_step(buddy::step_clock const& now) noexcept {
    if (now.step != last_step_ && now.step % period == 0) reconsider();
    last_step_ = now.step;
    adaptive_eviction::on_step(now);
  }

 private:
  std::uint64_t last_step_ = 0;
};

}  // namespace harness
