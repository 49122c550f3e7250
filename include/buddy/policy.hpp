// SPDX-License-Identifier: Apache-2.0
/// @file
/// Ties the components: routing in, plan out. The only file that knows all of them.
#pragma once

#include <buddy/assert.hpp>
#include <buddy/batch_experts.hpp>
#include <buddy/batch_losses.hpp>
#include <buddy/concepts/buddy_selector.hpp>
#include <buddy/concepts/expert_cache.hpp>
#include <buddy/concepts/expert_predictor.hpp>
#include <buddy/concepts/sensitivity_estimator.hpp>
#include <buddy/copy_planner.hpp>
#include <buddy/counters.hpp>
#include <buddy/distribution_gate.hpp>
#include <buddy/fixed_list.hpp>
#include <buddy/gate_weights.hpp>
#include <buddy/lane_divider.hpp>
#include <buddy/layer_plan.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/policy_checks.hpp>
#include <buddy/policy_config.hpp>
#include <buddy/replacement_window.hpp>
#include <buddy/resolver.hpp>
#include <buddy/routing.hpp>
#include <buddy/token_row.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace buddy::inline v0 {

/// Decides, for each layer of each step, what happens to the experts that the router asked for.
///
/// The host calls, for each step: `begin_step`, then for each layer in ascending order `resolve`, the copies of the
/// plan (each ended by `commit` or `cancel`), and, if it likes, `prefetch` of a later layer. The policy moves no bytes.
/// Nothing allocates, locks, throws or logs after construction. Not thread-safe; several policies live side by side.
template <expert_cache Cache, expert_predictor Predictor, sensitivity_estimator Sensitivity, buddy_selector Selector>
class policy {
 public:
  /// @throws config_error when the shape or the configuration is out of range, or a component was made for another
  /// shape
  policy(model_shape const& shape, Cache cache, Predictor predictor, Sensitivity sensitivity, Selector selector,
         policy_config const& config = {})
      : shape_(detail::checked_parts(shape, config, cache, predictor, sensitivity, selector)),
        config_(config),
        beta_(static_cast<q16>(config.beta.value_or(0.0) * q16_one)),
        cache_(std::move(cache)),
        predictor_(std::move(predictor)),
        sensitivity_(sensitivity),
        selector_(selector),
        window_(config.replacement_ratio, config.ratio_window, shape.top_k),
        losses_(shape, config),
        batch_(shape.n_experts, config.max_tokens),
        assignments_(std::size_t{config.max_tokens} * shape.top_k),
        copies_(shape, config, detail::prefetch_width(shape, config), detail::largest_record(cache_, shape)),
        divider_(shape, config.lanes, config.over_cap == resolution::host ? config.admissions_per_layer : 0),
        predicted_(detail::prefetch_width(shape, config)),
        counters_(shape.n_layers * n_phases),
        clock_{0, 0, shape.n_layers} {}

  [[nodiscard]] model_shape const& shape() const noexcept { return shape_; }
  [[nodiscard]] policy_config const& config() const noexcept { return config_; }
  [[nodiscard]] Cache& cache() noexcept { return cache_; }
  [[nodiscard]] Cache const& cache() const noexcept { return cache_; }
  [[nodiscard]] Predictor& predictor() noexcept { return predictor_; }
  /// For a guard, which moves its target.
  [[nodiscard]] buddy::loss_budget& loss_budget() noexcept { return losses_.budget(); }

  /// Another text begins. Only a predictor that learns text by text has use for it.
  void begin_sequence() noexcept {
    if constexpr (requires { predictor_.begin_sequence(); }) predictor_.begin_sequence();
  }

  /// A forward pass begins.
  void begin_step(phase p = phase::decode) noexcept {
    ++clock_.step;
    phase_ = p;
    next_layer_ = 0;
    copies_.begin_step(clock_.step, p);
  }

