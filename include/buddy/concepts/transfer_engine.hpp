// SPDX-License-Identifier: Apache-2.0
/// @file
/// What a type must offer to move expert records from slow to fast memory.
#pragma once

#include <buddy/concepts/named.hpp>
#include <buddy/layer_plan.hpp>

#include <concepts>
#include <cstdint>

namespace buddy::inline v0 {

/// One copy that was handed to a transfer engine.
enum class ticket : std::uint64_t {};

/// The engine took nothing: its queue is full.
inline constexpr ticket no_ticket{0xffff'ffff'ffff'ffffU};

namespace detail {

template <class T>
concept has_submit = requires(T& t, expert_copy const& c) {
  { t.submit(c) } noexcept -> std::same_as<ticket>;
};
template <class T>
concept has_done = requires(T const& t, ticket k) {
  { t.done(k) } noexcept -> std::same_as<bool>;
};
template <class T>
concept has_wait = requires(T& t, ticket k) {
  { t.wait(k) } noexcept -> std::same_as<void>;
};
template <class T>
concept has_cancel = requires(T& t, ticket k) {
  { t.cancel(k) } noexcept -> std::same_as<bool>;
};

}  // namespace detail

/// Moves the records that a plan lists.
///
/// @code
/// struct my_engine {
///   static constexpr std::string_view name = "mine";
///   buddy::ticket submit(buddy::expert_copy const&) noexcept;  // or no_ticket: queue full, nothing taken
///   bool done(buddy::ticket) const noexcept;                   // never waits
///   void wait(buddy::ticket) noexcept;                         // returns when done
///   bool cancel(buddy::ticket) noexcept;                       // only what has not started; true: it never will
/// };
/// static_assert(buddy::transfer_engine<my_engine>);
/// @endcode
///
/// Laws (`buddy/testing/transfer_laws.hpp`):
///  -# Copies complete in the order in which they were submitted; one that was cancelled never completes.
///  -# `done` stays true once it was; after `wait` it is true.
///  -# `cancel` of a copy that is done, cancelled or unknown is false and changes nothing.
template <class T>
concept transfer_engine = std::movable<T> && has_name<T> && detail::has_submit<T> && detail::has_done<T> &&
                          detail::has_wait<T> && detail::has_cancel<T>;

}  // namespace buddy::inline v0
