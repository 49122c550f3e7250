// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/cft.hpp>
#include <buddy/profile_builder.hpp>

#include <cstdint>
#include <cstdlib>
#include <random>
#include <set>
#include <vector>

namespace {

/// Skewed routing: low ids are likelier, and the highest ids often stay unseen.
buddy::profile random_profile(std::uint64_t seed) {
  std::mt19937_64 random{seed};
  auto const n_experts = static_cast<std::uint16_t>(2 + random() % 30);
  auto const top_k = static_cast<std::uint16_t>(1 + random() % (n_experts < 8 ? n_experts : 8));
  buddy::profile_builder builder{{2, n_experts, top_k, 1}, "random"};
  auto const n_tokens = 1 + random() % 40;
  for (std::uint64_t t = 0; t != n_tokens; ++t) {
    for (std::uint16_t layer = 0; layer != 2; ++layer) {
      std::set<std::uint16_t> chosen;
      while (chosen.size() != top_k) {
        auto const below = 1 + random() % n_experts;
        chosen.insert(static_cast<std::uint16_t>(random() % below));
      }
      std::vector<std::uint16_t> const experts(chosen.begin(), chosen.end());
      std::vector<float> weights(top_k);
      for (float& w : weights) w = static_cast<float>(1 + random() % 1000);
      builder.observe(layer, {{experts.data(), top_k}, {weights.data(), top_k}});
    }
  }
  return builder.finish();
}

std::uint64_t count(buddy::profile const& p, bool weighted, buddy::expert_key i, std::uint16_t j) {
  std::size_t const pair = p.pair_index(i.layer, i.expert, j);
  return weighted ? p.min_weighted[pair] : p.coactivations[pair];
}

/// Checks one list against its definition, in whole numbers: alpha is `millionths` / 10^6.
void check_list(buddy::profile const& p, bool weighted, std::uint64_t millionths, std::uint32_t k_max,
                buddy::expert_key i, buddy::buddy_list const& list) {
  std::uint64_t total = 0;
  for (std::uint16_t j = 0; j != p.shape.n_experts; ++j) total += count(p, weighted, i, j);
  std::set<std::uint16_t> seen;
  std::uint64_t sum = 0;
  for (std::uint32_t t = 0; t != list.experts.size; ++t) {
    std::uint16_t const j = list.experts[t];
    std::uint64_t const here = count(p, weighted, i, j);
    CHECK(sum * 1'000'000 < millionths * total);  // the prefix before it did not suffice
    CHECK(j != i.expert);
    CHECK(here != 0);
    CHECK(seen.insert(j).second);
    if (t != 0) {
      std::uint64_t const before = count(p, weighted, i, list.experts[t - 1]);
      CHECK((before > here || (before == here && list.experts[t - 1] < j)));
      CHECK(list.similarities[t - 1] >= list.similarities[t]);
    }
    sum += here;
  }
  for (std::uint16_t j = 0; j != p.shape.n_experts; ++j) {  // nobody better was left out
    if (list.experts.size == 0 || seen.count(j) != 0) continue;
    CHECK(count(p, weighted, i, j) <= count(p, weighted, i, list.experts[list.experts.size - 1]));
  }
  bool const capped = list.experts.size == k_max;
  CHECK((capped || sum * 1'000'000 >= millionths * total));
  CHECK((list.experts.size != 0) == (total != 0));
}

}  // namespace

TEST_CASE("cft lists are the shortest covering prefix of the ranked peers", "[property][cft]") {
  for (std::uint64_t seed = 1; seed != 41; ++seed) {
    INFO("seed " << seed);
    auto const p = random_profile(seed);
    bool const weighted = seed % 2 == 0;
    std::uint64_t const millionths = std::vector<std::uint64_t>{200'000, 500'000, 900'000, 1'000'000}[seed % 4];
    std::uint32_t const k_max = seed % 3 == 0 ? 3 : 64;
    buddy::cft_options options{.alpha = static_cast<double>(millionths) / 1e6, .k_max = k_max};
    if (weighted) options.counts = buddy::coactivation_counts::min_weighted;
    auto const table = buddy::build_cft(p, options);
    for (std::uint16_t l = 0; l != p.shape.n_layers; ++l)
      for (std::uint16_t i = 0; i != p.shape.n_experts; ++i)
        check_list(p, weighted, millionths, k_max, {l, i}, table.of({l, i}));
    CHECK(buddy::build_cft(p, options) == table);
  }
}

TEST_CASE("cft similarities add up to one when nothing is cut off", "[property][cft]") {
  for (std::uint64_t seed = 101; seed != 121; ++seed) {
    INFO("seed " << seed);
    auto const p = random_profile(seed);
    auto const table = buddy::build_cft(p, {.k_max = 64});
    for (std::uint16_t i = 0; i != p.shape.n_experts; ++i) {
      auto const list = table.of({0, i});
      std::int64_t sum = 0;
      for (auto const q : list.similarities) sum += q;
      // Each is rounded by at most half a unit.
      if (list.experts.size != 0) CHECK(std::abs(sum - 65536) * 2 <= std::int64_t{list.experts.size});
    }
  }
}

TEST_CASE("smoothing offers every active peer and no other", "[property][cft]") {
  for (std::uint64_t seed = 201; seed != 221; ++seed) {
    INFO("seed " << seed);
    auto const p = random_profile(seed);
    auto const table = buddy::build_cft(p, {.k_max = 64, .laplace_eps = 0.5});
    std::uint32_t active = 0;
    for (std::uint16_t i = 0; i != p.shape.n_experts; ++i) active += p.activations[i] != 0 ? 1 : 0;
    for (std::uint16_t i = 0; i != p.shape.n_experts; ++i) {
      auto const list = table.of({0, i});
      CHECK(list.experts.size == (p.activations[i] != 0 ? active - 1 : 0));
      for (auto const j : list.experts) CHECK(p.activations[j] != 0);
    }
  }
}
