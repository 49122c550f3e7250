// SPDX-License-Identifier: Apache-2.0
// What a trace says about a cache: is a global pool below the cliff, what does an uneven split bring, which policy does
// `adaptive` choose? `05_choose_a_policy TRACE.safetensors`; without a trace one is made from a hit curve.
#include <buddy/buddy.hpp>
#include <buddy/testing/trace_from_curve.hpp>
#if __has_include(<nlohmann/json.hpp>)
#include <buddy/io/trace_io.hpp>
#endif

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

namespace {

using namespace buddy;

routing_trace made_up_trace() {
  testing::curve_point const points[]{{4, 0.2}, {8, 0.4}, {16, 0.65}, {32, 1.0}};
  return testing::trace_from_curves({.n_layers = 4, .n_experts = 32, .top_k = 4, .expert_bytes = 1},
                                    {testing::rates_through({points, 4}, 32)}, 2000, 1);
}

struct lfu_decayed_32 : eviction::lfu_decayed {  // half is forgotten in 32 tokens
  explicit lfu_decayed_32(std::size_t capacity) : lfu_decayed(capacity, 32.0) {}
};
using chooser = eviction::adaptive<eviction::lru, lfu_decayed_32, eviction::lfru, eviction::s3_fifo>;

/// Hit rate in percent after the training part, which warms the cache.
template <class Eviction>
double rate(routing_trace const& trace, cache_budget const& budget, std::size_t n_training) {
  replayer<Eviction> cache(trace.shape(1), budget);
  cache.run(trace, {0, n_training});
  cache.clear_counts();
  for (std::size_t t = n_training; t < trace.n_tokens(); t += 32) {
    if constexpr (requires(Eviction e) { e.reconsider(); })
      for (std::uint16_t l = 0; l != trace.n_layers; ++l) cache.eviction(l).reconsider();
    cache.run(trace, {t, 32});
  }
  return 100.0 * static_cast<double>(cache.total().hits) / static_cast<double>(cache.total().lookups);
}

}  // namespace

int main(int argc, char** argv) {
#if __has_include(<nlohmann/json.hpp>)
  routing_trace const trace = argc > 1 ? io::read_trace(argv[1]) : made_up_trace();
#else
  routing_trace const trace = made_up_trace();
#endif
  auto const shape = trace.shape(1);
  std::size_t const n_training = trace.n_tokens() / 4;
  auto const curves = lru_hit_curves(trace, pool_layout::per_layer, {0, n_training});
  std::printf("%zu tokens, the first %zu to learn from; one token cycle is %llu experts\n", trace.n_tokens(),
              n_training, static_cast<unsigned long long>(token_cycle(shape)));
  std::puts("slots a layer | lru even  split (fewest..most)  lfu_decayed  lfru  s3_fifo  adaptive");
  for (std::uint32_t slots = shape.n_experts / 16; slots < shape.n_experts; slots *= 2) {
    if (slots < shape.top_k) continue;
    std::uint64_t const all = std::uint64_t{slots} * shape.n_layers;
    cache_budget const even{.bytes = all};
    cache_budget split = even;
    split.layer_slots = split_by_marginal_gain(curves, all, shape.top_k);
    auto const [few, most] = std::minmax_element(split.layer_slots.begin(), split.layer_slots.end());
    std::printf("%13u | %8.2f  %5.2f (%u..%u) %10.2f %6.2f %6.2f %6.2f\n", slots,
                rate<eviction::lru>(trace, even, n_training), rate<eviction::lru>(trace, split, n_training), *few,
                *most, rate<lfu_decayed_32>(trace, even, n_training), rate<eviction::lfru>(trace, even, n_training),
                rate<eviction::s3_fifo>(trace, even, n_training), rate<chooser>(trace, even, n_training));
  }
  cache_budget const half{.bytes = token_cycle(shape) / 2, .layout = pool_layout::global};
  std::printf("a global pool of half a cycle: lru %.2f, lru_token %.2f\n%s\n",
              rate<eviction::lru>(trace, half, n_training), rate<eviction::lru_token>(trace, half, n_training),
              cliff_warning(check_cliff<eviction::lru>(shape, half), "lru").c_str());
}
