// SPDX-License-Identifier: Apache-2.0
/// @file
/// Copies and reads from event to event, latencies by the wall's clock.
#include "harness/calibrate/device_probe.hpp"

#include "harness/calibrate/stopwatch.hpp"
#include "harness/layers/cuda/kernels.hpp"

#include <buddy/cuda/check.hpp>
#include <buddy/cuda/device.hpp>
#include <buddy/cuda/device_buffer.hpp>
#include <buddy/cuda/event.hpp>
#include <buddy/cuda/memcpy_batch.hpp>
#include <buddy/cuda/pinned_buffer.hpp>
#include <buddy/cuda/stream.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace harness {

namespace {

namespace gpu = buddy::cuda;

constexpr std::size_t link_bytes = std::size_t{256} << 20;
constexpr std::size_t device_bytes = std::size_t{1} << 30;  // far more than any second-level cache
constexpr int n_samples = 11;

class probe {
 public:
  probe() : host_(link_bytes), device_(device_bytes), words_(4096), sink_(1) {
    std::memset(host_.bytes().data(), 0x3c, link_bytes);
    host_.pin();
    words_.pin();
    BUDDY_CUDA_TRY(device_.fill_bytes(0x3c, stream_.get()));
  }

  [[nodiscard]] std::vector<figure> measure() {
    warm_up();
    link();
    memory();
    latencies();
    while_reading();
    return std::move(all_);
  }

 private:
  /// An idle device runs at a fifth of its clock.
  void warm_up() {
    std::uint64_t const began = steady_nanoseconds{}.now_ns();
    while (steady_nanoseconds{}.now_ns() - began < 500'000'000) {
      BUDDY_CUDA_TRY(read_bytes(device_.data(), device_bytes, sink_.data(), stream_.get()));
      BUDDY_CUDA_TRY(stream_.ref().wait());
    }
  }

  template <class Work>
  [[nodiscard]] std::vector<double> seconds(Work const& work) {
    std::vector<double> samples;
    for (int i = 0; i != n_samples + 2; ++i) {
      BUDDY_CUDA_TRY(begin_.ref().record(stream_.get()));
      BUDDY_CUDA_TRY(work());
      BUDDY_CUDA_TRY(end_.ref().record(stream_.get()));
      BUDDY_CUDA_TRY(end_.ref().wait());
      float ms = 0;
      BUDDY_CUDA_TRY(cudaEventElapsedTime(&ms, begin_.get(), end_.get()));
      if (i > 1) samples.push_back(static_cast<double>(ms) * 1e-3);
    }
    std::sort(samples.begin(), samples.end());
    return samples;
  }

  void add_rate(std::string name, double bytes, std::vector<double> const& s, std::string field = {}) {
    all_.push_back({std::move(name), "GB/s", gbps(bytes, s[s.size() / 2]), gbps(bytes, s.back()),
                    gbps(bytes, s.front()), std::move(field)});
  }

  [[nodiscard]] cudaError_t copy(std::size_t at, std::size_t n) const {
    return cudaMemcpyAsync(device_.data() + at, host_.bytes().data() + at, n, cudaMemcpyHostToDevice, stream_.get());
  }

  void link() {
    for (std::size_t n = std::size_t{64} << 10; n <= link_bytes; n *= 4) {
      std::string const size = std::to_string(n >> 10);
      bool const largest = n == link_bytes;
      add_rate("link/once/KiB:" + size, static_cast<double>(n), seconds([&] { return copy(0, n); }),
               largest ? "link_gbps" : "");
      std::size_t const times = std::min<std::size_t>(16, link_bytes / n);
      if (times < 2) continue;
      add_rate("link/queued/KiB:" + size, static_cast<double>(n * times), seconds([&] {
                 cudaError_t e = cudaSuccess;
                 for (std::size_t i = 0; i != times && e == cudaSuccess; ++i) e = copy(i * n, n);
                 return e;
               }));
      add_rate("link/batched/KiB:" + size, static_cast<double>(n * times), seconds([&] { return batch(n, times); }));
    }
  }

  [[nodiscard]] cudaError_t batch(std::size_t n, std::size_t times) {
    batch_.clear();
    for (std::size_t i = 0; i != times; ++i) batch_.add(device_.data() + i * n, host_.bytes().data() + i * n, n);
    return batch_.send(gpu::source_order::any, stream_.get());
  }

