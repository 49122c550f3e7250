// SPDX-License-Identifier: Apache-2.0
// Both halves of the host lane: the stream's kernels run by fibers, the host's as they are.
#include "catch.hpp"
#include "reference_ffn.hpp"

#include <buddy/cuda/emulated_warp.hpp>
#include <buddy/cuda/host_lane.cuh>
#include <buddy/cuda/kernel_words.cuh>
#include <buddy/host/lane_server.hpp>

#include <cstdint>
#include <vector>

namespace cuda = buddy::cuda;
namespace host = buddy::host;
using buddy::resolution;
using buddy::slot_outcome;

namespace {

/// A stream that the host answers at once.
struct answering_flags {
  host::lane_server* server;

  cudaError_t write(cudaStream_t, std::uint32_t* word, std::uint32_t value) const noexcept {
    *word = value;
    return cudaSuccess;
  }
  cudaError_t wait_until(cudaStream_t, std::uint32_t const* word, std::uint32_t value) const noexcept {
    static_cast<void>(server->poll());
    return *word >= value ? cudaSuccess : cudaErrorInvalidValue;
  }
};

slot_outcome ends(std::uint16_t expert, resolution how) {
  slot_outcome o{};
  o.expert = expert;
  o.how = how;
  return o;
}

}  // namespace

TEST_CASE("mail holds the host slots in the batch's order", "[emulated][host_lane]") {
  // Two tokens of three. The last but one is the CPU's by name, but has no weight.
  std::vector<slot_outcome> const outcomes{ends(4, resolution::own),  ends(7, resolution::host),
                                           ends(2, resolution::drop), ends(1, resolution::host),
                                           ends(3, resolution::host), ends(9, resolution::fetch)};
  std::vector<float> const weights{1.0F, .5F, 0.0F, .25F, 0.0F, 1.0F};
  std::vector<host::mail_entry> entries(6);
  REQUIRE(cuda::gather_mail(cuda::emulated_warp{}, outcomes.data(), weights.data(), 6, 3, entries.data()) == 2);
  CHECK((entries[0].expert == 7 && entries[0].token == 0 && entries[0].weight == .5F));
  CHECK((entries[1].expert == 1 && entries[1].token == 1 && entries[1].weight == .25F));
}

TEST_CASE("what the device leaves to the CPU comes back added", "[emulated][host_lane]") {
  constexpr buddy::expert_record record{40, 24, buddy::weight_type::bf16};
  constexpr buddy::model_shape shape{.n_layers = 2, .n_experts = 6, .top_k = 3, .expert_bytes = record.bytes()};
  constexpr std::uint32_t n_tokens = 15;
  constexpr std::uint32_t n_routed = n_tokens * shape.top_k;
  constexpr host::mail_shape sizes{record, n_tokens, n_routed};
  reference::numbers random{55};
  auto const records = reference::random_records(record, shape.n_keys(), record.bytes(), random);
  std::vector<std::byte const*> pointers;
  for (std::size_t i = 0; i != shape.n_keys(); ++i) pointers.push_back(records.data() + i * record.bytes());
  host::aligned_bytes const memory(host::lane_mailbox::bytes(sizes));
  auto const box = host::lane_mailbox::at(memory.get(), sizes);
  host::host_lane lane({.record = record, .max_tokens = n_tokens, .max_uses = n_routed});
  host::lane_server server(lane, box, shape, pointers);
  answering_flags const flags{&server};
  for (std::uint32_t layer = 0; layer != 2; ++layer) {
    auto const x = reference::random_bits(std::size_t{n_tokens} * record.hidden, record.type, 1.0F, random);
    std::vector<slot_outcome> outcomes;
    std::vector<float> const weights(n_routed, 0.5F);
    std::vector<float> y(x.size(), 2.0F);
    std::vector<double> expected(x.size(), 2.0);
    for (std::uint32_t i = 0; i != n_routed; ++i) {
      auto const expert = static_cast<std::uint16_t>(random.roll(shape.n_experts));
      outcomes.push_back(ends(expert, random.chance(2) ? resolution::host : resolution::own));
      if (outcomes.back().how != resolution::host) continue;
      std::size_t const at = std::size_t{i / shape.top_k} * record.hidden;
      reference::add_expert(record, pointers[shape.index({static_cast<std::uint16_t>(layer), expert})], x.data() + at,
                            0.5, expected.data() + at);
    }
    cuda::host_work const work{box,      record.hidden, layer, n_tokens, shape.top_k, outcomes.data(), weights.data(),
                               x.data(), y.data()};
    REQUIRE(cuda::request_host_lane(work, flags, nullptr) == cudaSuccess);
    CHECK(box.header->ready == 1);
    REQUIRE(cuda::await_host_lane(work, flags, nullptr) == cudaSuccess);
    CHECK(box.header->done == 0);
    CHECK(reference::relative_error(y, expected) <= 4e-3);
  }
}

TEST_CASE("words without the driver: kernels raise the flag, wait for the answer and lower its flag",
          "[emulated][host_lane]") {
  struct no_flags {
    [[nodiscard]] bool available() const noexcept { return false; }
    cudaError_t write(cudaStream_t, std::uint32_t*, std::uint32_t) const noexcept { return cudaErrorUnknown; }
    cudaError_t wait_until(cudaStream_t, std::uint32_t const*, std::uint32_t) const noexcept {
      return cudaErrorUnknown;
    }
  };
  cuda::lane_words<no_flags> const words{no_flags{}};
  std::uint32_t word = 3;
  REQUIRE(words.write(nullptr, &word, 7) == cudaSuccess);
  CHECK(word == 7);
  CHECK(words.wait_until(nullptr, &word, 7) == cudaSuccess);                // reached, or the test would never end
  CHECK(words.wait_until(nullptr, &word, 7U - (1U << 30)) == cudaSuccess);  // passed long ago
  word = 2;                                                                 // behind the wrap: 2 - 0xffff'fff0 is 18
  CHECK(words.wait_until(nullptr, &word, 0xffff'fff0U) == cudaSuccess);
}

TEST_CASE("words of the driver are used where it has them", "[emulated][host_lane]") {
  struct counting_flags {
    std::uint32_t* calls;
    [[nodiscard]] bool available() const noexcept { return true; }
    cudaError_t write(cudaStream_t, std::uint32_t*, std::uint32_t) const noexcept { return ++*calls, cudaSuccess; }
    cudaError_t wait_until(cudaStream_t, std::uint32_t const*, std::uint32_t) const noexcept {
      return ++*calls, cudaSuccess;
    }
  };
  std::uint32_t calls = 0;
  std::uint32_t word = 0;
  cuda::lane_words<counting_flags> const words{counting_flags{&calls}};
  CHECK(words.write(nullptr, &word, 7) == cudaSuccess);
  CHECK(words.wait_until(nullptr, &word, 9) == cudaSuccess);
  CHECK(calls == 2);
  CHECK(word == 0);
}
