// SPDX-License-Identifier: Apache-2.0
/// @file
/// Streams are laid side by side, so that a step is a stretch of the trace and predictors read it like any other.
#include "harness/layers/routing_source.hpp"

#include "harness/report/published_curves.hpp"

#include <buddy/error.hpp>
#include <buddy/splitmix64.hpp>
#include <buddy/testing/trace_from_curve.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace harness {

namespace {

using points = std::vector<buddy::testing::curve_point>;

/// LRU hit rates by slots of a layer: replays of public routing traces (`docs/results-policies.md`; Mixtral's of 585
/// tokens), for OLMoE figures of others where we have no trace.
points const* curve_of(std::string const& name) {
  static points const deepseek{{8, 0.333}, {16, 0.495}, {24, 0.619}, {32, 0.728}, {48, 0.899}, {64, 0.990}};
  static points const qwen3{{16, 0.612}, {32, 0.817}, {48, 0.917}, {64, 0.958}, {96, 0.971}};
  static points const olmoe{{8, 0.277}, {16, 0.514}, {24, 0.684}, {32, 0.795}, {48, 0.930}, {64, 0.990}};
  static points const mixtral{{2, 0.330}, {3, 0.466}, {4, 0.599}, {6, 0.811}, {8, 1.0}};
  if (name == "deepseek-v2-lite") return &deepseek;
  if (name == "qwen3-30b-a3b") return &qwen3;
  if (name == "olmoe-1b-7b") return &olmoe;
  return name == "mixtral-8x7b" ? &mixtral : nullptr;
}

points find_curve(std::string const& stack, std::string const& name) {
  for (published_curve const& known : published_curves())
    if (known.name == name) return known.points;
  points const* const own = curve_of(name.empty() ? stack : name);
  if (own == nullptr)
    throw buddy::config_error("no hit curve is known of '" + (name.empty() ? stack : name) +
                              "': name one with --curve, or give --routing FILE or router");
  return *own;
}

/// Which token of which stream a row of a step is.
struct stream_layout {
  std::size_t n_steps;
  std::uint32_t n_tokens;
  bool consecutive;

  [[nodiscard]] std::uint32_t n_streams() const noexcept { return consecutive ? 1 : n_tokens; }
  [[nodiscard]] std::size_t tokens_of_stream() const noexcept { return consecutive ? n_steps * n_tokens : n_steps; }
  [[nodiscard]] std::uint32_t stream_of(std::uint32_t row) const noexcept { return consecutive ? 0 : row; }
  [[nodiscard]] std::size_t token_of(std::size_t step, std::uint32_t row) const noexcept {
    return consecutive ? step * n_tokens + row : step;
  }
};

step_routing empty_routing(layer_stack const& stack, stream_layout const& layout) {
  step_routing r;
  r.trace.model = stack.name;
  r.trace.n_layers = stack.n_layers, r.trace.n_experts = stack.n_experts, r.trace.top_k = stack.top_k;
  auto const all = static_cast<std::uint32_t>(layout.n_steps * layout.n_tokens);
  r.trace.sequence_lengths = {all};
  r.trace.phases.assign(all, layout.consecutive ? buddy::phase::prefill : buddy::phase::decode);
  r.n_tokens = layout.n_tokens;
  return r;
}

/// Appends one token of another trace.
void append_token(buddy::routing_trace& to, buddy::routing_trace const& from, std::size_t token) {
  for (std::uint16_t l = 0; l != from.n_layers; ++l) {
    auto const r = from.at(token, l);
    to.experts.insert(to.experts.end(), r.experts.begin(), r.experts.end());
    for (std::uint32_t s = 0; s != from.top_k; ++s)
      to.weights.push_back(r.weights.empty() ? 1.0F / static_cast<float>(from.top_k) : r.weights[s]);
  }
}

/// Uniform in [-1, 1), the same on every machine.
float noise(std::uint64_t bits) { return static_cast<float>(buddy::splitmix64(bits) >> 40) * 0x1p-23F - 1.0F; }

constexpr float token_memory = 0.93F;  // of the stream from one token to the next
constexpr float layer_memory = 0.97F;  // from one layer to the next

/// What the routers of all layers read, token after token of one stream.
class drifting_stream {
 public:
  explicit drifting_stream(std::uint64_t seed) : seed_(seed), base_(router_features, 0.0F) {
    for (std::uint32_t i = 0; i != router_features; ++i) base_[i] = noise(seed + i);
  }

