// SPDX-License-Identifier: Apache-2.0
/// @file
/// Scores every prediction.
#include "harness/guard/measured_link.hpp"

#include "harness/tasks/quality.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <numbers>
#include <string>

namespace harness {

double measured_link(std::span<sequence const> set, evaluation_logits const& run, evaluation_logits const& exact,
                     std::span<double const> expected_bits) {
  struct sums {
    double lost = 0;
    double expected = 0;
  };
  std::map<std::string, sums> of_domain;
  std::size_t step = 0;
  for (std::size_t i = 0; i != set.size(); ++i) {
    sequence_score const score = score_sequence(set[i], run.from(step), exact.from(step));
    sums& sum = of_domain[score.is_task ? "tasks" : set[i].domain];
    sum.lost += score.kl_nats / std::numbers::ln2;
    sum.expected += expected_bits[i];
    step += set[i].n_predictions();
  }
  double worst = 0.0;
  for (auto const& [domain, sum] : of_domain)
    if (sum.expected > 0.0) worst = std::max(worst, sum.lost / sum.expected);
  return worst > 0.0 ? worst : 1.0;
}

}  // namespace harness
