// SPDX-License-Identifier: Apache-2.0
// What it costs to name who leaves and to let the next one in: one turn of a full pool, in ns.
//
// Between two turns 4 slots are hit, as in a layer most of whose experts are resident; that is in the loop too.
#include "axes.hpp"

#include <buddy/buddy.hpp>

#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <vector>

namespace {

using buddy::slot_id;

/// A pool of slots without a cache around it.
template <class Eviction>
class full_pool {
 public:
  template <class... Arguments>
  explicit full_pool(std::uint32_t slots, Arguments const&... arguments)
      : eviction_(slots, arguments...), holds_(slots) {
    for (std::uint32_t s = 0; s != slots; ++s) enter(slot_id{s});
  }

  /// Hits 4 slots, then lets one more expert in. @returns whether a filled slot was named
  bool turn() noexcept {
    std::uint32_t const n = static_cast<std::uint32_t>(holds_.size());
    eviction_.on_step({turns_ / 2 + 1, static_cast<std::uint16_t>(turns_ % 2), 2});
    ++turns_;
    for (int i = 0; i != 4; ++i) eviction_.on_hit(slot_id{buddy::below(state_ = buddy::splitmix64(state_), n)});
    slot_id const s = eviction_.victim([](slot_id) noexcept { return true; });
    if (s == buddy::no_slot) return false;
    eviction_.on_erase(s);
    enter(s);
    return true;
  }

 private:
  /// Experts of two layers come by in turn, twice as many as there are slots.
  void enter(slot_id s) noexcept {
    auto const expert = static_cast<std::uint16_t>(next_ % holds_.size());
    eviction_.on_insert(s, {static_cast<std::uint16_t>(next_ / holds_.size() % 2), expert});
    holds_[static_cast<std::size_t>(s)] = next_++;
  }

  Eviction eviction_;
  std::vector<std::uint64_t> holds_;
  std::uint64_t next_ = 0;
  std::uint64_t turns_ = 0;
  std::uint64_t state_ = 1;
};

template <class Eviction>
void victim(benchmark::State& state) {
  full_pool<Eviction> pool(static_cast<std::uint32_t>(state.range(0)));
  bool named = true;
  for (auto _ : state) named = pool.turn() && named;
  if (!named) state.SkipWithError("a full pool named no slot");
  state.SetItemsProcessed(state.iterations());
}

template <class... Evictions>
void add() {
  (benchmark::RegisterBenchmark(("eviction/victim/" + std::string{Evictions::name}).c_str(), victim<Evictions>)
       ->Apply(axes::slots),
   ...);
}

}  // namespace

int main(int argc, char** argv) {
  namespace evict = buddy::eviction;
  add<evict::lru, evict::lru_token, evict::lru_ds, evict::fifo, evict::clock, evict::lfu, evict::lfu_decayed,
      evict::lfru, evict::slru, evict::arc, evict::sieve, evict::s3_fifo, evict::least_stale, evict::window_hot,
      evict::random>();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
