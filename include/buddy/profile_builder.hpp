// SPDX-License-Identifier: Apache-2.0
/// @file
/// Counts a profile from the routing of a model that runs.
#pragma once

#include <buddy/error.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/profile.hpp>
#include <buddy/routing.hpp>
#include <buddy/token_entropy.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace buddy::inline v0 {

namespace detail {

/// Cosine of two vectors of equal length; 0 when one of them is 0.
inline float cosine(view<float const> a, view<float const> b) noexcept {
  double dot = 0.0;
  double aa = 0.0;
  double bb = 0.0;
  for (std::uint32_t i = 0; i != a.size; ++i) {
    dot += double{a[i]} * double{b[i]};
    aa += double{a[i]} * double{a[i]};
    bb += double{b[i]} * double{b[i]};
  }
  return aa > 0.0 && bb > 0.0 ? static_cast<float>(dot / (std::sqrt(aa) * std::sqrt(bb))) : 0.0F;
}

}  // namespace detail

/// Fed with every layer's routing in the order in which the host runs them: layer 0, 1, ... of a step, then the next.
///
/// The tokens of one batch are consecutive tokens of one sequence. A layer may be left out or arrive with another
/// number of tokens; then only the transitions across that gap are not counted. Entropies are kept at full resolution
/// (1/65536), 256 KiB a layer. Calibration is offline: this allocates and throws.
class profile_builder {
 public:
  /// @throws config_error when the shape is not valid
  profile_builder(model_shape const& shape, std::string model) {
    validate(shape);
    profile_.shape = shape;
    profile_.model = std::move(model);
    std::size_t const n_pairs = shape.n_keys() * shape.n_experts;
    profile_.activations.resize(shape.n_keys());
    profile_.coactivations.resize(n_pairs);
    profile_.transitions.resize(n_pairs);
    tokens_.resize(shape.n_layers);
  }

  /// The next observation belongs to another text: no transition leads to it.
  void begin_sequence() noexcept {
    previous_.clear();
    first_.clear();
    last_.clear();
  }

  /// @param r  without `scores`; without `weights` too when the engine hides them, but then in every call
  /// @throws config_error when an id, a weight or a size is not possible
  void observe(std::uint16_t layer, routing const& r) {
    require_valid(layer, r);
    if (!r.weights.empty() && profile_.min_weighted.empty()) begin_weights();
    tokens_[layer] += r.n_tokens;
    for (std::uint32_t t = 0; t != r.n_tokens; ++t) {
      count_token(layer, token_of(r.experts, t));
      if (!r.weights.empty()) count_weights(layer, token_of(r.experts, t), r.weights.part(t * top_k(), top_k()));
    }
    count_transitions(layer, r);
  }

  /// Cosines between the rows of a layer's router; every layer or none.
  /// @param rows  [n_experts, hidden]
  /// @throws config_error when the size or an element is not possible
  void router_rows(std::uint16_t layer, view<float const> rows) {
    std::uint32_t const n = profile_.shape.n_experts;
    if (layer >= profile_.shape.n_layers) detail::throw_config_error("buddy::profile_builder: no such layer");
    if (rows.empty() || rows.size % n != 0)
      detail::throw_config_error("buddy::profile_builder: router rows must be [n_experts, hidden]");
    if (!std::all_of(rows.begin(), rows.end(), [](float x) { return std::isfinite(x); }))
      detail::throw_config_error("buddy::profile_builder: router rows must be finite");
    profile_.router_cosine.resize(profile_.shape.n_keys() * n);
    router_seen_.resize(profile_.shape.n_layers);
    router_seen_[layer] = true;
    std::uint32_t const hidden = rows.size / n;
    for (std::uint16_t i = 0; i != n; ++i) {
      for (std::uint16_t j = 0; j <= i; ++j) {
        float const c = detail::cosine(rows.part(i * hidden, hidden), rows.part(j * hidden, hidden));
        profile_.router_cosine[profile_.pair_index(layer, i, j)] = c;
        profile_.router_cosine[profile_.pair_index(layer, j, i)] = c;
      }
    }
  }

  /// What was counted so far.
  /// @throws config_error when router rows were given for some layers only
  [[nodiscard]] profile finish() const {
    if (std::count(router_seen_.begin(), router_seen_.end(), true) != std::ptrdiff_t(router_seen_.size()))
      detail::throw_config_error("buddy::profile_builder: router rows must be given for every layer or none");
    profile p = profile_;
    p.n_tokens = *std::max_element(tokens_.begin(), tokens_.end());
    if (!entropies_.empty()) {
      p.entropy_percentiles.resize(p.shape.n_layers * n_percentiles);
      for (std::uint16_t l = 0; l != p.shape.n_layers; ++l) write_percentiles(l, p.entropy_percentiles);
    }
    return p;
  }

 private:
  using ids = std::vector<std::uint16_t>;

  [[nodiscard]] std::uint32_t top_k() const noexcept { return profile_.shape.top_k; }

  /// The t-th token's experts in `[n_tokens, top_k]`.
  [[nodiscard]] view<std::uint16_t const> token_of(view<std::uint16_t const> experts, std::uint32_t t) const noexcept {
    return experts.part(t * top_k(), top_k());
  }
  [[nodiscard]] view<std::uint16_t const> token_of(ids const& experts, std::uint32_t t) const noexcept {
    return {experts.data() + t * top_k(), top_k()};
  }

