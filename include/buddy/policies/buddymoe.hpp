// SPDX-License-Identifier: Apache-2.0
/// @file
/// BuddyMoE as published: the entropy gate, the distribution gate and the co-activation lists, composed in one call.
///
/// Source: BuddyMoE, arXiv:2511.10054. Where the paper is silent or contradicts itself, this is what was chosen:
///  - tau: section 3.1 forbids a stand-in when the entropy is <= tau (higher is more careful), section 3.4 calls a low
///    tau careful. Section 3.1 is followed. A fixed .95 is what was evaluated; the per-layer percentile is an option.
///  - beta has no published value, and near .5 it would close the gate exactly where the paper reports its gain: off.
///  - alpha has no published value: 1, so that only the published list length of 16 cuts the lists.
///  - H has no published value: the length of the list. gamma has none: off. Laplace's eps has none: 0.
///  - Binary and min-weighted counts are both collected, and how they combine is not said: binary.
///  - The order in which a token's budget is spent is not said: the router's, as the pseudo-code visits the slots.
///  - The stand-in keeps the missing expert's gate weight, not renormalised; what gets none is fetched.
///  - The paper judges the token first (tau, gamma), then the batch (beta); here the batch is judged first. The plans
///    are the same, but a slot that both forbid is counted as refused by the distribution gate.
///  - An expert that was replaced is not copied: the paper gains its bandwidth there. (`policy_config::refill_after`.)
#pragma once

#include <buddy/buddy_table.hpp>
#include <buddy/cft.hpp>
#include <buddy/error.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/policies/selection/coactivation.hpp>
#include <buddy/policies/sensitivity/entropy_gate.hpp>
#include <buddy/policy.hpp>
#include <buddy/profile.hpp>

#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace buddy::inline v0::policies {

/// The method's parameters; the defaults are the published settings where there are any.
struct buddymoe_options {
  double tau = 0.95;  ///< in [0, 1]: forbid stand-ins for a token whose entropy is <= tau
  /// Instead of `tau`: that percentile of each layer's entropies in the profile, a whole number in [0, 100]; the paper
  /// suggests 10 to 20.
  std::optional<double> percentile{};
  double temperature = 1.0;               ///< of the softmax whose entropy is taken; the paper suggests 0.8 to 1.2
  std::optional<double> gamma{};          ///< in [0, 1]: forbid from this margin between the two largest shares upwards
  std::optional<double> beta{};           ///< in [0, 1]: no stand-in in a batch that misses this share of its experts
  double alpha = 1.0;                     ///< in (0, 1]: coverage of the lists
  std::vector<double> alpha_per_layer{};  ///< [n_layers] instead of `alpha`, or empty
  std::uint32_t k_max = 16;               ///< |B|: longest list
  coactivation_counts counts = coactivation_counts::binary;
  double laplace_eps = 0.0;
  std::uint32_t search_limit = 16;   ///< H: entries of a list that are looked at
  std::uint32_t rho = 3;             ///< most stand-ins for one token at one layer; the paper evaluated 3 and 4
  double eta = 0.0;                  ///< in [0, 16384]: weight of the candidate's live score
  double kappa = 0.0;                ///< in [0, 16384]: penalty for each hop
  std::vector<std::uint8_t> hops{};  ///< [n_experts] partitions away, or empty
};

/// Owns the tables that its gate and selector read: it must outlive them, and the policies composed of them. Moving it
/// keeps them valid; the gate and the selector of a copy belong to the copy.
class buddymoe {
 public:
  /// @throws config_error when an option is out of range, or needs what the profile does not have
  explicit buddymoe(profile const& p, buddymoe_options options = {})
      : shape_(p.shape),
        options_(std::move(options)),
        table_(build_cft(
            p, {options_.alpha, options_.alpha_per_layer, options_.k_max, options_.counts, options_.laplace_eps})) {
    if (options_.search_limit == 0)
      detail::throw_config_error("buddy::policies::buddymoe: search_limit must be at least 1");
    require_factor(options_.eta, "buddy::policies::buddymoe: eta must be in [0, 16384]");
    require_factor(options_.kappa, "buddy::policies::buddymoe: kappa must be in [0, 16384]");
    if (!options_.hops.empty() && options_.hops.size() != p.shape.n_experts)
      detail::throw_config_error("buddy::policies::buddymoe: hops must be [n_experts] or empty");
    if (options_.percentile) take_percentile(p);
    static_cast<void>(sensitivity());  // refuses now what it would refuse later
    validate(config());
  }

