// SPDX-License-Identifier: Apache-2.0
/// @file
/// Chooses windows and problems.
#include "harness/run/evaluation_set.hpp"

#include "harness/tasks/tasks.hpp"

#include <buddy/error.hpp>

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

namespace harness {

namespace {

/// Those that the model was trained on: all but addnew, whose answers it does not know.
constexpr auto trained_tasks = std::span{task_names}.first<task_names.size() - 1>();
constexpr std::size_t shortest_task_sequence = 64;  // some problems

/// Evaluation draws its problems with seeds below this, calibration with as many from here on: never the same ones.
constexpr std::uint32_t calibration_seed = 0x4000'0000;

/// Every fifth window of the built-in text is kept for calibration. The texts take turns, and there are six of them:
/// with a number that shares a divisor with six, some would never be kept.
constexpr std::size_t kept_every = 5;

std::vector<sequence> builtin_windows(std::size_t window_bytes, bool for_calibration) {
  std::vector<sequence> chosen;
  auto all = folder_windows(builtin_text_folder(), window_bytes);
  for (std::size_t i = 0; i != all.size(); ++i) {
    if ((i % kept_every == kept_every - 1) == for_calibration) chosen.push_back(std::move(all[i]));
  }
  return chosen;
}

std::vector<sequence> text_of(evaluation_options const& o, std::size_t positions, bool for_calibration) {
  if (o.text == "none") return {};
  std::size_t const window_bytes = positions + 1;
  std::size_t const n = o.tasks ? o.n_tokens / 2 : o.n_tokens;
  auto const windows =
      o.text == "builtin" ? builtin_windows(window_bytes, for_calibration) : file_windows(o.text, window_bytes);
  return first_predictions(windows, n);
}

/// A few sequences of each task, or there is no standard error, and none longer than the model's positions.
std::vector<sequence> problems(std::size_t n_predictions, std::size_t positions, std::uint32_t seed) {
  std::size_t const per_task =
      std::max<std::size_t>(1, (n_predictions + trained_tasks.size() - 1) / trained_tasks.size());
  std::size_t const few = std::clamp<std::size_t>(per_task / shortest_task_sequence, 1, 4);
  std::size_t const n_sequences = std::max(few, (per_task + positions - 1) / positions);
  std::size_t const length =
      std::clamp((per_task + n_sequences - 1) / n_sequences + 1, shortest_task_sequence, positions + 1);
  std::vector<sequence> all;
  std::vector<std::vector<sequence>> by_task;
  for (std::string_view const task : trained_tasks) by_task.push_back(task_sequences(task, n_sequences, length, seed));
  for (std::size_t i = 0; i != n_sequences; ++i) {
    for (auto& task : by_task) all.push_back(std::move(task[i]));
  }
  return all;
}

std::vector<sequence> take_turns(std::vector<sequence> a, std::vector<sequence> b) {
  std::vector<sequence> all;
  std::size_t i = 0;
  std::size_t j = 0;
  while (i != a.size() || j != b.size()) {
    // The list that is behind its share of the way goes next.
    if (j == b.size() || (i != a.size() && i * b.size() <= j * a.size())) {
      all.push_back(std::move(a[i++]));
    } else {
      all.push_back(std::move(b[j++]));
    }
  }
  return all;
}

std::vector<sequence> make_set(evaluation_options const& o, std::size_t positions, bool for_calibration) {
  if (o.n_tokens == 0) throw buddy::config_error("--tokens must be at least 1");
  if (o.seed >= calibration_seed) throw buddy::config_error("--seed must be below 1073741824, which is 2^30");
  if (o.text == "none" && !o.tasks) throw buddy::config_error("there is nothing to read: no text and no tasks");
  auto text = text_of(o, positions, for_calibration);
  if (!o.tasks) return text;
  std::size_t const left = o.n_tokens - std::min<std::size_t>(o.n_tokens, count_predictions(text));
  return take_turns(std::move(text), problems(left, positions, o.seed + (for_calibration ? calibration_seed : 0)));
}

}  // namespace

std::vector<sequence> evaluation_set(evaluation_options const& options, std::size_t positions) {
  return make_set(options, positions, false);
}

std::vector<sequence> calibration_set(evaluation_options const& options, std::size_t positions) {
  return make_set(options, positions, true);
}

std::size_t count_predictions(std::vector<sequence> const& sequences) noexcept {
  std::size_t n = 0;
  for (sequence const& s : sequences) n += s.n_predictions();
  return n;
}

}  // namespace harness
