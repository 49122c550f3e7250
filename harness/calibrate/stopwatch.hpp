// SPDX-License-Identifier: Apache-2.0
/// @file
/// How long something takes, by a clock that tests replace.
#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace harness {

/// A clock in nanoseconds.
template <class C>
concept nanosecond_clock = requires(C const& c) {
  { c.now_ns() } -> std::same_as<std::uint64_t>;
};

struct steady_nanoseconds {
  [[nodiscard]] std::uint64_t now_ns() const noexcept {
    auto const t = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(t).count());
  }
};

/// How often something is repeated.
struct repetitions {
  std::size_t least = 5;                 ///< samples at least
  std::size_t most = 101;                ///< and at most
  std::uint64_t enough_ns = 50'000'000;  ///< no more samples once they have taken so long
};

/// Median and ends, in seconds.
struct sampled_time {
  double least{};
  double median{};
  double most{};
  std::size_t n{};
};

/// Calls `work` once unseen, so that pages and caches are there, then times it again and again.
template <nanosecond_clock Clock, class Work>
[[nodiscard]] sampled_time time_of(Clock const& clock, Work&& work, repetitions const& r = {}) {
  std::forward<Work>(work)();
  std::vector<double> samples;
  std::uint64_t const began = clock.now_ns();
  for (std::uint64_t now = began; samples.size() < r.least || (samples.size() < r.most && now - began < r.enough_ns);) {
    std::uint64_t const from = now;
    work();
    now = clock.now_ns();
    samples.push_back(static_cast<double>(now - from) * 1e-9);
  }
  std::sort(samples.begin(), samples.end());
  return {samples.front(), samples[samples.size() / 2], samples.back(), samples.size()};
}

/// 10^9 bytes a second. @pre seconds > 0
[[nodiscard]] constexpr double gbps(double bytes, double seconds) noexcept { return bytes / seconds * 1e-9; }

}  // namespace harness
