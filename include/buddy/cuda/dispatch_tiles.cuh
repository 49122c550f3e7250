// SPDX-License-Identifier: Apache-2.0
/// @file
/// The experts of several tokens on the tensor cores: each weight is read once for all tokens that use it.
#pragma once

#include <buddy/config.hpp>
#include <buddy/cuda/dependent_launch.cuh>
#include <buddy/cuda/dispatch_arrays.hpp>
#include <buddy/cuda/half_math.cuh>
#include <buddy/cuda/mma_fragment.hpp>
#include <buddy/cuda/token_groups.hpp>
#include <buddy/cuda/token_sort.hpp>
#include <buddy/cuda/warp.cuh>
#include <buddy/expert_record.hpp>
#include <buddy/types.hpp>

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace buddy::inline v0::cuda::detail {

inline constexpr std::uint32_t tile_warps = 4;  // of a block, 16 rows each

/// Blocks of a multiprocessor: decode needs loads under way, a large batch needs registers for its sums.
template <std::uint32_t Blocks>
inline constexpr std::uint32_t resident_blocks = Blocks > 2 ? 1 : 4;

/// Routed slots of one expert, in shared memory.
struct group_view {
  slot_id slot{no_slot};
  std::uint32_t count{};
};

/// Where the blocks of row `blockIdx.y` find their routed slots: gathered from the batch by their leader.
struct gathered_groups {
  static constexpr std::uint32_t capacity = 512;  ///< routed slots of a batch
  using index = std::uint16_t;

  [[nodiscard]] __device__ group_view load(dispatch_arrays const& a, index* members) const {
    __shared__ std::uint32_t count;
    if (threadIdx.x < device_warp::n_lanes) {
      std::uint32_t const n = gather_group(device_warp{}, a.slots, a.weights, a.n_routed(), blockIdx.y, members);
      if (threadIdx.x == 0) count = n;
    }
    __syncthreads();
    return {a.slots[blockIdx.y], count};
  }
};

/// The same, read from the tiles of a sort.
struct sorted_groups {
  static constexpr std::uint32_t capacity = tile_tokens;
  using index = std::uint32_t;

  token_order order;

  [[nodiscard]] __device__ group_view load(dispatch_arrays const&, index* members) const {
    if (blockIdx.y >= *order.n_tiles) return {};
    token_tile const tile = order.tiles[blockIdx.y];
    if (threadIdx.x < tile.count) members[threadIdx.x] = order.order[tile.first + threadIdx.x];
    __syncthreads();
    return {slot_id{tile.slot}, tile.count};
  }
};

/// 16 rows of a matrix as one lane sees them.
struct row_tile {
  std::uint16_t const* upper;
  std::uint16_t const* lower;

  /// Rows behind the last are the last again: read, multiplied, not written.
  __device__ row_tile(std::uint16_t const* matrix, std::uint32_t first, std::uint32_t n_rows, std::uint32_t n) {
    std::uint32_t const row = first + fragment::row_of(threadIdx.x % 32);
    upper = matrix + std::size_t{row < n_rows ? row : n_rows - 1} * n;
    lower = matrix + std::size_t{row + 8 < n_rows ? row + 8 : n_rows - 1} * n;
  }

  __device__ void prefetch(std::uint32_t n) const {
    std::uint32_t const lane = threadIdx.x % 4;  // four lanes have the same rows
    for (std::uint32_t line = lane; line < 16; line += 4) {
      prefetch_row(upper, n, line);
      prefetch_row(lower, n, line);
    }
  }
};

/// Sums of one matrix: 4 for each block of 8 tokens.
template <std::uint32_t Blocks>
using tile_sums = float[Blocks][4];

/// `Matrices` tiles of 16 rows times up to 8 * Blocks tokens.
/// @param tokens  [Blocks] the vector of this lane's token in each block; null: there is none
template <weight_type Type, std::uint32_t Matrices, std::uint32_t Blocks>
__device__ void multiply_tile(row_tile const (&tiles)[Matrices], std::uint16_t const* const (&tokens)[Blocks],
                              std::uint32_t n, tile_sums<Blocks> (&sums)[Matrices]) {
  constexpr std::uint32_t steps =
      (Blocks > 2 ? 2 : 4) / Matrices;  // 8 loads under way; 4 where sums need the registers
  for (std::uint32_t first = 0; first < n; first += steps * fragment::step) {  // the same for all lanes
    chunk upper[steps][Matrices];
    chunk lower[steps][Matrices];
#pragma unroll
    for (std::uint32_t s = 0; s != steps; ++s) {
      std::uint32_t const k = first + s * fragment::step + fragment::column_of(threadIdx.x % 32);
#pragma unroll
      for (std::uint32_t m = 0; m != Matrices; ++m) {
        upper[s][m] = k < n ? load_streaming(tiles[m].upper + k) : chunk{};
        lower[s][m] = k < n ? load_streaming(tiles[m].lower + k) : chunk{};
      }
    }
#pragma unroll
    for (std::uint32_t s = 0; s != steps; ++s) {
      std::uint32_t const k = first + s * fragment::step + fragment::column_of(threadIdx.x % 32);
#pragma unroll
      for (std::uint32_t b = 0; b != Blocks; ++b) {
        chunk const token = k < n && tokens[b] != nullptr ? load_cached(tokens[b] + k) : chunk{};
#pragma unroll
        for (std::uint32_t m = 0; m != Matrices; ++m)
#pragma unroll
          for (std::uint32_t j = 0; j != fragment::products; ++j)
            multiply<Type>(sums[m][b], upper[s][m], lower[s][m], token, j);
      }
    }
  }
}

/// Calls f(sum i of block b, row of the tile, member) for each sum of this lane that belongs to a token.
template <std::uint32_t Blocks, class F>
__device__ void for_each_sum(std::uint32_t count, F const& f) {
#pragma unroll
  for (std::uint32_t b = 0; b != Blocks; ++b)
#pragma unroll
    for (std::uint32_t i = 0; i != 4; ++i) {
      std::uint32_t const member = b * fragment::tokens + fragment::sum_token(threadIdx.x % 32, i);
      if (member < count) f(b, i, fragment::sum_row(threadIdx.x % 32, i), member);
    }
}

/// 16 rows of gate and up for up to 8 * Blocks routed slots.
template <weight_type Type, std::uint32_t Blocks, class Index>
__device__ void gate_up_tile(dispatch_arrays const& a, slot_id slot, std::uint32_t first, Index const* members,
                             std::uint32_t count) {
  std::uint32_t const n = a.record.hidden;
  std::uint32_t const width = a.record.width;
  std::byte const* const record = a.record_in(slot);
  row_tile const tiles[2] = {{reinterpret_cast<std::uint16_t const*>(record + a.record.gate_offset()), first, width, n},
                             {reinterpret_cast<std::uint16_t const*>(record + a.record.up_offset()), first, width, n}};
  std::uint16_t const* tokens[Blocks];
#pragma unroll
  for (std::uint32_t b = 0; b != Blocks; ++b) {
    std::uint32_t const member = b * fragment::tokens + fragment::row_of(threadIdx.x % 32);
    tokens[b] = member < count ? a.x + std::size_t{members[member] / a.top_k} * n : nullptr;
  }
  tile_sums<Blocks> sums[2] = {};
  multiply_tile<Type>(tiles, tokens, n, sums);
  auto* const inner = reinterpret_cast<std::uint16_t*>(a.workspace);
  for_each_sum<Blocks>(count, [&](std::uint32_t b, std::uint32_t i, std::uint32_t row, std::uint32_t member) {
    if (first + row < width)
      inner[std::size_t{members[member]} * width + first + row] = to_half<Type>(silu(sums[0][b][i]) * sums[1][b][i]);
  });
}

/// 16 rows of down, weighted, for up to 8 * Blocks routed slots.
template <weight_type Type, std::uint32_t Blocks, class Index>
__device__ void down_tile(dispatch_arrays const& a, slot_id slot, std::uint32_t first, Index const* members,
                          std::uint32_t count) {
  std::uint32_t const n = a.record.width;
  std::uint32_t const hidden = a.record.hidden;
  auto const* const down = reinterpret_cast<std::uint16_t const*>(a.record_in(slot) + a.record.down_offset());
  row_tile const tiles[1] = {{down, first, hidden, n}};
  auto const* const inner = reinterpret_cast<std::uint16_t const*>(a.workspace);
  std::uint16_t const* tokens[Blocks];
#pragma unroll
  for (std::uint32_t b = 0; b != Blocks; ++b) {
    std::uint32_t const member = b * fragment::tokens + fragment::row_of(threadIdx.x % 32);
    tokens[b] = member < count ? inner + std::size_t{members[member]} * n : nullptr;
  }
  tile_sums<Blocks> sums[1] = {};
  multiply_tile<Type>(tiles, tokens, n, sums);
  float* const outputs = reinterpret_cast<float*>(a.workspace + inner_bytes(a));
  for_each_sum<Blocks>(count, [&](std::uint32_t b, std::uint32_t i, std::uint32_t row, std::uint32_t member) {
    if (first + row < hidden)
      outputs[std::size_t{members[member]} * hidden + first + row] = a.weights[members[member]] * sums[0][b][i];
  });
}

/// As many blocks of tokens as there are, at most `Blocks` at once. A batch of up to 16 tokens has one round: more only
/// when a token names an expert twice.
template <std::uint32_t Blocks, class Index, class F>
__device__ void for_each_round(Index const* members, std::uint32_t count, F const& f) {
  for (std::uint32_t first = 0; first < count; first += Blocks * fragment::tokens) {
    std::uint32_t const left = count - first;
    f(members + first, left < Blocks * fragment::tokens ? left : Blocks * fragment::tokens);
  }
}

/// inner[i, row] = silu(gate x) * up x. Grid (width / 64, groups).
template <weight_type Type, std::uint32_t Blocks, class Groups>
BUDDY_KERNEL void __launch_bounds__(tile_warps * 32, resident_blocks<Blocks>)
    gate_up_tiles_kernel(dispatch_arrays a, Groups groups) {
  __shared__ typename Groups::index members[Groups::capacity];
  await_predecessor();
  release_successor();
  group_view const g = groups.load(a, members);
  std::uint32_t const first = (blockIdx.x * tile_warps + threadIdx.x / 32) * fragment::rows;
  if (first >= a.record.width) return;
  for_each_round<Blocks>(members, g.count, [&](auto const* m, std::uint32_t count) {
    if (Blocks == 2 && count <= fragment::tokens)
      gate_up_tile<Type, 1>(a, g.slot, first, m, count);
    else
      gate_up_tile<Type, Blocks>(a, g.slot, first, m, count);
  });
}

/// outputs[i, row] = weight[i] * (down inner[i])[row]. Grid (hidden / 64, groups).
template <weight_type Type, std::uint32_t Blocks, class Groups>
BUDDY_KERNEL void __launch_bounds__(tile_warps * 32, resident_blocks<Blocks>)
    down_tiles_kernel(dispatch_arrays a, Groups groups) {
  __shared__ typename Groups::index members[Groups::capacity];
  group_view const g = groups.load(a, members);  // older than the predecessor: it has waited for its own
  std::uint32_t const first = (blockIdx.x * tile_warps + threadIdx.x / 32) * fragment::rows;
  bool const some = g.count != 0 && first < a.record.hidden;
  if (some) {
    auto const* const down = reinterpret_cast<std::uint16_t const*>(a.record_in(g.slot) + a.record.down_offset());
    row_tile(down, first, a.record.hidden, a.record.width).prefetch(a.record.width);
  }
  await_predecessor();
  release_successor();
  if (!some) return;
  for_each_round<Blocks>(members, g.count, [&](auto const* m, std::uint32_t count) {
    if (Blocks == 2 && count <= fragment::tokens)
      down_tile<Type, 1>(a, g.slot, first, m, count);
    else
      down_tile<Type, Blocks>(a, g.slot, first, m, count);
  });
}

inline constexpr std::uint32_t combine_threads = 128;

/// y[t] = base[t] + the outputs of its routed slots, in their order. A thread has four columns.
template <class = void>
BUDDY_KERNEL void __launch_bounds__(combine_threads) combine_kernel(dispatch_arrays a) {
  await_predecessor();
  release_successor();
  std::uint32_t const column = (blockIdx.x * combine_threads + threadIdx.x) * 4;
  std::uint32_t const hidden = a.record.hidden;
  if (column >= hidden) return;
  std::size_t const at = std::size_t{blockIdx.y} * hidden + column;
  float4 sum = a.base == nullptr ? float4{} : *reinterpret_cast<float4 const*>(a.base + at);
  auto const* const outputs = reinterpret_cast<float const*>(a.workspace + inner_bytes(a));
  for (std::uint32_t s = 0; s != a.top_k; ++s) {
    std::uint32_t const i = blockIdx.y * a.top_k + s;
    if (!contributes(a.slots[i], a.weights[i])) continue;
    float4 const v = *reinterpret_cast<float4 const*>(outputs + std::size_t{i} * hidden + column);
    sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
  }
  *reinterpret_cast<float4*>(a.y + at) = sum;
}

/// @param n_groups  rows of the grid: at least as many as there are groups
template <weight_type Type, std::uint32_t Blocks, class Groups>
[[nodiscard]] cudaError_t dispatch_tiles(dispatch_arrays const& a, Groups const& groups, std::uint32_t n_groups,
                                         bool early, cudaStream_t stream) noexcept {
  constexpr std::uint32_t rows = tile_warps * fragment::rows;
  auto const tiles = [&](std::uint32_t n) { return dim3{(n + rows - 1) / rows, n_groups}; };
  if (auto const e = launch(gate_up_tiles_kernel<Type, Blocks, Groups>, tiles(a.record.width), tile_warps * 32, stream,
                            early, a, groups);
      e != cudaSuccess)
    return e;
  if (auto const e = launch(down_tiles_kernel<Type, Blocks, Groups>, tiles(a.record.hidden), tile_warps * 32, stream,
                            early, a, groups);
      e != cudaSuccess)
    return e;
  constexpr std::uint32_t columns = combine_threads * 4;
  dim3 const grid{(a.record.hidden + columns - 1) / columns, a.n_tokens};
  return launch(combine_kernel<>, grid, combine_threads, stream, early, a);
}

}  // namespace buddy::inline v0::cuda::detail
