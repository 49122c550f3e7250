// SPDX-License-Identifier: Apache-2.0
/// @file
/// How far a run's predictions are from the text, and from those of the exact model on the same bytes.
#pragma once

#include "harness/tasks/sequences.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace harness {

/// One prediction of the next byte, by the run and by the exact model.
struct prediction_score {
  double bits{};         ///< -log2 of the probability that the run gave the right byte
  double bits_exact{};   ///< the same of the exact model
  double kl_nats{};      ///< KL(exact || run)
  std::uint32_t best{};  ///< arg max of the run, ties to the lower byte
  std::uint32_t best_exact{};
};

/// @param run, exact  [vocab_size] logits
[[nodiscard]] prediction_score score_prediction(std::span<float const> run, std::span<float const> exact,
                                                std::uint8_t next);

/// Sums over one sequence: what means and standard errors are made of.
struct sequence_score {
  std::string domain;
  bool is_task{};
  double n_predictions{};
  double bits{};
  double bits_exact{};
  double kl_nats{};
  double agreements{};  ///< predictions with the same arg max
  double n_answers{};
  double n_correct{};  ///< answers of which every byte is the arg max, given the right bytes before it
  double n_correct_exact{};
};

/// @param run, exact  [s.n_predictions(), vocab_size] logits; row t predicts byte t + 1; more rows do no harm
[[nodiscard]] sequence_score score_sequence(sequence const& s, std::span<float const> run,
                                            std::span<float const> exact);

/// A ratio of sums over sequences, and its standard error.
struct estimate {
  double mean{};
  double standard_error{};  ///< NaN for fewer than two sequences
};

/// sum(part) / sum(whole), with the standard error of a ratio whose unit of sampling is the sequence, because bytes of
/// one sequence are not independent: sqrt(n / (n - 1) * sum((part - mean * whole)^2)) / sum(whole).
/// Source: Cochran, Sampling Techniques, 3rd edition, 1977, chapter 6; the finite population correction is left out.
/// @pre part.size() == whole.size(), and sum(whole) > 0
[[nodiscard]] estimate ratio(std::span<double const> part, std::span<double const> whole);

/// Where a ratio of sums lies in 95 % of samples of as many sequences, drawn with replacement: a block bootstrap whose
/// blocks are the sequences. The same draws for the same number of sequences. @pre as `ratio`
struct interval {
  double low{};
  double high{};
};
[[nodiscard]] interval bootstrap(std::span<double const> part, std::span<double const> whole);

/// Of all text sequences given.
struct text_metrics {
  estimate bits_per_byte;
  estimate bits_per_byte_exact;
  estimate change;  ///< bits per byte of the run less the exact one, sequence by sequence
  estimate kl_nats;
  interval kl_interval;  ///< of kl_nats
  estimate top1_agreement;
};

/// Exact-match accuracy of one task.
struct task_metrics {
  estimate accuracy;
  estimate accuracy_exact;
  std::size_t n_answers{};
};

/// Of those scores that are not tasks. @pre there is one
[[nodiscard]] text_metrics summarise_text(std::span<sequence_score const> scores);

/// The same for each domain; empty when all are tasks.
[[nodiscard]] std::map<std::string, text_metrics> summarise_domains(std::span<sequence_score const> scores);

/// By task; tasks without a complete answer are left out.
[[nodiscard]] std::map<std::string, task_metrics> summarise_tasks(std::span<sequence_score const> scores);

}  // namespace harness
