// SPDX-License-Identifier: Apache-2.0
/// @file
/// A trace as requests to a cache of objects, for other simulators.
#pragma once

#include <buddy/model_shape.hpp>
#include <buddy/routing_trace.hpp>

#include <cstddef>
#include <vector>

namespace harness {

/// libCacheSim's oracleGeneral: 24 bytes a request, little endian, packed: u32 time, u64 object, u32 size, i64 number
/// of the object's next request or -1. Here time is the token, the object 1 + layer x experts + expert, the size 1;
/// requests stand in the order token, layer, falling weight. Prefill is part of it.
///
/// Source: libCacheSim, oracleGeneralBin.h. Differs from it: that reads requests one at a time, so a layer's experts
/// are not judged as one batch there.
[[nodiscard]] std::vector<std::byte> oracle_general(buddy::routing_trace const& trace);

}  // namespace harness
