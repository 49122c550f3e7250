// SPDX-License-Identifier: Apache-2.0
/// @file
/// How fast this CPU reads, copies and computes experts, alone and while its memory is busy.
#pragma once

#include "harness/calibrate/figure.hpp"
#include "harness/calibrate/stopwatch.hpp"

#include <buddy/cuda/host_pages.hpp>
#include <buddy/error.hpp>
#include <buddy/expert_record.hpp>
#include <buddy/host/host_lane.hpp>
#include <buddy/host/worker_team.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace harness {

struct cpu_probe_options {
  std::size_t bytes = std::size_t{512} << 20;  ///< that are read in turns: more than any cache holds
  std::uint32_t n_threads = 1;                 ///< that compute
  buddy::expert_record record{2048, 1408};
  repetitions samples{};
};

/// Measures by `Clock`. Takes `bytes` of memory twice.
template <nanosecond_clock Clock>
class cpu_probe {
 public:
  /// @throws buddy::config_error when not even one record fits
  cpu_probe(Clock const& clock, cpu_probe_options const& o)
      : clock_(clock), options_(o), n_records_(o.bytes / o.record.bytes()), from_(o.bytes), to_(o.bytes) {
    if (n_records_ == 0) throw buddy::config_error("calibrate: the memory to read must hold a record");
    std::vector<std::uint64_t> noise(4096);
    for (std::size_t i = 0; i != noise.size(); ++i)
      noise[i] = 0x3c3c'3c3c'3c3c'3c3cU ^ (i * 0x0101'0101'0101U & 0x0303'0303'0303'0303U);
    for (std::size_t i = 0; i < o.bytes; i += noise.size() * 8)
      std::memcpy(from_.bytes().data() + i, noise.data(), std::min(noise.size() * 8, o.bytes - i));
    std::memset(to_.bytes().data(), 0, o.bytes);
  }

  /// Everything; the last one gives `cpu_gbps`, since link and CPU share the host's memory when both work.
  [[nodiscard]] std::vector<figure> measure() {
    std::vector<figure> all;
    for (std::uint32_t n = 1;; n = std::min(2 * n, options_.n_threads)) {
      all.push_back(read(n));
      all.push_back(gemv(n, "cpu/gemv/threads:", ""));
      if (n >= options_.n_threads) break;
    }
    all.push_back(copy());
    both(all);
    return all;
  }

 private:
  [[nodiscard]] figure rate(std::string name, double bytes, sampled_time const& t, std::string field = {}) const {
    return {std::move(name),      "GB/s",          gbps(bytes, t.median), gbps(bytes, t.most),
            gbps(bytes, t.least), std::move(field)};
  }

  [[nodiscard]] figure read(std::uint32_t n_threads) {
    buddy::host::worker_team team{n_threads};
    auto const words = from_.bytes().size() / 8;
    auto job = [&](std::uint32_t worker) noexcept {
      std::uint64_t sum[8]{};
      std::size_t const end = words * (worker + 1) / n_threads / 8 * 8;
      for (std::size_t i = words * worker / n_threads / 8 * 8; i < end; i += 8) {
        std::uint64_t line[8];
        std::memcpy(line, from_.bytes().data() + i * 8, sizeof line);
        for (int j = 0; j != 8; ++j) sum[j] ^= line[j];
      }
      for (std::uint64_t const s : sum) sink_.fetch_xor(s, std::memory_order_relaxed);
    };
    auto const t = time_of(clock_, [&] { team.run(job); }, options_.samples);
    return rate("cpu/read/threads:" + std::to_string(n_threads), static_cast<double>(from_.bytes().size()), t);
  }

  /// Every sample computes each record once.
  [[nodiscard]] figure gemv(std::uint32_t n_threads, std::string const& name, std::string const& field) {
    buddy::host::host_lane lane({.record = options_.record, .n_workers = n_threads});
    std::vector<std::uint16_t> const x(options_.record.hidden, 0x3c00);
    std::vector<float> y(options_.record.hidden);
    buddy::host::lane_use const use{0, 1.0F};
    auto const t = time_of(
        clock_,
        [&] {
          for (std::size_t i = 0; i != n_records_; ++i) {
            buddy::host::lane_expert const expert{from_.bytes().data() + i * options_.record.bytes(), 0, 1};
            lane.compute({{&expert, 1}, {&use, 1}, x.data(), y.data(), 1});
          }
        },
        options_.samples);
    return rate(name + std::to_string(n_threads), static_cast<double>(n_records_ * options_.record.bytes()), t, field);
  }

  [[nodiscard]] figure copy() {
    std::size_t const n = from_.bytes().size();
    auto const t = time_of(clock_, [&] { std::memcpy(to_.bytes().data(), from_.bytes().data(), n); }, options_.samples);
    return rate("cpu/copy/threads:1", static_cast<double>(n), t);
  }

  /// Experts are computed while another thread copies records, as a staging thread or a link does.
  void both(std::vector<figure>& all) {
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> copied{0};
    std::thread copier{[&] {
      for (std::size_t i = 0; !stop.load(std::memory_order_relaxed); i = (i + 1) % n_records_) {
        std::size_t const at = i * options_.record.bytes();
        std::memcpy(to_.bytes().data() + at, from_.bytes().data() + at, options_.record.bytes());
        copied.fetch_add(options_.record.bytes(), std::memory_order_relaxed);
      }
    }};
    std::uint64_t const began = clock_.now_ns();
    figure const computed = gemv(options_.n_threads, "cpu/gemv/while_copying/threads:", "cpu_gbps");
    std::uint64_t const took = clock_.now_ns() - began;
    stop = true;
    copier.join();
    all.push_back(computed);
    double const copies = took == 0 ? 0.0 : gbps(static_cast<double>(copied.load()), static_cast<double>(took) * 1e-9);
    all.push_back({"cpu/copy/while_computing", "GB/s", copies, copies, copies, {}});
  }

  Clock clock_;
  cpu_probe_options options_;
  std::size_t n_records_;
  buddy::cuda::host_pages from_;
  buddy::cuda::host_pages to_;
  std::atomic<std::uint64_t> sink_{0};
};

}  // namespace harness
