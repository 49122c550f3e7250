// SPDX-License-Identifier: Apache-2.0
// The whole model on an emulated device against the decoder on the CPU.
#include "catch.hpp"
#include "harness/model/cuda/device_decoder.hpp"
#include "harness/random_model.hpp"
#include "harness/run/stepped.hpp"
#include "harness/temporary_folder.hpp"

#include <buddy/error.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

namespace {

using namespace harness;

model_config small() {
  model_config c = random_model::tiny();
  c.hidden_size = 32;  // the kernels want multiples of 8
  c.expert_hidden = 24;
  return c;
}

struct loaded {
  explicit loaded(model_config const& c = small()) {
    random_model::write(c, folder.path(), 3);
    w = weights::load(folder.path());
  }
  temporary_folder folder;
  weights w;
};

/// Every expert in a slot, in an order of the test's own, but for some that the CPU computes.
struct placed_moe {
  std::vector<buddy::slot_id> slot_of;  // [n_keys]
  std::uint32_t n_experts;
  std::array<expert_use, buddy::max_top_k> uses{};
  weights const* model = nullptr;
  std::uint32_t n_replaced = 0;  // so many of a token's first experts

  std::span<expert_use const> operator()(std::uint16_t layer, router_output const& routed, std::span<float const>) {
    for (std::size_t i = 0; i != routed.experts.size(); ++i)
      uses[i] = {routed.experts[i], routed.weights[i], slot_of[layer * n_experts + routed.experts[i]], i < n_replaced};
    return {uses.data(), routed.experts.size()};
  }

  /// The expert itself, so that nothing is lost.
  void add_stand_in(std::uint16_t layer, expert_use const& use, std::span<float const> input, std::span<float> sum) {
    std::vector<float> scratch(std::size_t{2} * model->config().expert_hidden);
    std::vector<float> y(sum.size());
    cpu::run_expert(model->expert({layer, use.expert}), input, scratch, y);
    for (std::size_t i = 0; i != y.size(); ++i) sum[i] += use.weight * y[i];
  }
};

/// Fills the slots. @param factor  slot = key * factor % n, so a unit of the ring
placed_moe place(weights const& w, device_slots& slots, std::uint32_t n, std::uint32_t factor) {
  placed_moe moe{std::vector<buddy::slot_id>(n), w.config().n_experts};
  moe.model = &w;
  for (std::uint32_t key = 0; key != n; ++key) {
    moe.slot_of[key] = buddy::slot_id{key * factor % n};
    slots.load({static_cast<std::uint16_t>(key / moe.n_experts), static_cast<std::uint16_t>(key % moe.n_experts)},
               moe.slot_of[key]);
  }
  return moe;
}

constexpr std::array<std::uint8_t, 8> text{7, 20, 31, 31, 0, 63, 20, 31};

std::vector<std::vector<float>> logits_on_device(loaded const& m, std::uint32_t factor, bool some_on_host,
                                                 std::uint32_t n_replaced = 0) {
  device_model const model{m.w};
  std::uint32_t const n = m.w.config().n_layers * m.w.config().n_experts;
  device_slots slots{model, n};
  placed_moe moe = place(m.w, slots, n, factor);
  moe.n_replaced = n_replaced;
  if (some_on_host)
    for (std::size_t key = 0; key < moe.slot_of.size(); key += 2) moe.slot_of[key] = buddy::no_slot;
  device_decoder d{model, slots};
  std::vector<std::vector<float>> all;
  d.begin_sequence();
  for (std::uint8_t const token : text) {
    auto const x = d.step(token, moe);
    all.emplace_back(x.begin(), x.end());
  }
  return all;
}

double worst_difference(loaded const& m, std::vector<std::vector<float>> const& got) {
  cpu_decoder d{m.w};
  all_resident moe;
  double worst = 0;
  for (std::size_t i = 0; i != text.size(); ++i) {
    auto const expected = d.step(text[i], moe);
    float largest = 0, difference = 0;
    for (std::size_t j = 0; j != expected.size(); ++j) {
      largest = std::max(largest, std::abs(expected[j]));
      difference = std::max(difference, std::abs(expected[j] - got[i][j]));
    }
    if (!(difference <= largest)) return 1.0;  // NaN too
    worst = std::max(worst, static_cast<double>(difference / largest));
  }
  return worst;
}

}  // namespace

TEST_CASE("the model on a device gives the CPU's logits", "[emulated][model]") {
  for (std::uint32_t const n_kv_heads : {1U, 4U}) {
    model_config c = small();
    c.n_kv_heads = n_kv_heads;
    c.normalise_top_k = n_kv_heads == 1;
    loaded const m{c};
    double const worst = worst_difference(m, logits_on_device(m, 1, false));
    INFO(worst);
    CHECK(worst < 2e-3);  // the experts read their input in f16: half a unit in 2048
  }
}

TEST_CASE("where an expert is makes no bit of difference", "[emulated][model]") {
  loaded const m;
  CHECK(logits_on_device(m, 1, false) == logits_on_device(m, 3, false));
}

TEST_CASE("experts without a slot are computed by the CPU", "[emulated][model]") {
  loaded const m;
  auto const mixed = logits_on_device(m, 1, true);
  CHECK(mixed != logits_on_device(m, 1, false));
  CHECK(worst_difference(m, mixed) < 2e-3);
}

TEST_CASE("what takes an expert's place is computed by the caller", "[emulated][model]") {
  loaded const m;
  auto const replaced = logits_on_device(m, 1, false, 2);
  CHECK(replaced != logits_on_device(m, 1, false));
  CHECK(worst_difference(m, replaced) < 2e-3);
}

TEST_CASE("a new sequence forgets the one before", "[emulated][model]") {
  loaded const m;
  device_model const model{m.w};
  std::uint32_t const n = m.w.config().n_layers * m.w.config().n_experts;
  device_slots slots{model, n};
  placed_moe moe = place(m.w, slots, n, 1);
  device_decoder d{model, slots};
  auto const run = [&] {
    d.begin_sequence();
    std::vector<float> last;
    for (std::uint8_t const token : text) {
      auto const x = d.step(token, moe);
      last.assign(x.begin(), x.end());
    }
    return last;
  };
  CHECK(run() == run());
}

TEST_CASE("a model that the kernels cannot do is refused", "[emulated][model]") {
  auto const message = [](auto const& change) {
    model_config c = small();
    change(c);
    loaded const m{c};
    try {
      device_model const model{m.w};
    } catch (buddy::config_error const& e) {
      return std::string{e.what()};
    }
    return std::string{"accepted"};
  };
  CHECK(message([](model_config&) {}) == "accepted");
  CHECK(message([](model_config& c) { c.hidden_size = 36; }).find("multiples of 8") != std::string::npos);
  CHECK(message([](model_config& c) { c.head_dim = 258; }).find("256") != std::string::npos);
}
