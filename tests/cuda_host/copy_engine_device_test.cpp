// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "cuda/skip.hpp"

#include <buddy/cuda/copy_engine.hpp>
#include <buddy/cuda/cuda_copy_backend.hpp>
#include <buddy/cuda/device_slab.hpp>
#include <buddy/cuda/pinned_buffer.hpp>
#include <buddy/testing/transfer_laws.hpp>

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

using buddy::copy_reason;
using buddy::expert_copy;
using buddy::slot_id;
using buddy::cuda::copy_engine;
using buddy::cuda::cuda_copy_backend;

namespace {

constexpr std::uint16_t n_experts = 6;  // in 2 layers
constexpr std::uint32_t n_records = 2 * n_experts;

std::byte pattern(std::uint32_t record, std::size_t i) {
  return static_cast<std::byte>(record * 37 + i * 11 + i / 251 + 1);
}

/// All records of a model, one after the other, and one slot for each.
struct fixture {
  explicit fixture(std::size_t record_bytes)
      : bytes(record_bytes), source(record_bytes * n_records), slab(n_records, record_bytes, 256) {
    for (std::uint32_t r = 0; r != n_records; ++r)
      for (std::size_t i = 0; i != bytes; ++i) source.bytes()[r * bytes + i] = pattern(r, i);
    source.pin();
    REQUIRE(cudaMemset(slab.ref().base, 0, slab.ref().stride * n_records) == cudaSuccess);
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  }

  copy_engine<cuda_copy_backend<>> engine(buddy::cuda::cuda_copy_options const& how,
                                          buddy::cuda::copy_engine_options const& options = {}) {
    return copy_engine(
        cuda_copy_backend<>({source.bytes().data(), bytes, n_records}, n_experts, slab.ref(), table, how), options);
  }

  /// Each record goes to the slot of its own number.
  expert_copy copy(std::uint32_t r, copy_reason why) const {
    return {
        {static_cast<std::uint16_t>(r / n_experts), static_cast<std::uint16_t>(r % n_experts)}, slot_id{r}, bytes, why};
  }

  bool arrived(std::uint32_t r) const {
    std::vector<std::byte> got(bytes);
    REQUIRE(cudaMemcpy(got.data(), slab.ref().record(r), bytes, cudaMemcpyDeviceToHost) == cudaSuccess);
    for (std::size_t i = 0; i != bytes; ++i)
      if (got[i] != pattern(r, i)) return false;
    return true;
  }

  std::size_t bytes;
  buddy::cuda::pinned_buffer source;
  buddy::cuda::device_slab slab;
  buddy::cuda::unpublished table;
};

}  // namespace

TEST_CASE("records arrive whole, by whichever way", "[cuda_host][gpu][copy_engine]") {
  if (skipped()) return;
  std::size_t const record_bytes = GENERATE(std::size_t{1}, std::size_t{70'000}, std::size_t{3'000'001});
  std::size_t const staging_bytes = GENERATE(std::size_t{0}, std::size_t{1} << 20U);
  fixture f(record_bytes);
  auto engine = f.engine({.n_marks = 2, .staging_bytes = staging_bytes, .timed = true});
  std::vector<buddy::ticket> tickets;
  for (std::uint32_t r = 0; r != n_records; ++r)
    tickets.push_back(engine.submit(f.copy(r, r % 3 == 0 ? copy_reason::prefetch : copy_reason::demand)));
  for (buddy::ticket const t : tickets) engine.wait(t);
  CHECK_FALSE(engine.failed());
  bool all = true;
  for (std::uint32_t r = 0; r != n_records; ++r) all = all && engine.done(tickets[r]) && f.arrived(r);
  CHECK(all);
  CHECK(engine.counters().bytes == record_bytes * n_records);
  CHECK(engine.backend().busy_ms() > 0);
}

TEST_CASE("copies from the device's link keep the laws", "[cuda_host][gpu][copy_engine]") {
  if (skipped()) return;
  fixture f(100'000);
  std::vector<expert_copy> copies;
  for (std::uint32_t r = 0; r != n_records; ++r)
    copies.push_back(f.copy(r, r % 2 == 0 ? copy_reason::refill : copy_reason::demand));
  auto const make = [&] { return f.engine({.n_marks = 2}, {.background_bytes = 60'000}); };
  CHECK(buddy::testing::broken_transfer_law(make, {copies.data(), n_records}, 1, 500) == "");
}

TEST_CASE("a demand overtakes what the host cancels", "[cuda_host][gpu][copy_engine]") {
  if (skipped()) return;
  fixture f(8'000'000);
  auto engine = f.engine({.n_marks = 2});
  for (std::uint32_t r = 0; r != n_records - 1; ++r) (void)engine.submit(f.copy(r, copy_reason::prefetch));
  std::uint32_t cancelled = 0;
  engine.cancel_background([&](buddy::ticket, expert_copy const&) { ++cancelled; });
  auto const demand = engine.submit(f.copy(n_records - 1, copy_reason::demand));
  engine.wait(demand);
  CHECK(cancelled >= n_records - 2);  // the first may have got through on a fast link
  CHECK(engine.done(demand));
  CHECK(f.arrived(n_records - 1));
}

TEST_CASE("a copy to nowhere is an error, not a hang", "[cuda_host][gpu][copy_engine]") {
  if (skipped()) return;
  fixture f(1000);
  buddy::cuda::unpublished table;
  copy_engine engine(
      cuda_copy_backend<>({f.source.bytes().data(), f.bytes, n_records}, n_experts, {nullptr, 0, 0}, table));
  auto const t = engine.submit(f.copy(0, copy_reason::demand));
  engine.wait(t);
  CHECK(engine.failed());
  CHECK_FALSE(engine.done(t));
  CHECK(engine.backend().error() != cudaSuccess);
}

TEST_CASE("an engine may go while its copies are under way", "[cuda_host][gpu][copy_engine]") {
  if (skipped()) return;
  fixture f(8'000'000);
  {
    auto engine = f.engine({.n_marks = 2, .staging_bytes = std::size_t{4} << 20U});
    for (std::uint32_t r = 0; r != n_records; ++r) (void)engine.submit(f.copy(r, copy_reason::demand));
  }  // what it has issued is read from staging buffers that go with it
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(f.arrived(0));  // issued first
}
