// SPDX-License-Identifier: Apache-2.0
// Components chosen at run time, so that one policy type stands for every combination of the models.
#pragma once

#include <buddy/buddy.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace chosen {

/// The `kind`-th alternative, made from `arguments`.
template <class Variant, std::size_t I = 0, class... Arguments>
Variant make(std::size_t kind, Arguments const&... arguments) {
  if constexpr (I + 1 < std::variant_size_v<Variant>) {
    if (kind != I) return make<Variant, I + 1>(kind, arguments...);
  }
  return Variant(std::in_place_index<I>, arguments...);
}

template <class Variant, std::size_t... I>
std::string_view name_of(std::size_t kind, std::index_sequence<I...>) {
  return std::array<std::string_view, sizeof...(I)>{std::variant_alternative_t<I, Variant>::name...}[kind];
}

/// Name of the `kind`-th alternative.
template <class Variant>
std::string_view name_of(std::size_t kind) {
  return name_of<Variant>(kind, std::make_index_sequence<std::variant_size_v<Variant>>{});
}

/// `lfu` with counts that outlive residency, of every model that these tests have.
struct lfu_persistent : buddy::eviction::lfu {
  static constexpr std::string_view name = "lfu_persistent";

  explicit lfu_persistent(std::size_t capacity)
      : lfu(capacity, {.n_layers = 4, .n_experts = 64, .top_k = 1, .expert_bytes = 1}) {}
};

using evictions = std::variant<buddy::eviction::lru, buddy::eviction::lru_token, buddy::eviction::lfu_decayed,
                               buddy::eviction::random, lfu_persistent, buddy::eviction::arc, buddy::eviction::s3_fifo>;
using predictors = std::variant<buddy::prediction::none, buddy::prediction::previous_token, buddy::prediction::markov>;
using gates = std::variant<buddy::sensitivity::never, buddy::sensitivity::always, buddy::sensitivity::entropy_gate,
                           buddy::sensitivity::margin_gate, buddy::sensitivity::weight_gate,
                           buddy::sensitivity::keep_top, buddy::sensitivity::drop_cold, buddy::sensitivity::ser_gate,
                           buddy::sensitivity::adapmoe_gate, buddy::sensitivity::score_gate>;
using selectors =
    std::variant<buddy::selection::none, buddy::selection::random_resident, buddy::selection::coactivation,
                 buddy::selection::live_score, buddy::selection::zero_fill, buddy::selection::router_similarity,
                 buddy::selection::output_similarity, buddy::selection::cache_prior, buddy::selection::rank_window,
                 buddy::selection::precision_by_mass, buddy::selection::expected_error>;

inline constexpr std::size_t n_evictions = std::variant_size_v<evictions>;
inline constexpr std::size_t n_predictors = std::variant_size_v<predictors>;
inline constexpr std::size_t n_gates = std::variant_size_v<gates>;
inline constexpr std::size_t n_selectors = std::variant_size_v<selectors>;

class eviction {
 public:
  static constexpr std::string_view name = "chosen";

  eviction(std::size_t capacity, std::size_t kind) : model_(make<evictions>(kind, capacity)) {}

  void on_step(buddy::step_clock const& now) noexcept {
    std::visit([&](auto& m) noexcept { m.on_step(now); }, model_);
  }
  void on_insert(buddy::slot_id s, buddy::expert_key k) noexcept {
    std::visit([&](auto& m) noexcept { m.on_insert(s, k); }, model_);
  }
  void on_hit(buddy::slot_id s) noexcept {
    std::visit([&](auto& m) noexcept { m.on_hit(s); }, model_);
  }
  void on_erase(buddy::slot_id s) noexcept {
    std::visit([&](auto& m) noexcept { m.on_erase(s); }, model_);
  }
  template <class MayLeave>
  buddy::slot_id victim(MayLeave const& may_leave) const noexcept {
    return std::visit([&](auto const& m) noexcept { return m.victim(may_leave); }, model_);
  }

 private:
  evictions model_;
};

class predictor {
 public:
  static constexpr std::string_view name = "chosen";

  predictor(buddy::model_shape const& shape, std::size_t kind) : model_(make<predictors>(kind, shape)) {}

  void observe(std::uint16_t layer, buddy::routing const& r) noexcept {
    std::visit([&](auto& m) noexcept { m.observe(layer, r); }, model_);
  }
  std::uint32_t predict(std::uint16_t layer, buddy::view<std::uint16_t> out) noexcept {
    return std::visit([&](auto& m) noexcept { return m.predict(layer, out); }, model_);
  }

