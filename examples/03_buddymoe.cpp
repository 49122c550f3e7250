// SPDX-License-Identifier: Apache-2.0
// The published method in three steps: count the routing, build the buddy lists, substitute with them.
#include <buddy/buddy.hpp>
#include <buddy/profile_builder.hpp>

#include <array>
#include <cstdint>
#include <iostream>

namespace {

constexpr buddy::model_shape shape{.n_layers = 1, .n_experts = 8, .top_k = 3, .expert_bytes = 1 << 20};

buddy::routing routing_of(std::array<std::uint16_t, 3> const& experts, std::array<float, 3> const& weights) {
  return {{experts.data(), 3}, {weights.data(), 3}};
}

/// A router that sends each token to three of experts 0-3 or three of experts 4-7.
buddy::profile calibrate() {
  buddy::profile_builder builder(shape, "example");
  std::array<float, 3> const weights{0.4F, 0.3F, 0.3F};
  for (std::uint16_t first = 0; first != 8; first += 4)
    for (std::uint16_t left_out = 0; left_out != 4; ++left_out) {
      std::array<std::uint16_t, 3> experts{};
      for (std::uint16_t i = 0; i != 3; ++i) experts[i] = static_cast<std::uint16_t>(first + (left_out + 1 + i) % 4);
      builder.observe(0, routing_of(experts, weights));
    }
  return builder.finish();
}

}  // namespace

int main() {
  buddy::policies::buddymoe const method(calibrate(), {.tau = 0.95, .rho = 3});  // must outlive the policy
  auto policy =
      method.compose(buddy::slot_cache<buddy::eviction::lru>(shape, buddy::cache_budget::from_ratio(shape, 0.5)),
                     buddy::prediction::none(shape));
  std::array<buddy::expert_key, 4> const resident{{{0, 7}, {0, 0}, {0, 1}, {0, 3}}};
  policy.cache().warm({resident.data(), resident.size()});

  // Expert 2 is missing. 0, 1 and 3 keep it company, and 0 and 1 are the token's own: 3 stands in.
  std::array<std::uint16_t, 3> const experts{0, 1, 2};
  std::array<float, 3> const flat{0.34F, 0.33F, 0.33F};
  policy.begin_step();
  auto const stand_in = policy.resolve(0, routing_of(experts, flat)).at(0, 2);
  std::cout << "a token without preference: expert 2 by " << stand_in.expert << " (" << to_string(stand_in.how)
            << ")\n";

  // A token that prefers one expert is too sensitive: its entropy is below tau, and expert 2 is fetched.
  std::array<float, 3> const peaked{0.8F, 0.1F, 0.1F};
  policy.begin_step();
  auto const fetched = policy.resolve(0, routing_of(experts, peaked)).at(0, 2);
  std::cout << "a token with a preference:  expert 2 by " << fetched.expert << " (" << to_string(fetched.how) << ")\n";

  bool const as_expected = stand_in.how == buddy::resolution::buddy && stand_in.expert == 3 &&
                           fetched.how == buddy::resolution::fetch && fetched.why == buddy::refusal::sensitivity;
  return as_expected ? 0 : 1;
}
