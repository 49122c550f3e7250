// SPDX-License-Identifier: Apache-2.0
/// @file
/// One line a pool: who is in charge, why, and what each candidate would have hit.
#include "harness/report/auto_report.hpp"

#include "harness/report/text_table.hpp"

#include <cstddef>
#include <string>

namespace harness {

void print_choices(std::ostream& out, std::vector<auto_eviction::report_type> const& pools) {
  if (pools.empty()) return;
  out << "eviction auto, by pool: in charge (why, switches): hits of the candidates' shadows of late\n";
  for (std::size_t p = 0; p != pools.size(); ++p) {
    auto const& report = pools[p];
    out << "  " << p << ' ' << report.names[report.chosen] << " (" << to_string(report.why) << ", " << report.switches
        << "):";
    for (std::size_t c = 0; c != report.names.size(); ++c) {
      double const share =
          report.accesses == 0 ? 0.0 : static_cast<double>(report.hits[c]) / static_cast<double>(report.accesses);
      out << (c == 0 ? " " : ", ") << report.names[c] << ' ' << percent(share);
    }
    out << '\n';
  }
}

}  // namespace harness