 private:
  predictors model_;
};

/// A variant is not trivially copyable enough for the device; all models side by side are.
struct gate {
  static constexpr std::string_view name = "chosen";

  std::size_t kind{};
  buddy::sensitivity::never never{};
  buddy::sensitivity::always always{};
  buddy::sensitivity::entropy_gate entropy{};
  buddy::sensitivity::margin_gate margin{};
  buddy::sensitivity::weight_gate weight{};
  buddy::sensitivity::keep_top top{};
  buddy::sensitivity::drop_cold cold{};
  buddy::sensitivity::ser_gate ser{};
  buddy::sensitivity::adapmoe_gate adapmoe{};
  buddy::sensitivity::score_gate score{};

  BUDDY_HD constexpr buddy::slot_mask replaceable(buddy::token_view const& token) const noexcept {
    switch (kind) {
      case 0:
        return never.replaceable(token);
      case 1:
        return always.replaceable(token);
      case 2:
        return entropy.replaceable(token);
      case 3:
        return margin.replaceable(token);
      case 4:
        return weight.replaceable(token);
      case 5:
        return top.replaceable(token);
      case 6:
        return cold.replaceable(token);
      case 7:
        return ser.replaceable(token);
      case 8:
        return adapmoe.replaceable(token);
      default:
        return score.replaceable(token);
    }
  }
};

struct selector {
  static constexpr std::string_view name = "chosen";

  std::size_t kind{};
  buddy::selection::none none{};
  buddy::selection::random_resident random_resident{};
  buddy::selection::coactivation coactivation{};
  buddy::selection::live_score live_score{};
  buddy::selection::zero_fill zero_fill{};
  buddy::selection::router_similarity router_similarity{};
  buddy::selection::output_similarity output_similarity{};
  buddy::selection::cache_prior cache_prior{};
  buddy::selection::rank_window rank_window{};
  buddy::selection::precision_by_mass precision_by_mass{};
  buddy::selection::expected_error expected_error{};

  /// For the models that read one.
  void use(buddy::buddy_table_ref table) {
    coactivation.table = table;
    router_similarity.table = table;
    output_similarity.table = table;
  }

  BUDDY_HD constexpr buddy::stand_in select(buddy::token_view const& token, buddy::view<buddy::slot_id const> slot_of,
                                            buddy::expert_set const& taken, std::uint32_t s) const noexcept {
    switch (kind) {
      case 0:
        return none.select(token, slot_of, taken, s);
      case 1:
        return random_resident.select(token, slot_of, taken, s);
      case 2:
        return coactivation.select(token, slot_of, taken, s);
      case 3:
        return live_score.select(token, slot_of, taken, s);
      case 4:
        return zero_fill.select(token, slot_of, taken, s);
      case 5:
        return router_similarity.select(token, slot_of, taken, s);
      case 6:
        return output_similarity.select(token, slot_of, taken, s);
      case 7:
        return cache_prior.select(token, slot_of, taken, s);
      case 8:
        return rank_window.select(token, slot_of, taken, s);
      case 9:
        return precision_by_mass.select(token, slot_of, taken, s);
      default:
        return expected_error.select(token, slot_of, taken, s);
    }
  }
};

/// Settings at which, with few experts a token, every model says both yes and no.
inline gate eager_gate(std::size_t kind) {
  gate g{.kind = kind};
  g.entropy = buddy::sensitivity::entropy_gate::fixed(0.9);
  g.weight = buddy::sensitivity::weight_gate::fixed(0.35);
  g.cold = buddy::sensitivity::drop_cold::fixed(0.9);
  g.ser = buddy::sensitivity::ser_gate::fixed(1, 0.9);
  g.adapmoe = buddy::sensitivity::adapmoe_gate::fixed(0.2);
  g.score = buddy::sensitivity::score_gate::fixed(0.15);
  return g;
}

inline selector eager_selector(std::size_t kind, buddy::buddy_table_ref table, buddy::expected_error_ref losses = {}) {
  selector s{.kind = kind};
  s.use(table);
  s.expected_error.errors = losses;
  s.output_similarity.threshold_q16 = 10000;
  s.rank_window = buddy::selection::rank_window::fixed(6, 1.0, 0.9);
  s.precision_by_mass = buddy::selection::precision_by_mass::fixed(0.4, 0.7);
  return s;
}

using policy = buddy::policy<buddy::slot_cache<eviction>, predictor, gate, selector>;

}  // namespace chosen
