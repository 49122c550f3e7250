// SPDX-License-Identifier: Apache-2.0
/// @file
/// Sums in double over logits in float.
#include "harness/tasks/quality.hpp"

#include <buddy/assert.hpp>
#include <buddy/splitmix64.hpp>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numbers>
#include <numeric>

namespace harness {

namespace {

std::uint32_t arg_max(std::span<float const> x) {
  return static_cast<std::uint32_t>(std::max_element(x.begin(), x.end()) - x.begin());
}

/// Turns logits into log-probabilities. The largest logit is kept apart from the logarithm of the sum, and its own term
/// apart from the others, so that neither large logits nor sure predictions lose digits.
class log_softmax {
 public:
  explicit log_softmax(std::span<float const> logits) : logits_{logits}, best_{arg_max(logits)} {
    double others = 0;
    for (std::size_t i = 0; i != logits.size(); ++i)
      if (i != best_) others += std::exp(below_best(i));
    log_sum_ = std::log1p(others);
  }

  [[nodiscard]] double operator[](std::size_t i) const { return below_best(i) - log_sum_; }
  [[nodiscard]] std::uint32_t best() const noexcept { return best_; }

 private:
  [[nodiscard]] double below_best(std::size_t i) const {
    return static_cast<double>(logits_[i]) - static_cast<double>(logits_[best_]);
  }

