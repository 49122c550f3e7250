// SPDX-License-Identifier: Apache-2.0
/// @file
/// Lines of one result.
#include "harness/report/run_summary.hpp"

#include "harness/report/auto_report.hpp"
#include "harness/report/text_table.hpp"

#include <buddy/expected_error.hpp>
#include <buddy/resolution.hpp>

#include <cmath>
#include <cstddef>
#include <string>

namespace harness {

namespace {

std::string with_error(estimate const& x, int digits, bool plus = false) {
  std::string const mean = fixed(x.mean, digits, plus);
  return std::isnan(x.standard_error) ? mean : mean + " +- " + fixed(x.standard_error, digits);
}

std::string share_line(run_result const& r) {
  std::string line;
  for (std::size_t i = 0; i != buddy::n_resolutions; ++i) {
    auto const how = static_cast<buddy::resolution>(i);
    if (r.total.slots_ending(how) == 0) continue;
    line += (line.empty() ? "" : ", ") + std::string{buddy::to_string(how)} + " " + percent(r.share(how), 2);
  }
  return line;
}

std::string refusal_line(buddy::layer_counters const& c) {
  std::string line;
  for (std::size_t i = 1; i != buddy::n_refusals; ++i) {
    auto const why = static_cast<buddy::refusal>(i);
    if (c.refused(why) == 0) continue;
    line += (line.empty() ? "" : ", ") + std::string{buddy::to_string(why)} + " " + std::to_string(c.refused(why));
  }
  return line.empty() ? "none" : line;
}

std::string hits_by_layer(run_result const& r) {
  std::string line;
  for (auto const& c : r.layers)
    line += " " +
            (c.lookups == 0 ? std::string{"-"} : percent(static_cast<double>(c.hits) / static_cast<double>(c.lookups)));
  return line;
}

std::string megabytes(double bytes) { return fixed(bytes / 1e6, 1) + " MB"; }

std::string link_bytes(run_result const& r) {
  auto const megabytes_of = [&](std::size_t why) { return megabytes(r.link_bytes_per_token(r.time.link_bytes[why])); };
  return megabytes(r.link_bytes_per_token(r.time.all_link_bytes())) + " (demand " + megabytes_of(0) + ", prefetch " +
         megabytes_of(1) + ", refill " + megabytes_of(2) + ")";
}

void print_measured(std::ostream& out, run_result const& r) {
  out << "measured on " << r.measured->device << ":\n"
      << "  tokens/s                   " << fixed(r.tokens_per_second(), 2) << '\n'
      << "  stall share                " << percent(r.stall_share()) << '\n'
      << "  link per token             " << link_bytes(r) << '\n'
      << "  measured over modelled     " << fixed(r.tokens_per_second() / r.modelled_tokens_per_second(), 3) << '\n';
}

void print_time(std::ostream& out, run_result const& r) {
  if (r.measured) print_measured(out, r);
  out << "modelled on " << r.machine.name << " with the sizes of " << r.shape.name << ":\n"
      << "  tokens/s (modelled)        " << fixed(r.modelled_tokens_per_second(), 2) << '\n'
      << "  stall share (modelled)     " << percent(r.modelled_stall_share()) << '\n';
  if (!r.measured) out << "  link per token (modelled)  " << link_bytes(r) << '\n';
}

void print_counts(std::ostream& out, run_result const& r) {
  auto const& c = r.total;
  auto const buddies = c.slots_ending(buddy::resolution::buddy);
  out << "counted:\n"
      << "  routed slots               " << share_line(r) << '\n'
      << "  hit rate                   " << percent(r.hit_rate(), 2) << "; by layer:" << hits_by_layer(r) << '\n'
      << "  refusals                   " << refusal_line(c) << '\n';
  if (buddies != 0)
    out << "  mean rank of the buddies   "
        << fixed(static_cast<double>(c.stand_in_rank_sum) / static_cast<double>(buddies), 2) << '\n';
  if (c.prefetches != 0)
    out << "  prefetches                 " << c.prefetches << ", of these used " << c.useful_prefetches << " (late "
        << c.late_prefetches << "), wasted " << c.wasted_prefetches << "; demands found under way " << c.waits << '\n';
  if (c.refills != 0) out << "  refills                    " << c.refills << '\n';
  if (c.prefetches + c.refills != 0)
    out << "  gave way to a demand       " << r.time.background_cancelled << " prefetches and refills\n";
}

/// A name as wide as the others, one step further in.
std::string padded(std::string const& name) {
  return "    " + name + std::string(name.size() < 25 ? 25 - name.size() : 1, ' ');
}

void print_domains(std::ostream& out, run_result const& r) {
  if (r.domains.size() < 2) return;
  for (auto const& [name, x] : r.domains)
    out << padded(name) << fixed(x.bits_per_byte.mean, 4) << " (exact " << fixed(x.bits_per_byte_exact.mean, 4)
        << ", change " << fixed(x.change.mean, 4, true) << ")\n";
}

void print_quality(std::ostream& out, run_result const& r) {
  out << "measured against the exact model on the same " << r.n_tokens << " tokens:\n";
  if (r.text)
    out << "  bits per byte              " << with_error(r.text->bits_per_byte, 4) << " (exact "
        << fixed(r.text->bits_per_byte_exact.mean, 4) << ", change " << with_error(r.text->change, 4, true) << ")\n";
  print_domains(out, r);
  if (r.text)
    out << "  KL, nats                   " << with_error(r.text->kl_nats, 5) << '\n'
        << "  top-1 agreement            " << with_error(r.text->top1_agreement, 4) << '\n';
  if (r.tasks.empty()) return;
  out << "  task accuracy              " << with_error(r.task_accuracy(), 4) << " (exact "
      << fixed(r.task_accuracy_exact().mean, 4) << ")\n";
  for (auto const& [name, x] : r.tasks)
    out << padded(name) << fixed(x.accuracy.mean, 3) << " (exact " << fixed(x.accuracy_exact.mean, 3) << ", "
        << x.n_answers << " problems)\n";
}

void print_guard(std::ostream& out, run_result const& r) {
  if (!r.guard) return;
  guard_report const& g = *r.guard;
  auto const bits = [](std::uint64_t ub) { return fixed(static_cast<double>(ub) / buddy::micro_bits, 5); };
  out << "guard:\n"
      << "  promised, bits per byte    " << bits(g.target_ub) << " (" << r.settings.loss.promise->text()
      << "), allowed at the end " << bits(g.status.allowed_ub) << '\n'
      << "  audited                    " << g.audits.slots << " slots, " << g.audits.tokens
      << " tokens: " << percent(static_cast<double>(g.audit_ns) / static_cast<double>(r.time.elapsed_ns), 2)
      << " of the modelled time\n"
      << "  realised by slots          " << bits(g.status.slots.mean_ub) << " +- " << bits(g.status.slots.error_ub)
      << '\n'
      << "  realised by tokens         " << bits(g.status.tokens.mean_ub) << " +- " << bits(g.status.tokens.error_ub)
      << '\n'
      << "  link, drifts, alarms       " << fixed(static_cast<double>(g.status.link_q16) / 65536.0, 3) << ", "
      << g.status.drifts << ", " << g.status.alarms << '\n';
}

}  // namespace

void print_summary(std::ostream& out, run_result const& result) {
  out << "policy " << result.settings.name << ", cache ratio " << fixed(result.settings.cache_ratio, 3) << ", start "
      << start_of(result.settings) << ", model " << result.model << '\n';
  print_time(out, result);
  print_counts(out, result);
  print_choices(out, result.choices);
  print_guard(out, result);
  print_quality(out, result);
}

}  // namespace harness
