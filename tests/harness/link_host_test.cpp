// SPDX-License-Identifier: Apache-2.0
/// @file
/// Plans carried out over links that need time: what a layer reads is where it is said to be.
#include "catch.hpp"
#include "harness/policy/compose.hpp"
#include "harness/policy/presets.hpp"
#include "harness/run/evaluation_set.hpp"
#include "harness/run/measured_host.hpp"
#include "harness/run/policy_moe.hpp"
#include "harness/run/stepped.hpp"
#include "random_model.hpp"
#include "temporary_folder.hpp"

#include <buddy/cuda/copy_engine.hpp>
#include <buddy/cuda/sim_copy_backend.hpp>
#include <buddy/error.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace harness;
using buddy::expert_key;
using buddy::slot_id;

/// A modelled link whose time passes while it is asked, and slots that know what is in them. A record in the background
/// takes several pieces, so that it can be cancelled.
class watched_link {
 public:
  static constexpr std::string_view name = "watched_link";

  explicit watched_link(std::uint64_t ns_per_question)
      : engine_{buddy::cuda::sim_copy_backend{{1000, 1'000'000'000U}}, {.background_bytes = 512}},
        ns_per_question_{ns_per_question} {}

  buddy::ticket submit(buddy::expert_copy const& c) noexcept {
    held_.erase(c.slot);  // from now on half written
    auto const t = engine_.submit(c);
    if (t != buddy::no_ticket) under_way_[t] = c;
    return t;
  }
  bool done(buddy::ticket t) const noexcept {
    auto& link = engine_.backend();
    link.advance_to(link.now_ns() + ns_per_question_);
    return landed(t);
  }
  void wait(buddy::ticket t) noexcept {
    engine_.wait(t);
    static_cast<void>(landed(t));
  }
  bool cancel(buddy::ticket t) noexcept {
    if (!engine_.cancel(t)) return false;
    under_way_.erase(t);
    ++n_cancelled;
    return true;
  }

  [[nodiscard]] bool holds(slot_id s, expert_key key) const {
    auto const found = held_.find(s);
    return found != held_.end() && found->second == key;
  }
  void put(slot_id s, expert_key key) { held_[s] = key; }

  int n_cancelled = 0;

 private:
  bool landed(buddy::ticket t) const noexcept {
    if (!engine_.done(t)) return false;
    if (auto const found = under_way_.find(t); found != under_way_.end()) {
      held_[found->second.slot] = found->second.expert;
      under_way_.erase(found);
    }
    return true;
  }

  mutable buddy::cuda::copy_engine<buddy::cuda::sim_copy_backend> engine_;
  mutable std::map<buddy::ticket, buddy::expert_copy> under_way_;
  mutable std::map<slot_id, expert_key> held_;
  std::uint64_t ns_per_question_;
};

/// Looks into every slot that a layer is told to read.
template <class Inner>
struct checked_moe {
  Inner* inner;
  watched_link const* link;
  std::uint32_t n_slots;
  bool all_there = true;
  std::uint64_t n_without = 0;

  void begin_sequence() noexcept { inner->begin_sequence(); }
  void begin_step() { inner->begin_step(); }
  std::span<expert_use const> operator()(std::uint16_t layer, router_output const& routed,
                                         std::span<float const> input) {
    auto const uses = (*inner)(layer, routed, input);
    for (expert_use const& use : uses) {
      if (use.weight == 0.0F) continue;
      if (use.slot == buddy::no_slot) {
        ++n_without;
        continue;
      }
      all_there &= static_cast<std::uint32_t>(use.slot) < n_slots && link->holds(use.slot, {layer, use.expert});
    }
    return uses;
  }
};

struct outcome {
  evaluation_logits logits;
  bool all_there;
  std::uint64_t n_without;
  link_totals real;
  clock_totals modelled;
  buddy::layer_counters total;
};

struct fixture {
  fixture() {
    model_config c = random_model::tiny();
    c.n_experts = 16;
    c.top_k = 4;
    random_model::write(c, folder.path(), 5);
    model = weights::load(folder.path());
    evaluation_options o;
    o.n_tokens = 150;
    o.tasks = false;
    set = evaluation_set(o, c.max_positions);
  }

  [[nodiscard]] outcome run(policy_settings const& settings, std::uint64_t ns_per_question) const {
    hardware const machine = load_hardware("a100-pcie4");
    charged_shape const sizes{"reference", 2, model.expert_bytes(), 1000};
    auto const routers = model.routers();
    composed_policy composed{
        settings, model.shape(), nullptr, {routers.data(), static_cast<std::uint32_t>(routers.size())}};
    auto const capacity = static_cast<std::uint32_t>(composed.policy().cache().capacity());
    watched_link link{ns_per_question};
    for (std::uint16_t l = 0; l != 2; ++l)
      for (std::uint16_t e = 0; e != 16; ++e)
        if (auto const s = composed.policy().cache().residents(l)[e]; s != buddy::no_slot) link.put(s, {l, e});
    link_host real{link, slot_id{capacity}, 1.0};
    offload_clock modelled{machine, sizes};
    measured_host host{real, modelled, model.shape()};
    policy_moe inner{composed.policy(), host, nullptr};
    checked_moe<decltype(inner)> moe{&inner, &link, capacity + 4};
    evaluation_logits logits = logits_of(model, set, moe);
    return {std::move(logits), moe.all_there,     moe.n_without,
            real.totals(),     modelled.totals(), composed.policy().total()};
  }

  temporary_folder folder;
  weights model;
  std::vector<sequence> set;
};

policy_settings at_ratio(char const* name, double ratio) {
  policy_settings s = preset_settings(name);
  if (s.cache_ratio != 1.0) s.cache_ratio = ratio;
  return s;
}

/// Never takes a copy, like an engine whose device is gone.
struct dead_link {
  static constexpr std::string_view name = "dead_link";
  static buddy::ticket submit(buddy::expert_copy const&) noexcept { return buddy::ticket{1}; }
  static bool done(buddy::ticket) noexcept { return false; }
  static void wait(buddy::ticket) noexcept {}
  static bool cancel(buddy::ticket) noexcept { return false; }
};

}  // namespace

TEST_CASE("every slot that a layer reads holds its expert, on fast and on slow links", "[harness][link_host]") {
  fixture const f;
  exact_moe exact;
  evaluation_logits const expected = logits_of(f.model, f.set, exact);
  for (char const* name : {"all_resident", "fetch", "prefetch", "prefetch_governed", "live_score", "drop_light"}) {
    for (double const ratio : {0.5, 0.1}) {  // 8 slots a layer, and 1: then most fetches go through staging
      for (std::uint64_t const ns : {0U, 300U, 50'000U}) {
        INFO(name << " at " << ratio << ", " << ns << " ns");
        outcome const o = f.run(at_ratio(name, ratio), ns);
        CHECK(o.all_there);
        CHECK(o.n_without == 0);
        bool const is_exact =
            o.total.slots_ending(buddy::resolution::buddy) + o.total.slots_ending(buddy::resolution::drop) == 0;
        CHECK((o.logits == expected) == is_exact);
        CHECK(o.modelled.layers == 2 * count_predictions(f.set));
      }
    }
  }
}

TEST_CASE("what the link has carried is what the policy was told", "[harness][link_host]") {
  fixture const f;
  outcome const fetch = f.run(at_ratio("fetch", 0.5), 100);
  CHECK(fetch.real.bytes[0] == fetch.total.fetches * f.model.expert_bytes());
  CHECK(fetch.real.bytes == fetch.modelled.link_bytes);
  CHECK(fetch.real.background_cancelled == 0);
  outcome const ahead = f.run(at_ratio("prefetch", 0.5), 100);
  CHECK(ahead.real.bytes[1] > 0);
  CHECK(ahead.real.background_cancelled > 0);
  CHECK(ahead.real.bytes[1] <= ahead.total.prefetches * f.model.expert_bytes());
}

TEST_CASE("experts left to the CPU have no slot", "[harness][link_host]") {
  fixture const f;
  policy_settings settings = at_ratio("fetch", 0.5);
  settings.rules.on_refused = buddy::resolution::host;
  outcome const o = f.run(settings, 100);
  CHECK(o.all_there);
  CHECK(o.n_without == o.total.slots_ending(buddy::resolution::host));
  CHECK(o.n_without > 0);
}

TEST_CASE("a link that fails ends the run", "[harness][link_host]") {
  fixture const f;
  composed_policy composed{at_ratio("fetch", 0.5), f.model.shape(), nullptr};
  dead_link link;
  link_host host{link, slot_id{16}, 1.0};
  policy_moe moe{composed.policy(), host, nullptr};
  CHECK_THROWS_AS(logits_of(f.model, f.set, moe), buddy::config_error);
}
