// SPDX-License-Identifier: Apache-2.0
/// @file
/// What a router decided for a whole text: the material of replays and calibration.
#pragma once

#include <buddy/counters.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/routing.hpp>
#include <buddy/view.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace buddy::inline v0 {

/// Stands in every slot of a token at a layer that has no record.
inline constexpr std::uint16_t no_expert = 0xffff;

/// Routing of consecutive tokens, sequence after sequence.
struct routing_trace {
  std::string model;
  std::string source;   ///< where it was recorded
  std::string licence;  ///< SPDX identifier, or empty
  std::uint16_t n_layers{};
  std::uint16_t n_experts{};
  std::uint16_t top_k{};
  std::vector<std::uint16_t> experts;           ///< [n_tokens, n_layers, top_k] by falling weight, or all `no_expert`
  std::vector<float> weights;                   ///< same shape: gate weights as the model applies them; or empty
  std::vector<std::uint32_t> sequence_lengths;  ///< [n_sequences] tokens; they add up to n_tokens
  std::vector<phase> phases;                    ///< [n_tokens], or empty
  /// [n_tokens, n_layers, top_k] 1 where the cache of the engine that was recorded held the expert; or empty
  std::vector<std::uint8_t> resident{};
  std::vector<std::uint64_t> record_bytes{};  ///< [n_layers] bytes of one expert's record in that engine; or empty

  /// Recorded tokens.
  [[nodiscard]] std::size_t n_tokens() const noexcept {
    std::size_t const width = std::size_t{n_layers} * top_k;
    return width == 0 ? 0 : experts.size() / width;
  }

  [[nodiscard]] bool has_record(std::size_t token, std::uint16_t layer) const noexcept {
    return experts[first_slot(token, layer)] != no_expert;
  }

  /// One token at one layer, as `policy::resolve` or `profile_builder::observe` take it. @pre has_record(token, layer)
  [[nodiscard]] routing at(std::size_t token, std::uint16_t layer) const noexcept {
    std::size_t const first = first_slot(token, layer);
    view<float const> const w{weights.data() + (weights.empty() ? 0 : first), weights.empty() ? 0U : top_k};
    return {{experts.data() + first, top_k}, w, {}, 1};
  }

  [[nodiscard]] phase phase_of(std::size_t token) const noexcept {
    return phases.empty() ? phase::decode : phases[token];
  }

  /// A trace does not say how large a record is.
  [[nodiscard]] model_shape shape(std::uint64_t expert_bytes) const noexcept {
    return {n_layers, n_experts, top_k, expert_bytes};
  }

  bool operator==(routing_trace const&) const = default;

 private:
  [[nodiscard]] std::size_t first_slot(std::size_t token, std::uint16_t layer) const noexcept {
    return (token * n_layers + layer) * top_k;
  }
};

}  // namespace buddy::inline v0
