// SPDX-License-Identifier: Apache-2.0
// Batches of the expert kernels in device memory, with poisoned outputs.
#pragma once

#include "catch.hpp"
#include "cuda/device_vector.hpp"
#include "dispatch_case.hpp"

#include <buddy/cuda/dispatch.cuh>

#include <cuda_runtime.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

/// A case in device memory.
class device_case {
 public:
  /// @param bytes  of the workspace
  device_case(dispatch_case const& c, std::size_t bytes)
      : pool_(c.pool),
        slots_(c.slots),
        weights_(c.weights),
        x_(c.x),
        base_(c.base),
        y_(std::vector<float>(c.base.size(), std::nanf(""))),
        workspace_(std::vector<std::byte>(bytes, std::byte{0xff})),  // NaN in every format
        arrays_{c.arrays()} {
    arrays_.pool = pool_.get();
    arrays_.slots = slots_.get();
    arrays_.weights = weights_.get();
    arrays_.x = x_.get();
    if (arrays_.base != nullptr) arrays_.base = base_.get();
    arrays_.y = y_.get();
    arrays_.workspace = workspace_.get();
  }

  explicit device_case(dispatch_case const& c) : device_case(c, buddy::cuda::workspace_bytes(c.arrays())) {}

  [[nodiscard]] buddy::cuda::dispatch_arrays const& arrays() const { return arrays_; }
  [[nodiscard]] std::vector<float> y() const { return y_.to_host(); }

 private:
  device_vector<std::byte> pool_;
  device_vector<buddy::slot_id> slots_;
  device_vector<float> weights_;
  device_vector<std::uint16_t> x_;
  device_vector<float> base_;
  device_vector<float> y_;
  device_vector<std::byte> workspace_;
  buddy::cuda::dispatch_arrays arrays_;
};

struct device_sort {
  device_vector<std::uint32_t> counts, order, offsets, n_tiles;
  device_vector<buddy::cuda::token_tile> tiles;

  device_sort(buddy::cuda::dispatch_arrays const& a, std::uint32_t n_slots, std::uint32_t n_parts)
      : counts(std::vector<std::uint32_t>(std::size_t{n_parts} * n_slots, 0xdeadbeef)),
        order(std::vector<std::uint32_t>(a.n_routed(), 0xdeadbeef)),
        offsets(std::vector<std::uint32_t>(n_slots + 1, 0xdeadbeef)),
        n_tiles(std::vector<std::uint32_t>(1, 0xdeadbeef)),
        tiles(std::vector<buddy::cuda::token_tile>(buddy::cuda::token_order::max_tiles(a.n_routed(), n_slots))),
        ref{n_slots, n_parts, counts.get(), order.get(), offsets.get(), tiles.get(), n_tiles.get()} {}

  buddy::cuda::token_order ref;
};

inline buddy::cuda::dispatch_options early_if_possible() {
  int current = 0;
  REQUIRE(cudaGetDevice(&current) == cudaSuccess);
  return {buddy::cuda::supports_dependent_launch(current)};
}
