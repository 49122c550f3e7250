// SPDX-License-Identifier: Apache-2.0
/// @file
/// How far the profile's expected losses are off, learnt from audits: for the model, each layer and each expert.
#pragma once

#include <buddy/fixed_point.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace buddy::inline v0 {

/// Audits that a belief is worth before any is made: the model's factor leans on 1, a layer's on the model's, an
/// expert's on its layer's.
struct factor_beliefs {
  std::uint32_t model = 8;
  std::uint32_t layer = 16;
  std::uint32_t expert = 32;
  std::uint32_t memory = 256;  ///< audits after which half of what is known is forgotten, so that drift is followed

  /// Of one factor alone.
  struct link {
    std::uint32_t belief = 64;
    std::uint32_t memory = 256;
  };
};

namespace detail {

/// Sums of true and of expected losses, each divided by its size, Q16; and the factor between them.
struct loss_ratio {
  std::uint64_t is{};
  std::uint64_t said{};

  static constexpr q16 least = q16_one / 64;
  static constexpr q16 most = q16_one * 64;

  [[nodiscard]] static constexpr q16 in_range(std::uint64_t x) noexcept {
    return x < least ? least : x > most ? most : static_cast<q16>(x);
  }

  /// Adds one audit, and forgets so that half is gone after `memory` of them: 1 - ln 2 / memory for each. A value
  /// counts at most 64 times its size.
  constexpr void add(std::uint64_t is_q16, std::uint64_t said_q16, std::uint32_t memory) noexcept {
    constexpr std::uint64_t largest = std::uint64_t{64} << 16;
    auto const enter = [&](std::uint64_t& sum, std::uint64_t x) {
      sum = sum - sum * 45426 / (std::uint64_t{65536} * memory) + (x < largest ? x : largest);
    };
    enter(is, is_q16);
    enter(said, said_q16);
  }

  /// (belief x prior + true) / (belief + expected). @param belief  in audits, each of which says about 1
  [[nodiscard]] constexpr q16 factor(std::uint32_t belief, q16 prior) const noexcept {
    std::uint64_t const above = std::uint64_t{belief} * prior + is;
    std::uint64_t const below = std::uint64_t{belief} * q16_one + said;
    return below == 0 ? prior : in_range((above << 16) / below);
  }

  constexpr void doubt() noexcept {
    is /= 8;
    said /= 8;
  }
};

}  // namespace detail

/// Three levels of factors. `learn` takes O(n_layers), `doubt` O(experts); no allocation after construction. Integers
/// only: equal audits give equal factors.
class loss_factors {
 public:
  loss_factors(model_shape const& shape, factor_beliefs const& beliefs)
      : shape_(shape), beliefs_(beliefs), layers_(shape.n_layers), experts_(shape.n_keys()) {
    layer_q16_.assign(shape.n_layers, q16_one);
    expert_q16_.assign(shape.n_keys(), q16_one);
  }

  /// One audit: what a stand-in for `k` lost, and what the profile had said, both over the size it was drawn with, Q16.
  void learn(expert_key k, std::uint64_t true_q16, std::uint64_t expected_q16) noexcept {
    auto& expert = experts_[shape_.index(k)];
    for (auto* const sum : {&model_, &layers_[k.layer], &expert}) sum->add(true_q16, expected_q16, beliefs_.memory);
    q16 const model = model_.factor(beliefs_.model, q16_one);
    for (std::uint16_t l = 0; l != shape_.n_layers; ++l) layer_q16_[l] = layers_[l].factor(beliefs_.layer, model);
    q16 const layer = layer_q16_[k.layer];
    std::uint64_t const whole = expert.factor(beliefs_.expert, layer);
    expert_q16_[shape_.index(k)] = detail::loss_ratio::in_range((whole << 16) / layer);
  }

  /// What was learnt counts for less from now on: the text is another.
  void doubt() noexcept {
    model_.doubt();
    for (auto& sum : layers_) sum.doubt();
    for (auto& sum : experts_) sum.doubt();
  }

  /// [n_layers] factors of the losses of a layer, Q16.
  [[nodiscard]] view<q16 const> layers() const noexcept {
    return {layer_q16_.data(), static_cast<std::uint32_t>(layer_q16_.size())};
  }
  /// Factor of one expert's losses, on top of its layer's.
  [[nodiscard]] q16 of(expert_key k) const noexcept { return expert_q16_[shape_.index(k)]; }

 private:
  model_shape shape_;
  factor_beliefs beliefs_;
  detail::loss_ratio model_;
  std::vector<detail::loss_ratio> layers_;   // [L]
  std::vector<detail::loss_ratio> experts_;  // [L, E]
  std::vector<q16> layer_q16_;               // [L]
  std::vector<q16> expert_q16_;              // [L, E]
};

}  // namespace buddy::inline v0
