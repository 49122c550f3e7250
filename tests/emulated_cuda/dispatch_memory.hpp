// SPDX-License-Identifier: Apache-2.0
// What the expert kernels write to when fibers run them, poisoned.
#pragma once

#include "catch.hpp"
#include "dispatch_case.hpp"

#include <buddy/cuda/dispatch_arrays.hpp>
#include <buddy/cuda/token_sort.hpp>

#include <cuda_runtime_api.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

/// Poison around and in everything that is written.
struct outputs {
  std::vector<float> y;
  std::vector<float4> workspace;  // aligned as the kernels want it

  /// @param bytes  of the workspace
  outputs(dispatch_case const& c, buddy::cuda::dispatch_arrays& a, std::size_t bytes)
      : y(c.base.size() + 16, std::nanf("")),
        workspace(bytes / sizeof(float4) + 2, {std::nanf(""), std::nanf(""), std::nanf(""), 1234.5F}) {
    a.y = y.data();
    a.workspace = reinterpret_cast<std::byte*>(workspace.data());
  }

  [[nodiscard]] bool kept_to_bounds() const {
    bool kept = workspace.back().w == 1234.5F;
    for (std::size_t i = y.size() - 16; i != y.size(); ++i) kept &= std::isnan(y[i]);
    return kept;
  }
};

/// Pointers of the case are 16-byte aligned as malloc's are.
inline void check(dispatch_case const& c, outputs const& out) {
  INFO(name_of(c.shape));
  CHECK(reference::relative_error(out.y, c.expected()) <= c.tolerance());
  CHECK(out.kept_to_bounds());
}

/// Memory of a sort.
struct sort_memory {
  std::vector<std::uint32_t> counts, order, offsets;
  std::vector<buddy::cuda::token_tile> tiles;
  std::uint32_t n_tiles = 0;
  buddy::cuda::token_order ref;

  sort_memory(buddy::cuda::dispatch_arrays const& a, std::uint32_t n_slots, std::uint32_t n_parts)
      : counts(std::size_t{n_parts} * n_slots),
        order(a.n_routed()),
        offsets(n_slots + 1),
        tiles(buddy::cuda::token_order::max_tiles(a.n_routed(), n_slots)),
        ref{n_slots, n_parts, counts.data(), order.data(), offsets.data(), tiles.data(), &n_tiles} {}
};
