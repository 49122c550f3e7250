// SPDX-License-Identifier: Apache-2.0
// How fast one thread computes an expert, as a share of how fast it reads memory.
//
// Read and computation alternate, record by record, over more memory than any cache holds: what disturbs one disturbs
// the other. `of_read` is the figure; the rates alone say more about the machine and its other guests.
#include "median.hpp"

#include <buddy/host/host_lane.hpp>
#include <buddy/splitmix64.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#if BUDDY_HAS_X86_KERNELS
#include <immintrin.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace {

using namespace buddy::host;
using buddy::expert_record;
using buddy::weight_type;

constexpr std::size_t set_bytes = std::size_t{512} << 20;

/// Equal records on huge pages.
class record_set {
 public:
  explicit record_set(expert_record const& r) : record{r}, n_records{set_bytes / r.aligned_bytes()} {
    data_ = static_cast<std::byte*>(::operator new(n_records * r.aligned_bytes(), alignment));
#if defined(__linux__)
    madvise(data_, n_records * r.aligned_bytes(), MADV_HUGEPAGE);
#endif
    std::vector<std::uint16_t> values(r.bytes() / sizeof(std::uint16_t));
    for (std::size_t i = 0; i != values.size(); ++i)
      values[i] = buddy::io::f32_to_bf16(static_cast<float>(buddy::splitmix64(i) >> 40) * 0x1p-28F - 0.03125F);
    for (std::size_t i = 0; i != n_records; ++i) std::memcpy(data_ + i * r.aligned_bytes(), values.data(), r.bytes());
  }
  record_set(record_set const&) = delete;
  record_set& operator=(record_set const&) = delete;
  ~record_set() { ::operator delete(data_, alignment); }

  [[nodiscard]] std::byte const* operator[](std::size_t i) const {
    return data_ + i % n_records * record.aligned_bytes();
  }

  expert_record record;
  std::size_t n_records;

 private:
  static constexpr std::align_val_t alignment{expert_record::alignment};
  std::byte* data_ = nullptr;
};

/// The records of a shape. Only one set is there at a time: the tests run this too.
record_set const& records_of(expert_record const& r) {
  static std::unique_ptr<record_set> set;
  if (set == nullptr || set->record != r) {
    set.reset();
    set = std::make_unique<record_set>(r);
  }
  return *set;
}

#if BUDDY_HAS_X86_KERNELS
/// The fastest plain loop we know: the kernels' own prefetch, and one operation a load.
[[gnu::target("avx512f"), gnu::noinline]] std::int64_t read_avx512(std::byte const* p, std::size_t n) {
  __m512i a = _mm512_setzero_si512();
  __m512i b = a;
  for (std::size_t i = 0; i + 128 <= n; i += 128) {
    _mm_prefetch(reinterpret_cast<char const*>(p + i) + detail::prefetch_bytes, _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<char const*>(p + i) + detail::prefetch_bytes + 64, _MM_HINT_T0);
    a = _mm512_xor_si512(a, _mm512_loadu_si512(p + i));
    b = _mm512_xor_si512(b, _mm512_loadu_si512(p + i + 64));
  }
  std::int64_t words[8];
  _mm512_storeu_si512(words, _mm512_xor_si512(a, b));
  return words[0];
}

[[gnu::target("avx2"), gnu::noinline]] std::int64_t read_avx2(std::byte const* p, std::size_t n) {
  __m256i a = _mm256_setzero_si256();
  __m256i b = a;
  for (std::size_t i = 0; i + 64 <= n; i += 64) {
    _mm_prefetch(reinterpret_cast<char const*>(p + i) + detail::prefetch_bytes, _MM_HINT_T0);
    a = _mm256_xor_si256(a, _mm256_loadu_si256(reinterpret_cast<__m256i const*>(p + i)));
    b = _mm256_xor_si256(b, _mm256_loadu_si256(reinterpret_cast<__m256i const*>(p + i + 32)));
  }
  return _mm256_extract_epi64(_mm256_xor_si256(a, b), 0);
}
#endif

std::int64_t read(std::byte const* p, std::size_t n) {
#if BUDDY_HAS_X86_KERNELS
  if (supported(instruction_set::avx512)) return read_avx512(p, n);
  if (supported(instruction_set::avx2)) return read_avx2(p, n);
#endif
  std::int64_t sum = 0;
  std::int64_t word = 0;
  for (std::size_t i = 0; i + sizeof word <= n; i += sizeof word) {
    std::memcpy(&word, p + i, sizeof word);
    sum ^= word;
  }
  return sum;
}

template <class F>
double seconds(F const& f) {
  auto const begin = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// One expert's answer for one token.
std::vector<float> answer(host_lane& lane, std::byte const* record, std::vector<std::uint16_t> const& x) {
  std::vector<float> y(x.size());
  lane_expert const expert{record, 0, 1};
  lane_use const use{0, 1.0F};
  lane.compute({{&expert, 1}, {&use, 1}, x.data(), y.data(), 1});
  return y;
}

bool alike(std::vector<float> const& a, std::vector<float> const& b) {
  double difference = 0.0;
  double norm = 0.0;
  for (std::size_t i = 0; i != a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return norm > 0.0 && std::sqrt(difference / norm) <= 1e-2;
}

void gemv(benchmark::State& state, expert_record const& record, instruction_set instructions) {
  record_set const& set = records_of(record);
  std::vector<std::uint16_t> x(set.record.hidden);
  for (std::size_t i = 0; i != x.size(); ++i) x[i] = buddy::io::f32_to_bf16(std::sin(static_cast<float>(i)));
  host_lane lane({.record = set.record, .instructions = instructions});
  host_lane scalar({.record = set.record, .instructions = instruction_set::scalar});
  if (!alike(answer(lane, set[0], x), answer(scalar, set[0], x)))
    state.SkipWithError("differs from the scalar reference");
  std::vector<float> y(set.record.hidden);
  lane_use const use{0, 1.0F};
  std::vector<double> ratios;
  double reading = 0.0;
  double computing = 0.0;
  std::size_t i = 0;
  for (auto _ : state) {
    std::byte const* const other = set[i + set.n_records / 2];
    double const r = seconds([&] { benchmark::DoNotOptimize(read(other, set.record.bytes())); });
    lane_expert const expert{set[i++], 0, 1};
    double const c = seconds([&] { lane.compute({{&expert, 1}, {&use, 1}, x.data(), y.data(), 1}); });
    state.SetIterationTime(c);
    ratios.push_back(r / c);
    reading += r;
    computing += c;
  }
  double const bytes = static_cast<double>(set.record.bytes()) * static_cast<double>(ratios.size());
  state.counters["of_read"] = median(ratios);
  state.counters["GB_per_s"] = bytes / computing * 1e-9;
  state.counters["read_GB_per_s"] = bytes / reading * 1e-9;
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  constexpr expert_record shapes[] = {{2048, 1408, weight_type::bf16},  // DeepSeek-V2-Lite
                                      {2048, 768, weight_type::bf16}};  // Qwen3-30B-A3B
  for (auto const& shape : shapes) {
    for (auto const instructions : all_instruction_sets) {
      if (!supported(instructions)) continue;
      auto const name = "host_lane/gemv/" + std::string(to_string(instructions)) +
                        "/hidden:" + std::to_string(shape.hidden) + "/width:" + std::to_string(shape.width);
      benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& s) {
        gemv(s, shape, instructions);
      })->UseManualTime();
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
