// SPDX-License-Identifier: Apache-2.0
/// @file
/// The engine loop: against the modelled clock, by hand where spare slots are few, and on machines that compute.
#include "catch.hpp"
#include "harness/layers/cpu_machine.hpp"
#include "harness/layers/layer_engine.hpp"
#include "harness/layers/layers_backend.hpp"
#include "harness/layers/layers_run.hpp"
#include "harness/layers/modelled_machine.hpp"
#include "harness/policy/presets.hpp"
#include "harness/sim/offload_clock.hpp"

#include <buddy/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace {

using harness::layers_plan;

/// Four layers of eight experts of 768 bytes each: 3 x 16 x 8 weights of two bytes.
harness::layer_stack small_stack() { return {"small", {16, 8}, 4, 8, 2, 4096}; }

layers_plan small_plan(std::vector<std::string> const& modes, std::uint32_t n_tokens, bool prefill = false,
                       double share = 1.0) {
  layers_plan plan;
  plan.stack = small_stack();
  plan.prefill = prefill;
  plan.warm_steps = 8, plan.round_steps = 12, plan.n_rounds = 3;
  plan.routing = harness::routing_from_router(plan.stack, plan.n_steps(), n_tokens, prefill, 7);  // seed 7
  harness::mode_options options;
  options.share = share;
  options.max_tokens = n_tokens;
  options.future = &plan.routing.trace;
  for (auto const& name : modes) {
    auto const& mode = harness::find_mode(name);
    plan.modes.push_back(harness::settings_of(mode, options));
    plan.exact.push_back(mode.exact);
  }
  plan.profile = harness::profile_of_warm_up(plan);
  return plan;
}

std::vector<std::string> all_modes() {
  std::vector<std::string> names;
  for (auto const& m : harness::layer_modes()) names.emplace_back(m.name);
  return names;
}

// One record 768 ns on the device, 8000 + 7680 ns over the link, 1536 ns on the CPU.
harness::hardware const slow_link{"slow link", 1.0, 0.1, 8, 0.5, 1, 2, 1, 3};

TEST_CASE("the engine charges one token as the modelled clock does, in every mode", "[harness][layers]") {
  for (auto const& name : all_modes()) {
    INFO(name);
    auto plan = small_plan({name}, 1);
    harness::policy_settings const settings = harness::priced(plan.modes[0], slow_link, plan.stack.charged());
    std::vector<buddy::view<float const>> routers;
    for (auto const& m : plan.routing.routers) routers.push_back({m.data(), static_cast<std::uint32_t>(m.size())});
    buddy::view<buddy::view<float const> const> const rows{routers.data(), static_cast<std::uint32_t>(routers.size())};
    harness::composed_policy a{settings, plan.stack.shape(), &plan.profile, rows};
    harness::composed_policy b{settings, plan.stack.shape(), &plan.profile, rows};
    harness::offload_clock clock{slow_link, plan.stack.charged()};
    harness::modelled_machine machine{slow_link, plan.stack.charged(), harness::slots_needed(plan)};
    harness::layer_engine engine{machine, b.policy(), 1};
    harness::layer_reader reader{plan.routing};
    for (std::size_t step = 0; step != plan.n_steps(); ++step) {
      a.policy().begin_step();
      for (std::uint16_t l = 0; l != plan.stack.n_layers; ++l) {
        clock.begin_layer(a.policy());
        clock.run_layer(a.policy(), a.policy().resolve(l, reader.at(step, l)));
      }
      engine.step(buddy::phase::decode, [&](std::uint16_t l) { return reader.at(step, l); });
      REQUIRE(machine.now_ns() == clock.totals().elapsed_ns);
    }
    CHECK(a.policy().total() == b.policy().total());
    CHECK(engine.totals().link_bytes == clock.totals().link_bytes);
    CHECK(engine.totals().background_cancelled == clock.totals().background_cancelled);
  }
}

/// Counts what the loop asks for, and checks that nothing is computed before it is there.
struct watching_machine : harness::modelled_machine {
  using modelled_machine::modelled_machine;

