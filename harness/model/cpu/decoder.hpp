// SPDX-License-Identifier: Apache-2.0
/// @file
/// One token at a time through the model, with the caller deciding at every layer which experts run.
#pragma once

#include "harness/model/aligned_floats.hpp"
#include "harness/model/cpu/kv_cache.hpp"
#include "harness/model/cpu/layers.hpp"
#include "harness/model/weights.hpp"

#include <buddy/assert.hpp>
#include <buddy/types.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace harness {

/// One expert to run for the present token; a weight of 0 leaves it out.
struct expert_use {
  std::uint16_t expert{};
  float weight{};
  /// Of the device; none: computed by the CPU, as a decoder on the CPU does anyway.
  buddy::slot_id slot{buddy::no_slot};
  bool replaced{};  ///< the caller computes what takes its place
};

/// What the router says of one token at one layer.
struct router_output {
  std::span<std::uint16_t const> experts;  ///< [top_k] by falling probability, ties to the lower id
  std::span<float const> weights;          ///< [top_k] gate weights as the model uses them
  std::span<float const> probabilities;    ///< [n_experts] softmax over all experts
  float hidden_norm{};                     ///< Euclidean norm of the hidden state that the layer's output is added to
};

/// The policy of a model that fits: every expert the router asks for, at its own weight.
class all_resident {
 public:
  std::span<expert_use const> operator()(std::uint16_t, router_output const& routed, std::span<float const>) noexcept {
    for (std::size_t i = 0; i != routed.experts.size(); ++i)
      uses_[i] = {routed.experts[i], routed.weights[i], buddy::no_slot};
    return {uses_.data(), routed.experts.size()};
  }

 private:
  std::array<expert_use, buddy::max_top_k> uses_{};
};

/// Holds the work space of one token; nothing is allocated after construction. One thread at a time.
class decoder {
 public:
  /// @param w  must outlive the decoder
  explicit decoder(weights const& w);

  /// One token through the model.
  ///
  /// @param moe  called once a layer, in order: `moe(layer, router_output, input)` returns a range of `expert_use`,
  ///   whose outputs are weighted and added in that order; `input` [hidden_size] is what router and experts see. If it
  ///   has a member `on_expert_output(layer, expert_use, output)`, that is called with each unweighted output
  ///   [hidden_size] before it is added. Where a use is `replaced`, `add_stand_in(layer, expert_use, input, sum)` adds
  ///   the weighted output of what takes the expert's place to the hidden state, `sum` [hidden_size]. A member
  ///   `on_layer_end(layer, hidden)` sees the hidden state when all are added.
  /// @return logits [vocab_size], valid until the next call
  /// @pre cache.size() < cache.capacity()
  template <class Moe>
  std::span<float const> step(std::uint8_t token, kv_cache& cache, Moe&& moe) {
    BUDDY_ASSERT(cache.size() < cache.capacity());
    begin(token);
    for (std::uint16_t l = 0; l != weights_->config().n_layers; ++l) {
      attend(l, cache);
      router_output const routed = route(l);
      for (expert_use const& use : moe(l, routed, std::span<float const>{normed_})) {
        if (use.weight == 0.0F) continue;
        if constexpr (requires { moe.add_stand_in(l, use, std::span<float const>{normed_}, residual_); }) {
          if (use.replaced) {
            moe.add_stand_in(l, use, std::span<float const>{normed_}, residual_);
            continue;
          }
        }
        auto const output = run(l, use);
        if constexpr (requires { moe.on_expert_output(l, use, output); }) moe.on_expert_output(l, use, output);
        add(use.weight);
      }
      if constexpr (requires { moe.on_layer_end(l, std::span<float const>{residual_}); })
        moe.on_layer_end(l, std::span<float const>{residual_});
    }
    cache.advance(1);
    return finish();
  }

 private:
  void begin(std::uint8_t token) noexcept;
  void attend(std::size_t layer, kv_cache& cache) noexcept;
  void attend_head(std::size_t layer, std::size_t head, kv_cache& cache) noexcept;
  router_output route(std::size_t layer) noexcept;
  std::span<float const> run(std::uint16_t layer, expert_use const& use) noexcept;
  void add(float weight) noexcept;
  std::span<float const> finish() noexcept;

  std::span<float> take(std::size_t size) noexcept;

  weights const* weights_;
  cpu::rope_table rope_;
  aligned_floats storage_;
  std::size_t taken_{};
  std::span<float> residual_;       // [hidden_size]
  std::span<float> normed_;         // [hidden_size]
  std::span<float> output_;         // [hidden_size]
  std::span<float> qkv_;            // [q_size + 2 kv_size]
  std::span<float> attended_;       // [q_size]
  std::span<float> scores_;         // [max_positions]
  std::span<float> probabilities_;  // [n_experts]
  std::span<float> gates_;          // [top_k]
  std::span<float> scratch_;        // [2 expert_hidden]
  std::span<float> logits_;         // [vocab_size]
  std::vector<std::uint16_t> experts_;
};

}  // namespace harness