  /// Resolves one layer. Look-ups are judged before the batch changes the cache; each *distinct* expert counts once.
  ///
  /// Experts that must be copied get a slot and are in flight until `commit`; stand-ins given to a token do not count
  /// as demand for the expert that stands in, so that substitution does not reinforce itself.
  /// @param r  experts [n_tokens, top_k], distinct within a token; host memory; 1 <= n_tokens <= config().max_tokens
  /// @returns the plan, valid until the next `resolve`
  /// Time O(n_tokens x top_k) for hits; each miss adds what the selector and the eviction policy take.
  layer_plan const& resolve(std::uint16_t layer, routing const& r) noexcept {
    BUDDY_ASSERT(layer < shape_.n_layers && layer >= next_layer_ && clock_.step != 0);
    BUDDY_ASSERT(r.n_tokens != 0 && r.n_tokens <= config_.max_tokens);
    BUDDY_ASSERT(r.experts.size == r.n_tokens * shape_.top_k && r.weights.size == r.experts.size);
    BUDDY_ASSERT(config_.weights != weight_mode::own || !r.scores.empty());
    BUDDY_ASSERT(r.hidden_norms.empty() || r.hidden_norms.size == r.n_tokens);
    next_layer_ = layer + 1;
    clock_.layer = layer;
    cache_.begin_batch(clock_);
    copies_.begin_batch(layer);

    auto const slot_of = cache_.residents(layer);
    batch_.collect(r.experts, slot_of, r.n_tokens);
    count_lookups(r);
    assign_hits(r, slot_of);
    if (batch_.missing() == 0) {
      take_hits(layer, r);
    } else {
      resolve_rows(layer, r, slot_of);
      if (divider_.is_needed()) divider_.divide(layer, assignments_.all(), cache_);
      place(layer, r);
    }
    if (divider_.watches()) divider_.observe(layer, r.experts, clock_.step);
    predictor_.observe(layer, r);
    plan_ = {layer,
             r.n_tokens,
             shape_.top_k,
             std::as_const(assignments_).all(),
             copies_.fetches(),
             copies_.waits(),
             copies_.host_experts(),
             copies_.refills(),
             losses_.losses()};
    return plan_;
  }

  /// Names copies that would make experts of `layer` resident before its router asks; call it after the `resolve` of
  /// the layer before, while that one is computed. Never evicts what the present batch uses.
  /// @returns copies to submit, best first; valid until the next `prefetch`
  [[nodiscard]] view<expert_copy const> prefetch(std::uint16_t layer) noexcept {
    BUDDY_ASSERT(layer < shape_.n_layers);
    std::uint32_t const n =
        predictor_.predict(layer, {predicted_.data(), static_cast<std::uint32_t>(predicted_.size())});
    return copies_.prefetch(layer, {predicted_.data(), n}, cache_, at(layer));
  }

  /// How many background copies (refills and prefetches) the host can start until it calls this again; no limit before
  /// the first call. A copy is planned, and an expert evicted for it, only when it can start: one that waits in a queue
  /// leaves its slot empty.
  void background_room(std::uint32_t n) noexcept { copies_.background_room(n); }

  /// Bytes that the idle link could have carried since the last call: governed prefetches spend no more.
  void background_bytes(std::uint64_t n) noexcept { copies_.background_bytes(n); }

  [[nodiscard]] prefetch_status prefetching() const noexcept { return copies_.status(); }

  /// The bytes of this copy have arrived: the expert is resident. Does nothing for a staged copy.
  void commit(expert_copy const& c) noexcept {
    if (c.slot != no_slot) cache_.commit(c.slot);
  }

  /// This copy will not happen: its slot is free again, if it had one.
  void cancel(expert_copy const& c) noexcept {
    copies_.cancel(c, at(c.expert.layer));
    if (c.slot != no_slot) cache_.cancel(c.slot);
  }

  [[nodiscard]] layer_counters const& counters(std::uint16_t layer, phase p = phase::decode) const noexcept {
    return counters_[std::size_t{layer} * n_phases + static_cast<std::size_t>(p)];
  }

  /// Sum over the layers.
  [[nodiscard]] layer_counters total(phase p = phase::decode) const noexcept {
    layer_counters sum;
    for (std::uint16_t l = 0; l != shape_.n_layers; ++l) sum += counters(l, p);
    return sum;
  }

 private:
  [[nodiscard]] layer_counters& at(std::uint16_t layer) noexcept {
    return counters_[std::size_t{layer} * n_phases + static_cast<std::size_t>(phase_)];
  }

  void count_lookups(routing const& r) noexcept {
    auto& count = at(clock_.layer);
    count.tokens += r.n_tokens;
    count.lookups += batch_.distinct();
    count.hits += batch_.distinct() - batch_.missing();
  }

  /// BuddyMoE's second decision, Eq. 2: too many distinct experts are missing.
  [[nodiscard]] refusal closed() const noexcept {
    if (config_.exact) return refusal::exact_mode;
    if (config_.beta && distribution_gate_closes(batch_.missing(), batch_.distinct(), beta_))
      return refusal::distribution_gate;
    return refusal::none;
  }

  /// Every routed slot as a hit; those that miss have no memory slot yet.
  void assign_hits(routing const& r, view<slot_id const> slot_of) noexcept {
    assignments_.resize(r.experts.size);
    auto const slots = assignments_.all();
    for (std::uint32_t i = 0; i != slots.size; ++i)
      slots[i] = {r.experts[i], resolution::own, refusal::none, slot_of[r.experts[i]], r.weights[i], 0};
  }

