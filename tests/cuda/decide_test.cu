// SPDX-License-Identifier: Apache-2.0
// One decision, two machines: the kernel's against the same source run by a warp on the host.
#include "catch.hpp"
#include "cuda/device_vector.hpp"
#include "property/decision_run.hpp"
#include "property/policy_run.hpp"

#include <buddy/cuda/decide.cuh>
#include <buddy/cuda/route_top_k.cuh>
#include <buddy/testing/dice.hpp>

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace {

using buddy::testing::dice;

/// The same arrays in device memory.
class device_decision {
 public:
  device_decision(decision_arrays const& host, std::uint16_t layer, bool with_logits)
      : slot_of_(host.slot_of),
        step_(std::vector<std::uint64_t>{host.step}),
        logits_(host.logits),
        experts_(host.experts),
        weights_(host.weights),
        scores_(host.scores),
        slots_(host.slots),
        slot_weights_(host.slot_weights),
        outcomes_(host.outcomes),
        last_use_(host.last_use),
        window_(std::vector<buddy::replacement_window_state>{host.window}),
        window_rows_(host.window_rows),
        arrays_{.layer = layer,
                .n_experts = host.shape.n_experts,
                .top_k = host.shape.top_k,
                .n_tokens = host.n_tokens,
                .max_tokens = host.n_tokens,
                .slot_of = slot_of_.get(),
                .step = step_.get(),
                .logits = with_logits ? logits_.get() : nullptr,
                .experts = experts_.get(),
                .weights = weights_.get(),
                .scores = scores_.get(),
                .slots = slots_.get(),
                .slot_weights = slot_weights_.get(),
                .outcomes = outcomes_.get(),
                .last_use = last_use_.get(),
                .window = host.has_window ? window_.get() : nullptr,
                .window_rows = window_rows_.get()} {}

  [[nodiscard]] buddy::cuda::layer_arrays const& arrays() const { return arrays_; }

  /// Slots of the batch in which anything differs.
  [[nodiscard]] std::uint32_t differences(decision_arrays const& host) const {
    auto const experts = experts_.to_host();
    auto const slots = slots_.to_host();
    auto const weights = slot_weights_.to_host();
    auto const outcomes = outcomes_.to_host();
    std::uint32_t n = last_use_.to_host() == host.last_use ? 0 : 1;
    for (std::size_t i = 0; i != experts.size(); ++i)
      n += experts[i] == host.experts[i] && slots[i] == host.slots[i] && same(outcomes[i], host.outcomes[i]) &&
                   std::memcmp(&weights[i], &host.slot_weights[i], sizeof(float)) == 0
               ? 0
               : 1;
    return n;
  }

  /// Values of the router's answer that differ.
  [[nodiscard]] std::uint32_t routing_differences(decision_arrays const& host) const {
    return differing(experts_.to_host(), host.experts) + differing(weights_.to_host(), host.weights) +
           differing(scores_.to_host(), host.scores);
  }

 private:
  template <class T>
  [[nodiscard]] static std::uint32_t differing(std::vector<T> const& a, std::vector<T> const& b) {
    std::uint32_t n = 0;
    for (std::size_t i = 0; i != b.size(); ++i) n += std::memcmp(&a[i], &b[i], sizeof(T)) == 0 ? 0 : 1;
    return n;
  }

  device_vector<buddy::slot_id> slot_of_;
  device_vector<std::uint64_t> step_;
  device_vector<float> logits_;
  device_vector<std::uint16_t> experts_;
  device_vector<float> weights_;
  device_vector<float> scores_;
  device_vector<buddy::slot_id> slots_;
  device_vector<float> slot_weights_;
  device_vector<buddy::slot_outcome> outcomes_;
  device_vector<std::uint32_t> last_use_;
  device_vector<buddy::replacement_window_state> window_;
  device_vector<std::uint32_t> window_rows_;
  buddy::cuda::layer_arrays arrays_;
};

/// Logits with ties, infinities and what is not a number; residents at random, all or none.
void draw(decision_arrays& a, dice& roll) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  constexpr float odd[] = {0.0F, -0.0F, infinity, -infinity, std::numeric_limits<float>::quiet_NaN(), 1e-40F};
  for (float& z : a.logits) z = roll.roll(20) == 0 ? odd[roll.roll(6)] : static_cast<float>(roll.roll(800)) / 100.0F;
  std::uint32_t const kind = roll.roll(4);  // 0: none is resident, 1: all, else half
  for (std::uint32_t e = 0; e != a.slot_of.size(); ++e)
    a.slot_of[e] = kind == 0 || (kind > 1 && roll.roll(2) == 0) ? buddy::no_slot : buddy::slot_id{e};
}

