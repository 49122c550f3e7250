// SPDX-License-Identifier: Apache-2.0
/// @file
/// Computes the experts of one layer as a plan says.
#pragma once

#include <buddy/layer_plan.hpp>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <buddy_torch/expert_store.hpp>
#include <buddy_torch/record_groups.hpp>
#include <buddy_torch/routed_batch.hpp>
#include <buddy_torch/row_product.hpp>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace buddy::inline v0::torch {

namespace detail {

/// gate = silu(gate) * up, in place.
inline void swiglu(float* gate_up, std::int64_t width, float* out) {
  for (std::int64_t i = 0; i != width; ++i) out[i] = gate_up[i] / (1.0F + std::exp(-gate_up[i])) * gate_up[width + i];
}

}  // namespace detail

/// Outputs of the routed slots of a batch, unweighted. Keeps its memory from batch to batch; not thread-safe.
class expert_runner {
 public:
  explicit expert_runner(ExpertStore const& store, row_math math) : store_{&store}, math_{math} {}

  /// @param x  [n_tokens, hidden] of the store's dtype and device
  /// @returns  [n_tokens, top_k, hidden]; what is dropped is 0
  [[nodiscard]] at::Tensor run(layer_plan const& plan, at::Tensor const& x) {
    groups_.sort(plan);
    auto const k = static_cast<std::int64_t>(plan.top_k);
    bool const all = groups_.uses().size() == plan.assignments.size;
    std::int64_t const sizes[]{x.size(0), k, x.size(1)};
    auto const y = all ? at::empty(sizes, x.options()) : at::zeros(sizes, x.options());
    if (detail::plain_floats(x)) {
      run_on_floats(plan.layer, k, x.contiguous(), y);
    } else {
      run_on_tensors(plan.layer, k, x, y.view({-1, x.size(1)}));
    }
    return y;
  }

 private:
  [[nodiscard]] at::Tensor record_of(std::uint16_t layer, record_group const& g) const {
    return g.slot == no_slot ? store_->master({layer, g.expert}) : store_->slot(g.slot);
  }

  /// Groups side by side, each by one thread.
  void run_on_floats(std::uint16_t layer, std::int64_t k, at::Tensor const& x, at::Tensor const& y) {
    auto const& groups = groups_.groups();
    at::parallel_for(0, static_cast<std::int64_t>(groups.size()), 1, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> space;
      for (std::int64_t g = begin; g != end; ++g) run_group(layer, groups[static_cast<std::size_t>(g)], k, x, y, space);
    });
  }

  void run_group(std::uint16_t layer, record_group const& g, std::int64_t k, at::Tensor const& x, at::Tensor const& y,
                 std::vector<float>& space) const {
    std::int64_t const hidden = store_->sizes().hidden;
    std::int64_t const width = store_->sizes().width;
    auto const n = static_cast<std::int64_t>(g.size);
    space.resize(static_cast<std::size_t>(n * (2 * hidden + 3 * width)));
    float* const in = space.data();              // [n, hidden]
    float* const out = in + n * hidden;          // [n, hidden]
    float* const inner = out + n * hidden;       // [n, 2 width]
    float* const gated = inner + 2 * n * width;  // [n, width]
    std::uint32_t const* const uses = groups_.uses().data() + g.first;
    auto const row_bytes = static_cast<std::size_t>(hidden) * sizeof(float);
    for (std::int64_t i = 0; i != n; ++i)
      std::memcpy(in + i * hidden, x.data_ptr<float>() + uses[i] / k * hidden, row_bytes);
    float const* const record = record_of(layer, g).data_ptr<float>();
    multiply(record, 2 * width, hidden, in, n, inner);
    for (std::int64_t i = 0; i != n; ++i) detail::swiglu(inner + i * 2 * width, width, gated + i * width);
    multiply(record + 2 * width * hidden, hidden, width, gated, n, out);
    for (std::int64_t i = 0; i != n; ++i)
      std::memcpy(y.data_ptr<float>() + uses[i] * hidden, out + i * hidden, row_bytes);
  }

  /// Few rows are bound by reading the weights, which is done here without a round through the dispatcher.
  void multiply(float const* w, std::int64_t n_out, std::int64_t n_in, float* x, std::int64_t n, float* y) const {
    constexpr std::int64_t few = 8;
    if (math_ == row_math::row_exact || n <= few) return row_product(w, n_out, n_in, x, n, y);
    at::NoGradGuard const inference;
    auto matrix = at::from_blob(const_cast<float*>(w), {n_out, n_in});  // LibTorch has no tensor of constants
    auto result = at::from_blob(y, {n, n_out});
    at::mm_out(result, at::from_blob(x, {n, n_in}), matrix.t());
  }

  /// Any dtype, any device. The indices are known to the host, so the device is not waited for.
  void run_on_tensors(std::uint16_t layer, std::int64_t k, at::Tensor const& x, at::Tensor const& y) const {
    auto const& uses = groups_.uses();
    std::vector<std::int64_t> flat(uses.begin(), uses.end());
    auto const places = at::tensor(flat, at::kLong).to(x.device(), /*non_blocking=*/true);
    auto const rows = at::floor_divide(places, k);
    for (record_group const& g : groups_.groups()) {
      auto const m = store_->matrices_of(record_of(layer, g).to(x.device(), /*non_blocking=*/true));
      auto const in = x.index_select(0, rows.narrow(0, g.first, g.size));
      auto const inner = at::linear(in, m.gate_up).chunk(2, -1);
      y.index_copy_(0, places.narrow(0, g.first, g.size), at::linear(at::silu(inner[0]) * inner[1], m.down));
    }
  }

  ExpertStore const* store_;
  row_math math_;
  record_groups groups_;
};

}  // namespace buddy::inline v0::torch
