// SPDX-License-Identifier: Apache-2.0
/// @file
/// How much a text's tokens lose for what their slots are expected to lose.
#pragma once

#include "harness/model/cpu/decoder.hpp"
#include "harness/run/stepped.hpp"
#include "harness/tasks/sequences.hpp"

#include <buddy/expected_error.hpp>
#include <buddy/layer_plan.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace harness {

/// Adds up what a policy expects to lose.
template <class Inner>
class expected_moe {
 public:
  explicit expected_moe(Inner& inner) : inner_{&inner} {}

  void begin_sequence() {
    inner_->begin_sequence();
    expected_bits_.push_back(0.0);
  }
  void begin_step() { inner_->begin_step(); }
  std::span<expert_use const> operator()(std::uint16_t layer, router_output const& routed,
                                         std::span<float const> input) {
    auto const uses = inner_->operator()(layer, routed, input);
    for (std::uint32_t const loss : inner_->plan().losses_ub)
      expected_bits_.back() += static_cast<double>(loss) / buddy::micro_bits;
    return uses;
  }
  void add_stand_in(std::uint16_t layer, expert_use const& use, std::span<float const> input, std::span<float> sum) {
    inner_->add_stand_in(layer, use, input, sum);
  }

  /// [sequences]
  [[nodiscard]] std::span<double const> expected_bits() const noexcept { return expected_bits_; }

 private:
  Inner* inner_;
  std::vector<double> expected_bits_;
};

/// KL(exact || run) in bits, divided by what was expected, of the domain where that is most; all tasks are one domain.
/// The worst, because the text to come is not known: a promise is to hold for each. 1 when nothing was expected.
/// @param expected_bits  [sequences]
[[nodiscard]] double measured_link(std::span<sequence const> set, evaluation_logits const& run,
                                   evaluation_logits const& exact, std::span<double const> expected_bits);

}  // namespace harness
