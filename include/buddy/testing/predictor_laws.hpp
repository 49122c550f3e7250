// SPDX-License-Identifier: Apache-2.0
/// @file
/// Checks the laws of `expert_predictor` on any model, yours included, under any test framework.
#pragma once

#include <buddy/concepts/expert_predictor.hpp>
#include <buddy/expert_set.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/routing.hpp>
#include <buddy/testing/dice.hpp>
#include <buddy/view.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace buddy::inline v0::testing {

/// Size of the router's input in the routing that the laws show.
inline constexpr std::uint32_t law_hidden_size = 5;

namespace detail {

/// Three equal predictors see the same past. Before the next routing is observed it already lies in the buffer that the
/// first two were shown last, and not in the third's: one that kept the view knows the future, and is caught.
template <expert_predictor P>
class predictor_trial {
 public:
  template <class Make>
  predictor_trial(Make const& make, model_shape const& shape, std::uint32_t seed)
      : shape_(shape),
        policy_{make(shape)},
        twin_{make(shape)},
        blind_{make(shape)},
        buffer_(max_tokens * shape.top_k),
        blind_buffer_(buffer_.size()),
        weights_(buffer_.size(), 1.0F / static_cast<float>(shape.top_k)),
        inputs_(max_tokens * law_hidden_size),
        blind_inputs_(inputs_.size()),
        random_(seed) {}

  std::string_view run(int steps) {
    for (int i = 0; i != steps; ++i) {
      if (random_.roll(4) == 0) begin_sequence();
      for (std::uint16_t layer = 0; layer != shape_.n_layers; ++layer) {
        std::uint32_t const n_tokens = 1 + random_.roll(max_tokens);
        fill(buffer_);
        fill(blind_buffer_);
        for (float& x : inputs_) x = static_cast<float>(random_.roll(200)) - 100.0F;
        if (auto const broken = ask(layer); !broken.empty()) return broken;
        if (auto const broken = ask(static_cast<std::uint16_t>(random_.roll(shape_.n_layers))); !broken.empty())
          return broken;
        observe(layer, n_tokens);
        if (policy_.out != policy_.said) return "a prediction must be settled before its layer is observed";
      }
    }
    return {};
  }

 private:
  static constexpr std::uint32_t max_tokens = 3;
  static constexpr std::uint16_t untouched = 0xffff;

  struct subject {
    P predictor;
    std::vector<std::uint16_t> out{};   // what predict wrote, and more room that it must not touch
    std::vector<std::uint16_t> said{};  // a copy of it
    std::uint32_t count{};

    void ask(std::uint16_t layer, std::uint32_t width, std::uint32_t room) {
      out.assign(room, untouched);
      count = predictor.predict(layer, {out.data(), width});
      said = out;
    }
  };

  /// Distinct experts for each token.
  void fill(std::vector<std::uint16_t>& buffer) {
    std::vector<std::uint16_t> ids(shape_.n_experts);
    for (std::uint16_t e = 0; e != shape_.n_experts; ++e) ids[e] = e;
    for (std::size_t token = 0; token != buffer.size(); token += shape_.top_k) {
      for (std::size_t s = 0; s != shape_.top_k; ++s) {
        std::swap(ids[s], ids[s + random_.roll(ids.size() - s)]);
        buffer[token + s] = ids[s];
      }
    }
  }

  std::string_view ask(std::uint16_t layer) {
    std::uint32_t const width = random_.roll(shape_.n_experts + 1U);
    for (subject* p : {&policy_, &twin_, &blind_}) p->ask(layer, width, shape_.n_experts + 1U);
    if (policy_.count > width) return "predict must write at most out.size ids";
    expert_set seen(shape_.n_experts);
    for (std::size_t i = 0; i != policy_.out.size(); ++i) {
      std::uint16_t const e = policy_.out[i];
      if (i >= width && e != untouched) return "predict must write at most out.size ids";
      if (i >= policy_.count) continue;
      if (e >= shape_.n_experts) return "predicted ids must be below n_experts";
      if (seen.contains(e)) return "no id may be predicted twice";
      seen.insert(e);
    }
    if (!same(policy_, twin_)) return "equal observations in equal order must give equal predictions";
    if (!same(policy_, blind_)) return "a prediction must not depend on what is observed later";
    return {};
  }

  void begin_sequence() {
    if constexpr (requires(P p) { p.begin_sequence(); })
      for (subject* p : {&policy_, &twin_, &blind_}) p->predictor.begin_sequence();
  }

  static bool same(subject const& a, subject const& b) {
    return a.count == b.count && std::equal(a.said.begin(), a.said.begin() + a.count, b.said.begin());
  }

  void observe(std::uint16_t layer, std::uint32_t n_tokens) {
    blind_buffer_ = buffer_;
    auto const size = n_tokens * shape_.top_k;
    blind_inputs_ = inputs_;
    routing const seen{
        {buffer_.data(), size}, {weights_.data(), size}, {}, n_tokens, {inputs_.data(), n_tokens * law_hidden_size}};
    routing seen_by_blind = seen;
    seen_by_blind.experts.data = blind_buffer_.data();
    seen_by_blind.inputs.data = blind_inputs_.data();
    policy_.predictor.observe(layer, seen);
    twin_.predictor.observe(layer, seen);
    blind_.predictor.observe(layer, seen_by_blind);
  }

  model_shape shape_;
  subject policy_;
  subject twin_;
  subject blind_;
  std::vector<std::uint16_t> buffer_;        // [max_tokens, top_k]
  std::vector<std::uint16_t> blind_buffer_;  // [max_tokens, top_k]
  std::vector<float> weights_;               // [max_tokens, top_k]
  std::vector<float> inputs_;                // [max_tokens, law_hidden_size]
  std::vector<float> blind_inputs_;          // [max_tokens, law_hidden_size]
  dice random_;
};

}  // namespace detail

/// Drives equal predictors with the same random routing. That ties go to the lower id cannot be seen from outside.
/// @param make  P make(model_shape const&); equal predictors each time
/// @returns the law that was broken first, or an empty view
template <class Make>
  requires std::invocable<Make const&, model_shape const&>
[[nodiscard]] std::string_view broken_predictor_law(Make const& make, model_shape const& shape, std::uint32_t seed,
                                                    int steps = 100) {
  return detail::predictor_trial<std::invoke_result_t<Make const&, model_shape const&>>(make, shape, seed).run(steps);
}

/// For predictors that need nothing but the shape.
template <expert_predictor P>
[[nodiscard]] std::string_view broken_predictor_law(model_shape const& shape, std::uint32_t seed, int steps = 100) {
  return broken_predictor_law([](model_shape const& s) { return P(s); }, shape, seed, steps);
}

}  // namespace buddy::inline v0::testing
