// SPDX-License-Identifier: Apache-2.0
/// @file
/// When a slot of the device may be filled, and when its expert may be found: a state machine without a device.
///
/// Source: ours; epoch-based reclamation as in read-copy-update. Differs from it: readers do not announce themselves,
/// because the stream they run in already orders them.
#pragma once

#include <buddy/error.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace buddy::inline v0::cuda {

/// What a slot is good for.
enum class slot_state : std::uint8_t {
  free,     ///< holds nothing; may be filled once its epoch has passed
  filling,  ///< a copy writes it, and its expert's entry leads to it once that has landed
  live,     ///< its expert's entry leads to it
  retired,  ///< its entry is being cleared; steps that were begun before may still read it
};

/// A point in the compute stream: all steps before it have ended, and all entries retired before it are cleared. The
/// device's word holds the low 32 bits.
enum class epoch : std::uint64_t {};

/// May a slot be filled, and what must the copy wait for?
struct fill_order {
  bool granted{};
  epoch after{};  ///< the copy may begin once the device has passed this epoch; 0 has always passed
};

/// The host's books of the slots of a device. The host acts on them in this order:
///
///  -# `retire(slot)`, then clear the entry of its expert **in the compute stream**, behind all steps that may read it;
///  -# `close_epoch()`, then write that epoch to the device's word, in the compute stream too;
///  -# `begin_fill(slot, expert)`, then let the **copy stream** wait until the word has reached `after`, copy, and
///     write the slot to the entry of its expert;
///  -# `publish(slot)` once that write has happened: a slot cannot be retired before.
///
/// No step waits on the host, and kernels see none of it but the entry: one aligned word, either old or new. It keeps:
/// no slot is read between the begin of its fill and its publication; no expert has two slots; an expert's entries are
/// written in the order of its retirements and fills. Every rule above is needed: `tests/property` breaks each.
/// Time O(1) for every verb, no allocation after construction. Not thread-safe.
/// @pre the device is never 2^30 epochs behind
class publish_protocol {
 public:
  /// @throws config_error when there are no slots or no experts
  publish_protocol(std::uint32_t n_slots, std::size_t n_experts) : slots_(n_slots), experts_(n_experts) {
    if (n_slots == 0 || n_experts == 0)
      v0::detail::throw_config_error("buddy::cuda::publish_protocol: n_slots and n_experts must be at least 1");
  }

  /// Nothing new may find this slot's expert.
  /// @returns false, and changes nothing, when the slot is not live
  bool retire(slot_id s) noexcept {
    slot& it = at(s);
    if (it.state != slot_state::live) return false;
    it.state = slot_state::retired;
    experts_[it.expert].where = no_slot;
    it.after = experts_[it.expert].after = next();
    open_ = true;
    return true;
  }

  /// Ends the epoch of all that was retired since the last call: what to write to the device's word. The same number
  /// again when nothing was retired, and then nothing needs to be written.
  epoch close_epoch() noexcept {
    if (open_) closed_ = next();
    open_ = false;
    return closed_;
  }

  /// Gives a free or retired slot to an expert.
  /// @returns not granted, and nothing changed, when the slot is in use, when the expert has a slot already, or when
  /// one
  ///          of them was retired in an epoch that is still open
  [[nodiscard]] fill_order begin_fill(slot_id s, std::size_t expert) noexcept {
    slot& it = at(s);
    entry& its = experts_[expert];
    bool const taken = it.state == slot_state::live || it.state == slot_state::filling;
    epoch const after = std::max({it.after, its.after, long_ago()});
    if (taken || its.where != no_slot || after > closed_) return {};
    it.state = slot_state::filling;
    it.expert = expert;
    its.where = s;
    return {true, after};
  }

  /// The entry leads to the slot. @returns false, and changes nothing, when the slot is not being filled
  bool publish(slot_id s) noexcept {
    if (at(s).state != slot_state::filling) return false;
    at(s).state = slot_state::live;
    return true;
  }

  /// The copy was cancelled: the slot is free for a later copy in the same stream, and keeps its epoch.
  /// @returns false, and changes nothing, when the slot is not being filled
  bool abandon(slot_id s) noexcept {
    slot& it = at(s);
    if (it.state != slot_state::filling) return false;
    it.state = slot_state::free;
    experts_[it.expert].where = no_slot;
    return true;
  }

  [[nodiscard]] slot_state state(slot_id s) const noexcept { return slots_[static_cast<std::uint32_t>(s)].state; }

  /// The slot that holds or receives the expert, or `no_slot`.
  [[nodiscard]] slot_id slot_of(std::size_t expert) const noexcept { return experts_[expert].where; }

  /// The expert of a slot. @pre the slot is not free
  [[nodiscard]] std::size_t expert_in(slot_id s) const noexcept { return slots_[static_cast<std::uint32_t>(s)].expert; }

  [[nodiscard]] std::uint32_t n_slots() const noexcept { return static_cast<std::uint32_t>(slots_.size()); }
  [[nodiscard]] std::size_t n_experts() const noexcept { return experts_.size(); }

 private:
  struct slot {
    slot_state state{slot_state::free};
    epoch after{};
    std::size_t expert{};
  };
  struct entry {
    slot_id where{no_slot};
    epoch after{};  ///< its last clearing
  };

  [[nodiscard]] slot& at(slot_id s) noexcept { return slots_[static_cast<std::uint32_t>(s)]; }
  [[nodiscard]] epoch next() const noexcept { return epoch{static_cast<std::uint64_t>(closed_) + 1}; }

  /// Has passed for certain, and its low half is still less than that of later ones, as devices compare them.
  [[nodiscard]] epoch long_ago() const noexcept {
    constexpr std::uint64_t span = std::uint64_t{1} << 30U;
    auto const now = static_cast<std::uint64_t>(closed_);
    return epoch{now > span ? now - span : 0};
  }

  std::vector<slot> slots_;
  std::vector<entry> experts_;
  epoch closed_{};
  bool open_{};  // something was retired since
};

}  // namespace buddy::inline v0::cuda