  void rest(std::uint16_t layer, std::uint32_t n) noexcept {
    uses = 0;
    modelled_machine::rest(layer, n);
  }
  void experts(harness::expert_wave const& w) noexcept {
    ++waves;
    largest_wave = std::max(largest_wave, w.n_distinct);
    std::uint32_t here = 0;
    for (auto const s : w.slots) here += s != buddy::no_slot ? 1 : 0;
    for (auto const s : w.slots)
      if (s != buddy::no_slot) highest_slot = std::max(highest_slot, static_cast<std::uint32_t>(s));
    wrong += here != w.n_uses ? 1 : 0;
    uses += here;
    modelled_machine::experts(w);
  }
  void host_end() noexcept {
    wrong += uses != expected_uses ? 1 : 0;
    modelled_machine::host_end();
  }
  [[nodiscard]] std::uint32_t n_spare() const noexcept { return spare; }
  [[nodiscard]] std::uint32_t copies_per_wave() const noexcept { return per_wave; }

  std::uint32_t spare = 1, per_wave = 1, expected_uses = 0;
  std::uint32_t waves = 0, largest_wave = 0, highest_slot = 0, uses = 0, wrong = 0;
};

static_assert(harness::layer_machine<watching_machine>);

TEST_CASE("every routed slot is computed once, however few spare slots and whatever waves", "[harness][layers]") {
  for (std::uint32_t const n_tokens : {1U, 5U, 32U}) {
    for (std::uint32_t const spare : {1U, 2U, 8U}) {
      for (std::uint32_t const per_wave : {1U, 3U, 100U}) {
        INFO(n_tokens << " tokens, " << spare << " spare, " << per_wave << " a wave");
        auto const plan = small_plan({"on_demand"}, n_tokens, n_tokens > 8);
        harness::composed_policy composed{plan.modes[0], plan.stack.shape(), &plan.profile};
        watching_machine machine{slow_link, plan.stack.charged(), harness::slots_needed(plan)};
        machine.spare = spare, machine.per_wave = per_wave, machine.expected_uses = 2 * n_tokens;
        harness::layer_engine engine{machine, composed.policy(), n_tokens};
        harness::layer_reader reader{plan.routing};
        for (std::size_t i = 0; i != 20; ++i)
          engine.step(plan.phase(), [&](std::uint16_t l) { return reader.at(i, l); });
        CHECK(machine.wrong == 0);
        CHECK(machine.highest_slot < machine.n_slots() + spare);
        auto const counts = composed.policy().total(plan.phase());
        CHECK(engine.totals().link_bytes[0] == counts.fetches * plan.stack.record.bytes());
        if (n_tokens == 32) CHECK(counts.staged != 0);  // a prompt enters no full cache
        if (per_wave == 100 && counts.staged == 0) CHECK(machine.waves == 20 * 4);
      }
    }
  }
}

/// A device that runs steps alone, as far as the loop can see: a table that changes between steps, and the copies that
/// must not fill what is still found.
struct alone_machine : harness::modelled_machine {
  using modelled_machine::modelled_machine;