  [[nodiscard]] buddy_table const& table() const noexcept { return table_; }

  [[nodiscard]] sensitivity::entropy_gate sensitivity() const& {
    auto gate = tau_.empty()
                    ? sensitivity::entropy_gate::fixed(options_.tau)
                    : sensitivity::entropy_gate::per_layer({tau_.data(), static_cast<std::uint32_t>(tau_.size())});
    gate = gate.with_temperature(options_.temperature);
    return options_.gamma ? gate.with_margin(*options_.gamma) : gate;
  }

  [[nodiscard]] selection::coactivation selector() const& noexcept {
    return {.table = table_.ref(),
            .search_limit = options_.search_limit,
            .eta_q16 = to_q16(options_.eta),
            .kappa_q16 = to_q16(options_.kappa),
            .hops = {options_.hops.data(), static_cast<std::uint32_t>(options_.hops.size())}};
  }

  /// The paper's rules; the caller may change what concerns the host, as `compose` lists it.
  [[nodiscard]] policy_config config() const noexcept {
    return with_rules({.on_refused = resolution::fetch, .refill_after = 0});
  }

  /// The whole method, on a cache and with a predictor of the host's choice (the paper has none of its own).
  ///
  /// The method's own fields (`beta`, `rho`, `order`, `weights`, `renormalise`) always come from the options.
  /// @param host  the rest: `exact`, `on_refused`, `replacement_ratio`, `ratio_window`, `refill_after`,
  ///              `prefetch_width`, `max_tokens`; start from `config()` for what the paper does
  /// @throws config_error when the cache was made for other sizes than the profile
  template <expert_cache Cache, expert_predictor Predictor>
  [[nodiscard]] auto compose(Cache cache, Predictor predictor, policy_config const& host) const& {
    model_shape const shape = shape_of(cache);
    return policy{shape, std::move(cache), std::move(predictor), sensitivity(), selector(), with_rules(host)};
  }

  template <expert_cache Cache, expert_predictor Predictor>
  [[nodiscard]] auto compose(Cache cache, Predictor predictor) const& {
    return compose(std::move(cache), std::move(predictor), config());
  }

  // What they return would read freed memory.
  sensitivity::entropy_gate sensitivity() && = delete;
  selection::coactivation selector() && = delete;
  template <class... Parts>
  void compose(Parts...) && = delete;

 private:
  [[nodiscard]] policy_config with_rules(policy_config c) const noexcept {
    c.beta = options_.beta;
    c.rho = options_.rho;
    c.order = budget_order::router;
    c.weights = weight_mode::keep;
    c.renormalise = false;
    return c;
  }

  static void require_factor(double x, char const* rule) {
    if (!(x >= 0.0 && x <= 16384.0)) detail::throw_config_error(rule);
  }

  void take_percentile(profile const& p) {
    double const percent = *options_.percentile;
    if (!(percent >= 0.0 && percent <= 100.0 && percent == std::floor(percent)))
      detail::throw_config_error("buddy::policies::buddymoe: percentile must be a whole number in [0, 100]");
    if (options_.temperature != 1.0)
      detail::throw_config_error(
          "buddy::policies::buddymoe: the profile's percentiles are of temperature 1; with another, give tau");
    if (p.entropy_percentiles.size() != p.shape.n_layers * n_percentiles)
      detail::throw_config_error("buddy::policies::buddymoe: the profile has no entropies; give tau instead");
    for (std::uint16_t l = 0; l != p.shape.n_layers; ++l)
      tau_.push_back(p.entropy_percentile(l, static_cast<std::uint32_t>(percent)));
  }

  /// The cache's own shape where it has one: its records may have another size than those of the calibration.
  template <class Cache>
  [[nodiscard]] model_shape shape_of(Cache const& cache) const {
    model_shape shape = shape_;
    if constexpr (requires { shape = cache.shape(); }) shape = cache.shape();
    if (!routes_alike(shape, shape_))
      detail::throw_config_error("buddy::policies::buddymoe: the cache was made for other sizes than the profile");
    return shape;
  }

  model_shape shape_;
  buddymoe_options options_;
  buddy_table table_;
  std::vector<q16> tau_;  // [n_layers], or empty: one tau for all
};

}  // namespace buddy::inline v0::policies
