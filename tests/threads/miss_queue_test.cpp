// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/cuda/miss_queue.hpp>
#include <buddy/cuda/miss_record.hpp>

#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

using buddy::cuda::miss_record;

namespace {

constexpr std::uint16_t n_writers = 3;
constexpr std::uint32_t n_appends = 20'000;  // of each writer

/// Every field follows from the writer and its count: half a record would show.
miss_record record_of(std::uint16_t writer, std::uint32_t i) {
  miss_record r;
  r.layer = writer;
  r.step = static_cast<std::uint8_t>(i);
  for (std::uint32_t j = 0; j != miss_record::capacity; ++j)
    r.push(static_cast<std::uint16_t>(i * 7 + j), static_cast<buddy::resolution>((i + j) % buddy::n_resolutions));
  return r;
}

bool whole(miss_record const& r, std::uint32_t i) {
  miss_record expected = record_of(r.layer, i);
  expected.sequence = r.sequence;
  expected.dropped = r.dropped;
  return r == expected;
}

}  // namespace

TEST_CASE("threads that append and one that drains lose nothing that they do not count", "[threads][miss_queue]") {
  std::uint32_t const n_records = GENERATE(1U, 4U, 1024U);
  std::vector<miss_record> records(n_records);
  std::uint32_t tail = 0;
  buddy::cuda::miss_ring_control control;
  buddy::cuda::miss_ring_ref const ring{records.data(), &tail, &control, n_records};
  buddy::cuda::miss_reader reader({records.data(), n_records}, tail);

  std::vector<std::vector<std::uint32_t>> appended(n_writers);
  std::vector<std::thread> writers;
  for (std::uint16_t w = 0; w != n_writers; ++w)
    writers.emplace_back([&, w] {
      for (std::uint32_t i = 0; i != n_appends; ++i)
        if (buddy::cuda::append<buddy::cuda::host_memory>(ring, record_of(w, i))) appended[w].push_back(i);
    });

  std::vector<std::vector<miss_record>> received(n_writers);
  auto const take = [&](miss_record const& r) { received[r.layer].push_back(r); };
  auto const all = std::uint64_t{n_writers} * n_appends;
  auto const load = [](std::uint32_t const& w) { return buddy::cuda::host_memory::load(w); };
  while (std::uint64_t{reader.drained()} + load(control.dropped) != all) reader.drain(take);
  for (std::thread& w : writers) w.join();

  for (std::uint16_t w = 0; w != n_writers; ++w) {
    REQUIRE(received[w].size() == appended[w].size());
    bool in_order = true;
    for (std::size_t i = 0; i != appended[w].size(); ++i) in_order &= whole(received[w][i], appended[w][i]);
    CHECK(in_order);
  }
}
