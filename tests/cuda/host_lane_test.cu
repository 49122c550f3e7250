// SPDX-License-Identifier: Apache-2.0
// The device asks, CPU threads compute, the device goes on: neither waits for the other but by a word of memory.
#include "catch.hpp"
#include "cuda/device_vector.hpp"
#include "cuda/skip.hpp"
#include "reference_ffn.hpp"

#include <buddy/cuda/host_lane.cuh>
#include <buddy/cuda/kernel_words.cuh>
#include <buddy/cuda/pinned_buffer.hpp>
#include <buddy/cuda/stream.hpp>
#include <buddy/cuda/stream_flags.hpp>
#include <buddy/host/lane_server.hpp>

#include <cuda_runtime.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace device = buddy::cuda;
namespace host = buddy::host;
using buddy::resolution;
using buddy::slot_outcome;

static_assert(device::stream_words<device::lane_words<device::stream_flags>>);

namespace {

constexpr buddy::expert_record record{64, 40, buddy::weight_type::bf16};
constexpr buddy::model_shape shape{.n_layers = 1, .n_experts = 6, .top_k = 3, .expert_bytes = record.bytes()};
constexpr std::uint32_t n_tokens = 4;
constexpr std::uint32_t n_routed = n_tokens * shape.top_k;
constexpr host::mail_shape sizes{record, n_tokens, n_routed};

/// Serves for as long as it lives.
class serving_thread {
 public:
  explicit serving_thread(host::lane_server& server) : thread_([this, &server] { server.serve(stop_); }) {}
  serving_thread(serving_thread const&) = delete;
  serving_thread& operator=(serving_thread const&) = delete;
  ~serving_thread() {
    stop_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

/// Twenty requests, each made twice.
template <device::stream_words Words>
void check_that_answers_are_added(Words const& words) {
  reference::numbers random{77};
  auto const records = reference::random_records(record, shape.n_keys(), record.bytes(), random);
  std::vector<std::byte const*> pointers;
  for (std::size_t i = 0; i != shape.n_keys(); ++i) pointers.push_back(records.data() + i * record.bytes());
  device::pinned_buffer memory(host::lane_mailbox::bytes(sizes));
  memory.pin();
  host::host_lane lane({.record = record, .max_tokens = n_tokens, .max_uses = n_routed, .n_workers = 2});
  host::lane_server server(lane, host::lane_mailbox::at(memory.bytes().data(), sizes), shape, pointers);
  serving_thread const serving(server);
  device::stream const stream;
  for (int round = 0; round != 20; ++round) {
    auto const x = reference::random_bits(std::size_t{n_tokens} * record.hidden, record.type, 1.0F, random);
    std::vector<slot_outcome> outcomes(n_routed);
    std::vector<double> expected(x.size(), 0.0);
    for (std::uint32_t i = 0; i != n_routed; ++i) {
      outcomes[i].expert = static_cast<std::uint16_t>(random.roll(shape.n_experts));
      if (round == 0 || random.chance(2)) continue;  // the first time, nothing is the CPU's
      outcomes[i].how = resolution::host;
      std::size_t const at = std::size_t{i / shape.top_k} * record.hidden;
      reference::add_expert(record, pointers[outcomes[i].expert], x.data() + at, 0.5, expected.data() + at);
    }
    device_vector<slot_outcome> const d_outcomes(outcomes);
    device_vector<float> const d_weights(std::vector<float>(n_routed, 0.5F));
    device_vector<std::uint16_t> const d_x(x);
    device_vector<float> const d_y(std::vector<float>(x.size(), 0.0F));
    device::host_work const work{host::lane_mailbox::at(memory.on_device(), sizes),
                                 record.hidden,
                                 0,
                                 n_tokens,
                                 shape.top_k,
                                 d_outcomes.get(),
                                 d_weights.get(),
                                 d_x.get(),
                                 d_y.get()};
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
    for (int i = 0; i != 2; ++i) {  // the second request waits for the first answer
      REQUIRE(device::request_host_lane(work, words, stream.get()) == cudaSuccess);
      REQUIRE(device::await_host_lane(work, words, stream.get()) == cudaSuccess);
    }
    REQUIRE(cudaStreamSynchronize(stream.get()) == cudaSuccess);
    for (auto& e : expected) e *= 2.0;
    CHECK(reference::relative_error(d_y.to_host(), expected) <= 4e-3);
  }
}

}  // namespace

TEST_CASE("what a stream leaves to CPU threads comes back added, time after time", "[cuda][gpu][host_lane][long]") {
  if (skipped()) return;
  check_that_answers_are_added(device::lane_words{device::stream_flags::find()});
}

TEST_CASE("the same where kernels write and await the words", "[cuda][gpu][host_lane][long]") {
  if (skipped()) return;
  check_that_answers_are_added(device::kernel_words{});
}
