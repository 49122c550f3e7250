// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/byte_split.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

namespace {

using choices = std::vector<buddy::byte_choice>;

/// The least loss within the bytes, by trying everything.
double least_loss(std::vector<choices> const& layers, std::size_t layer, std::uint64_t bytes) {
  if (layer == layers.size()) return 0.0;
  double least = std::numeric_limits<double>::infinity();
  for (buddy::byte_choice const& c : layers[layer]) {
    if (c.bytes > bytes) continue;
    double const loss = c.loss + least_loss(layers, layer + 1, bytes - c.bytes);
    if (loss < least) least = loss;
  }
  return least;
}

}  // namespace

TEST_CASE("split_bytes loses as little as trying everything, and greedy keeps to the bytes", "[property][byte_split]") {
  std::mt19937_64 random{5};
  for (int i = 0; i != 300; ++i) {
    INFO("case " << i);
    std::vector<choices> layers(1 + random() % 4);
    std::uint64_t cheapest = 0;
    for (choices& layer : layers) {
      std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
      auto const n_choices = static_cast<std::uint32_t>(1 + random() % 6);
      for (std::uint32_t c = 0; c != n_choices; ++c) {
        layer.push_back({random() % 20, static_cast<double>(random() % 100), c});
        least = std::min(least, layer.back().bytes);
      }
      cheapest += least;
    }
    std::uint64_t const bytes = cheapest + random() % 30;
    auto const best = buddy::split_bytes(layers, bytes);
    CHECK(best.is_exact);
    CHECK(best.bytes <= bytes);
    CHECK(best.loss == least_loss(layers, 0, bytes));
    auto const greedy = buddy::split_bytes(layers, bytes, 0);
    CHECK_FALSE(greedy.is_exact);
    CHECK(greedy.bytes <= bytes);
    CHECK(greedy.loss >= best.loss);
    for (auto const* const split : {&best, &greedy}) {  // the ids are the choices that were counted
      double loss = 0.0;
      std::uint64_t sum = 0;
      for (std::size_t l = 0; l != layers.size(); ++l) {
        loss += layers[l][split->ids[l]].loss;
        sum += layers[l][split->ids[l]].bytes;
      }
      CHECK(loss == split->loss);
      CHECK(sum == split->bytes);
    }
  }
}
