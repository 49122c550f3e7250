// SPDX-License-Identifier: Apache-2.0
// The least a host does: compose a policy, ask it about one layer, move what it says, compute with what it says.
#include <buddy/buddy.hpp>

#include <array>
#include <cstdint>
#include <iostream>

int main() {
  // One layer of 8 experts, two of them for each token; fast memory holds half of the experts.
  buddy::model_shape const shape{.n_layers = 1, .n_experts = 8, .top_k = 2, .expert_bytes = 1 << 20};
  buddy::policy policy{shape,
                       buddy::slot_cache<buddy::eviction::lru>(shape, buddy::cache_budget::from_ratio(shape, 0.5)),
                       buddy::prediction::none(shape),
                       buddy::sensitivity::weight_gate::fixed(0.4),  // an expert with 40 % of the weight must be itself
                       buddy::selection::live_score{},
                       buddy::policy_config{.on_refused = buddy::resolution::fetch}};
  std::array<buddy::expert_key, 3> const popular{{{0, 1}, {0, 4}, {0, 6}}};
  policy.cache().warm({popular.data(), popular.size()});

  // The router chose experts 3 and 5, neither of them resident. Of the residents it likes 4 best.
  std::array<std::uint16_t, 2> const experts{3, 5};
  std::array<float, 2> const weights{0.7F, 0.3F};
  std::array<float, 8> const scores{0.01F, 0.05F, 0.02F, 0.49F, 0.1F, 0.21F, 0.06F, 0.06F};

  policy.begin_step();
  auto const& plan = policy.resolve(0, {{experts.data(), 2}, {weights.data(), 2}, {scores.data(), 8}});
  for (auto const& copy : plan.fetches) {
    // A host copies copy.bytes of expert copy.expert into slot copy.slot here, and waits for them.
    policy.commit(copy);
  }
  for (auto const& slot : plan.assignments)
    std::cout << "expert " << slot.expert << " (" << to_string(slot.how) << ") with weight " << slot.weight << '\n';

  bool const as_expected = plan.at(0, 0).how == buddy::resolution::fetch && plan.at(0, 0).expert == 3 &&
                           plan.at(0, 1).how == buddy::resolution::buddy && plan.at(0, 1).expert == 4;
  return as_expected ? 0 : 1;
}
