// SPDX-License-Identifier: Apache-2.0
// What it costs to find a stand-in for one missing expert, in ns (an item is one miss).
//
// The lower half of the experts is resident and the token's six are in the upper, so that the answer is known: the
// resident that was given the best score, or the fifth entry of the list. Each case refuses to report anything else.
#include <buddy/buddy.hpp>

#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace {

using buddy::resolution;
using buddy::stand_in;

constexpr std::uint32_t top_k = 6;
constexpr std::uint32_t n_tokens = 64;  // a power of two: the next one costs an addition and a mask

/// Tokens, a cache and lists.
class situation {
 public:
  explicit situation(std::uint32_t n_experts)
      : n_(n_experts), table_({1, static_cast<std::uint16_t>(n_experts), top_k, 1}, 16), taken_(n_experts) {
    for (std::uint32_t e = 0; e != n_; ++e) slot_of_.push_back(e < n_ / 2 ? buddy::slot_id{e} : buddy::no_slot);
    for (std::uint16_t s = 0; s != top_k; ++s) {
      experts_[s] = static_cast<std::uint16_t>(n_ / 2 + 3 * s);
      shares_[s] = buddy::q16_one * (top_k - s) / 21;  // 6/21, 5/21, ...
      taken_.insert(experts_[s]);
    }
    for (std::uint16_t e = 0; e != n_; ++e) fill_list(e);
    std::uint64_t state = 1;
    for (std::uint32_t t = 0; t != n_tokens; ++t) fill_scores(state);
  }

  [[nodiscard]] buddy::token_view token(std::uint32_t i) const noexcept {
    return {0, i, {experts_.data(), top_k}, {shares_.data(), top_k}, {scores_.data() + i % n_tokens * n_, n_}};
  }
  template <class Selector>
  [[nodiscard]] stand_in ask(Selector const& selector, std::uint32_t i) const noexcept {
    return selector.select(token(i), {slot_of_.data(), n_}, taken_, top_k - 1);
  }
  [[nodiscard]] buddy::buddy_table_ref table() const noexcept { return table_.ref(); }

  [[nodiscard]] bool is_best(stand_in const& x, std::uint32_t i) const noexcept {
    return x.how == resolution::buddy && x.expert == best_[i % n_tokens];
  }
  [[nodiscard]] bool is_fifth(stand_in const& x) const noexcept {
    return x.how == resolution::buddy && x.rank == 4 && x.expert < n_ / 2;
  }
  [[nodiscard]] bool is_resident(stand_in const& x) const noexcept {
    return x.how == resolution::buddy && x.expert < n_ / 2;
  }

 private:
  /// Four entries that are not resident, then twelve that are.
  void fill_list(std::uint16_t e) {
    std::uint32_t const half = n_ / 2;
    for (std::uint32_t r = 0; r != 16; ++r) {
      std::uint32_t const place = (e + 1 + r) % half;
      table_.append({0, e}, static_cast<std::uint16_t>(r < 4 ? half + place : place), 60000 - 1000 * r);
    }
  }

  void fill_scores(std::uint64_t& state) {
    auto const first = scores_.size();
    for (std::uint32_t e = 0; e != n_; ++e)
      scores_.push_back(1e-6F * static_cast<float>(1 + buddy::below(state = buddy::splitmix64(state), 1000)));
    best_.push_back(static_cast<std::uint16_t>(buddy::below(state = buddy::splitmix64(state), n_ / 2)));
    scores_[first + best_.back()] = 0.01F;
    for (std::uint32_t s = 0; s != top_k; ++s) scores_[first + experts_[s]] = 0.2F - 0.02F * static_cast<float>(s);
  }

  std::uint32_t n_;
  buddy::buddy_table table_;
  buddy::expert_set taken_;
  std::array<std::uint16_t, top_k> experts_{};
  std::array<buddy::q16, top_k> shares_{};
  std::vector<buddy::slot_id> slot_of_;  // [n_experts]
  std::vector<float> scores_;            // [n_tokens, n_experts]
  std::vector<std::uint16_t> best_;      // [n_tokens]
};

/// @param make   Selector from a situation
/// @param right  whether an answer is the one that this case was made for
template <class Make, class Right>
void select(benchmark::State& state, Make const& make, Right const& right) {
  situation const all(static_cast<std::uint32_t>(state.range(0)));
  auto const selector = make(all);
  bool good = true;
  for (std::uint32_t i = 0; i != n_tokens; ++i) good = good && right(all, all.ask(selector, i), i);
  if (!good) state.SkipWithError("the answer is not the one that this case was made for");
  std::uint32_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(all.ask(selector, i++));
  state.SetItemsProcessed(state.iterations());
}

template <class Make, class Right>
void add(std::string const& name, Make make, Right right) {
  benchmark::RegisterBenchmark(("selector/select/" + name).c_str(),
                               [make, right](benchmark::State& state) { select(state, make, right); })
      ->ArgName("experts")
      ->Arg(64)
      ->Arg(128)
      ->Arg(256);
}

/// A selector without a table, at these settings.
template <class Selector>
auto same(Selector selector) {
  return [selector](situation const&) { return selector; };
}

template <class Selector>
auto with_table() {
  return [](situation const& all) { return Selector{all.table()}; };
}

void add_all() {
  namespace pick = buddy::selection;
  auto const best = [](situation const& all, stand_in const& x, std::uint32_t i) { return all.is_best(x, i); };
  auto const fifth = [](situation const& all, stand_in const& x, std::uint32_t) { return all.is_fifth(x); };
  auto const any = [](situation const& all, stand_in const& x, std::uint32_t) { return all.is_resident(x); };
  auto const found_none = [](situation const&, stand_in const& x, std::uint32_t) { return !x.found; };
  auto const left_out = [](situation const&, stand_in const& x, std::uint32_t) { return x.how == resolution::drop; };
  add("none", same(pick::none{}), found_none);
  add("zero_fill", same(pick::zero_fill{}), left_out);
  add("precision_by_mass", same(pick::precision_by_mass{}), left_out);  // 20/21 are heavier than the last
  add("random_resident", same(pick::random_resident{}), any);
  add("coactivation", with_table<pick::coactivation>(), fifth);
  add("router_similarity", with_table<pick::router_similarity>(), fifth);
  add("output_similarity", with_table<pick::output_similarity>(), fifth);
  add("live_score", same(pick::live_score{}), best);
  add("cache_prior", same(pick::cache_prior::fixed(1.0)), best);
  add("rank_window", same(pick::rank_window::fixed(12)), best);
}

}  // namespace

int main(int argc, char** argv) {
  add_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
