// SPDX-License-Identifier: Apache-2.0
/// @file
/// What a type must offer to decide which resident expert gives up its slot.
#pragma once

#include <buddy/concepts/named.hpp>
#include <buddy/types.hpp>

#include <concepts>
#include <cstddef>

namespace buddy::inline v0 {

// One named requirement per verb: nvcc reports the name of the requirement that failed, not the line.
namespace detail {

/// Stands for the question "may this slot leave now?", which the cache asks with a type of its own.
struct any_slot_may_leave {
  constexpr bool operator()(slot_id) const noexcept { return true; }
};

template <class P>
concept has_on_step = requires(P& p, step_clock const& now) {
  { p.on_step(now) } noexcept -> std::same_as<void>;
};
template <class P>
concept has_on_insert = requires(P& p, slot_id s, expert_key k) {
  { p.on_insert(s, k) } noexcept -> std::same_as<void>;
};
template <class P>
concept has_on_hit = requires(P& p, slot_id s) {
  { p.on_hit(s) } noexcept -> std::same_as<void>;
};
template <class P>
concept has_on_erase = requires(P& p, slot_id s) {
  { p.on_erase(s) } noexcept -> std::same_as<void>;
};
template <class P>
concept has_victim = requires(P const& p, any_slot_may_leave const& may_leave) {
  { p.victim(may_leave) } noexcept -> std::same_as<slot_id>;
};

}  // namespace detail

/// Orders the resident slots of one pool by how willingly they are given up.
///
/// @code
/// struct my_policy {
///   static constexpr std::string_view name = "mine";
///   explicit my_policy(std::size_t capacity);                    // slots 0..capacity-1; may throw, may allocate
///   void on_step(buddy::step_clock const& now) noexcept;         // before the look-ups of each layer of each step
///   void on_insert(buddy::slot_id, buddy::expert_key) noexcept;  // an empty slot received this expert
///   void on_hit(buddy::slot_id) noexcept;                        // the router asked for what it holds
///   void on_erase(buddy::slot_id) noexcept;                      // it is empty again
///   template <class MayLeave>                                    // bool may_leave(slot_id) noexcept
///   buddy::slot_id victim(MayLeave const& may_leave) const noexcept;
/// };
/// static_assert(buddy::eviction_policy<my_policy>);
/// @endcode
///
/// One that remembers experts outside of the cache may also offer `void on_ghost(buddy::expert_key) noexcept`: the
/// router asked for an expert that is absent and stays so. The compiler checks the syntax above;
/// `buddy/testing/eviction_laws.hpp` checks the laws:
///  -# `victim` names a slot inserted and not yet erased for which `may_leave` holds, or `no_slot` when there is none.
///  -# Equal calls in equal order give equal victims (no hidden clock, no hidden randomness).
///  -# `victim` changes nothing.
template <class P>
concept eviction_policy = std::movable<P> && has_name<P> && detail::has_on_step<P> && detail::has_on_insert<P> &&
                          detail::has_on_hit<P> && detail::has_on_erase<P> && detail::has_victim<P>;

}  // namespace buddy::inline v0
