// SPDX-License-Identifier: Apache-2.0
// Policies that only look ahead in `victim` make the same hits as caches that move everything at once.
#include "catch.hpp"
#include "property/cache_run.hpp"
#include "property/naive_evictions.hpp"

#include <buddy/policies/eviction/arc.hpp>
#include <buddy/policies/eviction/clock.hpp>
#include <buddy/policies/eviction/fifo.hpp>
#include <buddy/policies/eviction/lfru.hpp>
#include <buddy/policies/eviction/lfu.hpp>
#include <buddy/policies/eviction/lru.hpp>
#include <buddy/policies/eviction/random.hpp>
#include <buddy/policies/eviction/s3_fifo.hpp>
#include <buddy/policies/eviction/sieve.hpp>
#include <buddy/policies/eviction/slru.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

constexpr buddy::model_shape model{.n_layers = 1, .n_experts = 40, .top_k = 1, .expert_bytes = 1};

template <class Naive>
std::uint64_t hits_of(Naive naive, std::vector<asked_batch> const& batches) {
  std::uint64_t hits = 0;
  for (auto const& batch : batches) hits += naive.ask(batch.experts[0].expert) ? 1U : 0U;
  return hits;
}

}  // namespace

TEST_CASE("eviction policies hit as often as naive models", "[property][eviction]") {
  auto const how = GENERATE(habit::uniform, habit::skewed, habit::sticky);
  auto const seed = GENERATE(std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{3});
  auto const slots = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{5}, std::size_t{13}, std::size_t{30});
  auto const batches = random_batches(model, how, 3000, seed);
  buddy::cache_budget const budget{.bytes = slots};
  CHECK(hits_of<buddy::eviction::fifo>(model, budget, batches) == hits_of(naive::fifo{slots}, batches));
  CHECK(hits_of<buddy::eviction::lru>(model, budget, batches) == hits_of(naive::lru{slots}, batches));
  CHECK(hits_of<buddy::eviction::lfu>(model, budget, batches) == hits_of(naive::lfu{slots}, batches));
  CHECK(hits_of<buddy::eviction::lfu>(model, budget, batches, model) == hits_of(naive::lfu{slots, true}, batches));
  CHECK(hits_of<buddy::eviction::lfru>(model, budget, batches) == hits_of(naive::lfru{slots}, batches));
  CHECK(hits_of<buddy::eviction::slru>(model, budget, batches) == hits_of(naive::slru{slots}, batches));
  CHECK(hits_of<buddy::eviction::arc>(model, budget, batches) == hits_of(naive::arc{slots}, batches));
  CHECK(hits_of<buddy::eviction::clock>(model, budget, batches) == hits_of(naive::clock{slots}, batches));
  CHECK(hits_of<buddy::eviction::sieve>(model, budget, batches) == hits_of(naive::sieve{slots}, batches));
  CHECK(hits_of<buddy::eviction::s3_fifo>(model, budget, batches) == hits_of(naive::s3_fifo{slots}, batches));
}

TEST_CASE("random replacement hits as often as chance has it", "[property][random]") {
  // Uniform requests: whatever 10 of 40 are held, the next is one of them with p = 1/4. 40,000 requests, the first 10
  // of which fill the cache: 10,000 hits, sigma = sqrt(40,000 x 1/4 x 3/4) = 86.6; 4 sigma = 346.
  auto const batches = random_batches(model, habit::uniform, 40'000, 11);
  auto const seed = GENERATE(std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{3});
  auto const hits = hits_of<buddy::eviction::random>(model, {.bytes = 10}, batches, seed);
  CHECK(std::abs(static_cast<double>(hits) - 10'000.0) < 346.0);
}
