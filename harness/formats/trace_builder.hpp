// SPDX-License-Identifier: Apache-2.0
/// @file
/// A trace from routed slots in whatever order a log has them.
#pragma once

#include <buddy/counters.hpp>
#include <buddy/error.hpp>
#include <buddy/routing_trace.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cmath>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace harness {

/// Where a token stands: sequences in rising order, tokens rising within each.
struct token_place {
  std::uint64_t sequence{};
  std::uint64_t token{};
  auto operator<=>(token_place const&) const = default;
};

struct logged_slot {
  std::uint32_t expert{};
  float weight{};
  bool resident{};
};

/// Collects and checks. A token's layer needs all its slots or none.
class trace_builder {
 public:
  explicit trace_builder(std::string file) : file_{std::move(file)} {}

  [[noreturn]] void fail(std::size_t line, std::string const& rule) const {
    throw buddy::config_error(file_ + ": line " + std::to_string(line) + ": " + rule);
  }

  void set_shape(std::size_t line, std::uint64_t n_layers, std::uint64_t n_experts, std::uint64_t top_k) {
    if (n_layers == 0 || n_layers > 0xffff) fail(line, "layers must be in [1, 65535]");
    if (n_experts == 0 || n_experts > buddy::max_experts) fail(line, "experts must be in [1, 1024]");
    if (top_k == 0 || top_k > buddy::max_top_k || top_k > n_experts)
      fail(line, "experts of a token must be in [1, 32] and at most those of a layer");
    trace_.n_layers = static_cast<std::uint16_t>(n_layers);
    trace_.n_experts = static_cast<std::uint16_t>(n_experts);
    trace_.top_k = static_cast<std::uint16_t>(top_k);
  }

  /// @pre set_shape was called
  void add(std::size_t line, token_place place, buddy::phase p, std::uint32_t layer, logged_slot const& slot) {
    if (layer >= trace_.n_layers) fail(line, "layer must be below " + std::to_string(trace_.n_layers));
    if (slot.expert >= trace_.n_experts) fail(line, "expert must be below " + std::to_string(trace_.n_experts));
    if (!(std::isfinite(slot.weight) && slot.weight >= 0.0F && slot.weight < 65520.0F))
      fail(line, "weight must be in [0, 65520)");
    auto& token = tokens_[place];
    if (token.layers.empty()) token.phase = p;
    if (token.phase != p) fail(line, "a token must be all prefill or all decode");
    auto& slots = token.layers[static_cast<std::uint16_t>(layer)];
    if (slots.size() == trace_.top_k) fail(line, "more than " + std::to_string(trace_.top_k) + " experts of one token");
    if (std::any_of(slots.begin(), slots.end(), [&](logged_slot const& s) { return s.expert == slot.expert; }))
      fail(line, "expert " + std::to_string(slot.expert) + " twice for one token");
    slots.push_back(slot);
    ++n_added_;
    last_line_ = line;
  }

  /// @throws config_error when there is no token, or one with too few experts
  [[nodiscard]] buddy::routing_trace finish() {
    if (tokens_.empty()) fail(last_line_, "there is no token");
    std::size_t const width = std::size_t{trace_.n_layers} * trace_.top_k;
    if (width > max_slots / tokens_.size()) fail(last_line_, "tokens x layers x experts of a token must be below 2^32");
    // A trace has a place for every layer of every token, recorded or not: a small log must not ask for much memory.
    std::size_t const places = width * tokens_.size();
    if (places > free_places && places / 256 > n_added_)
      fail(last_line_, "nearly all layers of the tokens are missing");
    std::uint64_t sequence = tokens_.begin()->first.sequence;
    trace_.sequence_lengths = {0};
    for (auto& [place, token] : tokens_) {
      if (place.sequence != sequence) trace_.sequence_lengths.push_back(0);
      sequence = place.sequence;
      ++trace_.sequence_lengths.back();
      trace_.phases.push_back(token.phase);
      append(place, token.layers);
    }
    return std::move(trace_);
  }

 private:
  static constexpr std::size_t max_slots = 0xffffffff;
  static constexpr std::size_t free_places = std::size_t{1} << 22;
  struct logged_token {
    buddy::phase phase{};
    std::map<std::uint16_t, std::vector<logged_slot>> layers;
  };

  void append(token_place place, std::map<std::uint16_t, std::vector<logged_slot>>& layers) {
    std::size_t const first = trace_.experts.size();
    std::size_t const width = std::size_t{trace_.n_layers} * trace_.top_k;
    trace_.experts.resize(first + width, buddy::no_expert);
    trace_.weights.resize(first + width, 0.0F);
    trace_.resident.resize(first + width, 0);
    for (auto& [layer, slots] : layers) {
      if (slots.size() != trace_.top_k)
        fail(last_line_, "token " + std::to_string(place.token) + ", layer " + std::to_string(layer) + ": has " +
                             std::to_string(slots.size()) + " experts, not " + std::to_string(trace_.top_k));
      std::stable_sort(slots.begin(), slots.end(), [](auto const& a, auto const& b) { return a.weight > b.weight; });
      std::size_t i = first + std::size_t{layer} * trace_.top_k;
      for (logged_slot const& s : slots) {
        trace_.experts[i] = static_cast<std::uint16_t>(s.expert);
        trace_.weights[i] = s.weight;
        trace_.resident[i++] = s.resident ? 1 : 0;
      }
    }
  }

  std::string file_;
  buddy::routing_trace trace_;
  std::map<token_place, logged_token> tokens_;
  std::size_t n_added_ = 0;
  std::size_t last_line_ = 1;
};

}  // namespace harness