  void begin_mode(harness::policy_settings const&) { table.assign(64, {}); }
  void launch_step(std::size_t) noexcept {
    ++launches;
    seen = table;
    pass_a_while();
  }
  void withdraw(buddy::slot_id s) noexcept { table[static_cast<std::size_t>(s)].reset(); }
  void publish(buddy::expert_copy const& c) noexcept {
    auto& entry = table[static_cast<std::size_t>(c.slot)];
    overwritten += entry.has_value() ? 1 : 0;
    for (auto const& other : table) twice += other == c.expert ? 1 : 0;
    entry = c.expert;
  }
  void place(buddy::expert_copy const& c) noexcept { publish(c); }
  void pass_a_while() noexcept { link().advance_to(now_ns() + 20'000); }  // a copy takes 15,680 ns

  std::vector<std::optional<buddy::expert_key>> table, seen;
  std::uint32_t launches = 0, overwritten = 0, twice = 0;
};

static_assert(harness::self_deciding_machine<alone_machine>);

TEST_CASE("a device that decides alone finds what the host refilled, and nobody twice", "[harness][layers]") {
  auto const plan = small_plan({"substitute_refill"}, 1);
  CHECK(harness::decides_alone(plan.modes[0]));
  CHECK_FALSE(harness::decides_alone(small_plan({"on_demand"}, 1).modes[0]));
  CHECK_FALSE(harness::decides_alone(small_plan({"substitute"}, 1, false, 0.5).modes[0]));
  alone_machine machine{slow_link, plan.stack.charged(), harness::slots_needed(plan)};
  harness::running_mode running{plan, plan.modes[0], machine, nullptr};
  static_cast<void>(running.run(0, plan.n_steps()));
  CHECK(machine.launches == plan.n_steps());
  CHECK(machine.overwritten == 0);
  CHECK(machine.twice == 0);
  CHECK(running.moved().link_bytes[2] == running.counts().refills * plan.stack.record.bytes());
  std::size_t resident = 0;
  for (auto const& entry : machine.table) resident += entry.has_value() ? 1 : 0;
  CHECK(resident == 4 * 4);  // half of eight experts, four layers
}

TEST_CASE("modes keep to the bounds of a modelled run", "[harness][layers]") {
  auto const plan = small_plan(all_modes(), 1);
  auto const r = harness::run_modelled(plan, slow_link);
  auto const rate = [&](char const* name) { return r.tokens_per_second(*r.find(name)).median; };
  auto const share = [&](char const* name, buddy::resolution how) { return r.find(name)->counts.slots_ending(how); };
  REQUIRE(r.modes.size() == harness::layer_modes().size());
  CHECK(rate("on_demand") < rate("all_resident"));
  CHECK(rate("prefetch_oracle") > rate("on_demand"));
  CHECK(rate("substitute") > rate("on_demand"));
  CHECK(rate("drop") >= rate("all_resident"));  // it computes less
  CHECK(share("substitute", buddy::resolution::fetch) == 0);
  CHECK(share("substitute", buddy::resolution::buddy) != 0);
  CHECK(share("host_lane", buddy::resolution::fetch) == 0);
  CHECK(r.find("substitute")->moved.all_link_bytes() == 0);
  CHECK(r.find("substitute_refill")->moved.link_bytes[2] != 0);
  CHECK(share("substitute_refill", buddy::resolution::own) > share("substitute", buddy::resolution::own));
  auto const half = harness::run_modelled(small_plan({"substitute"}, 1, false, 0.5), slow_link);
  auto const& c = half.modes[0].counts;
  CHECK(c.slots_ending(buddy::resolution::fetch) != 0);
  CHECK(c.slots_ending(buddy::resolution::buddy) != 0);
}

TEST_CASE("equal plans give equal modelled runs", "[harness][layers]") {
  auto const plan = small_plan({"on_demand", "q_star", "prefetch_markov"}, 4);
  auto const a = harness::run_modelled(plan, slow_link);
  auto const b = harness::run_modelled(plan, slow_link);
  for (std::size_t m = 0; m != a.modes.size(); ++m) CHECK(a.modes[m].seconds == b.modes[m].seconds);
}

TEST_CASE("on a CPU exact modes give the bits of all_resident, whatever the batch", "[harness][layers]") {
  struct setting {
    std::uint32_t n_tokens;
    std::uint32_t n_threads;
    std::vector<std::string> modes;
  };
  // Two threads meet at barriers, which take long on a busy machine: few modes there.
  for (setting const& c : {setting{1, 1, all_modes()}, setting{3, 1, all_modes()}, setting{24, 1, all_modes()},
                           setting{3, 2, {"all_resident", "on_demand"}}}) {
    INFO(c.n_tokens << " tokens, " << c.n_threads << " threads");
    auto const plan = small_plan(c.modes, c.n_tokens, c.n_tokens == 24);
    auto const r = harness::run_on_cpu(plan, c.n_threads);
    auto const resident = r.find("all_resident")->digest;
    CHECK(resident != 0);
    for (auto const& m : r.modes) {
      INFO(m.settings.name);
      if (m.exact) CHECK(m.digest == resident);
      if (m.settings.name == "drop") CHECK(m.digest != resident);
      CHECK(m.seconds.size() == plan.n_rounds);
    }
  }
}

TEST_CASE("a batch's experts on the CPU give what they give in slots", "[harness][layers]") {
  // The order of additions differs, so compare one routed slot a token: then there is nothing to add.
  auto plan = small_plan({}, 3);
  plan.stack.top_k = 1;
  plan.routing = harness::routing_from_router(plan.stack, plan.n_steps(), 3, false, 9);
  harness::mode_options options;
  options.max_tokens = 3;
  for (char const* const name : {"all_resident", "host_lane"}) {
    plan.modes.push_back(harness::settings_of(harness::find_mode(name), options));
    plan.exact.push_back(false);
  }
  plan.profile = harness::profile_of_warm_up(plan);
  auto const r = harness::run_on_cpu(plan, 1);
  CHECK(r.modes[1].counts.slots_ending(buddy::resolution::host) != 0);
  CHECK(r.modes[0].digest == r.modes[1].digest);
}

TEST_CASE("memory is refused before it is taken", "[harness][layers]") {
  harness::memory_need const need{8'000'000'000, 1'000'000'000, 1'000'000};
  CHECK_NOTHROW(harness::require_memory(need, 10'002'000'000));
  CHECK_THROWS_AS(harness::require_memory(need, 9'999'000'000), buddy::config_error);
  CHECK_NOTHROW(harness::require_memory(need, 0));  // nobody knows
  CHECK(harness::describe(need, 1U << 31U).find("7.45 GiB of records") != std::string::npos);
  auto const plan = small_plan({"all_resident", "on_demand"}, 1);
  // 32 records of 768 bytes, as many slots and 8 spare ones.
  CHECK(harness::cpu_memory(plan).records == 32 * 768);
  CHECK(harness::cpu_memory(plan).slots == 40 * 768);
}

TEST_CASE("routing sources give what they say", "[harness][layers]") {
  auto const stack = small_stack();
  auto const routed = harness::routing_from_router(stack, 10, 3, false, 1);
  CHECK(routed.n_steps() == 10);
  CHECK(routed.inputs.size() == 30U * 4 * harness::router_features);
  // A recording of eight tokens: two streams begin at token 0 and 4.
  buddy::routing_trace t;
  t.n_layers = 4, t.n_experts = 8, t.top_k = 2;
  for (std::uint16_t i = 0; i != 8; ++i)
    for (std::uint16_t l = 0; l != 4; ++l)
      t.experts.push_back(i), t.experts.push_back(static_cast<std::uint16_t>((i + 1) % 8));
  t.sequence_lengths = {8};
  auto const two = harness::routing_from_trace(stack, t, 3, 2, false);
  harness::layer_reader reader{two};
  auto const second = reader.at(1, 2);
  CHECK(std::vector<std::uint16_t>(second.experts.begin(), second.experts.end()) ==
        std::vector<std::uint16_t>{1, 2, 5, 6});
  CHECK(second.weights[0] == 0.5F);
  auto const chunk = harness::routing_from_trace(stack, t, 2, 3, true);
  harness::layer_reader chunks{chunk};
  CHECK(chunks.at(1, 0).experts[0] == 3);  // tokens 3 4 5
  CHECK(chunk.trace.phase_of(0) == buddy::phase::prefill);
  t.n_experts = 16;
  CHECK_THROWS_AS(harness::routing_from_trace(stack, t, 3, 2, false), buddy::config_error);
  CHECK_THROWS_AS(harness::routing_from_profile(stack, "", 3, 2, false, 1), buddy::config_error);
  auto const drawn = harness::routing_from_profile(harness::find_stack("mixtral-8x7b"), "", 50, 1, false, 1);
  CHECK(drawn.trace.n_layers == 32);
  CHECK(drawn.n_steps() == 50);
}

}  // namespace
