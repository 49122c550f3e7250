// SPDX-License-Identifier: Apache-2.0
// The protocol with real threads for the streams: the bytes of a slot are plain memory, so that the thread sanitizer
// sees a reader and a copy that meet.
#include "catch.hpp"

#include <buddy/cuda/publish_protocol.hpp>
#include <buddy/testing/dice.hpp>
#include <buddy/types.hpp>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

using buddy::slot_id;
using buddy::cuda::slot_state;

namespace {

constexpr std::uint32_t n_slots = 3;
constexpr std::size_t n_experts = 5;
constexpr std::uint32_t none = 0xffff'ffffU;

/// Runs what it is given, in order, in a thread of its own.
class stream_thread {
 public:
  stream_thread() : thread_([this] { run(); }) {}
  stream_thread(stream_thread const&) = delete;
  stream_thread& operator=(stream_thread const&) = delete;
  ~stream_thread() {
    push({});
    thread_.join();
  }

  void push(std::function<void()> work) {
    std::lock_guard const lock(mutex_);
    queue_.push_back(std::move(work));
    changed_.notify_one();
  }

 private:
  void run() {
    while (true) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return !queue_.empty(); });
      auto const work = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      if (!work) return;
      work();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  std::thread thread_;
};

/// Slots, table and word: what kernels, copies and the host's writes meet in.
struct device {
  device() {
    for (auto& t : table) t = none;
  }
  std::array<std::array<std::uint32_t, 64>, n_slots> slots{};  // plain memory
  std::array<std::atomic<std::uint32_t>, n_experts> table{};
  std::atomic<std::uint32_t> word{0};
  std::array<std::atomic<std::uint32_t>, n_slots> entered{};  // fills whose entry is written
  std::atomic<std::uint32_t> wrong{0};                        // reads of somebody else's record
  std::atomic<std::uint32_t> read{0};
  std::atomic<std::uint32_t> steps{0};
};

void step(device& d) {
  for (std::size_t e = 0; e != n_experts; ++e) {
    std::uint32_t const s = d.table[e].load(std::memory_order_acquire);
    if (s == none) continue;
    ++d.read;
    for (std::uint32_t const x : d.slots[s])
      if (x != e + 1) ++d.wrong;
  }
  ++d.steps;
}

void fill(device& d, std::uint32_t s, std::size_t e, std::uint32_t after) {
  while (static_cast<std::int32_t>(d.word.load(std::memory_order_acquire) - after) < 0) std::this_thread::yield();
  for (std::uint32_t& x : d.slots[s]) x = static_cast<std::uint32_t>(e) + 1;
  d.table[e].store(s, std::memory_order_release);
  d.entered[s].fetch_add(1, std::memory_order_release);
}

}  // namespace

TEST_CASE("threads that read, copy and decide never meet in a slot", "[threads][publish_protocol]") {
  auto const seed = static_cast<std::uint64_t>(GENERATE(range(1, 4)));
  device d;
  buddy::cuda::publish_protocol books(n_slots, n_experts);
  std::array<std::uint32_t, n_slots> fills{};
  buddy::testing::dice dice(seed);
  std::uint32_t published = 0;
  {
    stream_thread compute, copies;
    for (std::uint32_t i = 0; i != 3000; ++i) {
      while (d.steps + 32 < i) std::this_thread::yield();  // bounds the backlog, as a host with a graph in flight does
      compute.push([&d] { step(d); });
      std::uint32_t const s = dice.roll(n_slots);
      slot_id const id{s};
      if (books.state(id) == slot_state::filling) {
        if (d.entered[s].load(std::memory_order_acquire) == fills[s]) published += books.publish(id) ? 1 : 0;
      } else if (books.state(id) == slot_state::live) {
        std::size_t const e = books.expert_in(id);
        books.retire(id);
        compute.push([&d, e] { d.table[e].store(none, std::memory_order_relaxed); });
        auto const n = static_cast<std::uint32_t>(books.close_epoch());
        compute.push([&d, n] { d.word.store(n, std::memory_order_release); });
      } else {
        std::size_t const e = dice.roll(n_experts);
        auto const order = books.begin_fill(id, e);
        if (!order.granted) continue;
        ++fills[s];
        copies.push([&d, s, e, after = static_cast<std::uint32_t>(order.after)] { fill(d, s, e, after); });
      }
      if (i % 16 == 0) std::this_thread::yield();
    }
  }
  CHECK(d.wrong == 0);
  CHECK(d.read != 0);
  CHECK(published > 10);
}
