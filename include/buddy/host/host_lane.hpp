// SPDX-License-Identifier: Apache-2.0
/// @file
/// Experts computed on CPU threads, straight from their records in slow memory.
#pragma once

#include <buddy/assert.hpp>
#include <buddy/expert_record.hpp>
#include <buddy/host/aligned_bytes.hpp>
#include <buddy/host/row_kernel.hpp>
#include <buddy/host/worker_team.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace buddy::inline v0::host {

/// One token's use of an expert.
struct lane_use {
  std::uint32_t token{};
  float weight{};  ///< factor of the expert's output
};

/// An expert to compute, and the tokens that use it.
struct lane_expert {
  std::byte const* record{};  ///< its weights; 2-byte aligned, better on a cache line
  std::uint32_t first_use{};
  std::uint32_t n_uses{};
};

/// What one layer of one step leaves to the CPU.
struct lane_work {
  view<lane_expert const> experts;
  view<lane_use const> uses;  ///< those of the first expert, of the second, ...
  std::uint16_t const* x{};   ///< [n_tokens, hidden] in the format of the weights
  float* y{};                 ///< [n_tokens, hidden] out: the weighted sum of the experts' outputs, 0 without a use
  std::uint32_t n_tokens{};
};

/// Sizes and means of a lane.
struct lane_config {
  expert_record record;
  std::uint32_t max_tokens{1};
  std::uint32_t max_uses{32};   ///< of one call, all experts together
  std::uint32_t n_workers{1};   ///< the caller included; one a physical core, two on a core only share it
  std::span<int const> cpus{};  ///< as in `worker_team`; only read while the lane is made
  instruction_set instructions{best_instruction_set()};
};

/// Computes gated experts, each weight read once whatever the number of tokens.
///
/// Rows are split in blocks of 32, contiguous for each worker; gate and up first, a barrier, then down. Every sum has a
/// fixed order, so the result does not depend on the number of workers, only on the instruction set. Sums are float;
/// between the two phases `packing::bf16` rounds to bf16. Not thread-safe: one caller. One CPU socket: a record is read
/// by all workers, so give each socket a lane and the records that lie there.
class host_lane {
 public:
  static constexpr std::uint32_t block_rows = 32;

  /// @throws config_error when a size is zero or this CPU lacks the instructions
  explicit host_lane(lane_config const& c)
      : config_{checked(c)},
        kernel_{row_kernel_of(c.instructions, c.record.type)},
        x_(c.max_tokens * packed_bytes(c.record.hidden)),
        inner_(c.max_uses * packed_bytes(c.record.width)),
        team_(c.n_workers, c.cpus) {
    config_.cpus = {};  // the caller's, and perhaps gone tomorrow
  }

  [[nodiscard]] lane_config const& config() const noexcept { return config_; }

  /// Returns when `work.y` is complete. No allocation, no lock.
  /// @pre at most max_tokens tokens and max_uses uses; every token < n_tokens; the uses of the experts do not overlap
  void compute(lane_work const& work) noexcept {
    BUDDY_ASSERT(work.n_tokens <= config_.max_tokens && work.uses.size <= config_.max_uses);
    for (std::uint32_t t = 0; t != work.n_tokens; ++t)
      pack(kernel_.form, config_.record.type, work.x + std::size_t{t} * config_.record.hidden, config_.record.hidden,
           packed_x(t));
    auto job = [&](std::uint32_t worker) noexcept {
      gate_and_up(work, worker);
      team_.barrier();
      down(work, worker);
    };
    team_.run(job);
  }

 private:
  /// Where a worker's share of `n` blocks begins; those of worker + 1 end it.
  [[nodiscard]] std::uint32_t share(std::uint64_t n, std::uint32_t worker) const noexcept {
    return static_cast<std::uint32_t>(n * worker / team_.size());
  }

  static lane_config const& checked(lane_config const& c) {
    validate(c.record);
    if (c.max_tokens == 0 || c.max_uses == 0 || c.n_workers == 0)
      v0::detail::throw_config_error("buddy::host_lane: max_tokens, max_uses and n_workers must be at least 1");
    if (!supported(c.instructions))
      v0::detail::throw_config_error("buddy::host_lane: this CPU does not have the instruction set asked for");
    return c;
  }

  [[nodiscard]] std::byte* packed_x(std::uint32_t token) const noexcept {
    return x_.get() + token * packed_bytes(config_.record.hidden);
  }
  [[nodiscard]] std::byte* packed_inner(std::uint32_t use) const noexcept {
    return inner_.get() + use * packed_bytes(config_.record.width);
  }
  [[nodiscard]] static std::uint16_t const* weights(lane_expert const& e, std::size_t offset) noexcept {
    return reinterpret_cast<std::uint16_t const*>(e.record + offset);
  }

  void gate_and_up(lane_work const& work, std::uint32_t worker) noexcept {
    std::uint32_t const blocks = (config_.record.width + block_rows - 1) / block_rows;
    std::uint64_t const all = std::uint64_t{work.experts.size} * blocks;
    for (std::uint32_t i = share(all, worker); i != share(all, worker + 1); ++i)
      gate_and_up_block(work, work.experts[i / blocks], i % blocks * block_rows);
  }

  void gate_and_up_block(lane_work const& work, lane_expert const& e, std::uint32_t row) noexcept {
    auto const& r = config_.record;
    std::uint32_t const n = std::min(block_rows, r.width - row);
    std::size_t const first = std::size_t{row} * r.hidden;
    float gate[block_rows];
    float up[block_rows];
    for (std::uint32_t u = e.first_use; u != e.first_use + e.n_uses; ++u) {
      std::byte const* const x = packed_x(work.uses[u].token);
      kernel_.dots(weights(e, r.gate_offset()) + first, n, r.hidden, x, gate);
      kernel_.dots(weights(e, r.up_offset()) + first, n, r.hidden, x, up);
      for (std::uint32_t i = 0; i != n; ++i)
        put(kernel_.form, packed_inner(u), row + i, gate[i] / (1.0F + std::exp(-gate[i])) * up[i]);
    }
  }

  void down(lane_work const& work, std::uint32_t worker) noexcept {
    std::uint32_t const hidden = config_.record.hidden;
    std::uint32_t const blocks = (hidden + block_rows - 1) / block_rows;
    for (std::uint32_t b = share(blocks, worker); b != share(blocks, worker + 1); ++b) {
      std::uint32_t const row = b * block_rows;
      std::uint32_t const n = std::min(block_rows, hidden - row);
      for (std::uint32_t t = 0; t != work.n_tokens; ++t) std::fill_n(work.y + std::size_t{t} * hidden + row, n, 0.0F);
      for (auto const& e : work.experts) down_block(work, e, row, n);
    }
  }

  void down_block(lane_work const& work, lane_expert const& e, std::uint32_t row, std::uint32_t n) noexcept {
    auto const& r = config_.record;
    float sums[block_rows];
    for (std::uint32_t u = e.first_use; u != e.first_use + e.n_uses; ++u) {
      kernel_.dots(weights(e, r.down_offset()) + std::size_t{row} * r.width, n, r.width, packed_inner(u), sums);
      float* const y = work.y + std::size_t{work.uses[u].token} * r.hidden + row;
      for (std::uint32_t i = 0; i != n; ++i) y[i] += work.uses[u].weight * sums[i];
    }
  }

  lane_config config_;
  row_kernel kernel_;
  aligned_bytes x_;      // [max_tokens] packed vectors of hidden
  aligned_bytes inner_;  // [max_uses] packed vectors of width
  worker_team team_;
};

}  // namespace buddy::inline v0::host
