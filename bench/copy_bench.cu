// SPDX-License-Identifier: Apache-2.0
// Records of experts over the link, as a share of what the same link does for one copy of 256 MiB in the same
// iteration. What was copied is compared with its source.
#include <buddy/cuda/copy_engine.hpp>
#include <buddy/cuda/cuda_copy_backend.hpp>
#include <buddy/cuda/device.hpp>
#include <buddy/cuda/device_buffer.hpp>
#include <buddy/cuda/device_slab.hpp>
#include <buddy/cuda/event.hpp>
#include <buddy/cuda/pinned_buffer.hpp>
#include <buddy/cuda/stream.hpp>
#include <buddy/splitmix64.hpp>

#include <cuda_runtime.h>

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <vector>

namespace {

using buddy::cuda::copy_engine;
using buddy::cuda::cuda_copy_backend;

constexpr std::size_t peak_bytes = std::size_t{256} << 20U;
constexpr std::size_t source_bytes = std::size_t{512} << 20U;  // rotates: more than the caches of the host hold

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Random bytes, pinned or not; made once.
std::span<std::byte const> source(bool pinned) {
  static auto const make = [](bool pin) {
    buddy::cuda::pinned_buffer buffer(source_bytes);
    for (std::size_t i = 0; i != source_bytes; i += 8) {
      std::uint64_t const bits = buddy::splitmix64(i);
      std::memcpy(buffer.bytes().data() + i, &bits, 8);
    }
    if (pin) buffer.pin(source_bytes);
    return buffer;
  };
  static buddy::cuda::pinned_buffer const with = make(true);
  static buddy::cuda::pinned_buffer const without = make(false);
  return (pinned ? with : without).bytes();
}

/// Seconds of one large pinned copy, from event to event.
class link_peak {
 public:
  double seconds() {
    BUDDY_CUDA_TRY(begin_.ref().record(stream_.get()));
    BUDDY_CUDA_TRY(cudaMemcpyAsync(to_.data(), source(true).data(), peak_bytes, cudaMemcpyHostToDevice, stream_.get()));
    BUDDY_CUDA_TRY(end_.ref().record(stream_.get()));
    BUDDY_CUDA_TRY(end_.ref().wait());
    float ms = 0;
    BUDDY_CUDA_TRY(cudaEventElapsedTime(&ms, begin_.get(), end_.get()));
    return static_cast<double>(ms) * 1e-3;
  }

 private:
  buddy::cuda::device_buffer<std::byte> to_{peak_bytes};
  buddy::cuda::stream stream_;
  buddy::cuda::event begin_{buddy::cuda::event_kind::timed}, end_{buddy::cuda::event_kind::timed};
};

/// What is asked of the engine, and where it lands.
struct traffic {
  traffic(std::size_t bytes, std::uint32_t count, bool is_pinned)
      : record_bytes(bytes), n(count), pinned(is_pinned), slab(n, bytes, 4096) {}

  [[nodiscard]] auto engine() {
    std::size_t const staging = pinned ? 0 : std::size_t{8} << 20U;
    auto const n_records = static_cast<std::uint32_t>(source_bytes / record_bytes);
    return copy_engine(cuda_copy_backend<>({source(pinned).data(), record_bytes, n_records}, 1, slab.ref(), table,
                                           {.n_marks = 2, .staging_bytes = staging}));
  }

  /// Wall time from the first call to the last byte.
  template <class Engine>
  double seconds(Engine& engine, buddy::copy_reason why) {
    auto const n_records = static_cast<std::uint32_t>(source_bytes / record_bytes);
    auto const begin = std::chrono::steady_clock::now();
    buddy::ticket last{};
    for (std::uint32_t i = 0; i != n; ++i) {
      record_of_slot[i] = next_record++ % n_records;
      last = engine.submit({{static_cast<std::uint16_t>(record_of_slot[i]), 0}, buddy::slot_id{i}, record_bytes, why});
    }
    engine.wait(last);
    return seconds_since(begin);
  }

  [[nodiscard]] bool landed() const {
    std::vector<std::byte> got(record_bytes);
    for (std::uint32_t i = 0; i != n; ++i) {
      BUDDY_CUDA_TRY(cudaMemcpy(got.data(), slab.ref().record(i), record_bytes, cudaMemcpyDeviceToHost));
      if (std::memcmp(got.data(), source(pinned).data() + record_of_slot[i] * record_bytes, record_bytes) != 0)
        return false;
    }
    return true;
  }

  std::size_t record_bytes;
  std::uint32_t n;
  bool pinned;
  buddy::cuda::device_slab slab;
  buddy::cuda::unpublished table;
  std::uint32_t next_record = 0;
  std::vector<std::uint32_t> record_of_slot = std::vector<std::uint32_t>(n);
};

void copies(benchmark::State& state, buddy::copy_reason why, bool pinned) {
  traffic t(static_cast<std::size_t>(state.range(0)) << 10U, static_cast<std::uint32_t>(state.range(1)), pinned);
  auto engine = t.engine();
  link_peak peak;
  for (int i = 0; i != 3; ++i) benchmark::DoNotOptimize(peak.seconds() + t.seconds(engine, why));  // warm up
  double peak_s = 0;
  double copies_s = 0;
  for (auto _ : state) {
    peak_s += peak.seconds();
    double const s = t.seconds(engine, why);
    copies_s += s;
    state.SetIterationTime(s);
  }
  if (engine.failed() || !t.landed()) state.SkipWithError("a record did not arrive");
  auto const n = static_cast<double>(state.iterations());
  double const bytes = static_cast<double>(t.record_bytes) * t.n * n;
  state.counters["peak_GBps"] = peak_bytes * n / peak_s * 1e-9;
  state.counters["share_of_peak"] = bytes / copies_s / (peak_bytes * n / peak_s);
  state.counters["issues"] =
      static_cast<double>(engine.counters().issues) / static_cast<double>(engine.counters().copies);
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
}

void add(char const* name, buddy::copy_reason why, bool pinned) {
  benchmark::RegisterBenchmark(name, [=](benchmark::State& state) { copies(state, why, pinned); })
      ->ArgNames({"record_KiB", "records"})
      ->ArgsProduct({{864, 8192, 9216, 16896}, {1, 16}})
      ->UseManualTime()
      ->Iterations(20)  // bounded: the library looks at manual time alone
      ->Unit(benchmark::kMicrosecond);
}

}  // namespace

int main(int argc, char** argv) {
  if (!buddy::cuda::gpu_available()) {
    std::printf("bench_copy: skipped, no GPU: %s\n", buddy::cuda::why_no_gpu());
    return 0;
  }
  add("cuda/copy_engine/demand/pinned", buddy::copy_reason::demand, true);
  add("cuda/copy_engine/background/pinned", buddy::copy_reason::refill, true);
  add("cuda/copy_engine/demand/staged", buddy::copy_reason::demand, false);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
