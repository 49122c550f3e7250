// SPDX-License-Identifier: Apache-2.0
/// @file
/// Loads, runs, measures.
#include "harness/run/session.hpp"

#include "harness/fidelity/planned_bytes.hpp"
#include "harness/guard/guarded_moe.hpp"
#include "harness/guard/loss_setup.hpp"
#include "harness/policy/compose.hpp"
#include "harness/run/calibration.hpp"
#include "harness/run/device_run.hpp"
#include "harness/run/in_parallel.hpp"
#include "harness/run/policy_moe.hpp"
#include "harness/tasks/quality.hpp"

#include <buddy/io/mapped_file.hpp>
#include <buddy/io/profile_io.hpp>
#include <buddy/stand_in_losses.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

namespace harness {

namespace {

/// Attention matrices and router of one layer, and its share of the output matrix, at the stored precision.
charged_shape own_shape(weights const& model) {
  model_config const& c = model.config();
  std::uint64_t const weight_bytes = std::max<std::uint64_t>(2, model.expert_bytes() / c.expert_parameters());
  std::uint64_t const layer = c.hidden_size * (2 * c.q_size() + 2 * c.kv_size() + c.n_experts);
  std::uint64_t const head = std::uint64_t{c.vocab_size} * c.hidden_size;
  return {"reference", c.n_layers, model.expert_bytes(), (layer + head / c.n_layers) * weight_bytes};
}

evaluation_logits exact_logits(weights const& model, device_model const* device, std::vector<sequence> const& set) {
  if (device != nullptr) return exact_logits_of(*device, set);
  exact_moe moe;
  return logits_of(model, set, moe);
}

void add_quality(run_result& r, std::vector<sequence> const& set, evaluation_logits const& run,
                 evaluation_logits const& exact) {
  std::vector<sequence_score> scores;
  std::size_t step = 0;
  for (sequence const& s : set) {
    scores.push_back(score_sequence(s, run.from(step), exact.from(step)));
    step += s.n_predictions();
  }
  auto const is_text = [](sequence_score const& s) { return !s.is_task; };
  if (std::any_of(scores.begin(), scores.end(), is_text)) r.text = summarise_text(scores);
  r.domains = summarise_domains(scores);
  r.tasks = summarise_tasks(scores);
}

std::string folder_name(std::filesystem::path const& folder) {
  auto const name = folder.has_filename() ? folder.filename() : folder.parent_path().filename();
  return name.string();
}

weights load_model(session_options const& options) {
  if (options.record_bits != 16 && options.record_bits != 4) throw buddy::config_error("--record-bits must be 16 or 4");
  weights model = weights::load(options.model);
  if (options.record_bits == 4) model.round_experts();
  return model;
}

/// Records of 4 bits have 5 bits a weight with their scales and minima, where the shape has 16.
charged_shape charged(charged_shape shape, session_options const& options) {
  if (options.record_bits == 4 && shape.name != "reference") shape.expert_bytes = shape.expert_bytes * 5 / 16;
  return shape;
}

/// Before anything is loaded. A file that was named is there, even when no policy turns out to need it.
session_options checked(session_options const& options) {
  if (options.backend == backend_kind::cuda) {
    if (std::string const why = why_no_device(); !why.empty()) throw buddy::config_error("--backend cuda: " + why);
    if (options.shape != "reference")
      throw buddy::config_error("--backend cuda measures the model that runs: --shape must be reference");
  }
  if (!options.profile.empty()) static_cast<void>(buddy::io::mapped_file{options.profile});
  return options;
}

}  // namespace

session::session(session_options const& options)
    : options_{checked(options)},
      machine_{load_hardware(options.hardware)},
      model_{load_model(options)},
      shape_{charged(find_shape(options.shape, own_shape(model_)), options)},
      evaluation_{evaluation_set(options.evaluation, model_.config().max_positions)},
      device_{options.backend == backend_kind::cuda ? std::make_shared<device_model const>(model_) : nullptr},
      exact_{exact_logits(model_, device_.get(), evaluation_)} {}

buddy::model_shape session::charged_model() const noexcept {
  buddy::model_shape shape = model_.shape();
  shape.expert_bytes = shape_.expert_bytes;
  return shape;
}

void session::prepare(std::vector<policy_settings> const& policies) {
  for (policy_settings const& s : policies) {
    if (needs_low_precision(s) && !has_stand_ins(s))
      throw buddy::config_error("policy '" + s.name +
                                "' uses low-precision copies, which the model here does not have: name some with "
                                "--stand-ins");
    if (device_ != nullptr && (needs_losses(s) || has_stand_ins(s)))
      throw buddy::config_error("policy '" + s.name + "' computes stand-ins, which --backend cuda does not");
  }
  if (!plan_trace_ && std::any_of(policies.begin(), policies.end(), is_planned))
    plan_trace_ = calibration_trace(model_, options_.evaluation.n_tokens, options_.evaluation.seed);
  if (!profile_ && std::any_of(policies.begin(), policies.end(), needs_profile)) {
    std::filesystem::path file = options_.profile;
    auto const beside = options_.model / "profile.safetensors";
    if (file.empty() && std::filesystem::exists(beside)) file = beside;
    if (file.empty()) {
      calibration_options calibration;
      calibration.seed = options_.evaluation.seed;
      profile_ = calibrate(model_, calibration);
    } else {
      profile_ = buddy::io::read_profile(file, model_.identity(), model_.shape());
    }
  }
  prepare_losses(policies);
}

std::vector<std::string> session::warnings(std::vector<policy_settings> const& policies) const {
  std::vector<std::string> all;
  for (policy_settings const& settings : policies) {
    std::string const text = cache_warning(planned(settings), charged_model(), profile_ ? &*profile_ : nullptr);
    if (!text.empty() && std::find(all.begin(), all.end(), text) == all.end()) all.push_back(text);
  }
  return all;
}

policy_settings session::planned(policy_settings const& settings) const {
  if (!is_planned(settings) || !plan_trace_) return settings;
  auto const plan = plan_bytes(*profile_, charged_model(), *plan_trace_, settings.cache_ratio, 0.0);
  return with_plan(settings, plan, *profile_);
}

session::outcome session::decode(policy_settings const& settings, composed_policy& composed, router_rows rows,
                                 std::vector<sequence> const& set, loss_setup const* losses,
                                 buddy::trace_recorder* recorder, timeline* drawn) const {
  std::optional<early_router> early;
  if (settings.route_ahead != 0) early.emplace(charged_model(), rows, settings.route_ahead);
  if (device_ != nullptr) {
    auto run = run_on_device(*device_, set, composed.policy(), machine_, shape_, std::move(early), recorder);
    return {std::move(run.logits), run.time, std::move(run.measured), {}};
  }
  offload_clock clock{machine_, shape_, drawn};
  policy_moe moe{composed.policy(), clock, recorder};
  std::optional<served_stand_ins> stand_ins;
  if (has_stand_ins(settings)) moe.serve(stand_ins.emplace(settings, *profile_, model_));
  if (early) moe.route_ahead(std::move(*early));
  if (losses == nullptr || losses->guard() == nullptr) {
    evaluation_logits logits = logits_of(model_, set, moe);
    return {std::move(logits), clock.totals(), std::nullopt, {}};
  }
  guarded_moe guarded{moe, *losses->guard(), model_, losses->loss_weights()};
  evaluation_logits logits = guarded_logits(model_, set, guarded);
  guard_report const report{losses->target_ub(), losses->guard()->status(), guarded.counts(),
                            audit_ns(guarded.counts(), clock.cost(), model_.config())};
  return {std::move(logits), clock.totals(), std::nullopt, report};
}

run_result session::run(policy_settings const& settings, buddy::trace_recorder* recorder, timeline* drawn) const {
  return run_on(settings, evaluation_, exact_, recorder, drawn);
}

run_result session::run_on(policy_settings const& given, std::vector<sequence> const& set,
                           evaluation_logits const& exact, buddy::trace_recorder* recorder, timeline* drawn) const {
  policy_settings const settings = planned(given);
  auto const routers = model_.routers();
  router_rows const rows{routers.data(), static_cast<std::uint32_t>(routers.size())};
  std::optional<loss_setup> const losses = losses_for(settings);
  composed_policy composed{with_budget(settings, losses ? &*losses : nullptr), charged_model(),
                           profile_ ? &*profile_ : nullptr, rows, losses ? losses->tables() : loss_tables{}};
  outcome const decoded = decode(settings, composed, rows, set, losses ? &*losses : nullptr, recorder, drawn);
  return result_of(settings, set, exact, composed.policy(), decoded);
}

run_result session::result_of(policy_settings const& settings, std::vector<sequence> const& set,
                              evaluation_logits const& exact, harness_policy const& policy,
                              outcome const& decoded) const {
  run_result r;
  r.settings = settings;
  r.model = folder_name(options_.model);
  r.machine = machine_;
  r.shape = shape_;
  r.seed = options_.evaluation.seed;
  r.n_tokens = count_predictions(set);
  r.time = decoded.time;
  r.measured = decoded.measured;
  r.guard = decoded.guard;
  if (r.guard) r.time.elapsed_ns += r.guard->audit_ns;
  r.total = policy.total();
  r.residents = policy.cache().by_worth();
  for (std::uint16_t l = 0; l != model_.config().n_layers; ++l) r.layers.push_back(policy.counters(l));
  bool const global = settings.pool == buddy::pool_layout::global;
  for (std::uint16_t l = 0; l != (global ? 1 : model_.config().n_layers); ++l)
    if (auto const* const report = policy.cache().eviction(l).report()) r.choices.push_back(*report);
  add_quality(r, set, decoded.logits, exact);
  return r;
}

std::vector<run_result> run_rows(session const& s, std::vector<policy_settings> const& rows, std::uint32_t n_threads,
                                 std::function<void(std::size_t, run_result const&)> const& progress) {
  std::vector<run_result> results(rows.size());
  std::atomic<std::size_t> next{0};
  std::size_t done = 0;
  std::exception_ptr failure;
  std::mutex mutex;  // guards done, failure and progress
  auto const work = [&] {
    for (std::size_t i = next++; i < rows.size(); i = next++) {
      try {
        results[i] = s.run(rows[i]);
        std::lock_guard const lock{mutex};
        progress(++done, results[i]);
      } catch (...) {
        std::lock_guard const lock{mutex};
        if (!failure) failure = std::current_exception();
        next = rows.size();
      }
    }
  };
  bool const measured = s.options().backend == backend_kind::cuda;
  std::size_t const wanted = measured         ? 1
                             : n_threads != 0 ? n_threads
                                              : std::min(8U, std::thread::hardware_concurrency());
  in_parallel(std::min(wanted, rows.size()), work);
  if (failure) std::rethrow_exception(failure);
  return results;
}

}  // namespace harness
