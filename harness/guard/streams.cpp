// SPDX-License-Identifier: Apache-2.0
/// @file
/// Cuts and joins.
#include "harness/guard/streams.hpp"

#include "harness/tasks/splitmix64.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace harness {

namespace {

/// As many predictions as asked for, from the beginning again where the text ends.
std::vector<sequence> repeated(std::vector<sequence> const& some, std::size_t n_predictions) {
  std::vector<sequence> all;
  std::size_t n = 0;
  for (std::size_t i = 0; n < n_predictions; ++i) {
    all.push_back(some[i % some.size()]);
    n += all.back().n_predictions();
  }
  return first_predictions(all, n_predictions);
}

stream joined(stream const& a, stream const& b, std::size_t n_tokens) {
  stream s{a.name + " > " + b.name, first_predictions(a.sequences, n_tokens / 2)};
  for (sequence const& x : first_predictions(b.sequences, n_tokens - n_tokens / 2)) s.sequences.push_back(x);
  return s;
}

}  // namespace

std::string number_table(std::size_t n_bytes, std::uint64_t seed) {
  splitmix64 random{seed};
  std::string text;
  for (std::uint32_t row = 1; text.size() < n_bytes; ++row) {
    text += std::to_string(row);
    std::uint32_t level = 100 + random.below(900);
    for (int column = 0; column != 6; ++column) {
      level += random.below(50);
      text += "," + std::to_string(level) + "." + std::to_string(random.below(10));
    }
    text += '\n';
  }
  text.resize(n_bytes);
  return text;
}

std::vector<stream> guard_streams(std::vector<sequence> const& texts, std::vector<sequence> const& problems,
                                  std::size_t n_tokens, std::size_t positions, std::uint64_t seed) {
  std::map<std::string, std::vector<sequence>> by_domain;
  for (sequence const& s : texts) by_domain[s.domain].push_back(s);
  std::vector<stream> all;
  for (auto const& [domain, windows] : by_domain) all.push_back({domain, repeated(windows, n_tokens)});
  if (!problems.empty()) all.push_back({"tasks", repeated(problems, n_tokens)});
  stream unseen{"number-table",
                text_windows(number_table(2 * n_tokens + 2 * positions, seed), "number-table", positions + 1)};
  unseen.sequences = first_predictions(unseen.sequences, n_tokens);
  if (all.size() > 1) all.push_back(joined(all.front(), *std::prev(all.end()), n_tokens));
  if (!all.empty()) all.push_back(joined(all.front(), unseen, n_tokens));
  all.push_back(std::move(unseen));
  return all;
}

}  // namespace harness
