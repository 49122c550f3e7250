// SPDX-License-Identifier: Apache-2.0
/// @file
/// Backwards, so that the next request of each object is known.
#include "harness/formats/oracle_general.hpp"

#include <cstdint>

namespace harness {

namespace {

struct request {
  std::uint32_t time;
  std::uint64_t object;
};

void put(std::byte*& at, std::uint64_t value, int n_bytes) {
  for (int i = 0; i != n_bytes; ++i) *at++ = static_cast<std::byte>(value >> (8 * i));
}

}  // namespace

std::vector<std::byte> oracle_general(buddy::routing_trace const& trace) {
  std::vector<request> requests;
  for (std::size_t t = 0; t != trace.n_tokens(); ++t)
    for (std::uint16_t l = 0; l != trace.n_layers; ++l)
      if (trace.has_record(t, l))
        for (std::uint16_t const e : trace.at(t, l).experts)
          requests.push_back({static_cast<std::uint32_t>(t), std::uint64_t{l} * trace.n_experts + e});
  std::vector<std::int64_t> next(std::size_t{trace.n_layers} * trace.n_experts, -1);
  std::vector<std::byte> file(requests.size() * 24);
  for (std::size_t i = requests.size(); i-- != 0;) {
    std::byte* at = file.data() + i * 24;
    put(at, requests[i].time, 4);
    put(at, requests[i].object + 1, 8);
    put(at, 1, 4);
    put(at, static_cast<std::uint64_t>(next[requests[i].object]), 8);
    next[requests[i].object] = static_cast<std::int64_t>(i);
  }
  return file;
}

}  // namespace harness
