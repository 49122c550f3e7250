// SPDX-License-Identifier: Apache-2.0
/// @file
/// Chooses the columns.
#include "harness/report/result_table.hpp"

#include "harness/report/text_table.hpp"

#include <buddy/resolution.hpp>

#include <algorithm>
#include <string_view>

namespace harness {

namespace {

using buddy::resolution;

std::string relative_speed(std::vector<run_result> const& all, run_result const& r) {
  if (r.settings.name == "all_resident") return "-";
  run_result const* const base = find_row(all, "fetch", r.settings.cache_ratio);
  return base == nullptr ? "-" : fixed(r.tokens_per_second() / base->tokens_per_second(), 2) + "x";
}

std::string text_cell(run_result const& r, estimate text_metrics::* x, int digits, bool plus) {
  return r.text ? fixed(((*r.text).*x).mean, digits, plus) : "-";
}

std::string relative_change(run_result const& r) {
  return r.text ? percent(r.text->change.mean / r.text->bits_per_byte_exact.mean, 1, true) : "-";
}

std::vector<std::string> row_of(std::vector<run_result> const& all, run_result const& r) {
  bool const resident = r.settings.name == "all_resident";
  std::vector<std::string> cells{r.settings.name,
                                 resident ? "1" : fixed(r.settings.cache_ratio, 3),
                                 fixed(r.tokens_per_second(), 1),
                                 relative_speed(all, r),
                                 percent(r.stall_share(), 0),
                                 fixed(r.link_bytes_per_token(r.time.all_link_bytes()) / 1e6, 0),
                                 percent(r.hit_rate()),
                                 percent(r.share(resolution::buddy)),
                                 percent(r.share(resolution::host)),
                                 percent(r.share(resolution::fetch)),
                                 percent(r.share(resolution::drop)),
                                 text_cell(r, &text_metrics::bits_per_byte, 3, false),
                                 relative_change(r),
                                 text_cell(r, &text_metrics::kl_nats, 4, false),
                                 r.text ? percent(r.text->top1_agreement.mean) : "-",
                                 !r.tasks.empty() ? percent(r.task_accuracy().mean) : "-"};
  if (r.measured) {
    cells.push_back(fixed(r.modelled_tokens_per_second(), 1));
    cells.push_back(fixed(r.tokens_per_second() / r.modelled_tokens_per_second(), 3));
  }
  return cells;
}

struct csv_column {
  std::string_view name;
  std::string (*value)(run_result const&);
};

std::string exact_number(double x) { return fixed(x, 9); }

std::string text_number(run_result const& r, estimate text_metrics::* x) {
  return r.text ? exact_number(((*r.text).*x).mean) : "";
}

constexpr csv_column csv_columns[] = {
    {"policy", [](run_result const& r) { return r.settings.name; }},
    {"cache_ratio", [](run_result const& r) { return fixed(r.settings.cache_ratio, 6); }},
    {"hardware", [](run_result const& r) { return r.machine.name; }},
    {"shape", [](run_result const& r) { return r.shape.name; }},
    {"timing", [](run_result const& r) { return std::string{r.timing()}; }},
    {"tokens_per_second", [](run_result const& r) { return exact_number(r.tokens_per_second()); }},
    {"stall_share", [](run_result const& r) { return exact_number(r.stall_share()); }},
    {"link_bytes_per_token",
     [](run_result const& r) { return fixed(r.link_bytes_per_token(r.time.all_link_bytes()), 0); }},
    {"hit_rate", [](run_result const& r) { return exact_number(r.hit_rate()); }},
    {"buddy", [](run_result const& r) { return exact_number(r.share(resolution::buddy)); }},
    {"host", [](run_result const& r) { return exact_number(r.share(resolution::host)); }},
    {"fetch", [](run_result const& r) { return exact_number(r.share(resolution::fetch)); }},
    {"drop", [](run_result const& r) { return exact_number(r.share(resolution::drop)); }},
    {"bits_per_byte", [](run_result const& r) { return text_number(r, &text_metrics::bits_per_byte); }},
    {"bits_per_byte_exact", [](run_result const& r) { return text_number(r, &text_metrics::bits_per_byte_exact); }},
    {"kl_nats", [](run_result const& r) { return text_number(r, &text_metrics::kl_nats); }},
    {"top1_agreement", [](run_result const& r) { return text_number(r, &text_metrics::top1_agreement); }},
    {"task_accuracy",
     [](run_result const& r) { return !r.tasks.empty() ? exact_number(r.task_accuracy().mean) : std::string{}; }},
    {"task_accuracy_exact",
     [](run_result const& r) { return !r.tasks.empty() ? exact_number(r.task_accuracy_exact().mean) : std::string{}; }},
};

}  // namespace

run_result const* find_row(std::vector<run_result> const& results, std::string_view policy, double cache_ratio) {
  for (run_result const& r : results) {
    if (r.settings.name == policy && (policy == "all_resident" || r.settings.cache_ratio == cache_ratio)) return &r;
  }
  return nullptr;
}

void print_results(std::ostream& out, std::vector<run_result> const& results) {
  std::vector<std::string> columns{"policy", "ratio", "tok/s*", "/fetch", "stall*", "MB/tok*", "hit",   "buddy",
                                   "host",   "fetch", "drop",   "bits/B", "change", "KL",      "top-1", "tasks"};
  if (results.front().measured) columns.insert(columns.end(), {"modelled", "meas/mod"});
  text_table table{columns};
  double ratio = 0.0;
  for (run_result const& r : results) {
    if (r.settings.cache_ratio != ratio) table.gap();
    ratio = r.settings.cache_ratio;
    table.add(row_of(results, r));
  }
  table.print(out);
}

void print_legend(std::ostream& out, std::vector<run_result> const& results) {
  run_result const& any = results.front();
  bool const warm = std::any_of(results.begin(), results.end(), [](run_result const& r) { return r.settings.warm; });
  if (any.measured)
    out << "* measured on " << any.measured->device << "; modelled: " << any.machine.name << "; ";
  else
    out << "* modelled: " << any.machine.name << ", charged with the sizes of " << any.shape.name << "; ";
  out << any.n_tokens << " tokens, one at a time.\n"
      << "start: " << (warm ? "warm, with the profile's most popular experts" : "cold, with no expert")
      << " in fast memory.\n"
      << "ratio: experts that fit; hit: look-ups that found their expert; buddy, host, fetch, drop: shares of routed "
         "slots;\n"
      << "bits/B, change, KL (nats), top-1: of the next byte of the text, change and the others against the exact "
         "model;\n"
      << "tasks: synthetic problems answered without a wrong byte. An expert that is left out is not read either, so "
         "that\n"
      << "drop can be faster than all_resident.\n";
}

std::string to_csv(std::vector<run_result> const& results) {
  std::string out;
  for (csv_column const& c : csv_columns) out += (out.empty() ? "" : ",") + std::string{c.name};
  out += "\n";
  for (run_result const& r : results) {
    std::string line;
    for (csv_column const& c : csv_columns) line += (&c == csv_columns ? "" : ",") + csv_field(c.value(r));
    out += line + "\n";
  }
  return out;
}

}  // namespace harness
