// SPDX-License-Identifier: Apache-2.0
/// @file
/// One function a method.
#include "harness/guard/pareto_rows.hpp"

#include "harness/policy/presets.hpp"
#include "harness/report/text_table.hpp"

#include <initializer_list>
#include <utility>

namespace harness {

namespace {

class row_list {
 public:
  row_list(double cache_ratio, std::uint64_t seed) : cache_ratio_{cache_ratio}, seed_{seed} {}

  template <class Change>
  void add(std::string const& method, char const* preset, std::string knob, Change const& change) {
    policy_settings s = preset_settings(preset);
    if (s.cache_ratio != 1.0) {
      s.cache_ratio = cache_ratio_;
      s.warm = true;
    }
    s.seed = seed_;
    change(s);
    rows_.push_back({method, std::move(knob), std::move(s)});
  }

  [[nodiscard]] std::vector<pareto_row> take() noexcept { return std::move(rows_); }

 private:
  double cache_ratio_;
  std::uint64_t seed_;
  std::vector<pareto_row> rows_;
};

void add_bounded(row_list& rows, std::string const& stand_ins) {
  for (char const* const promise : {"0.1%", "0.25%", "0.5%", "1%", "2%", "4%", "8%"})
    rows.add("bounded", "bounded", promise, [&](policy_settings& s) {
      s.loss.promise = loss_promise::parse(promise);
      s.loss.stand_ins = stand_ins;
    });
}

/// The same stand-ins and the same cache; slots below a gate share are replaced.
void add_weight_threshold(row_list& rows, std::string const& stand_ins) {
  for (double const threshold : {0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25})
    rows.add("weight threshold, same stand-ins", "bounded", fixed(threshold, 3), [&](policy_settings& s) {
      s.loss.stand_ins = stand_ins;
      s.loss.promise.reset();
      s.rules.order = buddy::budget_order::router;
      s.sensitivity = "weight_gate";
      s.weight_threshold = threshold;
    });
}

void add_light(row_list& rows, std::string const& method, char const* preset) {
  for (double const threshold : {0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25})
    rows.add(method, preset, fixed(threshold, 3), [&](policy_settings& s) { s.weight_threshold = threshold; });
}

/// Nothing is fetched.
void add_without_fetches(row_list& rows, std::string const& stand_ins) {
  rows.add("stand-ins, no fetch", "bounded", stand_ins, [&](policy_settings& s) {
    s.loss.stand_ins = stand_ins;
    s.loss.promise.reset();
    s.eviction = "lru";
    s.rules.order = buddy::budget_order::router;
    s.rules.refill_after = 1;
  });
  rows.add("every miss left out", "drop", "", [](policy_settings&) {});
  rows.add("live score, own weight", "live_score", "", [](policy_settings&) {});
}

void add_buddymoe(row_list& rows) {
  for (double const tau : {0.97, 0.95, 0.9, 0.8, 0.0})
    rows.add("BuddyMoE", "buddymoe", "tau " + fixed(tau, 2), [&](policy_settings& s) { s.tau = tau; });
  rows.add("BuddyMoE", "buddy", "no gates", [](policy_settings&) {});
}

void add_published(row_list& rows) {
  for (double const lambda : {0.1, 0.2, 0.3, 0.5})
    rows.add("cache-prior", "cache_prior", "lambda " + fixed(lambda, 1),
             [&](policy_settings& s) { s.other.lambda = lambda; });
  for (double const ratio : {0.15, 0.25, 0.4, 0.6})
    rows.add("SER", "ser", "ratio " + fixed(ratio, 2), [&](policy_settings& s) { s.other.ser_ratio = ratio; });
  for (double const limit : {0.001, 0.005, 0.02, 0.06})
    rows.add("AdapMoE's gate", "adapmoe", "limit " + fixed(limit, 3),
             [&](policy_settings& s) { s.other.error_limit = limit; });
  for (std::uint32_t const kept : {4U, 3U, 2U, 1U})
    rows.add("SERE", "sere", "top " + std::to_string(kept), [&](policy_settings& s) { s.other.n_kept = kept; });
}

}  // namespace

std::vector<pareto_row> pareto_rows(std::string const& stand_ins, double cache_ratio, std::uint64_t seed) {
  row_list rows{cache_ratio, seed};
  rows.add("all resident", "all_resident", "", [](policy_settings&) {});
  rows.add("fetch", "fetch", "", [](policy_settings&) {});
  add_bounded(rows, stand_ins);
  add_weight_threshold(rows, stand_ins);
  add_light(rows, "left out below a weight, LRU", "drop_light");
  add_light(rows, "buddy below a weight, LRU", "buddy_light");
  add_without_fetches(rows, stand_ins);
  add_buddymoe(rows);
  add_published(rows);
  return rows.take();
}

}  // namespace harness
