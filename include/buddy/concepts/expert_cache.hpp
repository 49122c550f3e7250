// SPDX-License-Identifier: Apache-2.0
/// @file
/// What a type must offer to know which experts are in fast memory.
#pragma once

#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <concepts>
#include <cstdint>

namespace buddy::inline v0 {

/// Where one expert is.
enum class residency : std::uint8_t { absent, in_flight, resident };

namespace detail {

template <class C>
concept has_residents = requires(C const& c, std::uint16_t layer) {
  { c.residents(layer) } noexcept -> std::same_as<view<slot_id const>>;
};
template <class C>
concept has_where = requires(C const& c, expert_key k) {
  { c.where(k) } noexcept -> std::same_as<residency>;
  { c.slot_of(k) } noexcept -> std::same_as<slot_id>;
};
template <class C>
concept has_begin_batch = requires(C& c, step_clock const& now) {
  { c.begin_batch(now) } noexcept -> std::same_as<void>;
};
template <class C>
concept has_protect = requires(C& c, slot_id s) {
  { c.protect(s) } noexcept -> std::same_as<void>;
  { c.touch(s) } noexcept -> std::same_as<void>;
};
template <class C>
concept has_reserve = requires(C& c, expert_key k) {
  { c.reserve(k) } noexcept -> std::same_as<slot_id>;
};
template <class C>
concept has_has_room = requires(C const& c, std::uint16_t layer) {
  { c.has_room(layer) } noexcept -> std::same_as<bool>;
};
template <class C>
concept has_commit = requires(C& c, slot_id s) {
  { c.commit(s) } noexcept -> std::same_as<void>;
  { c.cancel(s) } noexcept -> std::same_as<void>;
};
template <class C>
concept has_record_bytes = requires(C const& c, std::uint16_t layer) {
  { c.record_bytes(layer) } noexcept -> std::same_as<std::uint64_t>;
};

}  // namespace detail

/// Maps experts to slots and plans who enters and who leaves; owns no weights.
///
/// Verbs: `residents(layer)` [n_experts] slots that can be read now; `where(key)`; `slot_of(key)`, in flight or
/// resident; `begin_batch(now)`; `touch(slot)` the router asked for what it holds or will hold; `protect(slot)` this
/// batch reads it; `reserve(key)` a slot to copy into, or `no_slot`; `has_room(layer)` whether that needs nobody to
/// leave; `commit(slot)` the bytes are there; `cancel(slot)`
/// they never will be.
///
/// Laws (`buddy/testing/cache_laws.hpp`):
///  -# An expert is in at most one slot; a slot holds at most one expert.
///  -# Leased, in-flight and protected slots never leave; protection ends at the next `begin_batch`.
///  -# The byte budget is never exceeded, not even in between.
///  -# An expert in flight is not among the residents until it is committed.
///  -# A `reserve` that fails changes nothing; nothing but a `reserve` that succeeds makes a resident leave, and not
///     where `has_room`.
template <class C>
concept expert_cache = std::movable<C> && detail::has_residents<C> && detail::has_where<C> &&
                       detail::has_begin_batch<C> && detail::has_protect<C> && detail::has_reserve<C> &&
                       detail::has_has_room<C> && detail::has_commit<C> && detail::has_record_bytes<C>;

}  // namespace buddy::inline v0
