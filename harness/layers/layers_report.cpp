// SPDX-License-Identifier: Apache-2.0
/// @file
/// Ratios are made round by round: both sides of one then had the same neighbours.
#include "harness/layers/layers_report.hpp"

#include "harness/report/json.hpp"
#include "harness/report/text_table.hpp"
#include "harness/sim/hardware.hpp"

#include <buddy/resolution.hpp>

#include <utility>
#include <vector>

namespace harness {

namespace {

using json = nlohmann::ordered_json;

char const* timing_of(layers_result const& r) { return r.backend == "modelled" ? "modelled" : "measured"; }

/// What `to_json` of any run needs; the rest is added below.
run_result as_run(layers_result const& r, mode_result const& m) {
  run_result run;
  run.kind = "layers";
  run.settings = m.settings;
  run.model = r.stack.name;
  run.machine = r.machine;
  run.shape = r.stack.charged();
  run.seed = r.seed;
  run.n_tokens = m.counts.tokens / r.stack.n_layers;
  run.n_layers = r.stack.n_layers;
  run.total = m.counts;
  double seconds = 0.0;
  for (double const s : m.seconds) seconds += s;
  run.time.layers = m.counts.tokens;  // one token's layers
  run.time.elapsed_ns = static_cast<std::uint64_t>(seconds * 1e9);
  run.time.link_bytes = m.moved.link_bytes;
  run.time.background_cancelled = m.moved.background_cancelled;
  return run;
}

json json_of(sample_spread const& s) { return {{"least", s.least}, {"median", s.median}, {"most", s.most}}; }

json ratio_json(layers_result const& r, mode_result const& m, char const* to) {
  mode_result const* const other = r.find(to);
  return other == nullptr ? json(nullptr) : json_of(r.ratio(m, *other));
}

json machine_json(hardware const& h) {
  json out{{"name", h.name}};
  for (hardware_field const& f : hardware_fields()) out[std::string{f.name}] = h.*f.value;
  return out;
}

json same_bits(layers_result const& r, mode_result const& m) {
  mode_result const* const resident = r.find("all_resident");
  if (m.digest == 0 || resident == nullptr) return nullptr;
  return m.digest == resident->digest;
}

json mode_json(layers_result const& r, mode_result const& m) {
  json out = to_json(as_run(r, m));
  auto const rate = r.tokens_per_second(m);
  mode_result const* const resident = r.find("all_resident");
  out["backend"] = r.backend;
  out["routing"] = r.routing;
  out["timing"] = timing_of(r);
  out["phase"] = r.prefill ? "prefill" : "decode";
  out["batch"] = r.n_tokens;
  out["stack"] = {{"hidden", r.stack.record.hidden}, {"width", r.stack.record.width},
                  {"layers", r.stack.n_layers},      {"experts", r.stack.n_experts},
                  {"top_k", r.stack.top_k},          {"rest_bytes", r.stack.rest_bytes}};
  out["rounds"] = m.seconds.size();
  out["tokens_per_second"] = rate.median;
  out["tokens_per_second_spread"] = json_of(rate);
  out["ratio_to_all_resident"] = ratio_json(r, m, "all_resident");
  out["ratio_to_on_demand"] = ratio_json(r, m, "on_demand");
  out["stall_us_per_layer"] = resident == nullptr ? json(nullptr) : json(r.stall_us_per_layer(m, *resident));
  out["stall_share"] = resident == nullptr ? json(nullptr)
                                           : json(r.stall_us_per_layer(m, *resident) * 1e-6 * r.round_steps *
                                                  r.stack.n_layers / spread_of(m.seconds).median);
  out["link_gbps"] = r.link_gbps(m);
  out["link_share_of_peak"] = r.link_gbps(m) / r.machine.link_gbps;
  out["predicted_tokens_per_second"] = m.predicted ? json(*m.predicted) : json(nullptr);
  out["of_prediction"] = m.predicted ? json(rate.median / *m.predicted) : json(nullptr);
  out["same_bits_as_all_resident"] = same_bits(r, m);
  out["bandwidths"] = machine_json(r.machine);
  return out;
}

std::string ratio_cell(layers_result const& r, mode_result const& m, char const* to) {
  mode_result const* const other = r.find(to);
  return other == nullptr ? "-" : fixed(r.ratio(m, *other).median, 2) + "x";
}

std::string bits_cell(layers_result const& r, mode_result const& m) {
  json const same = same_bits(r, m);
  return same.is_null() ? "-" : same.get<bool>() ? "same" : "other";
}

double share_of(buddy::layer_counters const& c, buddy::resolution how) {
  std::uint64_t all = 0;
  for (auto const n : c.slots) all += n;
  return all == 0 ? 0.0 : static_cast<double>(c.slots_ending(how)) / static_cast<double>(all);
}

std::vector<std::string> cells(layers_result const& r, mode_result const& m) {
  auto const rate = r.tokens_per_second(m);
  mode_result const* const resident = r.find("all_resident");
  auto const share = [&](buddy::resolution how) { return percent(share_of(m.counts, how)); };
  return {m.settings.name,
          fixed(rate.median, 1),
          fixed(rate.least, 1) + ".." + fixed(rate.most, 1),
          ratio_cell(r, m, "all_resident"),
          ratio_cell(r, m, "on_demand"),
          resident == nullptr ? "-" : fixed(r.stall_us_per_layer(m, *resident), 1),
          fixed(r.link_gbps(m), 2),
          percent(r.link_gbps(m) / r.machine.link_gbps),
          share(buddy::resolution::own),
          share(buddy::resolution::buddy),
          share(buddy::resolution::host),
          share(buddy::resolution::fetch),
          share(buddy::resolution::drop),
          m.predicted ? percent(rate.median / *m.predicted) : "-",
          bits_cell(r, m)};
}

}  // namespace

void print_layers(std::ostream& out, layers_result const& r) {
  out << r.stack.name << ": " << r.stack.n_layers << " layers of " << r.stack.n_experts << " experts, top-"
      << r.stack.top_k << ", records of " << fixed(static_cast<double>(r.stack.record.bytes()) / 1e6, 2)
      << " MB; cache ratio " << fixed(r.cache_ratio, 3) << "; " << (r.prefill ? "prompt chunks" : "decode, steps")
      << " of " << r.n_tokens << " token" << (r.n_tokens == 1 ? "" : "s") << "; routing: " << r.routing << "\n"
      << "backend " << r.backend << " (" << timing_of(r) << "), " << r.machine.name << ": device "
      << fixed(r.machine.device_gbps, 1) << " GB/s, link " << fixed(r.machine.link_gbps, 2) << " GB/s, CPU "
      << fixed(r.machine.cpu_gbps, 1) << " GB/s\n";
  text_table table{{"mode", "tokens/s", "spread", "resident", "on demand", "stall us", "link GB/s", "of peak", "own",
                    "buddy", "host", "fetch", "drop", "of model", "bits"}};
  for (mode_result const& m : r.modes) table.add(cells(r, m));
  table.print(out);
}

std::string layers_json_lines(layers_result const& r) {
  std::string out;
  for (mode_result const& m : r.modes)
    out += mode_json(r, m).dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  return out;
}

}  // namespace harness