  /// The common case: nothing is missing, nothing moves.
  void take_hits(std::uint16_t layer, routing const& r) noexcept {
    auto const slots = assignments_.all();
    auto& count = at(layer);
    for (std::uint32_t i = 0; i != slots.size; ++i) {
      cache_.protect(slots[i].slot);
      if (batch_.first_use(i)) take_hit({layer, r.experts[i]}, slots[i].slot, count);
    }
    window_.push_rows_without(r.n_tokens);
    losses_.push_hits(r.n_tokens);
    count.slots[static_cast<std::size_t>(resolution::own)] += slots.size;
  }

  void take_hit(expert_key wanted, slot_id slot, layer_counters& count) noexcept {
    cache_.touch(slot);
    copies_.hit(wanted, count);
  }

  void resolve_rows(std::uint16_t layer, routing const& r, view<slot_id const> slot_of) noexcept {
    row_rules rules{closed(), config_.on_refused, config_.order, config_.rho, max_top_k, {}};
    losses_.begin(r.experts.size);
    for (std::uint32_t t = 0; losses_.shares_fetches(r.n_tokens) && t != r.n_tokens; ++t)
      losses_.weigh(row_of(layer, r, t).token, batch_.missing_slots(t), slot_of, selector_);
    for (std::uint32_t t = 0; t != r.n_tokens; ++t) {
      rules.window_budget = window_.left();
      window_.push(resolve_token(layer, r, t, slot_of, rules));
    }
  }

  [[nodiscard]] token_row row_of(std::uint16_t layer, routing const& r, std::uint32_t t) const noexcept {
    return {shape_, layer, clock_.step * config_.max_tokens + t, r, t};
  }

  /// @returns the number of stand-ins given to token `t`
  std::uint32_t resolve_token(std::uint16_t layer, routing const& r, std::uint32_t t, view<slot_id const> slot_of,
                              row_rules& rules) noexcept {
    std::uint32_t const k = shape_.top_k;
    slot_mask const missing = batch_.missing_slots(t);
    slot_outcome ends[max_top_k];
    if (missing == 0) return losses_.push(t, 0, {ends, k}), 0;
    token_row const row = row_of(layer, r, t);
    if (losses_.by_loss()) rules.loss = losses_.limits_of(row.token.experts);
    std::uint32_t const given = resolve_misses(row.token, missing, slot_of, rules, sensitivity_, selector_, {ends, k});
    losses_.push(t, missing, {ends, k});
    detail::write_row(row.token, row.weights, missing, {ends, k}, slot_of, config_, assignments_.all().part(t * k, k));
    return given;
  }

  /// Protects all that the batch reads, then takes the slots in order, then lets the misses that were not fetched earn
  /// their refill from what is left.
  void place(std::uint16_t layer, routing const& r) noexcept {
    auto const slots = assignments_.all();
    auto& count = at(layer);
    for (assignment const& a : slots)
      if (a.slot != no_slot) cache_.protect(a.slot);
    for (std::uint32_t i = 0; i != slots.size; ++i) {
      if (slots[i].how == resolution::fetch) {
        slots[i].slot = copies_.fetch({layer, r.experts[i]}, cache_, count);
      } else if (slots[i].how == resolution::own && batch_.first_use(i)) {
        take_hit({layer, r.experts[i]}, slots[i].slot, count);
      }
    }
    std::uint32_t n_missing = 0;
    for (std::uint32_t t = 0; t != r.n_tokens; ++t) {
      for (slot_mask left = batch_.missing_slots(t); left != 0; left &= left - 1) {
        settle_miss(layer, r, t * shape_.top_k + first_slot(left), count);
        ++n_missing;
      }
    }
    count.slots[static_cast<std::size_t>(resolution::own)] += slots.size - n_missing;
  }

  void settle_miss(std::uint16_t layer, routing const& r, std::uint32_t i, layer_counters& count) noexcept {
    assignment const& a = assignments_[i];
    detail::count_miss(a, count);
    if (a.how == resolution::fetch) return;
    if (a.how == resolution::host) copies_.compute_on_host(a.expert);
    if (batch_.first_use(i)) copies_.earn_refill({layer, r.experts[i]}, cache_, count);
  }

  model_shape shape_;
  policy_config config_;
  q16 beta_;  // rounded down, so that 3 of 5 reach 0.6
  Cache cache_;
  Predictor predictor_;
  Sensitivity sensitivity_;
  Selector selector_;
  replacement_window window_;
  batch_losses losses_;
  batch_experts batch_;
  fixed_list<assignment> assignments_;  // [n_tokens, top_k]
  copy_planner copies_;
  lane_divider divider_;
  std::vector<std::uint16_t> predicted_;  // [prefetch width]
  std::vector<layer_counters> counters_;  // [n_layers, n_phases]
  layer_plan plan_;
  step_clock clock_;
  phase phase_ = phase::decode;
  std::uint16_t next_layer_ = 0;
};

}  // namespace buddy::inline v0
