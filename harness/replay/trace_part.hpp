// SPDX-License-Identifier: Apache-2.0
/// @file
/// Parts of a trace as traces of their own.
#pragma once

#include <buddy/routing_trace.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace harness {

namespace detail {

/// Elements [first, first + count) of a row-major table with `width` elements a token; an absent table stays absent.
template <class T>
std::vector<T> rows_of(std::vector<T> const& table, std::size_t width, std::size_t first, std::size_t count) {
  if (table.empty()) return {};
  auto const begin = table.begin() + static_cast<std::ptrdiff_t>(first * width);
  return {begin, begin + static_cast<std::ptrdiff_t>(count * width)};
}

}  // namespace detail

/// Tokens [first, first + count), as far as there are any, with the lengths of the sequences that are left.
[[nodiscard]] inline buddy::routing_trace part_of(buddy::routing_trace const& t, std::size_t first, std::size_t count) {
  first = std::min(first, t.n_tokens());
  count = std::min(count, t.n_tokens() - first);
  std::size_t const width = std::size_t{t.n_layers} * t.top_k;
  buddy::routing_trace part;
  part.model = t.model, part.source = t.source, part.licence = t.licence;
  part.n_layers = t.n_layers, part.n_experts = t.n_experts, part.top_k = t.top_k;
  part.experts = detail::rows_of(t.experts, width, first, count);
  part.weights = detail::rows_of(t.weights, width, first, count);
  part.resident = detail::rows_of(t.resident, width, first, count);
  part.phases = detail::rows_of(t.phases, 1, first, count);
  part.record_bytes = t.record_bytes;
  std::size_t begin = 0;
  for (std::size_t const n : t.sequence_lengths) {
    std::size_t const left = std::max(begin, first);
    std::size_t const right = std::min(begin + n, first + count);
    if (left < right) part.sequence_lengths.push_back(static_cast<std::uint32_t>(right - left));
    begin += n;
  }
  return part;
}

/// Each sequence by itself.
[[nodiscard]] inline std::vector<buddy::routing_trace> sequences_of(buddy::routing_trace const& t) {
  std::vector<buddy::routing_trace> parts;
  std::size_t begin = 0;
  for (std::size_t const n : t.sequence_lengths) {
    parts.push_back(part_of(t, begin, n));
    begin += n;
  }
  return parts;
}

}  // namespace harness
