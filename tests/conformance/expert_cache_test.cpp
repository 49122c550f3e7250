// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "eviction_models.hpp"

#include <buddy/slot_cache.hpp>
#include <buddy/testing/archetypes.hpp>
#include <buddy/testing/cache_laws.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

using buddy::expert_key;
using buddy::no_slot;
using buddy::residency;
using buddy::slot_id;
using buddy::testing::broken_cache_law;

namespace {

constexpr buddy::model_shape shape{.n_layers = 3, .n_experts = 6, .top_k = 2, .expert_bytes = 10};

}  // namespace

TEMPLATE_LIST_TEST_CASE("slot_cache keeps the laws, whoever evicts", "[conformance][expert_cache]", plain_evictions) {
  auto const layout = GENERATE(buddy::pool_layout::global, buddy::pool_layout::per_layer);
  auto const sizes = GENERATE(std::vector<std::uint64_t>{}, std::vector<std::uint64_t>{4, 23, 9});
  // One record of each layer is 30 or 36 bytes, all of them are 180 or 216.
  for (std::uint64_t const bytes : {36U, 75U, 1'000U}) {
    buddy::cache_budget const budget{.bytes = bytes, .layout = layout, .layer_bytes = sizes};
    for (std::uint64_t seed = 1; seed != 4; ++seed)
      CHECK(broken_cache_law([&] { return buddy::slot_cache<TestType>(shape, budget); }, shape, bytes, seed) == "");
  }
}

namespace {

enum class fault {
  none,
  evicts_in_vain,
  evicts_protected,
  evicts_in_flight,
  exceeds_budget,
  shares_a_slot,
  shows_in_flight,
  is_ready_at_once,
  forgets_commits,
  keeps_cancelled,
  forgets_at_begin,
  loses_its_slot,
  sees_room,
};

/// The plainest cache there is, with one fault. Layer l's records have 10 + 10 l bytes; 70 fit.
class faulty_cache {
 public:
  static constexpr std::uint64_t budget = 70;

  explicit faulty_cache(fault f) : fault_(f), held_(shape.n_keys()), ready_(shape.n_keys(), no_slot) {}

  [[nodiscard]] buddy::view<slot_id const> residents(std::uint16_t l) const noexcept {
    return {ready_.data() + shape.index({l, 0}), shape.n_experts};
  }
  [[nodiscard]] residency where(expert_key k) const noexcept { return held_[shape.index(k)].state; }
  [[nodiscard]] slot_id slot_of(expert_key k) const noexcept {
    auto const& held = held_[shape.index(k)];
    if (held.state == residency::absent || fault_ == fault::loses_its_slot) return no_slot;
    return fault_ == fault::shares_a_slot ? slot_id{0} : slot_id{static_cast<std::uint32_t>(shape.index(k))};
  }
  [[nodiscard]] std::uint64_t record_bytes(std::uint16_t l) const noexcept { return 10U + 10U * l; }

  void begin_batch(buddy::step_clock const&) noexcept {
    for (auto& held : held_) held.is_protected = false;
    if (fault_ == fault::forgets_at_begin && where({0, 0}) == residency::resident) drop(0);
  }
  void touch(slot_id) noexcept {}
  void protect(slot_id s) noexcept { held_[index(s)].is_protected = true; }

  [[nodiscard]] bool has_room(std::uint16_t l) const noexcept {
    return fault_ == fault::sees_room || record_bytes(l) <= budget - std::min(budget, used(true));
  }
  [[nodiscard]] slot_id reserve(expert_key k) noexcept {
    std::uint64_t const bytes = record_bytes(k.layer);
    if (fault_ != fault::exceeds_budget) {
      if (fault_ != fault::evicts_in_vain && bytes > budget - used(false)) return no_slot;
      for (std::size_t i = 0; i != held_.size() && used(true) + bytes > budget; ++i)
        if (may_leave(i)) drop(i);
      if (used(true) + bytes > budget) return no_slot;
    }
    held_[shape.index(k)] = {fault_ == fault::is_ready_at_once ? residency::resident : residency::in_flight, false};
    slot_id const s = slot_of(k);
    if (fault_ == fault::shows_in_flight || fault_ == fault::is_ready_at_once) ready_[shape.index(k)] = s;
    return s == no_slot ? slot_id{static_cast<std::uint32_t>(shape.index(k))} : s;
  }
  void commit(slot_id s) noexcept {
    if (fault_ == fault::forgets_commits) return;
    held_[index(s)].state = residency::resident;
    ready_[index(s)] = s;
  }
  void cancel(slot_id s) noexcept {
    if (fault_ != fault::keeps_cancelled) drop(index(s));
  }

 private:
  struct record {
    residency state{residency::absent};
    bool is_protected{};
  };

  [[nodiscard]] static std::size_t index(slot_id s) noexcept { return static_cast<std::size_t>(s); }
  [[nodiscard]] bool may_leave(std::size_t i) const noexcept {
    if (held_[i].state == residency::absent) return false;
    return (held_[i].state == residency::resident || fault_ == fault::evicts_in_flight) &&
           (!held_[i].is_protected || fault_ == fault::evicts_protected);
  }
  /// Bytes of all that is held, or of what must stay.
  [[nodiscard]] std::uint64_t used(bool all) const noexcept {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i != held_.size(); ++i)
      if (held_[i].state != residency::absent && (all || !may_leave(i)))
        sum += record_bytes(static_cast<std::uint16_t>(i / shape.n_experts));
    return sum;
  }
  void drop(std::size_t i) noexcept {
    held_[i] = {};
    ready_[i] = no_slot;
  }

  fault fault_;
  std::vector<record> held_;    // [n_layers, n_experts]
  std::vector<slot_id> ready_;  // [n_layers, n_experts]
};

std::string_view verdict(fault f) {
  return broken_cache_law([f] { return faulty_cache(f); }, shape, faulty_cache::budget, 1);
}

}  // namespace

TEST_CASE("the cache laws catch who breaks them", "[conformance][expert_cache]") {
  CHECK(verdict(fault::none) == "");
  CHECK(verdict(fault::evicts_in_vain) == "a reserve that fails changes nothing");
  CHECK(verdict(fault::evicts_protected) == "what is in flight or protected never leaves");
  CHECK(verdict(fault::evicts_in_flight) == "what is in flight or protected never leaves");
  CHECK(verdict(fault::exceeds_budget) == "the byte budget is never exceeded");
  CHECK(verdict(fault::shares_a_slot) == "a slot holds at most one expert");
  CHECK(verdict(fault::shows_in_flight) == "an expert in flight is not among the residents until it is committed");
  CHECK(verdict(fault::is_ready_at_once) == "an expert in flight is not among the residents until it is committed");
  CHECK(verdict(fault::forgets_commits) == "an expert is resident once it is committed");
  CHECK(verdict(fault::keeps_cancelled) == "an expert is absent once it is cancelled");
  CHECK(verdict(fault::forgets_at_begin) == "nothing but a reserve that succeeds makes a resident leave");
  CHECK(verdict(fault::sees_room) == "where there is room, reserve succeeds and nobody leaves");
  CHECK(verdict(fault::loses_its_slot) == "slot_of names a slot of whatever is not absent");
}