  std::span<float const> logits_;
  std::uint32_t best_;
  double log_sum_{};
};

bool is_correct(answer_span a, std::span<std::uint8_t const> bytes, std::span<std::uint32_t const> best) {
  for (std::size_t i = a.begin; i != a.end; ++i)
    if (best[i - 1] != bytes[i]) return false;
  return true;
}

/// The ratio of two members, or of a function of them, over a list of scores.
template <class Part, class Whole>
estimate ratio_of(std::span<sequence_score const> scores, Part part, Whole whole) {
  std::vector<double> parts, wholes;
  for (sequence_score const& s : scores) {
    parts.push_back(part(s));
    wholes.push_back(whole(s));
  }
  return ratio(parts, wholes);
}

std::map<std::string, std::vector<sequence_score>> by_domain(std::span<sequence_score const> scores, bool tasks) {
  std::map<std::string, std::vector<sequence_score>> groups;
  for (sequence_score const& s : scores)
    if (s.is_task == tasks) groups[s.domain].push_back(s);
  return groups;
}

interval kl_interval(std::span<sequence_score const> texts) {
  std::vector<double> nats;
  std::vector<double> n;
  for (sequence_score const& s : texts) {
    nats.push_back(s.kl_nats);
    n.push_back(s.n_predictions);
  }
  return bootstrap(nats, n);
}

text_metrics summarise(std::span<sequence_score const> texts) {
  auto const per_byte = [&](auto part) {
    return ratio_of(texts, part, [](sequence_score const& s) { return s.n_predictions; });
  };
  return {per_byte([](sequence_score const& s) { return s.bits; }),
          per_byte([](sequence_score const& s) { return s.bits_exact; }),
          per_byte([](sequence_score const& s) { return s.bits - s.bits_exact; }),
          per_byte([](sequence_score const& s) { return s.kl_nats; }),
          kl_interval(texts),
          per_byte([](sequence_score const& s) { return s.agreements; })};
}

}  // namespace

prediction_score score_prediction(std::span<float const> run, std::span<float const> exact, std::uint8_t next) {
  BUDDY_ASSERT(run.size() == exact.size() && next < run.size());
  log_softmax const q{run};
  log_softmax const p{exact};
  double kl = 0;
  for (std::size_t i = 0; i != run.size(); ++i) kl += std::exp(p[i]) * (p[i] - q[i]);
  return {-q[next] / std::numbers::ln2, -p[next] / std::numbers::ln2, kl, q.best(), p.best()};
}

sequence_score score_sequence(sequence const& s, std::span<float const> run, std::span<float const> exact) {
  std::size_t const n = s.n_predictions();
  std::size_t const vocab = 256;
  BUDDY_ASSERT(run.size() >= n * vocab && exact.size() >= n * vocab);
  sequence_score sum;
  sum.domain = s.domain;
  sum.is_task = !s.answers.empty();
  sum.n_predictions = static_cast<double>(n);
  std::vector<std::uint32_t> best(n), best_exact(n);
  for (std::size_t t = 0; t != n; ++t) {
    auto const p = score_prediction(run.subspan(t * vocab, vocab), exact.subspan(t * vocab, vocab), s.bytes[t + 1]);
    sum.bits += p.bits;
    sum.bits_exact += p.bits_exact;
    sum.kl_nats += p.kl_nats;
    sum.agreements += p.best == p.best_exact ? 1.0 : 0.0;
    best[t] = p.best;
    best_exact[t] = p.best_exact;
  }
  for (answer_span const a : s.answers) {
    sum.n_answers += 1.0;
    sum.n_correct += is_correct(a, s.bytes, best) ? 1.0 : 0.0;
    sum.n_correct_exact += is_correct(a, s.bytes, best_exact) ? 1.0 : 0.0;
  }
  return sum;
}

estimate ratio(std::span<double const> part, std::span<double const> whole) {
  BUDDY_ASSERT(part.size() == whole.size());
  double const total = std::accumulate(whole.begin(), whole.end(), 0.0);
  double const mean = std::accumulate(part.begin(), part.end(), 0.0) / total;
  if (part.size() < 2) return {mean, std::numeric_limits<double>::quiet_NaN()};
  double squares = 0;
  for (std::size_t i = 0; i != part.size(); ++i) squares += std::pow(part[i] - mean * whole[i], 2);
  auto const n = static_cast<double>(part.size());
  return {mean, std::sqrt(n / (n - 1.0) * squares) / total};
}

interval bootstrap(std::span<double const> part, std::span<double const> whole) {
  BUDDY_ASSERT(part.size() == whole.size() && !part.empty());
  constexpr std::size_t n_draws = 1000;
  auto const n = static_cast<std::uint32_t>(part.size());
  std::vector<double> ratios;
  std::uint64_t drawn = 0;
  for (std::size_t d = 0; d != n_draws; ++d) {
    double sum = 0.0;
    double of = 0.0;
    for (std::uint32_t i = 0; i != n; ++i) {
      std::uint32_t const at = buddy::below(buddy::splitmix64(drawn++), n);
      sum += part[at];
      of += whole[at];
    }
    ratios.push_back(of > 0.0 ? sum / of : 0.0);
  }
  std::sort(ratios.begin(), ratios.end());
  return {ratios[n_draws / 40], ratios[n_draws - 1 - n_draws / 40]};
}

text_metrics summarise_text(std::span<sequence_score const> scores) {
  std::vector<sequence_score> texts;
  std::copy_if(scores.begin(), scores.end(), std::back_inserter(texts),
               [](sequence_score const& s) { return !s.is_task; });
  BUDDY_ASSERT(!texts.empty());
  return summarise(texts);
}

std::map<std::string, text_metrics> summarise_domains(std::span<sequence_score const> scores) {
  std::map<std::string, text_metrics> all;
  for (auto const& [domain, texts] : by_domain(scores, false)) all.emplace(domain, summarise(texts));
  return all;
}

std::map<std::string, task_metrics> summarise_tasks(std::span<sequence_score const> scores) {
  std::map<std::string, task_metrics> all;
  auto const answers = [](sequence_score const& s) { return s.n_answers; };
  for (auto const& [task, group] : by_domain(scores, true)) {
    double n = 0;
    for (sequence_score const& s : group) n += s.n_answers;
    all.emplace(task, task_metrics{ratio_of(
                                       group, [](sequence_score const& s) { return s.n_correct; }, answers),
                                   ratio_of(
                                       group, [](sequence_score const& s) { return s.n_correct_exact; }, answers),
                                   static_cast<std::size_t>(n)});
  }
  return all;
}

}  // namespace harness
