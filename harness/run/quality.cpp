// SPDX-License-Identifier: Apache-2.0
/// @file
/// Sums over steps, means over sequences.
#include "harness/run/quality.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace harness {

namespace {

/// Mean over the members of groups, with the standard error of a mean whose groups, not members, are independent.
class pooled_mean {
 public:
  void add_group(double sum, double n) { groups_.push_back({sum, n}); }

  [[nodiscard]] figure result() const {
    double sum = 0.0;
    double n = 0.0;
    for (group const& g : groups_) {
      sum += g.sum;
      n += g.n;
    }
    double const mean = sum / n;
    auto const m = static_cast<double>(groups_.size());
    if (groups_.size() < 2) return {mean, 0.0};
    double squares = 0.0;
    for (group const& g : groups_) squares += (g.sum - mean * g.n) * (g.sum - mean * g.n);
    return {mean, std::sqrt(squares * m / (m - 1.0)) / n};
  }

 private:
  struct group {
    double sum;
    double n;
  };
  std::vector<group> groups_;
};

std::size_t arg_max(std::span<float const> x) {
  return static_cast<std::size_t>(std::max_element(x.begin(), x.end()) - x.begin());
}

/// log of the sum of exponentials, of double precision, so that small differences between two runs survive.
double log_sum(std::span<float const> logits) {
  double const top = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (float const x : logits) sum += std::exp(x - top);
  return top + std::log(sum);
}

/// What one step says.
struct step_score {
  double nats_exact;
  double nats_run;
  double kl;
  double agrees;
};

step_score score(std::span<float const> exact, std::span<float const> run, std::uint8_t next) {
  double const z_exact = log_sum(exact);
  double const z_run = log_sum(run);
  double kl = 0.0;
  for (std::size_t i = 0; i != exact.size(); ++i) {
    double const log_p = exact[i] - z_exact;
    kl += std::exp(log_p) * (log_p - (run[i] - z_run));
  }
  return {z_exact - exact[next], z_run - run[next], std::max(kl, 0.0), arg_max(exact) == arg_max(run) ? 1.0 : 0.0};
}

bool answered(evaluation_sequence const& s, answer_span const& a, evaluation_logits const& logits, std::size_t first) {
  for (std::size_t i = a.first; i != a.first + a.size; ++i) {
    if (arg_max(logits.at(first + i - 1)) != s.bytes[i]) return false;
  }
  return true;
}

/// Mean over tasks, each counted alike.
figure mean_of(std::map<std::string, figure> const& tasks) {
  figure all;
  for (auto const& [name, x] : tasks) {
    all.mean += x.mean / static_cast<double>(tasks.size());
    all.standard_error += x.standard_error * x.standard_error;
  }
  all.standard_error = std::sqrt(all.standard_error) / static_cast<double>(tasks.size());
  return all;
}

}  // namespace

std::optional<text_quality> measure_text(evaluation_set const& set, evaluation_logits const& exact,
                                         evaluation_logits const& run) {
  double const bits = 1.0 / std::log(2.0);
  pooled_mean bits_run, bits_exact, change, kl, agreement;
  std::size_t first = 0;
  bool any = false;
  for (evaluation_sequence const& s : set.sequences) {
    step_score sum{};
    auto const n = static_cast<double>(s.n_steps());
    for (std::size_t i = 0; s.answers.empty() && i != s.n_steps(); ++i) {
      step_score const x = score(exact.at(first + i), run.at(first + i), s.bytes[i + 1]);
      sum = {sum.nats_exact + x.nats_exact, sum.nats_run + x.nats_run, sum.kl + x.kl, sum.agrees + x.agrees};
    }
    first += s.n_steps();
    if (!s.answers.empty()) continue;
    any = true;
    bits_run.add_group(sum.nats_run * bits, n);
    bits_exact.add_group(sum.nats_exact * bits, n);
    change.add_group((sum.nats_run - sum.nats_exact) * bits, n);
    kl.add_group(sum.kl, n);
    agreement.add_group(sum.agrees, n);
  }
  if (!any) return std::nullopt;
  return text_quality{bits_run.result(), bits_exact.result(), change.result(), kl.result(), agreement.result()};
}

std::optional<task_quality> measure_tasks(evaluation_set const& set, evaluation_logits const& exact,
                                          evaluation_logits const& run) {
  std::map<std::string, pooled_mean> right, right_exact;
  std::size_t first = 0;
  for (evaluation_sequence const& s : set.sequences) {
    for (answer_span const& a : s.answers) {
      right[a.task].add_group(answered(s, a, run, first) ? 1.0 : 0.0, 1.0);
      right_exact[a.task].add_group(answered(s, a, exact, first) ? 1.0 : 0.0, 1.0);
    }
    first += s.n_steps();
  }
  if (right.empty()) return std::nullopt;
  task_quality q;
  for (auto const& [name, x] : right) q.accuracy[name] = x.result();
  for (auto const& [name, x] : right_exact) q.accuracy_exact[name] = x.result();
  q.mean = mean_of(q.accuracy);
  q.mean_exact = mean_of(q.accuracy_exact);
  return q;
}

}  // namespace harness
