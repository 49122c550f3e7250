// SPDX-License-Identifier: Apache-2.0
/// @file
/// What carries out the plans of a stack of layers: a modelled machine, this CPU, or a GPU.
#pragma once

#include "harness/policy/settings.hpp"

#include <buddy/concepts/transfer_engine.hpp>
#include <buddy/host/lane_mailbox.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace harness {

/// Routed slots of a layer that are computed together on the device: those whose record is there by now.
struct expert_wave {
  std::uint16_t layer{};
  std::uint32_t n_tokens{};
  std::uint32_t top_k{};
  buddy::view<buddy::slot_id const> slots;  ///< [n_tokens, top_k]; `no_slot`: not in this wave
  buddy::view<float const> weights;         ///< [n_tokens, top_k]
  std::uint32_t n_distinct{};               ///< records that are read
  std::uint32_t n_uses{};                   ///< routed slots that are computed
  bool first{};                             ///< of its layer: nothing has been added up yet
};

/// Experts of a layer that the CPU computes meanwhile.
struct host_experts {
  std::uint16_t layer{};
  std::uint32_t n_tokens{};
  buddy::view<buddy::host::mail_entry const> entries;
  std::uint32_t n_distinct{};
};

/// Carries a layer out, in this order: `rest`, `decided`, `host_begin`, any number of `experts`, `host_end`.
///
/// `now_ns` is the clock by which everything is timed: virtual, or the wall's. `rest` returns when the host knows the
/// router's choice; the others may return before the device is done, which then keeps their order. A copy that `link`
/// is done with can be read by the next wave, and what a wave reads is not overwritten by a copy that is submitted
/// later.
template <class M>
concept layer_machine = requires(M& m, M const& c, std::uint16_t layer, std::uint32_t n_tokens, expert_wave const& wave,
                                 host_experts const& host, std::uint64_t ns, buddy::expert_copy const& copy) {
  { c.now_ns() } noexcept -> std::same_as<std::uint64_t>;
  { m.link() } noexcept;
  requires buddy::transfer_engine<std::remove_cvref_t<decltype(m.link())>>;
  { m.rest(layer, n_tokens) } noexcept -> std::same_as<void>;  // attention, shared experts, router
  { m.decided() } noexcept -> std::same_as<void>;              // the policy has spoken
  { m.host_begin(host) } noexcept -> std::same_as<void>;
  { m.experts(wave) } noexcept -> std::same_as<void>;
  { m.host_end() } noexcept -> std::same_as<void>;  // what the CPU computed is added
  { m.finish() } noexcept -> std::same_as<void>;    // returns when the step is complete
  { m.place(copy) } -> std::same_as<void>;          // the record lies in its slot when this returns
  { c.n_slots() } noexcept -> std::same_as<std::uint32_t>;
  { c.n_spare() } noexcept -> std::same_as<std::uint32_t>;          // slots behind these, for what enters no cache
  { c.copies_per_wave() } noexcept -> std::same_as<std::uint32_t>;  // that one wave waits for
  { c.link_bytes(ns) } noexcept -> std::same_as<std::uint64_t>;     // that the link moves in so much time
};

/// A machine whose device can run a whole step by itself, from routing to outputs, with a table of residents that the
/// host changes between steps.
template <class M>
concept self_deciding_machine = layer_machine<M> && requires(M& m, std::size_t step, buddy::expert_copy const& copy,
                                                             policy_settings const& settings) {
  m.begin_mode(settings);                                    // before the records of its residents are placed
  { m.launch_step(step) } noexcept -> std::same_as<void>;    // of the routing that the machine was made for
  { m.withdraw(copy.slot) } noexcept -> std::same_as<void>;  // steps launched later do not find who is in the slot
  { m.publish(copy) } noexcept -> std::same_as<void>;        // steps launched later find the expert
};

}  // namespace harness
