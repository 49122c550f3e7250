// SPDX-License-Identifier: Apache-2.0
// A host in its smallest form. Also compiled with -fno-exceptions, in tests/buddy_header_checks.cmake.
#include <buddy/buddy.hpp>

#include <array>
#include <cstdint>

int main() {
  // One layer of 4 experts, one of them for each token; fast memory holds two, experts 0 and 1.
  buddy::model_shape const shape{.n_layers = 1, .n_experts = 4, .top_k = 1, .expert_bytes = 16};
  buddy::policy policy{shape,
                       buddy::slot_cache<buddy::eviction::lru>(shape, buddy::cache_budget::from_ratio(shape, 0.5)),
                       buddy::prediction::none(shape),
                       buddy::sensitivity::always{},
                       buddy::selection::live_score{},
                       buddy::policy_config{.on_refused = buddy::resolution::fetch}};
  std::array<buddy::expert_key, 2> const residents{{{0, 0}, {0, 1}}};
  policy.cache().warm({residents.data(), residents.size()});

  // The router chose expert 3; of the residents it likes expert 1 best.
  std::array<std::uint16_t, 1> const experts{3};
  std::array<float, 1> const weights{1.0F};
  std::array<float, 4> const scores{0.1F, 0.2F, 0.1F, 0.6F};
  policy.begin_step();
  auto const& plan = policy.resolve(0, {{experts.data(), 1}, {weights.data(), 1}, {scores.data(), 4}});
  auto const& slot = plan.at(0, 0);
  return slot.how == buddy::resolution::buddy && slot.expert == 1 ? 0 : 1;
}
