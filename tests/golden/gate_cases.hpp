// SPDX-License-Identifier: Apache-2.0
// The same cases for the host test and the device test: one expectation, two machines.
#pragma once

#include <buddy/fixed_point.hpp>
#include <buddy/routing.hpp>

#include <cstdint>

/// What each gate says of one token: entropy_gate with tau = .875, margin_gate with gamma = .25, weight_gate with
/// threshold = .125. A plain array: the members of std::array cannot be called on the device.
struct gate_case {
  buddy::q16 shares[4];  // [top_k], of 65536
  std::uint32_t top_k;
  buddy::slot_mask entropy;
  buddy::slot_mask margin;
  buddy::slot_mask weight;
};

inline constexpr gate_case gate_cases[] = {
    // flat: TAE 1, margin 0, no share below 1/8
    {{16384, 16384, 16384, 16384}, 4, 0b1111, 0b1111, 0b0000},
    // 1/2 1/4 1/8 1/8: entropy .5 + .5 + .375 + .375 = 1.75 bits of 2 = .875, which forbids; margin .25 forbids; the
    // threshold itself protects
    {{32768, 16384, 8192, 8192}, 4, 0b0000, 0b0000, 0b0000},
    // the same in another order, the largest and a smallest one unit less, the other smallest two more: a unit that
    // goes
    // from 1/2 to 1/8 adds log2 4 = 2 units of entropy, TAE is one unit above .875; margin one unit less; 8191 is below
    // 1/8
    {{8191, 16384, 32767, 8194}, 4, 0b1111, 0b1111, 0b0001},
    // 1/2 1/2: TAE 1, margin 0
    {{32768, 32768}, 2, 0b11, 0b11, 0b00},
    // one takes all: TAE 0, margin 1; shares of 0 are replaceable by their weight
    {{65536, 0, 0, 0}, 4, 0b0000, 0b0000, 0b1110},
    // one expert only: the entropy says nothing, the margin is the whole share
    {{65536}, 1, 0b0, 0b0, 0b0},
};
