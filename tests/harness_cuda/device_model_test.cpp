// SPDX-License-Identifier: Apache-2.0
// The bundled model on a GPU. tests/emulated_model does the same with the kernels' source on the CPU.
#include "catch.hpp"
#include "cuda/skip.hpp"
#include "harness/policy/compose.hpp"
#include "harness/policy/presets.hpp"
#include "harness/run/device_run.hpp"
#include "harness/run/session.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace {

using namespace harness;

session_options options(std::uint32_t n_tokens) {
  session_options o;
  o.backend = backend_kind::cuda;
  o.shape = "reference";
  o.evaluation.n_tokens = n_tokens;
  return o;
}

struct bundled {
  weights model = weights::load(session_options{}.model);
  std::vector<sequence> set = evaluation_set(options(150).evaluation, model.config().max_positions);
  hardware machine = load_hardware("rtx4090-pcie4");
  charged_shape sizes{"reference", model.config().n_layers, model.expert_bytes(), 100'000};
};

evaluation_logits run(bundled const& b, device_model const& device, policy_settings const& settings) {
  composed_policy composed{settings, b.model.shape(), nullptr};
  return run_on_device(device, b.set, composed.policy(), b.machine, b.sizes).logits;
}

/// Share of the steps whose logits differ by more than this from the largest of them.
double share_of_far_steps(bundled const& b, evaluation_logits const& got, evaluation_logits const& expected,
                          float tolerance) {
  std::size_t const n = b.model.config().vocab_size;
  std::size_t const steps = count_predictions(b.set);
  std::size_t far = 0;
  for (std::size_t i = 0; i != steps; ++i) {
    auto const x = got.from(i).first(n);
    auto const y = expected.from(i).first(n);
    float largest = 0, difference = 0;
    for (std::size_t j = 0; j != n; ++j) {
      largest = std::max(largest, std::abs(y[j]));
      difference = std::max(difference, std::abs(x[j] - y[j]));
    }
    far += difference <= tolerance * largest ? 0 : 1;  // NaN counts
  }
  return static_cast<double>(far) / static_cast<double>(steps);
}

}  // namespace

TEST_CASE("the bundled model on a GPU gives the CPU's logits", "[cuda][gpu][model]") {
  if (skipped()) return;
  bundled const b;
  device_model const device{b.model};
  exact_moe exact;
  // Experts read their input in f16; where two experts are all but tied, that now and then lets the other one win.
  CHECK(share_of_far_steps(b, exact_logits_of(device, b.set), logits_of(b.model, b.set, exact), 0.01F) <= 0.02);
}

TEST_CASE("exact policies on a GPU give the bits of all resident, again and again", "[cuda][gpu][model][long]") {
  if (skipped()) return;
  bundled const b;
  device_model const device{b.model};
  evaluation_logits const expected = exact_logits_of(device, b.set);
  CHECK(exact_logits_of(device, b.set) == expected);
  for (char const* name : {"all_resident", "fetch", "prefetch"}) {
    for (double const ratio : {0.5, 0.05}) {  // 32 slots a layer, and 3 for 6 experts a token: staging
      policy_settings settings = preset_settings(name);
      if (settings.cache_ratio != 1.0) settings.cache_ratio = ratio;
      INFO(name << " at " << ratio);
      CHECK(run(b, device, settings) == expected);
    }
  }
  policy_settings random = preset_settings("random");
  CHECK_FALSE(run(b, device, random) == expected);
  random.rules.exact = true;
  CHECK(run(b, device, random) == expected);
}

TEST_CASE("every policy runs on a GPU", "[cuda][gpu][model][long]") {
  if (skipped()) return;
  std::vector<policy_settings> rows;
  for (preset const& p : presets()) {
    policy_settings s = preset_settings(p.name);
    if (!needs_low_precision(s) && !needs_losses(s)) rows.push_back(s);  // those run on the CPU
  }
  policy_settings host = preset_settings("fetch");
  host.name = "fetch, left to the CPU";
  host.rules.on_refused = buddy::resolution::host;
  rows.push_back(host);
  session s{options(600)};
  s.prepare(rows);
  for (run_result const& r : run_rows(s, rows, 1, [](std::size_t, run_result const&) {})) {
    INFO(r.settings.name);
    REQUIRE(r.measured.has_value());
    CHECK(r.measured->n_tokens == r.n_tokens);
    CHECK((std::isfinite(r.text->kl_nats.mean) && r.text->kl_nats.mean < 5.0));
  }
}
