// SPDX-License-Identifier: Apache-2.0
/// @file
/// Rounding of a matrix to few bits that spares what the inputs make of it.
#pragma once

#include "harness/model/cpu/eigen_maps.hpp"

#include <buddy/stand_ins/packed_values.hpp>

#include <cstdint>
#include <span>

namespace harness {

/// Rounds `w` column by column; what a column loses, the columns that follow make up for as well as least squares can.
///
/// Source: GPTQ, arXiv:2210.17323 (optimal brain quantisation in a fixed order, by Cholesky). Differs from it: the
/// range of each group is searched for the least error in that metric, and the moment weighs tokens by what their error
/// costs. Without samples (`moment` all zero) it is rounding to the nearest.
/// @param w       [rows, columns]; becomes what is stored
/// @param moment  [columns, columns] second moment of the inputs that a row is multiplied with
/// @param by_column  the values are stored column by column, so that a group spans rows of `w`
/// @param bytes   [f.bytes(rows x columns)] out
void round_with_feedback(cpu::row_matrix& w, Eigen::MatrixXf const& moment, buddy::stand_ins::packed_format const& f,
                         bool by_column, std::span<std::uint8_t> bytes);

}  // namespace harness
