// SPDX-License-Identifier: Apache-2.0
/// @file
/// Reads numbers with a percent sign.
#include "harness/policy/loss_promise.hpp"

#include <buddy/error.hpp>
#include <buddy/expected_error.hpp>
#include <buddy/loss_budget.hpp>

#include <sstream>

namespace harness {

loss_promise loss_promise::parse(std::string const& text) {
  std::istringstream in{text};
  loss_promise p;
  char rest = 0;
  in >> p.amount;
  bool const is_number = !in.fail();
  if (in >> rest) p.is_share = rest == '%';
  bool const ends = p.is_share ? !(in >> rest) : rest == 0;
  if (!is_number || !ends || !(p.amount > 0.0) || p.amount > 1000.0)
    throw buddy::config_error("max-loss '" + text + "': a share as 1% or bits a byte as 0.02, above 0");
  if (p.is_share) p.amount /= 100.0;
  return p;
}

std::string loss_promise::text() const {
  std::ostringstream out;
  out << (is_share ? amount * 100.0 : amount) << (is_share ? "%" : "");
  return out.str();
}

std::uint64_t loss_promise::target_ub(double exact_bits) const {
  double const ub = amount * (is_share ? exact_bits : 1.0) * buddy::micro_bits;
  if (!(ub >= 1.0 && ub <= static_cast<double>(buddy::max_target_ub)))
    throw buddy::config_error("max-loss " + text() + " is out of range");
  return static_cast<std::uint64_t>(ub);
}

}  // namespace harness
