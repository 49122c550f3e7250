// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "cuda/skip.hpp"

#include <buddy/cuda/copy_engine.hpp>
#include <buddy/cuda/cuda_copy_backend.hpp>
#include <buddy/cuda/device_buffer.hpp>
#include <buddy/cuda/device_slab.hpp>
#include <buddy/cuda/pinned_buffer.hpp>
#include <buddy/cuda/slot_table.hpp>
#include <buddy/cuda/stream.hpp>
#include <buddy/testing/dice.hpp>

#include <cuda_runtime.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

using buddy::no_slot;
using buddy::slot_id;
using buddy::cuda::slot_state;

namespace {

constexpr std::uint16_t n_experts = 5;
constexpr std::uint32_t n_slots = 3;
constexpr std::size_t record_bytes = std::size_t{1} << 20U;
constexpr buddy::model_shape shape{.n_layers = 1, .n_experts = n_experts, .top_k = 1, .expert_bytes = record_bytes};

struct tally {
  std::uint32_t read;   ///< words of slots that were found
  std::uint32_t wrong;  ///< of those, words of another expert
};

/// One step: finds every expert and reads all of its record, whose words all hold its number.
__global__ void read_slots(buddy::view<slot_id const> table, buddy::cuda::device_slab_ref slots, tally* sum) {
  std::uint32_t const e = blockIdx.x;
  auto const s = static_cast<slot_id>(*reinterpret_cast<std::uint32_t const volatile*>(&table[e]));
  if (s == no_slot) return;
  auto const* words = reinterpret_cast<std::uint32_t const volatile*>(slots.record(static_cast<std::uint32_t>(s)));
  std::uint32_t wrong = 0;
  for (std::uint32_t i = threadIdx.x; i < record_bytes / 4; i += blockDim.x) wrong += words[i] != e ? 1 : 0;
  if (threadIdx.x == 0) atomicAdd(&sum->read, 1U);
  if (wrong != 0) atomicAdd(&sum->wrong, wrong);
}

struct rig {
  explicit rig(buddy::cuda::stream_flags flags)
      : source(record_bytes * n_experts), slab(n_slots, record_bytes), table(shape, n_slots, flags), sum(1) {
    auto* const words = reinterpret_cast<std::uint32_t*>(source.bytes().data());
    for (std::size_t i = 0; i != record_bytes / 4 * n_experts; ++i)
      words[i] = static_cast<std::uint32_t>(i / (record_bytes / 4));
    source.pin();
    tally const zero{};
    sum.load_from({&zero, 1});
  }

  auto engine() {
    using backend = buddy::cuda::cuda_copy_backend<buddy::cuda::slot_table>;
    return buddy::cuda::copy_engine(
        backend({source.bytes().data(), record_bytes, n_experts}, n_experts, slab.ref(), table));
  }

  tally total() const {
    std::array<tally, 1> host{};
    sum.store_to(host);
    return host[0];
  }

  buddy::cuda::pinned_buffer source;
  buddy::cuda::device_slab slab;
  buddy::cuda::slot_table table;
  buddy::cuda::device_buffer<tally> sum;
  buddy::cuda::stream compute;
};

/// Steps without end, while slots are retired and filled at random; the host never waits for the device.
template <class Engine>
std::uint32_t run(rig& r, Engine& engine, std::uint64_t seed) {
  std::array<buddy::ticket, n_slots> tickets{};
  std::uint32_t published = 0;
  buddy::testing::dice dice(seed);
  for (int i = 0; i != 2000; ++i) {
    read_slots<<<n_experts, 256, 0, r.compute.get()>>>(r.table.layer(0), r.slab.ref(), r.sum.data());
    if (i % 16 == 15) REQUIRE(cudaStreamSynchronize(r.compute.get()) == cudaSuccess);  // bounds the backlog
    std::uint32_t const s = dice.roll(n_slots);
    slot_id const id{s};
    slot_state const state = r.table.books().state(id);
    if (state == slot_state::filling) {
      if (engine.done(tickets[s])) published += r.table.publish(id) ? 1 : 0;
    } else if (state == slot_state::live) {
      REQUIRE(r.table.retire(id, r.compute.get()) == cudaSuccess);
      REQUIRE(r.table.close_epoch(r.compute.get()) == cudaSuccess);
    } else {
      buddy::expert_key const e{0, static_cast<std::uint16_t>(dice.roll(n_experts))};
      if (r.table.begin_fill(id, e)) tickets[s] = engine.submit({e, id, record_bytes, buddy::copy_reason::demand});
    }
  }
  return published;
}

}  // namespace

TEST_CASE("kernels find whole records only, while slots change hands", "[cuda][gpu][slot_table][long]") {
  if (skipped()) return;
  bool const with_flags = GENERATE(true, false);
  auto const flags = with_flags ? buddy::cuda::stream_flags::find() : buddy::cuda::stream_flags();
  if (with_flags && !flags.available()) {
    WARN("skipped: this driver has no stream memory operations");
    return;
  }
  rig r(flags);
  auto engine = r.engine();
  CHECK(run(r, engine, 1) > 10);
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  tally const t = r.total();
  CHECK(t.read != 0);
  CHECK(t.wrong == 0);
  CHECK_FALSE(engine.failed());
}

TEST_CASE("a table begins empty and says what was published", "[cuda][gpu][slot_table]") {
  if (skipped()) return;
  rig r(buddy::cuda::stream_flags::find());
  auto engine = r.engine();
  auto const entry = [&](std::uint16_t e) {
    slot_id s{};
    REQUIRE(cudaMemcpy(&s, &r.table.layer(0)[e], sizeof s, cudaMemcpyDeviceToHost) == cudaSuccess);
    return s;
  };
  CHECK(entry(3) == no_slot);
  REQUIRE(r.table.begin_fill(slot_id{2}, {0, 3}));
  engine.wait(engine.submit({{0, 3}, slot_id{2}, record_bytes, buddy::copy_reason::demand}));
  CHECK(entry(3) == slot_id{2});
  REQUIRE(r.table.publish(slot_id{2}));
  REQUIRE(r.table.retire(slot_id{2}, r.compute.get()) == cudaSuccess);
  REQUIRE(r.table.close_epoch(r.compute.get()) == cudaSuccess);
  REQUIRE(r.compute.ref().wait() == cudaSuccess);
  CHECK(entry(3) == no_slot);
}

TEST_CASE("a stream waits for a word that another writes", "[cuda][gpu][stream_flags]") {
  if (skipped()) return;
  auto const flags = buddy::cuda::stream_flags::find();
  if (!flags.available()) {
    WARN("skipped: this driver has no stream memory operations");
    return;
  }
  buddy::cuda::device_buffer<std::uint32_t> const word(1);
  std::uint32_t value = 0xffff'fff0U;
  word.load_from({&value, 1});
  buddy::cuda::stream const a, b;
  REQUIRE(flags.wait_until(a.get(), word.data(), 0xffff'fff5U) == cudaSuccess);
  CHECK(a.ref().query() == cudaErrorNotReady);
  (void)cudaGetLastError();
  REQUIRE(flags.write(b.get(), word.data(), 2) == cudaSuccess);  // 2 - 0xfffffff5 = 13 >= 0: past it, cyclically
  CHECK(a.ref().wait() == cudaSuccess);
}