/// Random rows of every size, decided by both. @returns slots of batches in which anything differs
std::uint32_t differences_in(std::uint32_t n_rows, std::uint64_t seed) {
  dice roll(seed);
  std::uint32_t rows = 0;
  std::uint32_t different = 0;
  while (rows < n_rows) {
    auto const n_experts = static_cast<std::uint16_t>(1 + roll.roll(roll.roll(8) == 0 ? 1024 : 256));
    auto const top_k = static_cast<std::uint16_t>(1 + roll.roll(std::min<std::uint32_t>(n_experts, 32)));
    decision_arrays host{{.n_layers = 1, .n_experts = n_experts, .top_k = top_k, .expert_bytes = 1},
                         1 + roll.roll(200)};
    draw(host, roll);
    if (roll.roll(4) == 0) host.limit(0.25, 1 + roll.roll(64));
    buddy::cuda::decision_rules rules{.token_budget = 1 + roll.roll(8), .weights = buddy::weight_mode::own};
    if (roll.roll(2) == 0) rules.beta_q16 = buddy::to_q16(0.6);
    if (roll.roll(2) == 0) rules.router.scores = buddy::score_function::sigmoid;
    rules.renormalise = roll.roll(2) == 0;
    auto const gate = buddy::sensitivity::weight_gate::fixed(0.3);
    device_decision const device{host, 0, true};
    REQUIRE(buddy::cuda::decide(device.arrays(), rules, gate, buddy::selection::live_score{}, cudaStream_t{}) ==
            cudaSuccess);
    emulate_decide(host.arrays(0, true), rules, gate, buddy::selection::live_score{});
    different += device.differences(host);
    rows += host.n_tokens;
  }
  return different;
}

}  // namespace

TEST_CASE("a decision about no token launches nothing, with or without a device", "[cuda][decide]") {
  buddy::cuda::layer_arrays const nothing{};
  CHECK(buddy::cuda::decide(nothing, {}, buddy::sensitivity::always{}, buddy::selection::live_score{},
                            cudaStream_t{}) == cudaSuccess);
}

TEST_CASE("a decision that would route without a place for the scores is refused", "[cuda][decide]") {
  float logit = 0.0F;
  buddy::cuda::layer_arrays a{};
  a.n_tokens = 1;
  a.logits = &logit;
  CHECK(buddy::cuda::decide(a, {}, buddy::sensitivity::always{}, buddy::selection::live_score{}, cudaStream_t{}) ==
        cudaErrorInvalidValue);
}

TEST_CASE("the kernel routes and decides as the host does", "[cuda][gpu][decide]") {
  if (no_gpu()) return;
  CHECK(differences_in(2'000, 3) == 0);
}

TEST_CASE("the kernel routes and decides as the host does, a hundred thousand rows", "[cuda][gpu][decide][long]") {
  if (no_gpu()) return;
  CHECK(differences_in(100'000, 1) == 0);
}

TEST_CASE("the kernel's top-k is the plain router's", "[cuda][gpu][router]") {
  if (no_gpu()) return;
  dice roll(2);
  for (std::uint16_t const n_experts : {1, 8, 33, 64, 100, 256, 257, 1024}) {
    auto const top_k = std::min<std::uint16_t>(n_experts, 32);
    decision_arrays host{{.n_layers = 1, .n_experts = n_experts, .top_k = top_k, .expert_bytes = 1}, 67};
    draw(host, roll);
    device_decision const device{host, 0, true};
    REQUIRE(buddy::cuda::route_top_k(device.arrays(), {}, cudaStream_t{}) == cudaSuccess);
    for (std::uint32_t t = 0; t != host.n_tokens; ++t) {
      std::size_t const row = std::size_t{t} * n_experts;
      buddy::route_token({host.logits.data() + row, n_experts}, {}, {host.experts.data() + t * top_k, top_k},
                         {host.weights.data() + t * top_k, top_k}, {host.scores.data() + row, n_experts});
    }
    CHECK(device.routing_differences(host) == 0);
  }
}

TEST_CASE("every gate and selector decides on the device as on the host", "[cuda][gpu][decide]") {
  if (no_gpu()) return;
  buddy::model_shape const shape{.n_layers = 2, .n_experts = 10, .top_k = 3, .expert_bytes = 10};
  auto const table = neighbours(shape);
  auto const ref = table.ref();
  device_vector<std::uint16_t> const list_experts(ref.experts);
  device_vector<buddy::q16> const list_similarities(ref.similarities);
  device_vector<std::uint16_t> const list_lengths(ref.lengths);
  std::uint64_t seed = 0;
  chosen::for_each_combination([&](chosen::combination const& models) {
    run_settings const s{.models = models, .shape = shape, .seed = ++seed};
    decision_arrays host{shape, 37};  // no multiple of a block
    for (std::uint32_t e = 1; e < shape.n_experts; e += 2) host.slot_of[e] = buddy::slot_id{e / 2};
    random_routing routing(shape, 37, seed);
    host.take(routing.next());
    auto device_selector = selector_of(s, ref);
    device_selector.use({list_experts.all(), list_similarities.all(), list_lengths.all(), ref.n_experts, ref.stride});
    device_decision const device{host, 1, false};
    REQUIRE(buddy::cuda::decide(device.arrays(), {}, gate_of(s), device_selector, cudaStream_t{}) == cudaSuccess);
    emulate_decide(host.arrays(1), {}, gate_of(s), selector_of(s, ref));
    INFO(models.show());
    CHECK(device.differences(host) == 0);
  });
}
