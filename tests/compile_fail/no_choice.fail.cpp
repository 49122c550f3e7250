// expect-error: has_victim
// SPDX-License-Identifier: Apache-2.0
#include <buddy/slot_cache.hpp>

struct incomplete {
  static constexpr std::string_view name = "incomplete";
  explicit incomplete(std::size_t);
  void on_step(buddy::step_clock const&) noexcept;
  void on_insert(buddy::slot_id, buddy::expert_key) noexcept;
  void on_hit(buddy::slot_id) noexcept;
  void on_erase(buddy::slot_id) noexcept;
};
buddy::slot_cache<incomplete>* cache;
