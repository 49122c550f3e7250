// SPDX-License-Identifier: Apache-2.0
// The laws of docs/design.md for every combination of the shipped models.
#include "catch.hpp"
#include "property/policy_run.hpp"

#include <buddy/policy_config.hpp>

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

using buddy::resolution;
using buddy::weight_mode;

namespace {

/// Settings that no combination enumerates, from a seed.
buddy::policy_config varied(std::uint64_t seed) {
  std::uint64_t const bits = buddy::splitmix64(seed);
  buddy::policy_config c;
  if (bits % 4 == 0) c.beta = 0.7;
  c.rho = bits / 4 % 3 == 0 ? 1 + static_cast<std::uint32_t>(bits / 16 % 2) : buddy::max_top_k;
  c.order = static_cast<buddy::budget_order>(bits / 64 % 3);
  if (c.order == buddy::budget_order::least_loss && bits / 1024 % 4 != 0)
    c.loss = {.target_ub = 400, .window_tokens = 3, .cap_tokens = 2};
  c.replacement_ratio = bits / 128 % 3 == 0 ? 0.4 : 1.0;
  c.ratio_window = 5;
  c.refill_after = static_cast<std::uint32_t>(bits / 512 % 3);
  c.prefetch_width = static_cast<std::uint32_t>(bits / 2048 % 3 * 2);
  if (bits / 8192 % 3 == 0) c.refill_bytes_per_step = 8;
  c.prefetch = static_cast<buddy::prefetch_mode>(bits / 32768 % 3);
  if (bits / 131072 % 2 == 0)
    c.lanes = {static_cast<buddy::lane_rule>(bits / 262144 % 3), 1 + bits / 1048576 % 5, 1 + bits / 8388608 % 5};
  c.admissions_per_layer = static_cast<std::uint32_t>(bits / 67108864 % 3);
  c.over_cap = bits / 268435456 % 2 == 0 ? resolution::fetch : resolution::host;
  return c;
}

/// Counts runs, and tells of the first that breaks a law.
class verdict {
 public:
  void check(run_settings const& s) {
    ++runs_;
    if (!broken_.empty()) return;
    policy_run run(s);
    auto const* const law = run.broken();
    total_ += run.policy().total();
    if (law != nullptr) {
      broken_ = std::string(law) + ": " + s.models.show() + ", on refused " +
                std::string(to_string(s.config.on_refused)) + ", " + std::to_string(s.config.max_tokens) +
                " tokens, seed " + std::to_string(s.seed);
    }
  }

  [[nodiscard]] std::string const& broken() const { return broken_; }
  [[nodiscard]] std::uint32_t runs() const { return runs_; }
  [[nodiscard]] buddy::layer_counters const& total() const { return total_; }

 private:
  std::string broken_;
  std::uint32_t runs_ = 0;
  buddy::layer_counters total_;
};

/// That nothing was left out which could have broken a law.
void check_everything_happened(buddy::layer_counters const& n) {
  for (auto const r : {resolution::own, resolution::buddy, resolution::low_precision, resolution::fetch,
                       resolution::host, resolution::drop})
    CHECK(n.slots_ending(r) > 0);
  for (std::size_t why = 0; why != buddy::n_refusals; ++why)
    CHECK((n.refusals[why] > 0) == (why != static_cast<std::size_t>(buddy::refusal::exact_mode)));
  for (auto const count : {n.fetches, n.staged, n.waits, n.refills, n.prefetches, n.useful_prefetches})
    CHECK(count > 0);
}

}  // namespace

TEST_CASE("the combinations bring each three models of different roles together", "[property][policy]") {
  std::set<chosen::detail::meeting> met;
  for (auto const& c : chosen::combinations())
    met.merge(chosen::detail::meetings_of(
        {c.eviction, c.pool == buddy::pool_layout::global ? 0U : 1U, c.predictor, c.gate, c.selector}));
  std::size_t expected = 0;
  auto const& n = chosen::detail::n_models;
  for (std::size_t a = 0; a != n.size(); ++a)
    for (std::size_t b = a + 1; b != n.size(); ++b)
      for (std::size_t c = b + 1; c != n.size(); ++c) expected += n[a] * n[b] * n[c];
  CHECK(met.size() == expected);
}

TEST_CASE("every combination of models obeys every law of a plan", "[property][policy]") {
  auto const n_tokens = static_cast<std::uint32_t>(GENERATE(1, 4));
  verdict laws;
  std::uint64_t seed = n_tokens;
  chosen::for_each_combination([&](chosen::combination const& models) {
    for (auto const refused : {resolution::fetch, resolution::host, resolution::drop}) {
      for (auto const weights : {weight_mode::keep, weight_mode::own}) {
        for (bool const renormalise : {false, true}) {
          ++seed;
          run_settings s{.models = models, .config = varied(seed), .unequal_records = seed % 5 == 0, .seed = seed};
          s.config.on_refused = refused;
          s.config.weights = weights;
          s.config.renormalise = renormalise;
          s.config.max_tokens = n_tokens;
          laws.check(s);
        }
      }
    }
  });
  CHECK(laws.broken() == "");
  CHECK(laws.runs() == chosen::combinations().size() * 3 * 2 * 2);
  check_everything_happened(laws.total());
}

TEST_CASE("exact mode never substitutes, whatever the models", "[property][policy]") {
  std::uint64_t seed = 0;
  verdict laws;
  chosen::for_each_combination([&](chosen::combination const& models) {
    for (auto const refused : {resolution::fetch, resolution::host}) {
      run_settings s{.models = models, .config = varied(++seed), .seed = seed};
      s.config.exact = true;
      s.config.on_refused = refused;
      laws.check(s);
    }
  });
  CHECK(laws.broken() == "");
  CHECK(laws.total().slots_ending(resolution::buddy) == 0);
  CHECK(laws.total().slots_ending(resolution::drop) == 0);
  CHECK(laws.total().refused(buddy::refusal::exact_mode) > 0);
}
