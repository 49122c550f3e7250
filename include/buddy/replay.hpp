// SPDX-License-Identifier: Apache-2.0
/// @file
/// How often a trace hits: the cache of a `policy` that fetches every miss, without the policy.
#pragma once

#include <buddy/cache_budget.hpp>
#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/error.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/routing_trace.hpp>
#include <buddy/slot_pool.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace buddy::inline v0 {

/// Tokens of a trace, in their order.
struct token_range {
  std::size_t first{};
  std::size_t count{std::numeric_limits<std::size_t>::max()};  ///< more than there are means all
};

/// Look-ups of one layer.
struct replay_count {
  std::uint64_t lookups{};
  std::uint64_t hits{};
  std::uint64_t compulsory{};  ///< misses of what was never held before: no cache can avoid them
  std::uint64_t staged{};      ///< misses that did not enter, since nothing could leave

  [[nodiscard]] constexpr std::uint64_t misses() const noexcept { return lookups - hits; }

  constexpr replay_count& operator+=(replay_count const& o) noexcept {
    lookups += o.lookups;
    hits += o.hits;
    compulsory += o.compulsory;
    staged += o.staged;
    return *this;
  }
  constexpr bool operator==(replay_count const&) const = default;
};

/// Looks the experts of a trace up, one step for each token, and lets every miss enter that finds a slot.
///
/// Hits, evictions and staged copies are those of a `policy` over `slot_cache<Eviction>` that never substitutes,
/// prefetches nothing and whose copies arrive at once; a property test holds the two together. It keeps tags only and
/// makes no plan, which is some ten times as fast. The cache lives on from one `run` to the next. Allocates only at
/// construction. Not thread-safe; several replayers live side by side.
template <eviction_policy Eviction>
class replayer {
 public:
  /// @param eviction_arguments  handed to each pool's `Eviction` after its capacity
  /// @throws config_error when the shape is invalid or the budget does not hold one record of every layer
  template <class... Arguments>
    requires std::constructible_from<Eviction, std::size_t, Arguments const&...>
  replayer(model_shape const& shape, cache_budget const& budget, Arguments const&... eviction_arguments)
      : shape_(shape),
        record_bytes_((validate(shape), detail::record_sizes(shape, budget))),
        slot_of_(shape.n_keys(), no_slot),
        known_(shape.n_keys(), 0),
        counts_(shape.n_layers) {
    for (auto const& plan : detail::plan_pools(record_bytes_, budget, shape.n_experts)) {
      pools_.emplace_back(plan, Eviction(plan.capacity, eviction_arguments...));
      tags_.resize(tags_.size() + plan.capacity);
    }
  }

  /// Puts experts in, in the order of their worth, as far as they fit without evicting.
  /// @pre every key is of the shape
  void warm(view<expert_key const> keys) noexcept {
    for (expert_key const k : keys) {
      auto& pool = pool_of(k.layer);
      if (slot_of_[shape_.index(k)] != no_slot || !pool.fits(record_bytes_[k.layer])) continue;
      known_[shape_.index(k)] = 1;
      insert(pool, k);
    }
    ++batch_;
  }

  /// Replays these tokens and adds to the counts.
  /// @throws config_error when the trace is of another shape
  void run(routing_trace const& trace, token_range range = {}) {
    if (!routes_alike(trace.shape(1), shape_))
      detail::throw_config_error("buddy::replayer: the trace is of another shape");
    std::size_t const first = std::min(range.first, trace.n_tokens());
    std::size_t const last = first + std::min(range.count, trace.n_tokens() - first);
    for (std::size_t t = first; t != last; ++t) {
      ++step_;
      for (std::uint16_t l = 0; l != shape_.n_layers; ++l)
        if (trace.has_record(t, l)) look_up(l, trace.at(t, l).experts);
    }
  }

  /// [n_layers] counts since the construction or the last `clear_counts`.
  [[nodiscard]] view<replay_count const> counts() const noexcept { return {counts_.data(), shape_.n_layers}; }

  /// Their sum.
  [[nodiscard]] replay_count total() const noexcept {
    replay_count sum;
    for (auto const& count : counts_) sum += count;
    return sum;
  }

  /// The cache keeps what it holds: for counting a warm-up apart.
  void clear_counts() noexcept { std::fill(counts_.begin(), counts_.end(), replay_count{}); }

  [[nodiscard]] std::size_t capacity() const noexcept { return tags_.size(); }

  /// The policy that serves `layer`: for its reports and for what it offers beyond the concept.
  [[nodiscard]] Eviction& eviction(std::uint16_t layer) noexcept { return pool_of(layer).eviction; }

 private:
  struct tag {
    expert_key key{};
    std::uint64_t batch{};  // the last that asked for it; 0: the slot is empty
  };
  using pool_type = detail::slot_pool<Eviction>;

