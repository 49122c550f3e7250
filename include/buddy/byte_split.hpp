// SPDX-License-Identifier: Apache-2.0
/// @file
/// One choice for each layer, all together within so many bytes, with the least loss.
#pragma once

#include <buddy/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <queue>
#include <utility>
#include <vector>

namespace buddy::inline v0 {

/// What a layer may be given: its price and what is lost with it.
struct byte_choice {
  std::uint64_t bytes{};
  double loss{};
  std::uint32_t id{};  ///< the caller's
};

/// One choice of each layer.
struct byte_split {
  std::vector<std::uint32_t> ids;  ///< [n_layers]
  std::uint64_t bytes{};
  double loss{};
  bool is_exact{};  ///< no other split within the bytes loses less
};

namespace detail {

/// What is left when every choice goes that costs no less and loses no less than another: bytes rise, losses fall.
inline std::vector<byte_choice> undominated(std::vector<byte_choice> all) {
  std::stable_sort(all.begin(), all.end(), [](byte_choice const& a, byte_choice const& b) {
    return a.bytes != b.bytes ? a.bytes < b.bytes : a.loss < b.loss;
  });
  std::vector<byte_choice> kept;
  for (byte_choice const& c : all)
    if (kept.empty() || c.loss < kept.back().loss) kept.push_back(c);
  return kept;
}

/// The choices at which the loss for a byte falls most: the lower convex hull of undominated ones.
inline std::vector<byte_choice> convex(std::vector<byte_choice> const& kept) {
  std::vector<byte_choice> hull;
  auto const gain = [](byte_choice const& a, byte_choice const& b) {
    return (a.loss - b.loss) / static_cast<double>(b.bytes - a.bytes);
  };
  for (byte_choice const& c : kept) {
    while (hull.size() >= 2 && gain(hull[hull.size() - 2], hull.back()) <= gain(hull.back(), c)) hull.pop_back();
    hull.push_back(c);
  }
  return hull;
}

/// Every way to choose for the layers so far that is worth keeping, and how it came about.
class split_frontier {
 public:
  explicit split_frontier(std::uint64_t bytes) : bytes_{bytes} { steps_.push_back({{0, 0.0, 0}}); }

  [[nodiscard]] std::size_t size() const noexcept { return steps_.back().size(); }

  void add_layer(std::vector<byte_choice> const& choices) {
    std::vector<byte_choice> sums;
    std::vector<byte_choice> const& before = steps_.back();
    for (std::uint32_t i = 0; i != before.size(); ++i) {
      for (std::uint32_t c = 0; c != choices.size(); ++c) {
        std::uint64_t const bytes = before[i].bytes + choices[c].bytes;
        if (bytes > bytes_ || bytes < before[i].bytes) break;  // bytes rise
        sums.push_back({bytes, before[i].loss + choices[c].loss, static_cast<std::uint32_t>(i * choices.size() + c)});
      }
    }
    steps_.push_back(undominated(std::move(sums)));
    n_choices_.push_back(choices.size());
  }

  /// @pre size() != 0
  [[nodiscard]] byte_split best(std::vector<std::vector<byte_choice>> const& layers) const {
    byte_choice const& end = steps_.back().back();
    byte_split split{std::vector<std::uint32_t>(layers.size()), end.bytes, end.loss, true};
    std::size_t at = steps_.back().size() - 1;
    for (std::size_t l = layers.size(); l-- != 0;) {
      std::uint32_t const how = steps_[l + 1][at].id;
      split.ids[l] = layers[l][how % n_choices_[l]].id;
      at = how / n_choices_[l];
    }
    return split;
  }

 private:
  std::uint64_t bytes_;
  std::vector<std::vector<byte_choice>> steps_;  // [layers + 1]; id: place in the step before x choices + choice
  std::vector<std::size_t> n_choices_;
};

/// From the cheapest choice of each layer upwards, always where a byte saves most, as long as it fits.
inline byte_split split_greedily(std::vector<std::vector<byte_choice>> const& layers, std::uint64_t bytes) {
  struct step {
    double gain;
    std::size_t layer;
    bool operator<(step const& other) const noexcept {
      return gain != other.gain ? gain < other.gain : layer > other.layer;
    }
  };
  std::vector<std::vector<byte_choice>> hulls;
  std::vector<std::size_t> at(layers.size(), 0);
  std::priority_queue<step> next;
  byte_split split;
  auto const offer = [&](std::size_t l) {
    if (at[l] + 1 == hulls[l].size()) return;
    byte_choice const& a = hulls[l][at[l]];
    byte_choice const& b = hulls[l][at[l] + 1];
    next.push({(a.loss - b.loss) / static_cast<double>(b.bytes - a.bytes), l});
  };
  for (std::size_t l = 0; l != layers.size(); ++l) {
    hulls.push_back(convex(layers[l]));
    split.bytes += hulls[l][0].bytes;
    offer(l);
  }
  while (!next.empty()) {
    std::size_t const l = next.top().layer;
    next.pop();
    std::uint64_t const more = hulls[l][at[l] + 1].bytes - hulls[l][at[l]].bytes;
    if (more > bytes - split.bytes) continue;  // the layer stays where it is; others may still fit
    split.bytes += more;
    ++at[l];
    offer(l);
  }
  for (std::size_t l = 0; l != layers.size(); ++l) {
    split.ids.push_back(hulls[l][at[l]].id);
    split.loss += hulls[l][at[l]].loss;
  }
  return split;
}

}  // namespace detail

/// Exact while the ways to combine the layers stay few, by dynamic programming over those that no other way beats in
/// both bytes and loss; else greedy by marginal gain on each layer's convex hull, which misses by at most one step of
/// one layer.
/// @param layers  choices of each layer, in any order
/// @param most    ways that are kept, and pairs of them that are looked at in one layer, for an exact answer
/// @throws config_error when a layer has no choice, or the cheapest of all layers together exceed the bytes
[[nodiscard]] inline byte_split split_bytes(std::vector<std::vector<byte_choice>> layers, std::uint64_t bytes,
                                            std::size_t most = std::size_t{1} << 23) {
  std::uint64_t least = 0;
  for (auto& choices : layers) {
    if (choices.empty()) detail::throw_config_error("buddy::split_bytes: every layer needs a choice");
    choices = detail::undominated(std::move(choices));
    least += choices[0].bytes;
  }
  if (least > bytes) detail::throw_config_error("buddy::split_bytes: the cheapest choices exceed the bytes");
  detail::split_frontier frontier{bytes};
  for (auto const& choices : layers) {
    if (frontier.size() * choices.size() > most) return detail::split_greedily(layers, bytes);
    frontier.add_layer(choices);
  }
  return frontier.best(layers);
}

}  // namespace buddy::inline v0
