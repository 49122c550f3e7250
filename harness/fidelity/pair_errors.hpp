// SPDX-License-Identifier: Apache-2.0
/// @file
/// What each expert costs in each other's place.
#pragma once

#include "harness/fidelity/routed_sample.hpp"
#include "harness/model/weights.hpp"

#include <buddy/profile.hpp>

#include <cstdint>

namespace harness {

/// Runs every expert of a layer on the same tokens and fills `buddy_errors` and `buddy_scales`.
///
/// a_ij is the least-squares factor of j's output on the tokens that were routed to i, not below 0; the error is what
/// is left with it. Exact on those tokens; the cost is tokens x layers x experts expert evaluations.
/// @param most  tokens of each layer, evenly spread
void add_pair_errors(weights const& model, routed_sample const& sample, std::size_t most, std::uint32_t n_threads,
                     buddy::profile& p);

}  // namespace harness
