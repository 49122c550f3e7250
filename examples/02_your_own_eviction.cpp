// SPDX-License-Identifier: Apache-2.0
// A component of your own is a type with the right members: no base class, no registration.
#include <buddy/buddy.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <string_view>
#include <vector>

/// Gives up the oldest expert, however often it is used.
class first_in_first_out {
 public:
  static constexpr std::string_view name = "first_in_first_out";

  explicit first_in_first_out(std::size_t capacity) : entered_(capacity, 0) {}

  void on_step(buddy::step_clock const&) noexcept {}
  void on_insert(buddy::slot_id s, buddy::expert_key) noexcept { entered_[static_cast<std::size_t>(s)] = ++time_; }
  void on_hit(buddy::slot_id) noexcept {}
  void on_erase(buddy::slot_id s) noexcept { entered_[static_cast<std::size_t>(s)] = 0; }

  template <class MayLeave>
  [[nodiscard]] buddy::slot_id victim(MayLeave const& may_leave) const noexcept {
    buddy::slot_id oldest = buddy::no_slot;
    for (std::uint32_t s = 0; s != entered_.size(); ++s) {
      bool const older = oldest == buddy::no_slot || entered_[s] < entered_[static_cast<std::size_t>(oldest)];
      if (entered_[s] != 0 && older && may_leave(buddy::slot_id{s})) oldest = buddy::slot_id{s};
    }
    return oldest;
  }

 private:
  std::vector<std::uint64_t> entered_;  // when each slot was filled; 0: empty
  std::uint64_t time_ = 0;
};

static_assert(buddy::eviction_policy<first_in_first_out>);  // names the member that is missing

int main() {
  buddy::model_shape const shape{.n_layers = 1, .n_experts = 8, .top_k = 1, .expert_bytes = 1 << 20};
  buddy::policy policy{shape,
                       buddy::slot_cache<first_in_first_out>(shape, {.bytes = 2 * shape.expert_bytes}),
                       buddy::prediction::none(shape),
                       buddy::sensitivity::never{},
                       buddy::selection::none{},
                       buddy::policy_config{.exact = true}};
  // 0 and 1 fill both slots, 0 is used again, 2 needs room: LRU would give up 1; here the oldest, 0, has to go.
  std::array<std::uint16_t, 5> const asked{0, 1, 0, 2, 1};
  float const weight = 1.0F;
  for (std::uint16_t const e : asked) {
    policy.begin_step();
    for (auto const& copy : policy.resolve(0, {{&e, 1}, {&weight, 1}}).fetches) policy.commit(copy);
  }
  std::cout << first_in_first_out::name << ": " << policy.total().hits << " hits of " << asked.size() << '\n';
  return policy.total().hits == 2 ? 0 : 1;  // the second 0, and the last 1
}
