// SPDX-License-Identifier: Apache-2.0
// A host, a compute stream and a copy stream as transition systems, and every order in which they can move.
#pragma once

#include <buddy/cuda/publish_protocol.hpp>
#include <buddy/types.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace publish_model {

using buddy::no_slot;
using buddy::slot_id;
using buddy::cuda::epoch;
using buddy::cuda::slot_state;

/// Rules that a host may break. Each is one deliberate bug.
struct faults {
  bool copies_without_waiting = false;
  bool keeps_the_entry = false;          ///< retires without clearing it
  bool closes_before_clearing = false;   ///< the word first, the entry then
  bool enters_before_copying = false;    ///< the entry first, the bytes then
  bool publishes_when_queued = false;    ///< in its books, before the device has
  bool waits_for_the_slot_only = false;  ///< not for the expert's last clearing
  bool fills_what_is_refused = false;
};

/// How often the host may act.
struct budget {
  int steps = 2, fills = 3, retires = 2, abandons = 1;
  std::size_t n_slots = 2, n_experts = 2;
};

enum class op_kind : char { read, end_read, clear, write_word, wait, start, land, enter };

struct op {
  op_kind kind{};
  std::size_t expert{};
  std::size_t slot{};
  std::uint64_t number{};
};

constexpr std::size_t nothing = 9;  ///< no expert, no slot

/// One state of the whole. What the device has, what is in its two queues, and the host with its books.
class world {
 public:
  world(budget const& b, faults const& f) : left_(b), faults_(f), books_(n32(b.n_slots), b.n_experts) {
    owner_.fill(nothing);
    content_.fill(nothing);
    table_.fill(nothing);
  }

  /// The first rule of the protocol that does not hold, or "".
  [[nodiscard]] std::string const& broken() const { return broken_; }

  /// All states that one move leads to.
  [[nodiscard]] std::vector<world> successors() const {
    std::vector<world> next;
    auto const add = [&](world const& w) { next.push_back(w); };
    device_moves(add);
    for (std::size_t s = 0; s != left_.n_slots; ++s) host_moves(s, add);
    for (std::size_t e = 0; left_.steps != 0 && e != left_.n_experts; ++e) {
      world w = *this;
      --w.left_.steps;
      w.compute_.push_back({op_kind::read, e, 0, 0});
      w.compute_.push_back({op_kind::end_read, e, 0, 0});
      add(w);
    }
    return next;
  }

  /// Equal for equal states.
  [[nodiscard]] std::string key() const {
    std::string k;
    auto const put = [&](std::uint64_t n) { k += static_cast<char>('0' + n); };
    for (std::size_t s = 0; s != left_.n_slots; ++s) {
      put(owner_[s]), put(content_[s]), put(entered_[s]), put(slot_epoch_[s]);
      put(static_cast<std::uint64_t>(books_.state(slot_id{n32(s)})));
    }
    for (std::size_t e = 0; e != left_.n_experts; ++e) put(table_[e]), put(slot_of(e)), put(expert_epoch_[e]);
    for (auto const* queue : {&compute_, &copy_}) {
      for (op const& o : *queue) put(static_cast<std::uint64_t>(o.kind)), put(o.expert), put(o.slot), put(o.number);
      k += '/';
    }
    put(word_), put(closed_), put(open_), put(reading_);
    for (int n : {left_.steps, left_.fills, left_.retires, left_.abandons}) put(static_cast<std::uint64_t>(n));
    return k;
  }

 private:
  static std::uint32_t n32(std::size_t n) { return static_cast<std::uint32_t>(n); }

  [[nodiscard]] std::size_t slot_of(std::size_t e) const {
    slot_id const s = books_.slot_of(e);
    return s == no_slot ? nothing : static_cast<std::size_t>(s);
  }

  void breaks(char const* rule) {
    if (broken_.empty()) broken_ = rule;
  }

  template <class Add>
  void device_moves(Add const& add) const {
    if (!compute_.empty()) {
      world w = *this;
      op const o = w.compute_.front();
      w.compute_.pop_front();
      w.compute(o);
      add(w);
    }
    if (!copy_.empty() && (copy_.front().kind != op_kind::wait || word_ >= copy_.front().number)) {
      world w = *this;
      op const o = w.copy_.front();
      w.copy_.pop_front();
      w.copy(o);
      add(w);
    }
  }

  template <class Add>
  void host_moves(std::size_t s, Add const& add) const {
    slot_state const state = books_.state(slot_id{n32(s)});
    if (state == slot_state::live && left_.retires != 0) {
      world w = *this;
      w.retire(s);
      add(w);
    }
    if (open_) {
      world w = *this;
      w.close();
      add(w);
    }
    for (std::size_t e = 0; left_.fills != 0 && e != left_.n_experts; ++e) {
      world w = *this;
      if (w.fill(s, e)) add(w);
    }
    if (state == slot_state::filling && entered_[s]) {
      world w = *this;
      w.books_.publish(slot_id{n32(s)});
      w.rest();
      add(w);
    }
    if (state == slot_state::filling && left_.abandons != 0 && can_abandon(s)) {
      world w = *this;
      w.abandon(s);
      add(w);
    }
  }

