// SPDX-License-Identifier: Apache-2.0
/// @file
/// The least model of each concept: a template that compiles with these asks for no more than the concept.
#pragma once

#include <buddy/concepts/buddy_selector.hpp>
#include <buddy/concepts/eviction_policy.hpp>
#include <buddy/concepts/expert_predictor.hpp>
#include <buddy/concepts/sensitivity_estimator.hpp>
#include <buddy/concepts/transfer_engine.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace buddy::inline v0::testing::archetypes {

/// Can be moved and nothing else.
struct move_only {
  move_only() = default;
  move_only(move_only const&) = delete;
  move_only& operator=(move_only const&) = delete;
  move_only(move_only&&) = default;
  move_only& operator=(move_only&&) = default;
  ~move_only() = default;
};

/// Gives up the lowest slot that may leave.
class eviction : move_only {
 public:
  static constexpr std::string_view name = "archetype";

  explicit eviction(std::size_t capacity) : filled_(capacity) {}

  void on_step(step_clock const&) noexcept {}
  void on_insert(slot_id s, expert_key) noexcept { filled_[static_cast<std::size_t>(s)] = true; }
  void on_hit(slot_id) noexcept {}
  void on_erase(slot_id s) noexcept { filled_[static_cast<std::size_t>(s)] = false; }

  template <class MayLeave>
  [[nodiscard]] slot_id victim(MayLeave const& may_leave) const noexcept {
    for (std::uint32_t i = 0; i != filled_.size(); ++i) {
      if (filled_[i] && may_leave(slot_id{i})) return slot_id{i};
    }
    return no_slot;
  }

 private:
  std::vector<bool> filled_;
};

/// Always names expert 0.
class predictor : move_only {
 public:
  static constexpr std::string_view name = "archetype";

  explicit predictor(model_shape const&) {}

  void observe(std::uint16_t, routing const&) noexcept {}
  [[nodiscard]] std::uint32_t predict(std::uint16_t, view<std::uint16_t> out) noexcept {
    if (out.empty()) return 0;
    out[0] = 0;
    return 1;
  }
};

/// Bears a stand-in in every slot.
struct sensitivity {
  static constexpr std::string_view name = "archetype";

  [[nodiscard]] BUDDY_HD constexpr slot_mask replaceable(token_view const& token) const noexcept {
    slot_mask mask = 0;
    for (std::uint32_t s = 0; s != token.shares.size; ++s) mask |= slot_mask{1} << s;
    return mask;
  }
};

/// Finds nothing.
struct selector {
  static constexpr std::string_view name = "archetype";

  [[nodiscard]] BUDDY_HD constexpr stand_in select(token_view const&, view<slot_id const>, expert_set const&,
                                                   std::uint32_t) const noexcept {
    return {};
  }
};

/// Is done at once.
class transfer : move_only {
 public:
  static constexpr std::string_view name = "archetype";

  [[nodiscard]] ticket submit(expert_copy const&) noexcept { return ticket{submitted_++}; }
  [[nodiscard]] bool done(ticket t) const noexcept { return static_cast<std::uint64_t>(t) < submitted_; }
  void wait(ticket) noexcept {}
  bool cancel(ticket) noexcept { return false; }

 private:
  std::uint64_t submitted_{};
};

static_assert(eviction_policy<eviction>);
static_assert(expert_predictor<predictor>);
static_assert(sensitivity_estimator<sensitivity>);
static_assert(buddy_selector<selector>);
static_assert(transfer_engine<transfer>);

}  // namespace buddy::inline v0::testing::archetypes
