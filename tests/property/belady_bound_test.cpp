// SPDX-License-Identifier: Apache-2.0
// eviction::belady reaches the best that is possible, and no policy that does not know the future passes it.
#include "catch.hpp"
#include "eviction_models.hpp"
#include "property/cache_run.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

using buddy::pool_layout;

namespace {

constexpr buddy::model_shape model{.n_layers = 3, .n_experts = 10, .top_k = 2, .expert_bytes = 10};

/// One cache under one sequence of batches, whoever evicts.
struct trial {
  buddy::cache_budget budget;
  std::vector<asked_batch> batches;
  std::vector<std::uint64_t> counts = std::vector<std::uint64_t>(model.n_keys());

  trial(buddy::cache_budget const& size, habit how, std::uint64_t seed)
      : budget(size), batches(random_batches(model, how, 120, seed)) {
    for (auto const& batch : batches)
      for (auto const k : batch.experts) ++counts[model.index(k)];
  }

  template <class Eviction, class... Arguments>
  [[nodiscard]] std::uint64_t hits(Arguments const&... arguments) const {
    return hits_of<Eviction>(model, budget, batches, arguments...);
  }
  [[nodiscard]] std::uint64_t bound() const { return hits<buddy::eviction::belady>(future_of(model, batches)); }
};

template <class... Eviction>
void check_bound(trial const& t) {
  std::uint64_t const bound = t.bound();
  auto const check = [bound](std::string_view name, std::uint64_t hits) {
    INFO(name);
    CHECK(hits <= bound);
  };
  (check(Eviction::name, t.hits<Eviction>()), ...);
  check("lfu that keeps counts", t.hits<buddy::eviction::lfu>(model));
  // Not quite online: it knows the counts of the whole run, and must stay below all the same.
  buddy::view<std::uint64_t const> const counts{t.counts.data(), static_cast<std::uint32_t>(t.counts.size())};
  check("static_top", t.hits<buddy::eviction::static_top>(model, counts));
}

template <class... Eviction>
void check_bound_of(trial const& t, std::type_identity<std::tuple<Eviction...>>) {
  check_bound<Eviction...>(t);
}

void check_bound_of_all(trial const& t) { check_bound_of(t, std::type_identity<plain_evictions>{}); }

/// The most hits that any choice of victims can give: keeps every content that can be reached, and its best count.
/// @param batches  experts of layer 0, at most `slots` at once
std::uint64_t best_hits(std::vector<asked_batch> const& batches, int slots) {
  std::map<std::uint32_t, std::uint64_t> reached{{0U, 0U}};  // one bit an expert
  for (auto const& batch : batches) {
    std::uint32_t asked = 0;
    for (auto const k : batch.experts) asked |= 1U << k.expert;
    std::map<std::uint32_t, std::uint64_t> next;
    for (auto const& [content, hits] : reached) {
      auto const found = static_cast<std::uint64_t>(std::popcount(content & asked));
      // Every way to keep some of the others; keeping fewer than there is room for never helps and is allowed.
      std::uint32_t const others = content & ~asked;
      for (std::uint32_t kept = others;; kept = (kept - 1) & others) {
        if (std::popcount(kept | asked) <= slots) next[kept | asked] = std::max(next[kept | asked], hits + found);
        if (kept == 0) break;
      }
    }
    reached = std::move(next);
  }
  std::uint64_t best = 0;
  for (auto const& [content, hits] : reached) best = std::max(best, hits);
  return best;
}

}  // namespace

TEST_CASE("belady reaches the most hits that any choice of victims can give", "[property][belady]") {
  // 8 experts, 2 asked for at once, 40 steps: all contents are tried
  constexpr buddy::model_shape small{.n_layers = 1, .n_experts = 8, .top_k = 2, .expert_bytes = 1};
  auto const how = GENERATE(habit::uniform, habit::skewed, habit::sticky);
  auto const seed = GENERATE(std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{3}, std::uint64_t{4});
  auto const batches = random_batches(small, how, 40, seed);
  auto const future = future_of(small, batches);
  for (int slots = 2; slots != 8; ++slots) {
    INFO(slots << " slots");
    CHECK(hits_of<buddy::eviction::belady>(small, {.bytes = static_cast<std::uint64_t>(slots)}, batches, future) ==
          best_hits(batches, slots));
  }
}

TEST_CASE("no eviction policy hits more often than eviction::belady in a pool of each layer", "[property][belady]") {
  auto const how = GENERATE(habit::uniform, habit::skewed, habit::sticky);
  auto const seed = GENERATE(std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{3});
  for (std::uint64_t const slots : {2U, 4U, 9U})
    check_bound_of_all({{.bytes = slots * model.n_layers * model.expert_bytes}, how, seed});
}

TEST_CASE("no eviction policy hits more often than eviction::belady in one pool for all", "[property][belady]") {
  auto const how = GENERATE(habit::uniform, habit::skewed, habit::sticky);
  auto const seed = GENERATE(std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{3});
  // A token cycle is 3 x 2 = 6 slots: below, at and above it
  for (std::uint64_t const slots : {2U, 6U, 15U, 27U})
    check_bound_of_all({{.bytes = slots * model.expert_bytes, .layout = pool_layout::global}, how, seed});
}
