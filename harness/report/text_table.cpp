// SPDX-License-Identifier: Apache-2.0
/// @file
/// Aligns columns.
#include "harness/report/text_table.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>

namespace harness {

void text_table::print(std::ostream& out) const {
  std::vector<std::size_t> widths;
  for (auto const& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t c = 0; c != row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  for (auto const& row : rows_) {
    std::string line;
    for (std::size_t c = 0; c != row.size(); ++c) {
      std::string const fill(widths[c] - row[c].size(), ' ');
      line += (c == 0 ? "" : "  ") + (c == 0 ? row[c] + fill : fill + row[c]);
    }
    out << line << '\n';
  }
}

std::string fixed(double x, int digits, bool plus) {
  std::array<char, 64> buffer{};
  std::snprintf(buffer.data(), buffer.size(), plus ? "%+.*f" : "%.*f", digits, x);
  return buffer.data();
}

std::string csv_field(std::string const& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (char const c : text) quoted += c == '"' ? std::string{"\"\""} : std::string{c};
  return quoted + "\"";
}

std::string percent(double share, int digits, bool plus) { return fixed(share * 100.0, digits, plus) + "%"; }

}  // namespace harness
