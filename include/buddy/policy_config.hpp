// SPDX-License-Identifier: Apache-2.0
/// @file
/// The rules of the batch that no component decides.
#pragma once

#include <buddy/admission.hpp>
#include <buddy/error.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/loss_budget.hpp>
#include <buddy/miss_lanes.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/prefetch_governor.hpp>
#include <buddy/resolution.hpp>
#include <buddy/resolver.hpp>

#include <cstdint>
#include <optional>

namespace buddy::inline v0 {

/// Whose gate weight a buddy's output is multiplied with.
enum class weight_mode : std::uint8_t {
  keep,  ///< the missing expert's (BuddyMoE)
  own,   ///< the buddy's own, in the scale of the model's gate weights; needs `routing::scores`
};

/// What the policy does around its components. The defaults fetch whatever gets no stand-in and limit nothing.
struct policy_config {
  /// Never substitute: the output is bit for bit the all-resident model's.
  bool exact = false;
  /// What happens to a missing expert that gets no stand-in: `fetch`, `host` or `drop`.
  resolution on_refused = resolution::fetch;
  /// BuddyMoE's distribution gate: no stand-in in a batch whose missing share of distinct experts is >= beta.
  /// It is held in Q16 and rounded down: a share that is less than 1/65536 below beta closes the gate too.
  std::optional<double> beta = std::nullopt;
  /// Most stand-ins for one token at one layer; `max_top_k` is no limit.
  std::uint32_t rho = max_top_k;
  budget_order order = budget_order::router;
  /// Largest share of routed slots that may get a stand-in, over the last `ratio_window` tokens of all layers;
  /// the window is in [1, 2^20].
  double replacement_ratio = 1.0;
  std::uint32_t ratio_window = 256;
  /// What stand-ins may lose; needs `budget_order::least_loss`, and a selector that knows losses.
  loss_budget_options loss{};
  weight_mode weights = weight_mode::keep;
  /// Scale a token's weights after substitution so that they add up to what they did before.
  bool renormalise = false;
  /// A missing expert that was not fetched is copied in the background at its n-th such miss, so that substitution
  /// cannot freeze the resident set; 0: never.
  std::uint32_t refill_after = 1;
  /// Most bytes of such copies in a step, for those who are missed most; 0: no limit. See `refill_budget`.
  std::uint64_t refill_bytes_per_step = 0;
  prefetch_mode prefetch = prefetch_mode::always;
  /// How the misses that would be fetched are divided between the link and the CPU.
  miss_lanes lanes{};
  /// Most copies that enter the cache in one layer of one step, refills included; 0: no limit. What is beyond it takes
  /// `over_cap`: `fetch` through staging, or `host`.
  std::uint32_t admissions_per_layer = 0;
  resolution over_cap = resolution::fetch;
  /// What a step of prefill may change in the cache.
  prefill_admission in_prefill = prefill_admission::free_slots;
  /// Most experts that one `prefetch` call may copy; 0: the router's top_k; more than n_experts is n_experts.
  std::uint32_t prefetch_width = 0;
  /// Largest batch that `resolve` will see, in [1, 65536].
  std::uint32_t max_tokens = 1;
};

inline constexpr std::uint32_t max_ratio_window = 1U << 20;
inline constexpr std::uint64_t max_refill_bytes = std::uint64_t{1} << 60;
inline constexpr std::uint32_t max_batch_tokens = 1U << 16;

/// @throws config_error naming the member that is out of range
inline void validate(policy_config const& c) {
  auto const share = [](double x) { return x >= 0.0 && x <= 1.0; };
  if (c.on_refused != resolution::fetch && c.on_refused != resolution::host && c.on_refused != resolution::drop)
    detail::throw_config_error("buddy::policy_config: on_refused must be fetch, host or drop");
  if (c.exact && c.on_refused == resolution::drop)
    detail::throw_config_error("buddy::policy_config: exact mode cannot drop; on_refused must be fetch or host");
  if (c.beta && !share(*c.beta)) detail::throw_config_error("buddy::policy_config: beta must be in [0, 1]");
  if (!share(c.replacement_ratio))
    detail::throw_config_error("buddy::policy_config: replacement_ratio must be in [0, 1]");
  if (c.ratio_window == 0 || c.ratio_window > max_ratio_window)
    detail::throw_config_error("buddy::policy_config: ratio_window must be in [1, 1048576] tokens");
  if (c.refill_bytes_per_step > max_refill_bytes)
    detail::throw_config_error("buddy::policy_config: refill_bytes_per_step must be at most 2^60");
  validate(c.loss);
  if (c.loss.target_ub != 0 && c.order != budget_order::least_loss)
    detail::throw_config_error("buddy::policy_config: a loss budget needs order least_loss");
  validate(c.lanes);
  if (c.over_cap != resolution::fetch && c.over_cap != resolution::host)
    detail::throw_config_error("buddy::policy_config: over_cap must be fetch or host");
  if (c.max_tokens == 0 || c.max_tokens > max_batch_tokens)
    detail::throw_config_error("buddy::policy_config: max_tokens must be in [1, 65536]");
}

}  // namespace buddy::inline v0
