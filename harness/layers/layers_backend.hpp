// SPDX-License-Identifier: Apache-2.0
/// @file
/// Stacks on machines that really compute.
#pragma once

#include "harness/layers/layers_result.hpp"
#include "harness/layers/layers_run.hpp"

#include <cstdint>
#include <string>

namespace harness {

/// Bytes of the host's memory that a run of these modes takes.
struct memory_need {
  std::uint64_t records{};  ///< all experts, in slow memory
  std::uint64_t slots{};    ///< fast memory, where that is the host's too
  std::uint64_t other{};

  [[nodiscard]] std::uint64_t all() const noexcept { return records + slots + other; }
};

[[nodiscard]] memory_need cpu_memory(layers_plan const& plan);

/// The system's memory that nobody uses, or 0 when it does not tell.
[[nodiscard]] std::uint64_t available_memory();

/// In one line: what is taken, of how much.
[[nodiscard]] std::string describe(memory_need const& need, std::uint64_t available);

/// @throws buddy::config_error when the need is more than nine tenths of what is there; 0 is not checked
void require_memory(memory_need const& need, std::uint64_t available);

/// Computes every expert on this CPU. Slots are memory like the records, the link is a thread that copies, so its
/// speeds say nothing of a GPU: it shows that loop, copies and results are right, and what the loop costs.
/// @param n_threads  that compute; 0: one for each core
/// @param drawn      as in `run_modes`
[[nodiscard]] layers_result run_on_cpu(layers_plan const& plan, std::uint32_t n_threads, timeline* drawn = nullptr);

/// Why no stack can run on a GPU here, in a few words; empty when one can.
[[nodiscard]] std::string why_no_cuda();

/// On the GPU: pinned records, slots in device memory, real copies.
/// @pre why_no_cuda() is empty
[[nodiscard]] layers_result run_on_cuda(layers_plan const& plan, hardware const& base, timeline* drawn = nullptr);

[[nodiscard]] memory_need cuda_memory(layers_plan const& plan);

}  // namespace harness
