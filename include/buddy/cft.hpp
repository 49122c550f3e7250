// SPDX-License-Identifier: Apache-2.0
/// @file
/// Buddy lists from co-activation: for each expert the shortest list of peers that covers a share alpha of the company
/// it keeps (the Cumulative Frequency Threshold).
///
/// Source: BuddyMoE, arXiv:2511.10054, Eqs. 4-6. Differs from it: integers, so that the threshold has no rounding; ties
/// go to the lower id; the paper says neither how binary and weighted counts are combined (one is chosen here) nor what
/// happens to experts that were never active (they get no list and enter none).
#pragma once

#include <buddy/buddy_table.hpp>
#include <buddy/error.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/profile.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace buddy::inline v0 {

/// Which of the profile's co-activation counts the similarities come from.
enum class coactivation_counts : std::uint8_t {
  binary,        ///< every common token counts 1
  min_weighted,  ///< every common token counts the smaller of the two gate shares; binary where all of these are 0
};

/// How the lists are made.
struct cft_options {
  double alpha = 1.0;                     ///< coverage in (0, 1], taken to the nearest millionth so that .8 means 4/5
  std::vector<double> alpha_per_layer{};  ///< [n_layers] instead of `alpha`, or empty
  std::uint32_t k_max = 16;               ///< longest list
  coactivation_counts counts = coactivation_counts::binary;
  double laplace_eps = 0.0;  ///< added to the counts of all pairs of active experts, taken to the nearest 1/65536
};

namespace detail {

/// An expert and how often it was active together with the pivot, Q16.
struct peer {
  std::uint64_t count;
  std::uint16_t expert;
};

inline constexpr std::uint64_t alpha_unit = 1'000'000;

inline std::uint64_t alpha_millionths(double alpha) {
  if (!(alpha > 0.0 && alpha <= 1.0)) throw_config_error("buddy::cft_options: alpha must be in (0, 1]");
  return static_cast<std::uint64_t>(std::max(1.0, std::round(alpha * static_cast<double>(alpha_unit))));
}

/// Smallest c with c / total >= alpha, without the overflow of alpha x total.
constexpr std::uint64_t coverage(std::uint64_t alpha, std::uint64_t total) noexcept {
  return total / alpha_unit * alpha + (total % alpha_unit * alpha + alpha_unit - 1) / alpha_unit;
}

inline void validate(profile const& p, cft_options const& o) {
  if (o.k_max == 0) throw_config_error("buddy::cft_options: k_max must be at least 1");
  if (!o.alpha_per_layer.empty() && o.alpha_per_layer.size() != p.shape.n_layers)
    throw_config_error("buddy::cft_options: alpha_per_layer must be empty or name every layer");
  if (!(o.laplace_eps >= 0.0 && o.laplace_eps < 65535.0))
    throw_config_error("buddy::cft_options: laplace_eps must be in [0, 65535)");
  if (o.laplace_eps > 0.0 && to_q16(o.laplace_eps) == 0)
    throw_config_error("buddy::cft_options: laplace_eps above 0 must be at least 1/65536");
  bool const weighted = o.counts == coactivation_counts::min_weighted;
  std::size_t const n_pairs = p.shape.n_keys() * p.shape.n_experts;
  bool const binary_fit = p.coactivations.size() == n_pairs || (weighted && p.coactivations.empty());
  if (!binary_fit || (weighted && p.min_weighted.size() != n_pairs) || p.activations.size() != p.shape.n_keys())
    throw_config_error(weighted ? "buddy::build_cft: the profile has no min-weighted counts for its shape"
                                : "buddy::build_cft: the profile has no co-activation counts for its shape");
}

/// The counts that a pivot's list is made of: binary too when its gate shares say nothing, since an expert that kept
/// company has a buddy (the paper's t >= 1).
inline coactivation_counts counts_of(profile const& p, cft_options const& o, expert_key pivot) {
  if (o.counts == coactivation_counts::binary) return o.counts;
  auto const first = p.min_weighted.begin() + static_cast<std::ptrdiff_t>(p.pair_index(pivot.layer, pivot.expert, 0));
  bool const mute = std::all_of(first, first + p.shape.n_experts, [](std::uint64_t count) { return count == 0; });
  return mute && !p.coactivations.empty() ? coactivation_counts::binary : o.counts;
}

/// The pivot's possible buddies, most frequent first; none when the pivot was never active.
inline void rank_peers(profile const& p, cft_options const& o, expert_key pivot, std::vector<peer>& out) {
  out.clear();
  if (p.activations[p.shape.index(pivot)] == 0) return;
  std::uint64_t const eps = to_q16(o.laplace_eps);
  bool const binary = counts_of(p, o, pivot) == coactivation_counts::binary;
  for (std::uint16_t j = 0; j != p.shape.n_experts; ++j) {
    if (j == pivot.expert || p.activations[p.shape.index({pivot.layer, j})] == 0) continue;
    std::size_t const pair = p.pair_index(pivot.layer, pivot.expert, j);
    std::uint64_t const count = binary ? std::uint64_t{p.coactivations[pair]} << 16 : p.min_weighted[pair];
    if (count + eps != 0) out.push_back({count + eps, j});
  }
  std::sort(out.begin(), out.end(),
            [](peer const& a, peer const& b) { return a.count != b.count ? a.count > b.count : a.expert < b.expert; });
}

/// Appends the shortest prefix of `peers` that covers alpha, or the first k_max.
inline void append_covering(std::vector<peer> const& peers, std::uint64_t alpha, std::uint32_t k_max, expert_key pivot,
                            buddy_table& table) {
  std::uint64_t total = 0;
  for (peer const& x : peers) total += x.count;
  std::uint64_t const enough = coverage(alpha, total);
  std::uint64_t sum = 0;
  for (std::size_t t = 0; t != peers.size() && t != k_max && sum < enough; ++t) {
    sum += peers[t].count;
    double const q = static_cast<double>(peers[t].count) / static_cast<double>(total);
    table.append(pivot, peers[t].expert, to_q16(q));
  }
}

}  // namespace detail

/// The buddy lists of every expert; similarities are q(j | i) = M(i, j) / sum of M(i, j') over all j' != i.
///
/// With top-k routing, binary counts and no smoothing q <= 1 / (k - 1), so that a list needs at least alpha (k - 1)
/// entries; for many experts `k_max` binds rather than alpha.
/// @throws config_error when an option is out of range or needs counts that the profile does not have
/// Time O(L E^2 log E).
[[nodiscard]] inline buddy_table build_cft(profile const& p, cft_options const& options = {}) {
  detail::validate(p, options);
  std::uint32_t const most = std::max<std::uint32_t>(1, p.shape.n_experts - 1U);
  buddy_table table{p.shape, std::min(options.k_max, most)};
  std::vector<detail::peer> peers;
  for (std::uint16_t l = 0; l != p.shape.n_layers; ++l) {
    std::uint64_t const alpha =
        detail::alpha_millionths(options.alpha_per_layer.empty() ? options.alpha : options.alpha_per_layer[l]);
    for (std::uint16_t i = 0; i != p.shape.n_experts; ++i) {
      detail::rank_peers(p, options, {l, i}, peers);
      detail::append_covering(peers, alpha, options.k_max, {l, i}, table);
    }
  }
  return table;
}

}  // namespace buddy::inline v0
