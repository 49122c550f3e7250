// SPDX-License-Identifier: Apache-2.0
/// @file
/// What `copy_engine` needs of a link: a real one, or one with a clock of its own.
#pragma once

#include <buddy/config.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <concepts>
#include <cstdint>

namespace buddy::inline v0::cuda {

/// A part of one record that moves on its own.
struct copy_piece {
  expert_key expert;
  slot_id slot{no_slot};
  std::uint64_t offset{};  ///< of its first byte in the record
  std::uint64_t bytes{};
  bool first{};  ///< of its record: nobody may read the slot from here on
  bool last{};   ///< of its record: it is whole once this piece has landed

  constexpr bool operator==(copy_piece const&) const = default;
};

/// One of a backend's few marks: tells when what was issued with it has landed.
enum class copy_mark : std::uint32_t {};

namespace detail {

template <class B>
concept has_issue = requires(B& b, view<copy_piece const> pieces, copy_mark mark) {
  { b.issue(pieces, mark) } noexcept -> std::same_as<void>;
};
template <class B>
concept has_reached = requires(B& b, copy_mark mark) {
  { b.reached(mark) } noexcept -> std::same_as<bool>;
};
template <class B>
concept has_wait_for_mark = requires(B& b, copy_mark mark) {
  { b.wait(mark) } noexcept -> std::same_as<void>;
};
template <class B>
concept has_failed = requires(B const& b) {
  { b.failed() } noexcept -> std::same_as<bool>;
};
template <class B>
concept has_n_marks = requires(B const& b) {
  { b.n_marks() } noexcept -> std::same_as<std::uint32_t>;
};
template <class B>
concept has_issue_limit = requires(B const& b) {
  { b.issue_limit_bytes() } noexcept -> std::same_as<std::uint64_t>;
};

}  // namespace detail

/// A link on which pieces move first in, first out.
///
/// @code
/// struct my_link {
///   std::uint32_t n_marks() const noexcept;           // how many issues may be on the way
///   std::uint64_t issue_limit_bytes() const noexcept;  // most bytes of one issue, for example a staging buffer
///   void issue(buddy::view<buddy::cuda::copy_piece const>, buddy::cuda::copy_mark) noexcept;
///   bool reached(buddy::cuda::copy_mark) noexcept;     // never waits
///   void wait(buddy::cuda::copy_mark) noexcept;        // returns when reached, or when the link has failed
///   bool failed() const noexcept;                      // for good: what is on the way never lands
/// };
/// static_assert(buddy::cuda::copy_backend<my_link>);
/// @endcode
///
/// Laws: pieces of an earlier issue land before those of a later one, pieces of one issue in any order; a mark is
/// reached when all of its issue has landed, and may then be issued again, with whatever buffer belongs to it.
template <class B>
concept copy_backend =
    std::movable<B> && detail::has_issue<B> && detail::has_reached<B> && detail::has_wait_for_mark<B> &&
    detail::has_failed<B> && detail::has_n_marks<B> && detail::has_issue_limit<B>;

}  // namespace buddy::inline v0::cuda