  /// Appends [n_layers, router_features] of the next token.
  void append(std::uint16_t n_layers, std::vector<float>& to) {
    mix(base_, token_memory);
    std::vector<float> x = base_;
    for (std::uint16_t l = 0; l != n_layers; ++l) {
      to.insert(to.end(), x.begin(), x.end());
      mix(x, layer_memory);
    }
  }

 private:
  void mix(std::vector<float>& x, float memory) {
    float const fresh = std::sqrt(1.0F - memory * memory);
    for (float& v : x) v = memory * v + fresh * noise(seed_ ^ buddy::splitmix64(++drawn_));
  }

  std::uint64_t seed_;
  std::uint64_t drawn_ = 0;
  std::vector<float> base_;
};

/// Appends the top-k of one router and its renormalised softmax, as Qwen3 does.
void append_choice(std::vector<float> const& router, float const* x, buddy::routing_trace& to) {
  std::vector<float> logits(to.n_experts);
  for (std::uint16_t e = 0; e != to.n_experts; ++e)
    logits[e] = std::inner_product(x, x + router_features, router.data() + std::size_t{e} * router_features, 0.0F);
  std::vector<std::uint16_t> order(to.n_experts);
  std::iota(order.begin(), order.end(), std::uint16_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return logits[a] > logits[b]; });
  float sum = 0.0F;
  for (std::uint32_t s = 0; s != to.top_k; ++s) sum += std::exp(logits[order[s]] - logits[order[0]]);
  for (std::uint32_t s = 0; s != to.top_k; ++s) {
    to.experts.push_back(order[s]);
    to.weights.push_back(std::exp(logits[order[s]] - logits[order[0]]) / sum);
  }
}

std::vector<std::vector<float>> random_routers(layer_stack const& stack, std::uint64_t seed) {
  std::vector<std::vector<float>> routers(stack.n_layers);
  float const scale = 3.0F / std::sqrt(static_cast<float>(router_features));  // logits of a spread of about 1
  for (std::uint16_t l = 0; l != stack.n_layers; ++l)
    for (std::uint32_t i = 0; i != stack.n_experts * router_features; ++i)
      routers[l].push_back(scale * noise(seed + (std::uint64_t{l} << 40) + i));
  return routers;
}

}  // namespace

step_routing routing_from_trace(layer_stack const& stack, buddy::routing_trace const& trace, std::size_t n_steps,
                                std::uint32_t n_tokens, bool consecutive) {
  stream_layout const layout{n_steps, n_tokens, consecutive};
  if (!buddy::routes_alike(trace.shape(1), {stack.n_layers, stack.n_experts, stack.top_k, 1}))
    throw buddy::config_error("the trace is of a model of other sizes: it has " + std::to_string(trace.n_layers) +
                              " layers of " + std::to_string(trace.n_experts) + " experts, top-" +
                              std::to_string(trace.top_k));
  if (trace.n_tokens() == 0) throw buddy::config_error("the trace has no tokens");
  for (std::size_t t = 0; t != trace.n_tokens(); ++t)
    for (std::uint16_t l = 0; l != trace.n_layers; ++l)
      if (!trace.has_record(t, l)) throw buddy::config_error("the trace has tokens without a record of some layer");
  step_routing r = empty_routing(stack, layout);
  std::size_t const apart = trace.n_tokens() / layout.n_streams();
  for (std::size_t i = 0; i != n_steps; ++i)
    for (std::uint32_t row = 0; row != n_tokens; ++row)
      append_token(r.trace, trace, (layout.stream_of(row) * apart + layout.token_of(i, row)) % trace.n_tokens());
  r.source = "a trace of " + trace.model;
  return r;
}

