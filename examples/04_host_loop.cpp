// SPDX-License-Identifier: Apache-2.0
// The loop of a host, whole: demand copies, late prefetches, background refills, staging. Link and router are made up.
#include <buddy/buddy.hpp>

#include <array>
#include <cstdint>
#include <deque>
#include <iostream>

namespace {

struct pending_copy {
  buddy::expert_copy copy;
  buddy::ticket ticket;
};

// Two of 16 experts, the same ones every few tokens.
std::array<std::uint16_t, 2> your_router(std::uint64_t token, std::uint16_t layer) {
  auto const first = static_cast<std::uint16_t>((token % 5 + layer) % 16);
  return {first, static_cast<std::uint16_t>((first + 5 + token % 3) % 16)};
}

constexpr std::size_t background_limit = 2;

/// Commits background copies, oldest first, while `wanted` says so.
template <class Policy, class Wanted>
void settle(Policy& policy, std::deque<pending_copy>& background, Wanted const& wanted) {
  while (!background.empty() && wanted(background.front().ticket)) {
    policy.commit(background.front().copy);
    background.pop_front();
  }
}

template <class Policy>
void run_layer(Policy& policy, buddy::transfer::sim_link& link, std::deque<pending_copy>& background,
               std::uint64_t token, std::uint16_t layer) {
  settle(policy, background, [&](buddy::ticket t) { return link.done(t); });
  policy.background_room(static_cast<std::uint32_t>(background_limit - background.size()));

  auto const experts = your_router(token, layer);
  constexpr std::array<float, 2> weights{0.7F, 0.3F};
  auto const& plan = policy.resolve(layer, {{experts.data(), 2}, {weights.data(), 2}, {}});

  std::deque<pending_copy> demand;  // a copy without a slot goes to staging; commit knows
  for (auto const& copy : plan.fetches) demand.push_back({copy, link.submit(copy)});
  for (auto const& copy : plan.refills) background.push_back({copy, link.submit(copy)});
  for (auto const& copy : policy.prefetch(static_cast<std::uint16_t>((layer + 1) % policy.shape().n_layers)))
    background.push_back({copy, link.submit(copy)});

  for (auto const& wanted : plan.waits)  // under way already: what was submitted before it arrives before it
    settle(policy, background, [&](buddy::ticket t) {
      if (policy.cache().where(wanted.expert) != buddy::residency::in_flight) return false;
      link.wait(t);
      return true;
    });
  for (auto const& d : demand) link.wait(d.ticket), policy.commit(d.copy);
  link.advance_to(link.now_ns() + 100'000);  // the layer is computed, 100 us
}

}  // namespace

int main() {
  buddy::model_shape const shape{.n_layers = 4, .n_experts = 16, .top_k = 2, .expert_bytes = 1 << 20};
  buddy::policy policy{shape,
                       buddy::slot_cache<buddy::eviction::lru>(shape, buddy::cache_budget::from_ratio(shape, 0.5)),
                       buddy::prediction::markov(shape),
                       buddy::sensitivity::weight_gate::fixed(0.4),  // an expert with 40 % of the weight must be itself
                       buddy::selection::zero_fill{},
                       buddy::policy_config{.on_refused = buddy::resolution::fetch, .prefetch_width = 1}};
  buddy::transfer::sim_link link({.latency_ns = 10'000, .bytes_per_second = 25'000'000'000});
  std::deque<pending_copy> background;
  for (std::uint64_t token = 0; token != 1000; ++token) {
    policy.begin_step();
    for (std::uint16_t layer = 0; layer != shape.n_layers; ++layer) run_layer(policy, link, background, token, layer);
  }

  auto const c = policy.total();
  std::cout << "hit rate " << static_cast<double>(c.hits) / static_cast<double>(c.lookups) << ", fetched " << c.fetches
            << ", left out " << c.slots_ending(buddy::resolution::drop) << ", prefetched " << c.prefetches << " (used "
            << c.useful_prefetches << "), " << link.now_ns() / 1000 << " us on the virtual clock\n";
  return c.lookups == 8000 && c.fetches != 0 && c.useful_prefetches != 0 && policy.cache().audit() ? 0 : 1;
}