  void memory() {
    auto const half = static_cast<double>(device_bytes) / 2;
    add_rate("device/read", static_cast<double>(device_bytes),
             seconds([&] { return read_bytes(device_.data(), device_bytes, sink_.data(), stream_.get()); }),
             "device_gbps");
    add_rate("device/copy", 2 * half, seconds([&] {
               return cudaMemcpyAsync(device_.data(), device_.data() + device_bytes / 2, device_bytes / 2,
                                      cudaMemcpyDeviceToDevice, stream_.get());
             }));
  }

  template <class Work>
  [[nodiscard]] double add_latency(std::string name, Work const& work, std::string field = {}) {
    auto const t = time_of(steady_nanoseconds{}, [&] { BUDDY_CUDA_TRY(work()); }, {50, 500, 50'000'000});
    all_.push_back({std::move(name), "us", t.median * 1e6, t.least * 1e6, t.most * 1e6, std::move(field)});
    return t.median;
  }

  void latencies() {
    auto const wait = [&](cudaError_t e) { return e == cudaSuccess ? stream_.ref().wait() : e; };
    static_cast<void>(add_latency("launch/only", [&] { return nothing(stream_.get()); }));
    BUDDY_CUDA_TRY(stream_.ref().wait());
    static_cast<void>(add_latency("launch/and_wait", [&] { return wait(nothing(stream_.get())); }));
    static_cast<void>(add_latency("copy_back/32B_and_wait", [&] {
      return wait(cudaMemcpyAsync(words_.bytes().data(), device_.data(), 32, cudaMemcpyDeviceToHost, stream_.get()));
    }));
    constexpr std::size_t small = std::size_t{1} << 20;
    double const isolated = add_latency("link/isolated/KiB:1024", [&] { return wait(copy(0, small)); });
    double const moved = static_cast<double>(small) / (find("link/once/KiB:262144") * 1e9);
    all_.push_back({"link/latency", "us", std::max(0.0, isolated - moved) * 1e6, 0, isolated * 1e6, "link_latency_us"});
    echo();
  }

  /// The host writes a word of mapped memory, a kernel that waits for it answers: there and back without a launch.
  void echo() {
    auto* const words = reinterpret_cast<std::uint32_t*>(words_.bytes().data());
    auto* const device = reinterpret_cast<std::uint32_t*>(words_.on_device());
    std::atomic_ref<std::uint32_t> const request{words[0]};
    std::atomic_ref<std::uint32_t> const answer{words[32]};
    std::vector<double> samples;
    for (std::uint32_t i = 1; i != 200; ++i) {
      BUDDY_CUDA_TRY(echo_once(device, device + 32, i, stream_.get()));
      std::uint64_t const settle = steady_nanoseconds{}.now_ns();
      while (steady_nanoseconds{}.now_ns() - settle < 50'000) {
      }  // until the kernel waits
      std::uint64_t const began = steady_nanoseconds{}.now_ns();
      request.store(i, std::memory_order_release);
      while (answer.load(std::memory_order_acquire) != i && steady_nanoseconds{}.now_ns() - began < 1'000'000'000) {
      }
      samples.push_back(static_cast<double>(steady_nanoseconds{}.now_ns() - began) * 1e-3);
      BUDDY_CUDA_TRY(stream_.ref().wait());
    }
    std::sort(samples.begin(), samples.end());
    all_.push_back(
        {"flag/echo", "us", samples[samples.size() / 2], samples.front(), samples.back(), "host_handshake_us"});
  }

  /// The link while kernels read device memory without pause.
  void while_reading() {
    gpu::stream const other;
    for (int i = 0; i != 200; ++i)
      BUDDY_CUDA_TRY(read_bytes(device_.data() + link_bytes, device_bytes - link_bytes, sink_.data(), other.get()));
    add_rate("link/while_reading/KiB:262144", static_cast<double>(link_bytes),
             seconds([&] { return copy(0, link_bytes); }));
    BUDDY_CUDA_TRY(other.ref().wait());
  }

  [[nodiscard]] double find(std::string const& name) const {
    return std::find_if(all_.begin(), all_.end(), [&](figure const& f) { return f.name == name; })->value;
  }

  gpu::pinned_buffer host_;
  gpu::device_buffer<std::byte> device_;
  gpu::pinned_buffer words_;
  gpu::device_buffer<std::uint32_t> sink_;
  gpu::stream stream_;
  gpu::event begin_{gpu::event_kind::timed};
  gpu::event end_{gpu::event_kind::timed};
  gpu::memcpy_batch batch_;
  std::vector<figure> all_;
};

}  // namespace

std::string why_no_device_probe() { return gpu::why_no_gpu(); }

std::vector<figure> probe_device() { return probe{}.measure(); }

}  // namespace harness
