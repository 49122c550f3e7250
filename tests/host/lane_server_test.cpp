// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "reference_ffn.hpp"

#include <buddy/host/lane_server.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <thread>
#include <vector>

using buddy::weight_type;
using namespace buddy::host;

namespace {

constexpr buddy::expert_record record{48, 40, weight_type::bf16};
constexpr buddy::model_shape shape{.n_layers = 2, .n_experts = 5, .top_k = 3, .expert_bytes = record.bytes()};
constexpr mail_shape sizes{record, 4, 12};

/// What a stream does, done by this thread: the same flags in the same order.
struct stream_side {
  lane_mailbox box;

  void post(std::uint32_t layer, std::vector<std::uint16_t> const& x, std::vector<mail_entry> const& entries) const {
    box.header->layer = layer;
    box.header->n_tokens = static_cast<std::uint32_t>(x.size() / record.hidden);
    box.header->n_entries = static_cast<std::uint32_t>(entries.size());
    std::copy(x.begin(), x.end(), box.x);
    std::copy(entries.begin(), entries.end(), box.entries);
    std::atomic_ref<std::uint32_t>(box.header->ready).store(1, std::memory_order_release);
  }

  [[nodiscard]] std::vector<float> await(std::uint32_t n_tokens) const {
    std::atomic_ref<std::uint32_t> const done(box.header->done);
    while (done.load(std::memory_order_acquire) != 1) std::this_thread::yield();
    done.store(0, std::memory_order_relaxed);
    return {box.y, box.y + std::size_t{n_tokens} * record.hidden};
  }
};

/// A mailbox, experts and a lane behind it.
struct fixture {
  aligned_bytes memory{lane_mailbox::bytes(sizes)};
  stream_side stream{lane_mailbox::at(memory.get(), sizes)};
  reference::numbers random{20251};
  std::vector<std::byte> records = reference::random_records(record, shape.n_keys(), record.bytes(), random);
  host_lane lane{{.record = record, .max_tokens = 4, .max_uses = 12, .n_workers = 2}};
  lane_server server{lane, stream.box, shape, pointers()};

  [[nodiscard]] std::vector<std::byte const*> pointers() const {
    std::vector<std::byte const*> p;
    for (std::size_t i = 0; i != shape.n_keys(); ++i) p.push_back(records.data() + i * record.bytes());
    return p;
  }

  [[nodiscard]] double error(std::uint32_t layer, std::vector<std::uint16_t> const& x,
                             std::vector<mail_entry> const& entries, std::vector<float> const& y) const {
    std::vector<double> expected(x.size(), 0.0);
    for (auto const& e : entries)
      reference::add_expert(record, records.data() + (layer * shape.n_experts + e.expert) * record.bytes(),
                            x.data() + e.token * record.hidden, static_cast<double>(e.weight),
                            expected.data() + e.token * record.hidden);
    return reference::relative_error(y, expected);
  }
};

std::vector<mail_entry> random_entries(std::uint32_t n, std::uint32_t n_tokens, reference::numbers& random) {
  std::vector<mail_entry> entries;
  for (std::uint32_t i = 0; i != n; ++i)
    entries.push_back({static_cast<std::uint16_t>(random.roll(shape.n_experts)),
                       static_cast<std::uint16_t>(random.roll(n_tokens)), 0.25F});
  return entries;
}

}  // namespace

TEST_CASE("the parts of a mailbox do not overlap, and each begins on a line", "[unit][host_lane]") {
  fixture f;
  auto const& box = f.stream.box;
  auto const at = [&](void const* p) { return static_cast<std::byte const*>(p) - f.memory.get(); };
  CHECK(at(box.entries) == 192);  // three lines: ready, done, the counts
  CHECK(at(box.x) == 192 + 128);  // 12 entries of 8 bytes: two lines
  CHECK(at(box.y) == 320 + 384);  // 4 x 48 x 2
  CHECK(lane_mailbox::bytes(sizes) == 704 + 768);
}

TEST_CASE("a server without mail does nothing", "[unit][host_lane]") {
  fixture f;
  CHECK_FALSE(f.server.poll());
  CHECK(f.stream.box.header->done == 0);
}

TEST_CASE("a server answers once, with what the experts of that layer compute", "[unit][host_lane]") {
  fixture f;
  for (std::uint32_t const layer : {1U, 0U}) {
    auto const x = reference::random_bits(3 * record.hidden, record.type, 1.0F, f.random);
    // Experts in the order 4, 1, 4, 4, 1: two groups. Token 2 has nothing.
    std::vector<mail_entry> const entries{{4, 0, 0.5F}, {1, 0, 0.25F}, {4, 1, 0.125F}, {4, 0, 1.0F}, {1, 1, 2.0F}};
    f.stream.post(layer, x, entries);
    CHECK(f.server.poll());
    CHECK(f.stream.box.header->ready == 0);
    auto const y = f.stream.await(3);
    CHECK(f.error(layer, x, entries, y) <= 4e-3);
    CHECK_FALSE(f.server.poll());
  }
}

TEST_CASE("a server answers an empty request with zeros", "[unit][host_lane]") {
  fixture f;
  auto const x = reference::random_bits(record.hidden, record.type, 1.0F, f.random);
  f.stream.box.y[7] = 3.0F;
  f.stream.post(0, x, {});
  CHECK(f.server.poll());
  CHECK(f.stream.await(1) == std::vector<float>(record.hidden, 0.0F));
}

TEST_CASE("a serving thread answers every request of another, on several threads", "[unit][host_lane]") {
  fixture f;
  std::atomic<bool> stop{false};
  std::thread server([&] { f.server.serve(stop, std::chrono::microseconds(1)); });  // it also sleeps
  std::uint32_t wrong = 0;
  for (std::uint32_t i = 0; i != 100; ++i) {
    std::uint32_t const n_tokens = 1 + i % 4;
    auto const x = reference::random_bits(std::size_t{n_tokens} * record.hidden, record.type, 1.0F, f.random);
    auto const entries = random_entries(i % 13, n_tokens, f.random);
    f.stream.post(i % 2, x, entries);
    wrong += f.error(i % 2, x, entries, f.stream.await(n_tokens)) <= 4e-3 ? 0 : 1;
  }
  stop = true;
  server.join();
  CHECK(wrong == 0);
}

TEST_CASE("a server refuses records that do not fit its shape", "[unit][host_lane]") {
  fixture f;
  CHECK_THROWS_AS(lane_server(f.lane, f.stream.box, shape, {}), buddy::config_error);
}
