// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/slot_cache.hpp>
#include <buddy/testing/archetypes.hpp>

namespace {

using least = buddy::testing::archetypes::eviction;
using buddy::expert_key;
using buddy::slot_id;

// One type for each requirement, missing only that one.
struct no_name {
  explicit no_name(std::size_t) {}
  void on_step(buddy::step_clock const&) noexcept {}
  void on_insert(slot_id, expert_key) noexcept {}
  void on_hit(slot_id) noexcept {}
  void on_erase(slot_id) noexcept {}
  template <class MayLeave>
  slot_id victim(MayLeave const&) const noexcept {
    return buddy::no_slot;
  }
};
struct named : no_name {
  static constexpr std::string_view name = "named";
};
struct cannot_move : least {
  using least::least;
  cannot_move(cannot_move&&) = delete;
};
struct step_may_throw : least {
  using least::least;
  void on_step(buddy::step_clock const&) {}
};
struct insert_without_expert : least {
  using least::least;
  void on_insert(slot_id) noexcept {}
};
struct hit_is_private : least {
  using least::least;

 private:
  void on_hit(slot_id) noexcept {}
};
struct erase_answers : least {
  using least::least;
  bool on_erase(slot_id) noexcept { return true; }
};
struct victim_asks_nobody : least {
  using least::least;
  slot_id victim() const noexcept { return buddy::no_slot; }
};
struct victim_changes : least {
  using least::least;
  template <class MayLeave>
  slot_id victim(MayLeave const&) noexcept {
    return buddy::no_slot;
  }
};

static_assert(buddy::eviction_policy<named>);
static_assert(!buddy::eviction_policy<no_name>);
static_assert(!buddy::eviction_policy<cannot_move>);
static_assert(!buddy::eviction_policy<step_may_throw>);
static_assert(!buddy::eviction_policy<insert_without_expert>);
static_assert(!buddy::eviction_policy<hit_is_private>);
static_assert(!buddy::eviction_policy<erase_answers>);
static_assert(!buddy::eviction_policy<victim_asks_nobody>);
static_assert(!buddy::eviction_policy<victim_changes>);
static_assert(!buddy::eviction_policy<int>);

}  // namespace

// Proves that slot_cache asks its policy for no more than the concept.
template class buddy::slot_cache<least>;

TEST_CASE("a component's name is found whichever way it is offered", "[concepts][named]") {
  struct chosen_later {
    [[nodiscard]] std::string_view name() const { return "later"; }
  };
  CHECK(buddy::name_of(least(1)) == "archetype");
  CHECK(buddy::name_of(chosen_later{}) == "later");
}
