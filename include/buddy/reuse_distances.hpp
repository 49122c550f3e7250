// SPDX-License-Identifier: Apache-2.0
/// @file
/// How deep in the order of last use each look-up finds its expert: hits of LRU pools of all sizes from one pass.
///
/// Source: Mattson, Gecsei, Slutz, Traiger, IBM Systems Journal 9(2), 1970 (stack distances); counted in a Fenwick tree
/// as in Bennett, Kruskal, IBM Journal of Research and Development 19(4), 1975. Differs from them: a layer's batch is
/// judged before it changes the order, and pools smaller than a batch, which no stack describes, are simulated.
#pragma once

#include <buddy/error.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/recency_stack.hpp>
#include <buddy/replay.hpp>
#include <buddy/routing_trace.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace buddy::inline v0 {

/// Hits of a least-recently-used pool, for every number of slots that it may have.
struct hit_curve {
  std::uint64_t lookups{};
  std::uint64_t first_uses{};       ///< of these, for an expert never asked for before: no pool has it
  std::vector<std::uint64_t> hits;  ///< [experts of the pool + 1] by slots, from none; never falls

  /// Most slots of which it knows anything: all experts of the pool.
  [[nodiscard]] std::size_t max_slots() const noexcept { return hits.empty() ? 0 : hits.size() - 1; }
  /// Share of the look-ups that hit in so many slots, in [0, 1]. @pre slots <= max_slots()
  [[nodiscard]] double rate(std::size_t slots) const noexcept {
    return lookups == 0 ? 0.0 : static_cast<double>(hits[slots]) / static_cast<double>(lookups);
  }
  bool operator==(hit_curve const&) const = default;
};

/// Watches routing, a token at a time, and counts at which depth of the order of last use the look-ups fall.
///
/// The order after a batch is the batch, the later slot on top, then the others as before. A pool of C >= top_k slots
/// under `eviction::lru` holds its C topmost: a hit is a depth <= C, exactly. With C < top_k the batch itself does not
/// fit: what it hits stays, its first misses take the other slots and the rest is staged, so what is held depends on C
/// and not on the order alone; those few pools are played as they are. So `curve` is exact for every C.
/// Memory: about 40 bytes an expert and 8 top_k^2 bytes a pool. Not thread-safe.
class reuse_distances {
 public:
  /// @throws config_error when the shape is not valid
  explicit reuse_distances(model_shape const& shape, pool_layout layout = pool_layout::per_layer)
      : shape_((validate(shape), shape)), layout_(layout) {
    std::uint32_t const n_pools = layout == pool_layout::global ? 1 : shape.n_layers;
    auto const n_keys = static_cast<std::uint32_t>(shape.n_keys() / n_pools);
    for (std::uint32_t p = 0; p != n_pools; ++p) pools_.push_back(counted_pool(n_keys, shape.top_k));
  }

  /// One token at one layer. Time O(top_k log experts of the pool + top_k^3).
  /// @param experts  [top_k] distinct ids below n_experts
  void observe(std::uint16_t layer, view<std::uint16_t const> experts) {
    bool const global = layout_ == pool_layout::global;
    std::uint32_t ids[max_top_k];
    for (std::uint32_t s = 0; s != experts.size; ++s)
      ids[s] = experts[s] + (global ? std::uint32_t{layer} * shape_.n_experts : 0U);
    pools_[global ? 0 : layer].observe({ids, experts.size});
  }

  /// All records of these tokens.
  /// @throws config_error when the trace is of another shape
  void observe(routing_trace const& trace, token_range range = {}) {
    if (!routes_alike(trace.shape(1), shape_))
      detail::throw_config_error("buddy::reuse_distances: the trace is of another shape");
    std::size_t const first = std::min(range.first, trace.n_tokens());
    std::size_t const last = first + std::min(range.count, trace.n_tokens() - first);
    for (std::size_t t = first; t != last; ++t)
      for (std::uint16_t l = 0; l != shape_.n_layers; ++l)
        if (trace.has_record(t, l)) observe(l, trace.at(t, l).experts);
  }

  /// The order of last use stays: for a warm-up that is not counted.
  void clear_counts() noexcept {
    for (auto& p : pools_) p.clear_counts();
  }

  /// 1, or n_layers.
  [[nodiscard]] std::size_t n_pools() const noexcept { return pools_.size(); }

  /// [experts of the pool + 1] look-ups by depth, the most recently used at 1; [0] counts first uses.
  [[nodiscard]] view<std::uint64_t const> histogram(std::size_t i) const noexcept {
    auto const& depths = pools_[i].depths;
    return {depths.data(), static_cast<std::uint32_t>(depths.size())};
  }

  [[nodiscard]] hit_curve curve(std::size_t i) const { return pools_[i].curve(); }

  /// Of every pool.
  [[nodiscard]] std::vector<hit_curve> curves() const {
    std::vector<hit_curve> all;
    for (auto const& p : pools_) all.push_back(p.curve());
    return all;
  }

 private:
  struct counted_pool {
    counted_pool(std::uint32_t n_keys, std::uint32_t top_k) : order(n_keys), depths(n_keys + 1) {
      for (std::uint32_t slots = 1; slots < top_k; ++slots) tiny.emplace_back(slots);
    }

    void observe(view<std::uint32_t const> batch) noexcept {
      for (std::uint32_t const id : batch) ++depths[order.depth(id)];
      for (std::uint32_t const id : batch) order.touch(id);
      for (auto& t : tiny) t.observe(batch);
    }

    void clear_counts() noexcept {
      std::fill(depths.begin(), depths.end(), 0);
      for (auto& t : tiny) t.hits = 0;
    }

    [[nodiscard]] hit_curve curve() const {
      hit_curve c{0, depths[0], std::vector<std::uint64_t>(depths.size())};
      for (std::size_t d = 1; d != depths.size(); ++d) c.hits[d] = c.hits[d - 1] + depths[d];
      c.lookups = c.first_uses + c.hits.back();
      for (std::size_t t = 0; t != tiny.size(); ++t) c.hits[t + 1] = tiny[t].hits;
      return c;
    }

    detail::recency_stack order;
    std::vector<std::uint64_t> depths;            // [n_keys + 1]
    std::vector<detail::less_than_a_batch> tiny;  // [top_k - 1] of 1, 2, ... slots
  };

  model_shape shape_;
  pool_layout layout_;
  std::vector<counted_pool> pools_;  // 1, or [n_layers]
};

/// The curve of each pool when these tokens of a trace meet it empty.
[[nodiscard]] inline std::vector<hit_curve> lru_hit_curves(routing_trace const& trace,
                                                           pool_layout layout = pool_layout::per_layer,
                                                           token_range range = {}) {
  reuse_distances distances(trace.shape(1), layout);
  distances.observe(trace, range);
  return distances.curves();
}

}  // namespace buddy::inline v0
