// SPDX-License-Identifier: Apache-2.0
/// @file
/// Tables for people.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace harness {

/// Rows of cells; the first column is left-aligned, the others right-aligned. Widths count bytes: cells are ASCII.
class text_table {
 public:
  explicit text_table(std::vector<std::string> header) : rows_{std::move(header)} {}

  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  /// An empty line.
  void gap() { rows_.emplace_back(); }

  void print(std::ostream& out) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// `digits` behind the point; `plus` writes the sign of what is not negative too.
[[nodiscard]] std::string fixed(double x, int digits, bool plus = false);

/// A field of a CSV line: quoted, as RFC 4180 says, where it holds a comma, a quote or a line break.
[[nodiscard]] std::string csv_field(std::string const& text);

/// 0.123 -> "12.3%"
[[nodiscard]] std::string percent(double share, int digits = 1, bool plus = false);

}  // namespace harness
