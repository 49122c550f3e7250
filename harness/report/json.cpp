// SPDX-License-Identifier: Apache-2.0
/// @file
/// Field by field.
#include "harness/report/json.hpp"

#include "harness/report/provenance.hpp"

#include <buddy/resolution.hpp>

#include <array>
#include <cstddef>
#include <utility>

namespace harness {

namespace {

using json = nlohmann::ordered_json;

template <class T>
json or_null(std::optional<T> const& x) {
  return x ? json(*x) : json(nullptr);
}

char const* name_of(buddy::prefetch_mode m) {
  return std::array{"always", "governed", "retain-only"}[static_cast<std::size_t>(m)];
}

char const* name_of(buddy::lane_rule r) {
  return std::array{"fixed", "fiddler", "q-star"}[static_cast<std::size_t>(r)];
}

char const* order_name(buddy::budget_order o) {
  return std::array{"router", "lightest-first", "least-loss"}[static_cast<std::size_t>(o)];
}

json config_of(policy_settings const& s) {
  return {{"eviction", s.eviction},
          {"pool", s.pool == buddy::pool_layout::global ? "global" : "per-layer"},
          {"split", to_string(s.split)},
          {"predictor", s.predictor},
          {"sensitivity", s.sensitivity},
          {"selector", s.selector},
          {"weights", s.rules.weights == buddy::weight_mode::own ? "own" : "keep"},
          {"renormalise", s.rules.renormalise},
          {"on_refused", buddy::to_string(s.rules.on_refused)},
          {"exact", s.rules.exact},
          {"rho", s.rules.rho},
          {"order", order_name(s.rules.order)},
          {"beta", or_null(s.rules.beta)},
          {"replacement_ratio", s.rules.replacement_ratio},
          {"ratio_window", s.rules.ratio_window},
          {"refill_after", s.rules.refill_after},
          {"prefetch_width", s.rules.prefetch_width},
          {"prefetch_mode", name_of(s.rules.prefetch)},
          {"miss_lanes", name_of(s.rules.lanes.rule)},
          {"admissions_per_layer", s.rules.admissions_per_layer},
          {"over_cap", buddy::to_string(s.rules.over_cap)},
          {"refill_bytes_per_step", s.rules.refill_bytes_per_step},
          {"stand_ins", s.loss.stand_ins},
          {"max_loss", s.loss.promise ? json(s.loss.promise->text()) : json(nullptr)},
          {"warm", s.warm},
          {"saved_residents", s.residents.size()}};
}

/// What single components were made with, whether or not they take part.
json parameters_of(policy_settings const& s) {
  bool const weighted = s.lists.counts == buddy::coactivation_counts::min_weighted;
  return {{"tau", s.tau},
          {"tau_percentile", or_null(s.tau_percentile)},
          {"temperature", s.temperature},
          {"gamma", or_null(s.gamma)},
          {"weight_threshold", s.weight_threshold},
          {"alpha", s.lists.alpha},
          {"k_max", s.lists.k_max},
          {"counts", weighted ? "min-weighted" : "binary"},
          {"search_limit", s.search_limit},
          {"eta", s.eta},
          {"half_life", s.half_life},
          {"learnt", s.learnt},
          {"ema_alpha", or_null(s.ema_alpha)},
          {"gate_ahead", s.gate_ahead},
          {"activation_maps", s.n_maps},
          {"route_ahead", s.route_ahead},
          {"n_kept", s.other.n_kept},
          {"cold_factor", s.other.cold_factor},
          {"ser_ratio", s.other.ser_ratio},
          {"error_limit", s.other.error_limit},
          {"score_threshold", s.other.score_threshold},
          {"replaceable_share", s.other.replaceable_share},
          {"outputs", buddy::to_string(s.other.outputs)},
          {"similarity_threshold", s.other.similarity_threshold},
          {"lambda", s.other.lambda},
          {"window", s.other.window},
          {"window_mass", s.other.window_mass},
          {"substitute_scale", s.other.substitute_scale},
          {"full_mass", s.other.full_mass},
          {"low_mass", s.other.low_mass},
          {"low_precision_ratio", s.other.low_precision_ratio},
          {"layer_stand_ins", s.loss.layer_stand_ins},
          {"layer_slots", s.loss.layer_slots},
          {"free_stand_ins", s.loss.free_stand_ins},
          {"buddies", s.loss.buddies}};
}

json shares_of(run_result const& r) {
  json out;
  for (std::size_t i = 0; i != buddy::n_resolutions; ++i) {
    auto const how = static_cast<buddy::resolution>(i);
    out[std::string{buddy::to_string(how)}] = r.share(how);
  }
  return out;
}

/// Why missing slots got no stand-in; slots that did get one are not refusals.
json refusals_of(buddy::layer_counters const& c) {
  json out;
  for (std::size_t i = 1; i != buddy::n_refusals; ++i) {
    auto const why = static_cast<buddy::refusal>(i);
    out[std::string{buddy::to_string(why)}] = c.refused(why);
  }
  return out;
}

json bytes_by_reason(run_result const& r) {
  return {{"demand", r.link_bytes_per_token(r.time.link_bytes[0])},
          {"prefetch", r.link_bytes_per_token(r.time.link_bytes[1])},
          {"refill", r.link_bytes_per_token(r.time.link_bytes[2])}};
}

json accuracies(run_result const& r, estimate task_metrics::* which) {
  if (r.tasks.empty()) return nullptr;
  json out;
  for (auto const& [name, metrics] : r.tasks) out[name] = (metrics.*which).mean;
  return out;
}

/// Standard errors that one sequence alone cannot give are NaN, which JSON writes as null.
json quality_of(run_result const& r) {
  json q;
  json errors;
  auto const add = [&](char const* name, bool applies, estimate const& x) {
    q[name] = applies ? json(x.mean) : json(nullptr);
    errors[name] = applies ? json(x.standard_error) : json(nullptr);
  };
  text_metrics const text = r.text.value_or(text_metrics{});
  add("bits_per_byte", r.text.has_value(), text.bits_per_byte);
  add("bits_per_byte_exact", r.text.has_value(), text.bits_per_byte_exact);
  add("bits_per_byte_change", r.text.has_value(), text.change);
  add("kl_nats", r.text.has_value(), text.kl_nats);
  add("top1_agreement", r.text.has_value(), text.top1_agreement);
  add("task_accuracy_mean", !r.tasks.empty(), r.task_accuracy());
  add("task_accuracy_mean_exact", !r.tasks.empty(), r.task_accuracy_exact());
  q["kl_nats_interval"] = r.text ? json{text.kl_interval.low, text.kl_interval.high} : json(nullptr);
  q["task_accuracy"] = accuracies(r, &task_metrics::accuracy);
  q["task_accuracy_exact"] = accuracies(r, &task_metrics::accuracy_exact);
  q["standard_error"] = errors;
  return q;
}

json layers_of(run_result const& r) {
  json out = json::array();
  for (auto const& c : r.layers)
    out.push_back(c.lookups == 0 ? json(nullptr) : json(static_cast<double>(c.hits) / static_cast<double>(c.lookups)));
  return out;
}

json rank_of(buddy::layer_counters const& c) {
  auto const n = c.slots_ending(buddy::resolution::buddy);
  return n == 0 ? json(nullptr) : json(static_cast<double>(c.stand_in_rank_sum) / static_cast<double>(n));
}

void add_identity(json& out, run_result const& r) {
  out["kind"] = r.kind;
  out["policy"] = r.settings.name;
  out["config"] = config_of(r.settings);
  out["config"].update(parameters_of(r.settings));
  out["model"] = r.model;
  out["trace"] = nullptr;
  out["backend"] = r.measured ? "cuda" : "cpu";
  out["device"] = r.measured ? json(r.measured->device) : json(nullptr);
  out["hardware"] = r.machine.name;
  out["shape"] = r.shape.name;
  out["cache_ratio"] = r.settings.cache_ratio;
  out["seed"] = r.seed;
  out["commit"] = or_null(source_commit());
  out["machine"] = or_null(machine_name());
  out["n_tokens"] = r.n_tokens;
}

void add_time(json& out, run_result const& r) {
  out["timing"] = r.timing();
  out["tokens_per_second"] = r.tokens_per_second();
  out["stall_share"] = r.stall_share();
  if (r.measured) {
    out["tokens_per_second_modelled"] = r.modelled_tokens_per_second();
    out["stall_share_modelled"] = r.modelled_stall_share();
    out["measured_over_modelled"] = r.tokens_per_second() / r.modelled_tokens_per_second();
  }
  out["link_bytes_per_token"] = r.link_bytes_per_token(r.time.all_link_bytes());
  out["link_bytes_per_token_by_reason"] = bytes_by_reason(r);
}

void add_counts(json& out, run_result const& r) {
  auto const& c = r.total;
  out["lookups"] = c.lookups;
  out["hit_rate"] = r.hit_rate();
  out["hit_rate_by_layer"] = layers_of(r);
  out["share"] = shares_of(r);
  out["refusals"] = refusals_of(c);
  out["buddy_rank_mean"] = rank_of(c);
  out["copies"] = {{"fetches", c.fetches},
                   {"staged", c.staged},
                   {"waits", c.waits},
                   {"refills", c.refills},
                   {"prefetches", c.prefetches},
                   {"useful_prefetches", c.useful_prefetches},
                   {"late_prefetches", c.late_prefetches},
                   {"wasted_prefetches", c.wasted_prefetches},
                   {"background_cancelled", r.time.background_cancelled}};
}

json estimate_of(buddy::loss_estimate const& e) {
  return {{"mean_ub", e.mean_ub}, {"error_ub", e.error_ub}, {"audits", e.n_audits}, {"tokens", e.n_tokens}};
}

/// What was promised, in micro-bits a token, and what the guard knows at the end.
json guard_of(run_result const& r) {
  if (!r.guard) return nullptr;
  guard_report const& g = *r.guard;
  return {{"max_loss", r.settings.loss.promise->text()},
          {"target_ub", g.target_ub},
          {"allowed_ub", g.status.allowed_ub},
          {"link", static_cast<double>(g.status.link_q16) / 65536.0},
          {"slots", estimate_of(g.status.slots)},
          {"tokens", estimate_of(g.status.tokens)},
          {"slot_audits", g.audits.slots},
          {"token_audits", g.audits.tokens},
          {"time_share", static_cast<double>(g.audit_ns) / static_cast<double>(r.time.elapsed_ns)},
          {"drifts", g.status.drifts},
          {"alarms", g.status.alarms}};
}

}  // namespace

json to_json(run_result const& result) {
  json out;
  add_identity(out, result);
  add_time(out, result);
  add_counts(out, result);
  out["quality"] = quality_of(result);
  out["guard"] = guard_of(result);
  return out;
}

std::string to_json_lines(std::vector<run_result> const& results) {
  std::string out;  // a model's folder may have a name that is not UTF-8
  for (run_result const& r : results) out += to_json(r).dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  return out;
}

}  // namespace harness
