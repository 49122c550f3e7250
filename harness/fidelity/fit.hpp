// SPDX-License-Identifier: Apache-2.0
/// @file
/// A stand-in's record from what its expert did on calibration text: closed form, no training.
#pragma once

#include "harness/fidelity/routed_sample.hpp"
#include "harness/fidelity/stand_in_spec.hpp"
#include "harness/model/weights.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace harness {

/// One expert, ready to be fitted to.
struct fit_case {
  expert_record expert;
  buddy::stand_ins::expert_size size;
  expert_inputs inputs;
  cpu::row_matrix outputs;  ///< [n, hidden] of the expert for the inputs
};

/// Least squares of the output's error, each token with the weight of `expert_inputs`, with these steps:
///  - mean: the weighted mean output.
///  - low_rank: reduced-rank ridge regression of the output on the input; what is added is fitted again to what is read
///    once that is rounded.
///  - truncated, low_bit: gate and up rounded with feedback; down fitted to what the rounded units do, drawn towards
///    the expert's own where samples are few; then down rounded with feedback.
/// @returns spec.bytes(size) bytes
/// Source: Izenman 1975 (reduced rank); GPTQ, arXiv:2210.17323 (feedback).
[[nodiscard]] std::vector<std::uint8_t> fit_stand_in(stand_in_spec const& spec, fit_case const& c);

/// [n, hidden] outputs of a stand-in for the rows of x.
[[nodiscard]] cpu::row_matrix outputs_for(any_stand_in const& s, cpu::row_matrix const& x);

}  // namespace harness