  [[nodiscard]] pool_type& pool_of(std::uint16_t layer) noexcept { return pools_[pools_.size() == 1 ? 0 : layer]; }
  [[nodiscard]] tag& at(slot_id s) noexcept { return tags_[static_cast<std::size_t>(s)]; }

  /// Judges the batch first, so that nothing it hits makes room for what it misses.
  void look_up(std::uint16_t layer, view<std::uint16_t const> experts) noexcept {
    auto& pool = pool_of(layer);
    auto& count = counts_[layer];
    ++batch_;
    pool.eviction.on_step({step_, layer, shape_.n_layers});
    slot_id const* const slot_of = slot_of_.data() + std::size_t{layer} * shape_.n_experts;
    slot_id found[max_top_k];
    for (std::uint32_t s = 0; s != experts.size; ++s) {
      found[s] = slot_of[experts[s]];
      if (found[s] != no_slot) at(found[s]).batch = batch_;
    }
    count.lookups += experts.size;
    for (std::uint32_t s = 0; s != experts.size; ++s) {
      if (found[s] != no_slot) {
        ++count.hits;
        pool.eviction.on_hit(pool.local(found[s]));
      } else {
        enter(pool, {layer, experts[s]}, count);
      }
    }
  }

  void enter(pool_type& pool, expert_key k, replay_count& count) noexcept {
    auto& known = known_[shape_.index(k)];
    count.compulsory += 1U - known;
    known = 1;
    if (make_room(pool, record_bytes_[k.layer])) {
      insert(pool, k);
    } else {
      ++count.staged;
    }
  }

  void insert(pool_type& pool, expert_key k) noexcept {
    slot_id const s = pool.take_free();
    pool.bytes_used += record_bytes_[k.layer];
    at(s) = {k, batch_};
    slot_of_[shape_.index(k)] = s;
    pool.eviction.on_insert(pool.local(s), k);
  }

  /// As `slot_cache`: evicts until `bytes` fit, or nothing at all.
  [[nodiscard]] bool make_room(pool_type& pool, std::uint64_t bytes) noexcept {
    if (pool.fits(bytes)) return true;
    slot_id s = victim(pool);
    if (s == no_slot) return false;
    if (!pool.fits_after(record_bytes_[at(s).key.layer], bytes) && !pool.fits_after(bytes_that_may_leave(pool), bytes))
      return false;
    for (; s != no_slot; s = victim(pool)) {
      remove(pool, s);
      if (pool.fits(bytes)) return true;
    }
    return false;
  }

  [[nodiscard]] bool may_leave(tag const& t) const noexcept { return t.batch != batch_ && t.batch != 0; }

  [[nodiscard]] slot_id victim(pool_type const& pool) const noexcept {
    slot_id const local = pool.eviction.victim(
        [&](slot_id candidate) noexcept { return may_leave(tags_[static_cast<std::size_t>(pool.global(candidate))]); });
    return local == no_slot ? no_slot : pool.global(local);
  }

  [[nodiscard]] std::uint64_t bytes_that_may_leave(pool_type const& pool) const noexcept {
    std::uint64_t sum = 0;
    for (std::size_t i = pool.first; i != std::size_t{pool.first} + pool.capacity; ++i)
      if (may_leave(tags_[i])) sum += record_bytes_[tags_[i].key.layer];
    return sum;
  }

  void remove(pool_type& pool, slot_id s) noexcept {
    expert_key const k = at(s).key;
    slot_of_[shape_.index(k)] = no_slot;
    pool.eviction.on_erase(pool.local(s));
    pool.bytes_used -= record_bytes_[k.layer];
    pool.give_back(s);
    at(s) = {};
  }

  model_shape shape_;
  std::vector<std::uint64_t> record_bytes_;  // [n_layers]
  std::vector<slot_id> slot_of_;             // [n_layers, n_experts]
  std::vector<std::uint8_t> known_;          // [n_layers, n_experts] was held or asked for before
  std::vector<tag> tags_;                    // [capacity]
  std::vector<pool_type> pools_;             // 1, or [n_layers]
  std::vector<replay_count> counts_;         // [n_layers]
  std::uint64_t batch_ = 1;                  // 0 marks an empty slot
  std::uint64_t step_ = 0;
};

/// Counts of each layer when these tokens of a trace meet an empty cache of `Eviction`.
/// @param eviction_arguments  handed to each pool's `Eviction` after its capacity
/// @throws config_error as `replayer` does
template <eviction_policy Eviction, class... Arguments>
[[nodiscard]] std::vector<replay_count> replay_hits(routing_trace const& trace, model_shape const& shape,
                                                    cache_budget const& budget, token_range range = {},
                                                    Arguments const&... eviction_arguments) {
  replayer<Eviction> cache(shape, budget, eviction_arguments...);
  cache.run(trace, range);
  return {cache.counts().begin(), cache.counts().end()};
}

}  // namespace buddy::inline v0
