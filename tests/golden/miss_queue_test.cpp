// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/cuda/miss_queue.hpp>
#include <buddy/cuda/miss_record.hpp>

#include <cstdint>
#include <vector>

using buddy::resolution;
using buddy::cuda::host_memory;
using buddy::cuda::miss_reader;
using buddy::cuda::miss_record;

namespace {

struct small_ring {
  explicit small_ring(std::uint32_t n) : records(n) {}

  buddy::cuda::miss_ring_ref ref() { return {records.data(), &tail, &control, n()}; }
  miss_reader reader() { return {{records.data(), n()}, tail}; }
  std::uint32_t n() const { return static_cast<std::uint32_t>(records.size()); }

  bool append(std::uint16_t expert) {
    miss_record r;
    r.push(expert, resolution::drop);
    return buddy::cuda::append<host_memory>(ref(), r);
  }

  std::vector<miss_record> records;
  std::uint32_t tail = 0;
  buddy::cuda::miss_ring_control control;
};

std::vector<std::uint16_t> drained(miss_reader& reader) {
  std::vector<std::uint16_t> experts;
  reader.drain([&](miss_record const& r) { experts.push_back(r.experts[0]); });
  return experts;
}

using list = std::vector<std::uint16_t>;

}  // namespace

TEST_CASE("a miss record keeps each expert with its ending", "[golden][miss_record]") {
  // drop = 6 in bits 0-3, fetch = 5 in bits 4-7, buddy = 1 in bits 28-31: 0x1000'0056 with own = 0 between
  miss_record r;
  r.push(7, resolution::drop);
  r.push(1023, resolution::fetch);
  for (int i = 0; i != 5; ++i) r.push(0, resolution::own);
  CHECK_FALSE(r.full());
  r.push(65535, resolution::buddy);
  CHECK(r.full());
  CHECK(r.endings == 0x1000'0056U);
  CHECK(r.ending(0) == resolution::drop);
  CHECK(r.ending(1) == resolution::fetch);
  CHECK(r.ending(7) == resolution::buddy);
  CHECK(r.experts[7] == 65535);
}

TEST_CASE("the ring hands over records once, oldest first", "[golden][miss_queue]") {
  small_ring ring(4);
  miss_reader reader = ring.reader();
  CHECK(drained(reader).empty());
  CHECK(ring.append(5));
  CHECK(ring.append(3));
  CHECK(drained(reader) == list{5, 3});
  CHECK(drained(reader).empty());
  CHECK(ring.append(9));
  CHECK(drained(reader) == list{9});
  CHECK(reader.drained() == 3);
  CHECK(ring.tail == 3);
}

TEST_CASE("a full ring drops the newest and says how many with the next", "[golden][miss_queue]") {
  small_ring ring(2);
  miss_reader reader = ring.reader();
  CHECK(ring.append(1));
  CHECK(ring.append(2));
  CHECK_FALSE(ring.append(3));
  CHECK_FALSE(ring.append(4));
  CHECK(drained(reader) == list{1, 2});
  CHECK(reader.dropped() == 0);  // both were appended before any was dropped
  CHECK(ring.append(5));
  CHECK(drained(reader) == list{5});
  CHECK(reader.dropped() == 2);
}

TEST_CASE("writers look over the link only when the ring seems full", "[golden][miss_queue]") {
  small_ring ring(4);
  miss_reader reader = ring.reader();
  for (std::uint16_t e = 0; e != 3; ++e) CHECK(ring.append(e));
  CHECK(drained(reader).size() == 3);
  CHECK(ring.append(3));
  CHECK(ring.control.drained == 0);  // 3 - 0 < 4: not asked
  CHECK(ring.append(4));
  CHECK(ring.control.drained == 3);  // 4 - 0 = 4: asked
}

TEST_CASE("the ring goes on where its counters wrap", "[golden][miss_queue]") {
  // the counters stand two records before 2^32; position 2^32 - 2 is place 2 of 4
  small_ring ring(4);
  ring.tail = ring.control.head = ring.control.drained = 0xffff'fffeU;
  CHECK(ring.append(1));
  CHECK(ring.append(2));
  CHECK(ring.append(3));
  CHECK(ring.control.head == 1);
  CHECK(ring.records[2].sequence == 0xffff'ffffU);
  CHECK(ring.records[3].sequence == 0);
  CHECK(ring.records[0].sequence == 1);
  CHECK(ring.append(4));
  CHECK_FALSE(ring.append(5));
}

TEST_CASE("a place that is being written is not handed over", "[golden][miss_queue]") {
  small_ring ring(4);
  miss_reader reader = ring.reader();
  CHECK(ring.append(1));
  CHECK(ring.append(2));
  ring.records[0].sequence = 0;  // reserved, its writer has not come to the end
  CHECK(drained(reader).empty());
  ring.records[0].sequence = 1;
  CHECK(drained(reader) == list{1, 2});
}
