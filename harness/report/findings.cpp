// SPDX-License-Identifier: Apache-2.0
/// @file
/// Compares rows and words the outcome; which way a comparison went is never assumed.
#include "harness/report/findings.hpp"

#include "harness/report/result_table.hpp"
#include "harness/report/text_table.hpp"

#include <buddy/resolution.hpp>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>

namespace harness {

namespace {

using buddy::resolution;

double replaced(run_result const& r) {
  return 1.0 - r.share(resolution::own) - r.share(resolution::fetch) - r.share(resolution::host);
}

/// What the rows are compared by: the change in bits per byte as a share of what the exact model needs; where no text
/// was read, the change in task accuracy with its sign turned, so that more is worse; nothing where neither was read.
std::optional<double> loss(run_result const& r) {
  if (r.text) return r.text->change.mean / r.text->bits_per_byte_exact.mean;
  if (!r.tasks.empty()) return r.task_accuracy_exact().mean - r.task_accuracy().mean;
  return std::nullopt;
}

std::string short_loss(run_result const& r) {
  return r.text ? percent(*loss(r), 1, true) : fixed(*loss(r) * -100.0, 1, true);
}

/// " at ...", or nothing.
std::string loss_words(run_result const& r) {
  std::string out;
  if (r.text) out = percent(*loss(r), 1, true) + " bits per byte";
  if (!r.tasks.empty())
    out += (out.empty() ? "" : ", ") + ("tasks " + percent(r.task_accuracy().mean)) + " instead of " +
           percent(r.task_accuracy_exact().mean);
  return out.empty() ? out : " at " + out;
}

/// Whose gate weight the stand-ins have: policies that differ in it differ in more than the choice.
std::string weight_words(run_result const& r) {
  if (r.share(resolution::buddy) == 0.0) return "";
  return r.settings.rules.weights == buddy::weight_mode::own ? " (at its own weight)"
                                                             : " (with the missing expert's weight)";
}

std::string speed_words(run_result const& r, run_result const& base) {
  return fixed(r.tokens_per_second() / base.tokens_per_second(), 2) + " times the " + r.timing() + " speed of fetching";
}

/// Those that replace every miss, the one that loses least first.
std::string who_stands_in(std::vector<run_result const*> rows, run_result const& fetch) {
  std::stable_sort(rows.begin(), rows.end(),
                   [](run_result const* a, run_result const* b) { return loss(*a) < loss(*b); });
  std::string out = "Replacing every miss (about " + percent(replaced(*rows.front()), 0) +
                    " of the routed slots) gives " + speed_words(*rows.front(), fetch);
  if (!loss(*rows.front())) return out + ".";
  out += std::string{"; the change in "} + (rows.front()->text ? "bits per byte" : "points of task accuracy") +
         " depends on what stands in, and at which gate weight:";
  for (run_result const* r : rows)
    out += (r == rows.front() ? " " : ", ") + r->settings.name + weight_words(*r) + " " + short_loss(*r);
  return out + ".";
}

std::string published(run_result const& b, run_result const& fetch) {
  return "BuddyMoE as published replaces " + percent(replaced(b)) + " of the routed slots and still fetches " +
         percent(b.share(resolution::fetch)) + ": " + speed_words(b, fetch) + loss_words(b) + ".";
}

std::string light(run_result const& d, run_result const& b, run_result const& fetch) {
  double const fetched = fetch.share(resolution::fetch);
  double const avoided = fetched > 0.0 ? 1.0 - d.share(resolution::fetch) / fetched : 0.0;
  return "Leaving out only slots of small gate weight avoids " + percent(avoided, 0) +
         " of the fetches: " + speed_words(d, fetch) + loss_words(d) +
         (!loss(d) || !loss(b)  ? ""
          : *loss(d) < *loss(b) ? ", less than BuddyMoE loses"
                                : ", not less than BuddyMoE loses") +
         ".";
}

}  // namespace

std::vector<std::string> findings(std::vector<run_result> const& rows, double cache_ratio) {
  auto const row = [&](std::string_view name) { return find_row(rows, name, cache_ratio); };
  std::vector<std::string> out;
  run_result const* const fetch = row("fetch");
  if (fetch == nullptr) return out;
  std::vector<run_result const*> all_replaced;
  for (std::string_view const name : {"drop", "random", "buddy", "live_score"})
    if (run_result const* const r = row(name)) all_replaced.push_back(r);
  if (!all_replaced.empty()) out.push_back(who_stands_in(all_replaced, *fetch));
  run_result const* const published_row = row("buddymoe");
  if (published_row != nullptr) out.push_back(published(*published_row, *fetch));
  run_result const* const light_row = row("drop_light");
  if (light_row != nullptr && published_row != nullptr) out.push_back(light(*light_row, *published_row, *fetch));
  return out;
}

}  // namespace harness
