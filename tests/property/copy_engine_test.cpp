// SPDX-License-Identifier: Apache-2.0
// Bytes through the engine: what is done has arrived, whatever was cancelled, split, batched or staged meanwhile.
#include "catch.hpp"

#include <buddy/cuda/copy_engine.hpp>
#include <buddy/cuda/sim_copy_backend.hpp>
#include <buddy/testing/dice.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

using buddy::copy_reason;
using buddy::expert_copy;
using buddy::ticket;
using buddy::cuda::copy_mark;
using buddy::cuda::copy_piece;

namespace {

constexpr std::size_t n_slots = 16;
constexpr std::uint64_t record_bytes = 100;
constexpr std::uint64_t staging_bytes = 48;
constexpr std::uint64_t background_bytes = 40;

std::uint8_t source(std::uint16_t expert, std::uint64_t offset) {
  return static_cast<std::uint8_t>(expert * 31 + offset * 7 + 1);
}

/// Fills the staging buffer of a mark when a piece is issued, and moves it to its slot when it lands. The device sees
/// what is in the buffer then.
struct staged_link : buddy::cuda::sim_copy_backend {
  explicit staged_link(std::size_t n_buffers)
      : sim_copy_backend({30, 1'000'000'000, 2, staging_bytes}),
        buffers(n_buffers, std::vector<std::uint8_t>(staging_bytes)),
        slots(n_slots, std::vector<std::uint8_t>(record_bytes)) {}

  void issue(buddy::view<copy_piece const> pieces, copy_mark mark) noexcept {
    land();
    std::uint64_t used = 0;
    std::uint64_t background = 0;
    auto& buffer = buffers[static_cast<std::uint32_t>(mark) % buffers.size()];
    for (copy_piece const& p : pieces) {
      for (std::uint64_t i = 0; i != p.bytes; ++i) buffer[used + i] = source(p.expert.expert, p.offset + i);
      used += p.bytes;
      if (p.expert.layer == 1) background += p.bytes;
    }
    sim_copy_backend::issue(pieces, mark);
    under_way.push_back({mark, {pieces.begin(), pieces.end()}, background});
    most_under_way = std::max(most_under_way, under_way.size());
    std::uint64_t sum = 0;
    for (batch const& b : under_way) sum += b.background;
    most_background = std::max(most_background, sum);
  }

  bool reached(copy_mark mark) noexcept {
    land();
    return sim_copy_backend::reached(mark);
  }

  void wait(copy_mark mark) noexcept {
    sim_copy_backend::wait(mark);
    land();
  }

  void land() noexcept {
    for (; !under_way.empty() && sim_copy_backend::reached(under_way.front().mark); under_way.pop_front()) {
      std::uint64_t used = 0;
      auto const& buffer = buffers[static_cast<std::uint32_t>(under_way.front().mark) % buffers.size()];
      for (copy_piece const& p : under_way.front().pieces) {
        auto& slot = slots[static_cast<std::uint32_t>(p.slot)];
        for (std::uint64_t i = 0; i != p.bytes; ++i) slot[p.offset + i] = buffer[used + i];
        used += p.bytes;
      }
    }
  }

  struct batch {
    copy_mark mark;
    std::vector<copy_piece> pieces;
    std::uint64_t background;
  };
  std::vector<std::vector<std::uint8_t>> buffers;
  std::vector<std::vector<std::uint8_t>> slots;
  std::deque<batch> under_way;
  std::size_t most_under_way = 0;
  std::uint64_t most_background = 0;
};

using engine = buddy::cuda::copy_engine<staged_link>;

engine make(std::size_t n_buffers) { return engine(staged_link(n_buffers), {background_bytes, 30, 4, 2, n_slots}); }

struct pending {
  ticket id;
  expert_copy copy;
};

bool arrived(engine const& e, expert_copy const& c) {
  auto const& slot = e.backend().slots[static_cast<std::uint32_t>(c.slot)];
  for (std::uint64_t i = 0; i != c.bytes; ++i)
    if (slot[i] != source(c.expert.expert, i)) return false;
  return true;
}

/// Random traffic over slots that are given out again when their copy is done or cancelled.
/// @returns whether everything that was done had arrived
bool all_arrive(engine& e, std::uint64_t seed) {
  buddy::testing::dice dice(seed);
  std::deque<pending> out;
  std::vector<std::uint32_t> free_slots(n_slots);
  for (std::uint32_t i = 0; i != n_slots; ++i) free_slots[i] = i;
  auto const give_back = [&](expert_copy const& c) { free_slots.push_back(static_cast<std::uint32_t>(c.slot)); };
  bool good = true;
  for (int step = 0; step != 3000; ++step) {
    switch (dice.roll(8)) {
      case 0:
        e.cancel_background([&](ticket t, expert_copy const& c) {
          give_back(c);
          std::erase_if(out, [&](pending const& p) { return p.id == t; });
        });
        break;
      case 1:
        e.backend().advance_to(e.backend().now_ns() + dice.roll(100));
        break;
      case 2:
        if (!out.empty()) e.wait(out[dice.roll(out.size())].id);
        break;
      default: {
        if (free_slots.empty()) break;
        bool const background = dice.chance(2);
        expert_copy const c{{static_cast<std::uint16_t>(background), static_cast<std::uint16_t>(dice.roll(64))},
                            buddy::slot_id{free_slots.back()},
                            dice.chance(2) ? record_bytes : 1 + dice.roll(29),
                            background ? copy_reason::refill : copy_reason::demand};
        ticket const t = e.submit(c);
        if (t == buddy::no_ticket) break;
        free_slots.pop_back();
        out.push_back({t, c});
      }
    }
    for (; !out.empty() && e.done(out.front().id); out.pop_front()) {
      good = good && arrived(e, out.front().copy);
      give_back(out.front().copy);
    }
  }
  return good;
}

}  // namespace

TEST_CASE("what copy_engine calls done has arrived", "[property][copy_engine]") {
  auto const seed = static_cast<std::uint64_t>(GENERATE(range(1, 21)));
  engine e = make(2);
  INFO("seed " << seed);
  CHECK(all_arrive(e, seed));
  CHECK(e.backend().most_under_way == 2);
  CHECK(e.backend().most_background <= background_bytes);
  CHECK(e.counters().cancelled != 0);
  CHECK(e.counters().wasted_bytes != 0);
}

TEST_CASE("one staging buffer for two issues on the way is found out", "[property][copy_engine]") {
  engine e = make(1);
  CHECK_FALSE(all_arrive(e, 1));
}
