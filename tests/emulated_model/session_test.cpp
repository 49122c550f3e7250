// SPDX-License-Identifier: Apache-2.0
// Sessions on an emulated device: every policy through the same code as on a real one.
#include "harness/run/session.hpp"

#include "catch.hpp"
#include "harness/policy/compose.hpp"
#include "harness/policy/presets.hpp"
#include "harness/run/device_run.hpp"
#include "small_model.hpp"

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace {

using namespace harness;

bool is_exact(run_result const& r) {
  return r.share(buddy::resolution::buddy) + r.share(buddy::resolution::drop) == 0.0;
}

}  // namespace

TEST_CASE("every policy runs on the device; those that replace nothing give the bits of all resident",
          "[emulated][model][session]") {
  small_model const f;
  std::vector<policy_settings> rows;
  for (preset const& p : presets()) {
    policy_settings s = preset_settings(p.name);
    if (!needs_low_precision(s) && !needs_losses(s)) rows.push_back(s);  // those run on the CPU
  }
  session s{f.options(backend_kind::cuda)};
  s.prepare(rows);
  int n_exact = 0;
  for (run_result const& r : run_rows(s, rows, 4, [](std::size_t, run_result const&) {})) {
    INFO(r.settings.name);
    REQUIRE(r.measured.has_value());
    CHECK(r.measured->n_tokens == 10);
    CHECK(r.tokens_per_second() > 0.0);
    CHECK(std::isfinite(r.text->kl_nats.mean));
    if (is_exact(r)) CHECK((r.text->kl_nats.mean == 0.0 && r.text->change.mean == 0.0));
    n_exact += is_exact(r) ? 1 : 0;
  }
  CHECK(n_exact >= 3);
  CHECK(n_exact < static_cast<int>(rows.size()));
}

TEST_CASE("exact policies give the bits of all resident at every cache size", "[emulated][model][session]") {
  small_model const f;
  weights const model = weights::load(f.folder.path());
  device_model const device{model};
  auto const set = evaluation_set(f.options(backend_kind::cuda).evaluation, model.config().max_positions);
  evaluation_logits const expected = exact_logits_of(device, set);
  hardware const machine = load_hardware("a100-pcie4");
  charged_shape const sizes{"reference", 2, model.expert_bytes(), 1000};
  auto const run = [&](policy_settings const& settings) {
    composed_policy composed{settings, model.shape(), nullptr};
    return run_on_device(device, set, composed.policy(), machine, sizes);
  };
  for (double const ratio : {0.125, 0.5, 1.0}) {  // 1 slot a layer for 3 experts a token: two go through staging
    policy_settings settings = preset_settings("prefetch");
    settings.cache_ratio = ratio;
    auto const result = run(settings);
    CHECK(result.logits == expected);
    CHECK((result.time.link_bytes[0] == 0) == (ratio == 1.0));
  }
  policy_settings random = preset_settings("random");
  CHECK_FALSE(run(random).logits == expected);
  random.rules.exact = true;
  CHECK(run(random).logits == expected);
}

TEST_CASE("the device decides and answers as the CPU does", "[emulated][model][session]") {
  small_model const f;
  auto const result = [&](backend_kind backend, buddy::resolution on_refused) {
    policy_settings settings = preset_settings("fetch");
    settings.rules.on_refused = on_refused;
    session s{f.options(backend)};
    s.prepare({settings});
    return s.run(settings);
  };
  auto const cpu = result(backend_kind::cpu, buddy::resolution::fetch);
  auto const cuda = result(backend_kind::cuda, buddy::resolution::fetch);
  CHECK(cuda.total.lookups == cpu.total.lookups);
  CHECK(cuda.total.hits == cpu.total.hits);
  CHECK(cuda.time.link_bytes == cpu.time.link_bytes);
  CHECK(cuda.text->bits_per_byte.mean == Approx(cpu.text->bits_per_byte.mean).epsilon(1e-3));
  CHECK(cuda.modelled_tokens_per_second() == Approx(cpu.tokens_per_second()));
  auto const on_host = result(backend_kind::cuda, buddy::resolution::host);
  CHECK(on_host.share(buddy::resolution::host) > 0.0);
  CHECK(on_host.text->kl_nats.mean < 1e-4);
}
