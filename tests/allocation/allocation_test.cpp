// SPDX-License-Identifier: Apache-2.0
// An executable of its own: it replaces the global allocation functions by ones that count.
#include "catch.hpp"
#include "eviction_models.hpp"
#include "property/cache_run.hpp"
#include "property/chosen_model.hpp"
#include "property/policy_run.hpp"
#include "property/random_routing.hpp"

#include <buddy/buddy.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>
#include <utility>
#include <vector>

namespace {

std::atomic<std::uint64_t> allocations{0};

void* counted(std::size_t size) {
  ++allocations;
  if (void* const p = std::malloc(size == 0 ? 1 : size)) return p;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) { return counted(size); }
void* operator new[](std::size_t size) { return counted(size); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }

namespace {

using buddy::resolution;

/// Copies to settle later, in memory of the stack.
struct background {
  std::array<buddy::expert_copy, 64> copies{};
  std::size_t n = 0;

  void keep(buddy::view<buddy::expert_copy const> list) {
    for (auto const& c : list) copies[n++] = c;
  }
};

/// One layer of one step with everything a host calls; the second background copy is cancelled, the others arrive.
template <class Policy>
void run_layer(Policy& policy, std::uint16_t layer, buddy::routing const& r) {
  auto const& plan = policy.resolve(layer, r);
  for (auto const& c : plan.fetches) policy.commit(c);
  for (auto const& c : plan.waits) policy.commit(c);
  background later;
  later.keep(plan.refills);
  later.keep(policy.prefetch(static_cast<std::uint16_t>((layer + 1) % policy.shape().n_layers)));
  for (std::size_t i = 0; i != later.n; ++i) i == 1 ? policy.cancel(later.copies[i]) : policy.commit(later.copies[i]);
}

/// Allocations of 8 steps.
std::uint64_t allocations_of(run_settings const& s) {
  auto const table = neighbours(s.shape);
  auto policy = make_policy(s, table.ref());
  random_routing routing(s.shape, s.config.max_tokens, s.seed);
  std::uint64_t during = 0;
  for (int step = 0; step != 8; ++step) {
    auto const begun = allocations.load();
    policy.begin_step();
    during += allocations.load() - begun;
    for (std::uint16_t l = 0; l != s.shape.n_layers; ++l) {
      auto const r = routing.next();
      auto const before = allocations.load();
      run_layer(policy, l, r);
      during += allocations.load() - before;
    }
  }
  return during;
}

constexpr buddy::model_shape busy{.n_layers = 3, .n_experts = 40, .top_k = 4, .expert_bytes = 1};

/// Allocations of a cache in use: 300 steps that ask for 3600 experts, with room for 45 of 120.
template <class Eviction, class... Arguments>
std::uint64_t allocations_of_cache(Arguments const&... arguments) {
  auto const batches = random_batches(busy, habit::skewed, 300, 1);
  buddy::slot_cache<Eviction> cache(busy, {.bytes = 45}, arguments...);
  auto const before = allocations.load();
  replay(cache, batches);
  return allocations.load() - before;
}

}  // namespace

TEST_CASE("the counter counts", "[allocation]") {
  auto const before = allocations.load();
  std::vector<int> const v(100);
  CHECK(allocations.load() - before == 1);
}

TEST_CASE("no combination of models allocates after construction", "[allocation][policy]") {
  std::uint64_t seed = 0;
  std::string allocates;
  chosen::for_each_combination([&](chosen::combination const& models) {
    for (auto const refused : {resolution::fetch, resolution::host, resolution::drop}) {
      run_settings s{.models = models, .unequal_records = ++seed % 2 == 0, .seed = seed};
      s.config.on_refused = refused;
      s.config.weights = buddy::weight_mode::own;
      s.config.renormalise = true;
      s.config.refill_after = 1 + static_cast<std::uint32_t>(seed % 2);
      s.config.max_tokens = seed % 2 == 0 ? 1 : 4;
      if (seed % 3 == 0) s.config.order = buddy::budget_order::least_loss;
      if (seed % 6 == 0) s.config.loss = {.target_ub = 500, .window_tokens = 4};
      if (allocations_of(s) != 0 && allocates.empty()) allocates = models.show();
    }
  });
  CHECK(allocates == "");
}

TEMPLATE_LIST_TEST_CASE("no eviction policy allocates after construction", "[allocation][eviction_policy]",
                        plain_evictions) {
  CHECK(allocations_of_cache<TestType>() == 0);
}

TEST_CASE("no eviction policy that is told about the model allocates after construction",
          "[allocation][eviction_policy]") {
  std::vector<std::uint64_t> const counts(busy.n_keys(), 1);
  buddy::view<std::uint64_t const> const seen{counts.data(), static_cast<std::uint32_t>(counts.size())};
  auto const future = future_of(busy, random_batches(busy, habit::skewed, 300, 1));
  CHECK(allocations_of_cache<buddy::eviction::lfu>(busy) == 0);
  CHECK(allocations_of_cache<buddy::eviction::lfu_decayed>(busy) == 0);
  CHECK(allocations_of_cache<buddy::eviction::static_top>(busy, seen) == 0);
  CHECK(allocations_of_cache<buddy::eviction::belady>(future) == 0);
}

TEST_CASE("stand-ins and expected losses allocate nothing", "[allocation][stand_in]") {
  using namespace buddy::stand_ins;
  constexpr expert_size size{64, 16};
  packed_format const few{2, 32};
  auto const format = low_bit::format(size, few, few, true);
  std::vector<std::uint8_t> record(format.bytes(size), 1);
  std::vector<float> const x(64, 0.5F);
  std::vector<float> y(64, 0.0F);
  low_bit const copy{format, size, record.data()};
  buddy::expected_errors errors{{2, 4, 2, 1}};
  errors.add_buddies();
  auto const ref = errors.ref();
  std::uint64_t const before = allocations;
  copy.add(0.5F, x.data(), y.data());
  std::uint64_t const sum =
      buddy::loss_ub(ref.stand_in_of({1, 3}).full_loss_ub, 1000) + ref.buddy_loss({0, 1}, 2).scale_q16;
  std::uint64_t const after = allocations;
  CHECK(after == before);
  CHECK(sum != 0);
}

TEST_CASE("no verb of the hot path can throw", "[allocation][policy]") {
  using policy = buddy::policy<buddy::slot_cache<buddy::eviction::lru_token>, buddy::prediction::markov,
                               buddy::sensitivity::entropy_gate, buddy::selection::coactivation>;
  STATIC_REQUIRE(noexcept(std::declval<policy&>().begin_step()));
  STATIC_REQUIRE(noexcept(std::declval<policy&>().resolve(0, std::declval<buddy::routing const&>())));
  STATIC_REQUIRE(noexcept(std::declval<policy&>().prefetch(0)));
  STATIC_REQUIRE(noexcept(std::declval<policy&>().commit(std::declval<buddy::expert_copy const&>())));
  STATIC_REQUIRE(noexcept(std::declval<policy&>().cancel(std::declval<buddy::expert_copy const&>())));
  STATIC_REQUIRE(noexcept(std::declval<policy const&>().counters(0)));
}
