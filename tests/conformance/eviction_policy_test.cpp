// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "eviction_models.hpp"

#include <buddy/testing/archetypes.hpp>
#include <buddy/testing/dice.hpp>
#include <buddy/testing/eviction_laws.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

using buddy::expert_key;
using buddy::slot_id;
using buddy::eviction::lru;
using buddy::testing::broken_eviction_law;

// One that is told about the model is listed below; a new one that is in no list is a review finding.
TEMPLATE_LIST_TEST_CASE("an eviction policy keeps the laws", "[conformance][eviction_policy]", plain_evictions) {
  auto const capacity = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{64});
  auto const seed = GENERATE(1U, 2U, 3U);
  CHECK(broken_eviction_law<TestType>(capacity, seed) == "");
}

TEST_CASE("the archetype of an eviction policy keeps the laws", "[conformance][eviction_policy]") {
  auto const seed = GENERATE(1U, 2U, 3U);
  CHECK(broken_eviction_law<buddy::testing::archetypes::eviction>(7, seed) == "");
}

TEST_CASE("an eviction policy keeps the laws with settings of its own", "[conformance][eviction_policy]") {
  auto const seed = GENERATE(1U, 2U, 3U);
  CHECK(broken_eviction_law([](std::size_t n) { return buddy::eviction::lfu_decayed(n, 0.5); }, 9, seed) == "");
  CHECK(broken_eviction_law([](std::size_t n) { return buddy::eviction::random(n, 42); }, 9, seed) == "");
  CHECK(broken_eviction_law([](std::size_t n) { return buddy::eviction::lru_ds(n, 1); }, 9, seed) == "");
  CHECK(broken_eviction_law([](std::size_t n) { return buddy::eviction::slru(n, 0); }, 9, seed) == "");
  CHECK(broken_eviction_law([](std::size_t n) { return buddy::eviction::slru(n, 100); }, 9, seed) == "");
  CHECK(broken_eviction_law([](std::size_t n) { return buddy::eviction::window_hot(n, 8, 25); }, 9, seed) == "");
}

namespace {

// The trial has 4 layers, and 2 experts of each for every slot, one more for good measure.
constexpr buddy::model_shape trial_shape(std::size_t capacity) {
  return {.n_layers = 4, .n_experts = static_cast<std::uint16_t>(capacity / 2 + 2), .top_k = 1, .expert_bytes = 1};
}

std::vector<std::uint64_t> few_counts(buddy::model_shape const& shape, std::uint32_t seed) {
  buddy::testing::dice dice(seed);
  std::vector<std::uint64_t> counts(shape.n_keys());
  for (auto& count : counts) count = dice.roll(4);  // ties are common
  return counts;
}

/// 200 steps in which each layer asks for two experts.
buddy::eviction::known_future random_future(buddy::model_shape const& shape, std::uint32_t seed) {
  buddy::testing::dice dice(seed);
  std::vector<buddy::eviction::future_use> uses;
  for (std::uint32_t i = 0; i != 1600; ++i) {
    auto const layer = static_cast<std::uint16_t>(i / 2 % 4);
    uses.push_back({i / 8, {layer, static_cast<std::uint16_t>(dice.roll(shape.n_experts))}});
  }
  return {shape, {uses.data(), static_cast<std::uint32_t>(uses.size())}};
}

}  // namespace

TEST_CASE("an eviction policy that is told about the model keeps the laws", "[conformance][eviction_policy]") {
  auto const capacity = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{64});
  auto const seed = GENERATE(1U, 2U, 3U);
  auto const shape = trial_shape(capacity);
  auto const counts = few_counts(shape, seed);
  auto const future = random_future(shape, seed);
  buddy::view<std::uint64_t const> const seen{counts.data(), static_cast<std::uint32_t>(counts.size())};
  CHECK(broken_eviction_law([&](std::size_t n) { return buddy::eviction::lfu(n, shape); }, capacity, seed) == "");
  CHECK(broken_eviction_law([&](std::size_t n) { return buddy::eviction::lfu_decayed(n, shape, 8.0); }, capacity,
                            seed) == "");
  CHECK(broken_eviction_law([&](std::size_t n) { return buddy::eviction::static_top(n, shape, seen); }, capacity,
                            seed) == "");
  CHECK(broken_eviction_law([&](std::size_t n) { return buddy::eviction::belady(n, future); }, capacity, seed) == "");
}

namespace {

// One policy for each law, breaking it.
struct ignores_may_leave : lru {
  using lru::lru;
  template <class MayLeave>
  slot_id victim(MayLeave const&) const noexcept {
    return lru::victim([](slot_id) { return true; });
  }
};

struct never_finds : lru {
  using lru::lru;
  template <class MayLeave>
  slot_id victim(MayLeave const&) const noexcept {
    return buddy::no_slot;
  }
};

struct names_empty_slots : lru {
  using lru::lru;
  template <class MayLeave>
  slot_id victim(MayLeave const& may_leave) const noexcept {
    slot_id const v = lru::victim(may_leave);
    return v == buddy::no_slot ? slot_id{0} : v;
  }
};

// Alike to the eye, but each object of it behaves differently.
struct knows_its_number : buddy::eviction::random {
  explicit knows_its_number(std::size_t capacity) : random(capacity, ++made()) {}
  static std::uint64_t& made() {
    static std::uint64_t count = 0;
    return count;
  }
};

struct counts_questions : lru {
  using lru::lru;
  template <class MayLeave>
  slot_id victim(MayLeave const& may_leave) const noexcept {
    slot_id const first = lru::victim(may_leave);
    slot_id const second = lru::victim([&](slot_id s) { return s != first && may_leave(s); });
    return ++asked % 2 == 0 && second != buddy::no_slot ? second : first;
  }
  mutable int asked = 0;
};

}  // namespace

TEST_CASE("the eviction laws catch who breaks them", "[conformance][eviction_policy]") {
  std::string_view const names = "victim must name a filled slot that may leave, or no_slot when there is none";
  CHECK(broken_eviction_law<ignores_may_leave>(7, 1) == names);
  CHECK(broken_eviction_law<never_finds>(7, 1) == names);
  CHECK(broken_eviction_law<names_empty_slots>(7, 1) == names);
  CHECK(broken_eviction_law<knows_its_number>(7, 1) == "equal calls in equal order must give equal victims");
  CHECK(broken_eviction_law<counts_questions>(7, 1) == "victim must change nothing");
}