step_routing routing_from_profile(layer_stack const& stack, std::string const& curve, std::size_t n_steps,
                                  std::uint32_t n_tokens, bool consecutive, std::uint64_t seed) {
  stream_layout const layout{n_steps, n_tokens, consecutive};
  auto const known = find_curve(stack.name, curve);
  auto const rates =
      buddy::testing::rates_through({known.data(), static_cast<std::uint32_t>(known.size())}, stack.n_experts);
  std::vector<buddy::routing_trace> streams;
  for (std::uint32_t b = 0; b != layout.n_streams(); ++b)
    streams.push_back(buddy::testing::trace_from_curves(
        stack.shape(), {rates}, static_cast<std::uint32_t>(layout.tokens_of_stream()), buddy::splitmix64(seed + b)));
  step_routing r = empty_routing(stack, layout);
  for (std::size_t i = 0; i != n_steps; ++i)
    for (std::uint32_t row = 0; row != n_tokens; ++row)
      append_token(r.trace, streams[layout.stream_of(row)], layout.token_of(i, row));
  r.source = "generated with the hit curve of " + (curve.empty() ? stack.name : curve);
  return r;
}

step_routing routing_from_router(layer_stack const& stack, std::size_t n_steps, std::uint32_t n_tokens,
                                 bool consecutive, std::uint64_t seed) {
  stream_layout const layout{n_steps, n_tokens, consecutive};
  step_routing r = empty_routing(stack, layout);
  r.n_features = router_features;
  r.routers = random_routers(stack, buddy::splitmix64(seed));
  std::vector<drifting_stream> streams;
  for (std::uint32_t b = 0; b != layout.n_streams(); ++b) streams.emplace_back(buddy::splitmix64(seed ^ (b + 1)));
  for (std::size_t i = 0; i != n_steps; ++i) {
    for (std::uint32_t row = 0; row != n_tokens; ++row) {
      std::size_t const first = r.inputs.size();
      streams[layout.stream_of(row)].append(stack.n_layers, r.inputs);
      for (std::uint16_t l = 0; l != stack.n_layers; ++l)
        append_choice(r.routers[l], r.inputs.data() + first + std::size_t{l} * router_features, r.trace);
    }
  }
  r.source = "random routers on a slowly changing input";
  return r;
}

layer_reader::layer_reader(step_routing const& from)
    : from_(&from),
      experts_(std::size_t{from.n_tokens} * from.trace.top_k),
      weights_(experts_.size()),
      inputs_(std::size_t{from.n_tokens} * from.n_features) {}

buddy::routing layer_reader::at(std::size_t step, std::uint16_t layer) noexcept {
  buddy::routing_trace const& t = from_->trace;
  for (std::uint32_t row = 0; row != from_->n_tokens; ++row) {
    std::size_t const token = step * from_->n_tokens + row;
    auto const one = t.at(token, layer);
    std::copy_n(one.experts.data, t.top_k, experts_.data() + std::size_t{row} * t.top_k);
    std::copy_n(one.weights.data, t.top_k, weights_.data() + std::size_t{row} * t.top_k);
    if (from_->n_features != 0)
      std::copy_n(from_->inputs.data() + (token * t.n_layers + layer) * from_->n_features, from_->n_features,
                  inputs_.data() + std::size_t{row} * from_->n_features);
  }
  return {{experts_.data(), static_cast<std::uint32_t>(experts_.size())},
          {weights_.data(), static_cast<std::uint32_t>(weights_.size())},
          {},
          from_->n_tokens,
          {inputs_.data(), static_cast<std::uint32_t>(inputs_.size())}};
}

}  // namespace harness
