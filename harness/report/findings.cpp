// SPDX-License-Identifier: Apache-2.0
/// @file
/// Compares rows and words the outcome; which way a comparison went is never assumed.
#include "harness/report/findings.hpp"

#include "harness/report/result_table.hpp"
#include "harness/report/text_table.hpp"

#include <buddy/resolution.hpp>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace harness {

namespace {

using buddy::resolution;

double replaced(run_result const& r) {
  return 1.0 - r.share(resolution::own) - r.share(resolution::fetch) - r.share(resolution::host);
}

/// Bits per byte lost, as a share of what the exact model needs.
double loss(run_result const& r) { return r.text ? r.text->change.mean / r.text->bits_per_byte_exact.mean : 0.0; }

std::string loss_words(run_result const& r) {
  std::string out = percent(loss(r), 1, true) + " bits per byte";
  if (!r.tasks.empty())
    out += ", tasks " + percent(r.task_accuracy().mean) + " instead of " + percent(r.task_accuracy_exact().mean);
  return out;
}

std::string speed_words(run_result const& r, run_result const& base) {
  return fixed(r.tokens_per_second() / base.tokens_per_second(), 2) + " times the modelled speed of fetching";
}

/// Which of those that replace every miss loses least, and by how much the others lose more.
std::string who_stands_in(std::vector<run_result const*> rows, run_result const& fetch) {
  std::stable_sort(rows.begin(), rows.end(),
                   [](run_result const* a, run_result const* b) { return loss(*a) < loss(*b); });
  std::string out = "Replacing every miss (about " + percent(replaced(*rows.front()), 0) +
                    " of the routed slots) gives " + speed_words(*rows.front(), fetch) +
                    "; what stands in decides the loss:";
  for (run_result const* r : rows)
    out += (r == rows.front() ? " " : ", ") + r->settings.name + " " + percent(loss(*r), 1, true);
  return out + ".";
}

std::string published(run_result const& b, run_result const& fetch) {
  return "BuddyMoE as published replaces " + percent(replaced(b)) + " of the routed slots and still fetches " +
         percent(b.share(resolution::fetch)) + ": " + speed_words(b, fetch) + " at " + loss_words(b) + ".";
}

std::string light(run_result const& d, run_result const& b, run_result const& fetch) {
  bool const less = loss(d) < loss(b);
  double const fetched = fetch.share(resolution::fetch);
  double const avoided = fetched > 0.0 ? 1.0 - d.share(resolution::fetch) / fetched : 0.0;
  return "Leaving out only slots of small gate weight avoids " + percent(avoided, 0) +
         " of the fetches: " + speed_words(d, fetch) + " at " + loss_words(d) + ", " + (less ? "less" : "not less") +
         " than BuddyMoE loses.";
}

}  // namespace

std::vector<std::string> findings(std::vector<run_result> const& rows, double cache_ratio) {
  auto const row = [&](std::string_view name) { return find_row(rows, name, cache_ratio); };
  std::vector<std::string> out;
  run_result const* const fetch = row("fetch");
  if (fetch == nullptr) return out;
  std::vector<run_result const*> all_replaced;
  for (std::string_view const name : {"drop", "random", "live_score"})
    if (run_result const* const r = row(name)) all_replaced.push_back(r);
  if (!all_replaced.empty()) out.push_back(who_stands_in(all_replaced, *fetch));
  run_result const* const published_row = row("buddymoe");
  if (published_row != nullptr) out.push_back(published(*published_row, *fetch));
  run_result const* const light_row = row("drop_light");
  if (light_row != nullptr && published_row != nullptr) out.push_back(light(*light_row, *published_row, *fetch));
  return out;
}

}  // namespace harness
