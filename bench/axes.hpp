// SPDX-License-Identifier: Apache-2.0
// The sizes every benchmark is run at.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>

namespace axes {

/// Experts of a layer and experts of a token, in their products: as small as the models that are worth offloading, as
/// large as those that are offloaded most.
inline void experts_and_top_k(benchmark::internal::Benchmark* b) {
  b->ArgNames({"experts", "top_k"});
  for (std::int64_t const experts : {64, 128, 256})
    for (std::int64_t const top_k : {4, 6, 8}) b->Args({experts, top_k});
}

/// The same for a batch of 16 tokens.
inline void experts_top_k_and_tokens(benchmark::internal::Benchmark* b) {
  b->ArgNames({"experts", "top_k", "tokens"});
  for (std::int64_t const experts : {64, 128, 256})
    for (std::int64_t const top_k : {4, 6, 8}) b->Args({experts, top_k, 16});
}

/// Slots of a pool: one layer's, and those of a small and of a large model's layers together.
inline void slots(benchmark::internal::Benchmark* b) {
  b->ArgName("slots");
  for (std::int64_t const n : {32, 128, 832}) b->Arg(n);
}

/// Slots for half of the experts of a model with 26 layers of 64, the smallest of those that are offloaded most.
inline void slots_of_one_model(benchmark::internal::Benchmark* b) { b->ArgName("slots")->Arg(832); }

}  // namespace axes