  void retire(std::size_t s) {
    --left_.retires;
    std::size_t const e = books_.expert_in(slot_id{n32(s)});
    books_.retire(slot_id{n32(s)});
    owner_[s] = nothing;
    slot_epoch_[s] = expert_epoch_[e] = closed_ + 1;
    open_ = true;
    op const clear{op_kind::clear, e, s, 0};
    if (faults_.closes_before_clearing) {
      compute_.push_back({op_kind::write_word, 0, 0, closed_ + 1});
      late_.push_back(clear);
    } else if (!faults_.keeps_the_entry) {
      compute_.push_back(clear);
    }
  }

  void close() {
    closed_ = static_cast<std::uint64_t>(books_.close_epoch());
    open_ = false;
    if (!faults_.closes_before_clearing) compute_.push_back({op_kind::write_word, 0, 0, closed_});
    for (op const& o : late_) compute_.push_back(o);
    late_.clear();
  }

  bool fill(std::size_t s, std::size_t e) {
    auto const order = books_.begin_fill(slot_id{n32(s)}, e);
    if (!order.granted && !faults_.fills_what_is_refused) return false;
    --left_.fills;
    auto after = static_cast<std::uint64_t>(order.after);
    if (faults_.copies_without_waiting) after = 0;
    if (faults_.waits_for_the_slot_only) after = slot_epoch_[s];
    owner_[s] = e;
    entered_[s] = 0;
    one_owner();
    op const enter{op_kind::enter, e, s, 0};
    copy_.push_back({op_kind::wait, e, s, after});
    if (faults_.enters_before_copying) copy_.push_back(enter);
    copy_.push_back({op_kind::start, e, s, 0});
    copy_.push_back({op_kind::land, e, s, 0});
    if (!faults_.enters_before_copying) copy_.push_back(enter);
    if (faults_.publishes_when_queued) books_.publish(slot_id{n32(s)});
    return true;
  }

  /// Its last piece, here all that lands, is not yet issued.
  [[nodiscard]] bool can_abandon(std::size_t s) const {
    for (op const& o : copy_)
      if (o.slot == s && o.kind == op_kind::land) return true;
    return false;
  }

  void abandon(std::size_t s) {
    --left_.abandons;
    books_.abandon(slot_id{n32(s)});
    owner_[s] = nothing;
    std::erase_if(copy_, [&](op const& o) { return o.slot == s; });
    rest();
  }

  void compute(op const& o) {
    switch (o.kind) {
      case op_kind::read:
        reading_ = table_[o.expert];
        if (reading_ != nothing && content_[reading_] != o.expert) breaks("a slot is found before it is whole");
        break;
      case op_kind::end_read:
        reading_ = nothing;
        break;
      case op_kind::clear:
        table_[o.expert] = nothing;
        break;
      default:
        word_ = o.number;
    }
    rest();
  }

  void copy(op const& o) {
    switch (o.kind) {
      case op_kind::start:
        content_[o.slot] = nothing;
        if (reading_ == o.slot) breaks("a slot is filled while it is read");
        break;
      case op_kind::land:
        content_[o.slot] = o.expert;
        break;
      case op_kind::enter:
        table_[o.expert] = o.slot;
        entered_[o.slot] = 1;
        break;
      default:
        break;
    }
    rest();
  }

  void one_owner() {
    for (std::size_t s = 0; s != left_.n_slots; ++s)
      for (std::size_t t = 0; t != s; ++t)
        if (owner_[s] != nothing && owner_[s] == owner_[t]) breaks("an expert has two slots");
  }

  /// When nothing is under way, the device finds what the books say.
  void rest() {
    if (!compute_.empty() || !copy_.empty() || open_) return;
    for (std::size_t e = 0; e != left_.n_experts; ++e)
      if (table_[e] != slot_of(e)) breaks("the table and the books differ at rest");
  }

  budget left_;
  faults faults_;
  buddy::cuda::publish_protocol books_;
  std::array<std::size_t, 3> owner_{};           // of each slot, from fill to retirement
  std::array<std::size_t, 3> content_{};         // whose record a slot holds whole
  std::array<std::uint64_t, 3> entered_{};       // the entry of its fill was written
  std::array<std::uint64_t, 3> slot_epoch_{};    // when it was last retired
  std::array<std::uint64_t, 3> expert_epoch_{};  // when its entry was last cleared
  std::array<std::size_t, 3> table_{};
  std::deque<op> compute_, copy_;
  std::vector<op> late_;
  std::uint64_t word_ = 0, closed_ = 0;
  std::uint64_t open_ = 0;
  std::size_t reading_ = nothing;  // the slot that the running step reads
  std::string broken_;
};

}  // namespace publish_model