  void require_valid(std::uint16_t layer, routing const& r) const {
    if (layer >= profile_.shape.n_layers) detail::throw_config_error("buddy::profile_builder: no such layer");
    if (r.experts.size != std::uint64_t{r.n_tokens} * top_k())
      detail::throw_config_error("buddy::profile_builder: experts must be [n_tokens, top_k]");
    if (!r.weights.empty() && r.weights.size != r.experts.size)
      detail::throw_config_error("buddy::profile_builder: weights must be [n_tokens, top_k] or empty");
    bool const seen_any = std::any_of(tokens_.begin(), tokens_.end(), [](std::uint64_t n) { return n != 0; });
    if (seen_any && r.n_tokens != 0 && r.weights.empty() != entropies_.empty())
      detail::throw_config_error("buddy::profile_builder: weights must come with every call or with none");
    if (tokens_[layer] + r.n_tokens > std::numeric_limits<std::uint32_t>::max())
      detail::throw_config_error("buddy::profile_builder: a layer may see at most 2^32 - 1 tokens");
    for (std::uint32_t t = 0; t != r.n_tokens; ++t) require_distinct(token_of(r.experts, t));
    if (!std::all_of(r.weights.begin(), r.weights.end(), [](float w) { return std::isfinite(w) && w >= 0.0F; }))
      detail::throw_config_error("buddy::profile_builder: gate weights must be finite and at least 0");
  }

  void require_distinct(view<std::uint16_t const> experts) const {
    for (std::uint32_t a = 0; a != experts.size; ++a) {
      if (experts[a] >= profile_.shape.n_experts)
        detail::throw_config_error("buddy::profile_builder: expert ids must be below n_experts");
      for (std::uint32_t b = 0; b != a; ++b) {
        if (experts[a] == experts[b])
          detail::throw_config_error("buddy::profile_builder: a token's experts must be distinct");
      }
    }
  }

  void begin_weights() {
    profile_.min_weighted.resize(profile_.coactivations.size());
    entropies_.resize(profile_.shape.n_layers * std::size_t{n_entropies});
  }

  void count_token(std::uint16_t layer, view<std::uint16_t const> experts) noexcept {
    for (std::uint16_t const i : experts) {
      ++profile_.activations[profile_.shape.index({layer, i})];
      for (std::uint16_t const j : experts) {
        if (i != j) ++profile_.coactivations[profile_.pair_index(layer, i, j)];
      }
    }
  }

  void count_weights(std::uint16_t layer, view<std::uint16_t const> experts, view<float const> weights) noexcept {
    q16 buffer[max_top_k];
    view<q16> const shares{buffer, top_k()};
    normalise(weights, shares);
    ++entropies_[layer * std::size_t{n_entropies} + token_entropy_q16({buffer, top_k()})];
    for (std::uint32_t a = 0; a != experts.size; ++a) {
      for (std::uint32_t b = 0; b != experts.size; ++b) {
        if (a == b) continue;
        profile_.min_weighted[profile_.pair_index(layer, experts[a], experts[b])] += std::min(shares[a], shares[b]);
      }
    }
  }

  /// Links this batch to the layer before it, and through the last layer each token to its successor.
  void count_transitions(std::uint16_t layer, routing const& r) {
    if (r.n_tokens == 0) return;
    if (layer == 0) {
      if (!last_.empty()) link(layer_of_last(), token_of(last_, 0), token_of(r.experts, 0));
    } else if (layer == previous_layer_ + 1 && previous_.size() == r.experts.size) {
      for (std::uint32_t t = 0; t != r.n_tokens; ++t)
        link(previous_layer_, token_of(previous_, t), token_of(r.experts, t));
    }
    bool const step_begins = layer == 0 || layer <= previous_layer_;
    if (step_begins) last_.clear();
    if (step_begins) first_.clear();
    if (layer == 0) first_.assign(r.experts.begin(), r.experts.end());
    if (layer == layer_of_last()) {
      for (std::uint32_t t = 1; t != r.n_tokens && first_.size() == r.experts.size; ++t)
        link(layer, token_of(r.experts, t - 1), token_of(first_, t));
      view<std::uint16_t const> const last = token_of(r.experts, r.n_tokens - 1);
      last_.assign(last.begin(), last.end());
    }
    previous_.assign(r.experts.begin(), r.experts.end());
    previous_layer_ = layer;
  }

  [[nodiscard]] std::uint16_t layer_of_last() const noexcept {
    return static_cast<std::uint16_t>(profile_.shape.n_layers - 1);
  }

  void link(std::uint16_t layer, view<std::uint16_t const> from, view<std::uint16_t const> to) noexcept {
    for (std::uint16_t const i : from) {
      for (std::uint16_t const j : to) ++profile_.transitions[profile_.pair_index(layer, i, j)];
    }
  }

  /// Nearest rank: the p-th percentile is the smallest value that at least p % of the tokens do not exceed.
  void write_percentiles(std::uint16_t layer, std::vector<q16>& out) const noexcept {
    auto const* const counts = entropies_.data() + layer * std::size_t{n_entropies};
    std::uint64_t seen = counts[0];
    q16 value = 0;
    for (std::size_t p = 0; p != n_percentiles && tokens_[layer] != 0; ++p) {
      std::uint64_t const rank = std::max<std::uint64_t>(1, (p * tokens_[layer] + 99) / 100);
      while (seen < rank) seen += counts[++value];
      out[layer * n_percentiles + p] = value;
    }
  }

  static constexpr q16 n_entropies = q16_one + 1;

  profile profile_;
  std::vector<std::uint64_t> tokens_;     // [L] tokens seen
  std::vector<std::uint32_t> entropies_;  // [L, 65537] tokens with this entropy; empty without weights
  std::vector<bool> router_seen_;         // [L] once rows were given
  ids previous_;                          // the batch observed last
  std::uint16_t previous_layer_{};
  ids first_;  // layer 0 of this step
  ids last_;   // last token at the last layer, until the next step begins
};

}  // namespace buddy::inline v0
