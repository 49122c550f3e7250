// SPDX-License-Identifier: Apache-2.0
/// @file
/// Tables, JSON lines and CSV of the same figures.
#include "harness/replay/replay_report.hpp"

#include "harness/report/json.hpp"
#include "harness/report/text_table.hpp"

#include <buddy/resolution.hpp>

#include <array>
#include <cstddef>
#include <utility>

namespace harness {

namespace {

double rate(std::uint64_t hits, std::uint64_t lookups) {
  return lookups == 0 ? 0.0 : static_cast<double>(hits) / static_cast<double>(lookups);
}

std::string pool_name(policy_settings const& s) {
  return s.pool == buddy::pool_layout::global ? "global" : "per-layer";
}

/// Bounds by the names under which all reports show them.
std::array<std::pair<char const*, phase_counts const*>, 3> named(replay_bounds const& b) {
  return {{{"belady", &b.belady}, {"random", &b.random}, {"static", &b.static_top}}};
}

/// Megabytes a token, by reason.
std::string megabytes(replay_result const& r, std::size_t reason) {
  return fixed(r.run.link_bytes_per_token(r.run.time.link_bytes[reason]) / 1e6, 1);
}

std::vector<std::string> cells(replay_result const& r) {
  auto const& c = r.run.total;
  auto const share = [&](buddy::resolution how) { return percent(r.run.share(how)); };
  return {r.run.settings.eviction,
          std::to_string(r.slots),
          fixed(r.run.settings.cache_ratio, 3),
          std::to_string(c.lookups),
          std::to_string(c.hits),
          percent(r.run.hit_rate(), 2),
          share(buddy::resolution::fetch),
          share(buddy::resolution::buddy),
          share(buddy::resolution::host),
          share(buddy::resolution::drop),
          megabytes(r, 0),
          megabytes(r, 1),
          megabytes(r, 2),
          percent(r.run.stall_share()),
          fixed(r.run.tokens_per_second(), 2)};
}

void add_bounds(text_table& table, replay_result const& r) {
  for (auto const& [name, counts] : named(r.bounds)) {
    auto const& c = counts->decode();
    table.add({"= " + std::string{name}, std::to_string(r.slots), fixed(r.run.settings.cache_ratio, 3),
               std::to_string(c.lookups), std::to_string(c.hits), percent(hit_rate(c), 2)});
  }
}

void print_rows(std::ostream& out, std::vector<replay_result> const& rows) {
  text_table table{{"eviction", "slots", "ratio", "lookups", "hits", "hit rate", "fetch", "buddy", "host", "drop",
                    "MB demand", "prefetch", "refill", "stall", "tokens/s"}};
  for (std::size_t i = 0; i != rows.size(); ++i) {
    table.add(cells(rows[i]));
    bool const last = i + 1 == rows.size() || rows[i + 1].slots != rows[i].slots;
    if (last) add_bounds(table, rows[i]);
    if (last && i + 1 != rows.size()) table.gap();
  }
  table.print(out);
}

void print_phases(std::ostream& out, replay_result const& r) {
  auto const& decode = r.bounds.belady.decode();
  out << "decode: " << r.run.n_tokens << " tokens, " << decode.lookups << " look-ups, of these " << decode.compulsory
      << " first ever, which no cache can hit (at best " << percent(1.0 - rate(decode.compulsory, decode.lookups), 2)
      << ")\n";
  if (r.prefill.lookups != 0)
    out << "prefill, not in the table: " << r.prefill.lookups << " look-ups, "
        << percent(rate(r.prefill.hits, r.prefill.lookups), 2) << " hits with " << r.run.settings.eviction << "\n";
}

void print_layers(std::ostream& out, std::vector<replay_result> const& rows) {
  std::vector<std::string> header{"hit rate by layer"};
  for (replay_result const& r : rows) header.push_back(r.run.settings.eviction + " " + std::to_string(r.slots));
  text_table table{header};
  for (std::uint16_t l = 0; l != rows.front().run.n_layers; ++l) {
    std::vector<std::string> line{std::to_string(l)};
    for (replay_result const& r : rows) line.push_back(percent(rate(r.run.layers[l].hits, r.run.layers[l].lookups)));
    table.add(std::move(line));
  }
  out << '\n';
  table.print(out);
}

void print_sequences(std::ostream& out, std::vector<replay_result> const& rows) {
  std::vector<std::string> header{"hit rate by sequence", "tokens"};
  for (replay_result const& r : rows) header.push_back(r.run.settings.eviction + " " + std::to_string(r.slots));
  text_table table{header};
  for (std::size_t s = 0; s != rows.front().sequences.size(); ++s) {
    std::vector<std::string> line{std::to_string(s), std::to_string(rows.front().sequences[s].tokens)};
    for (replay_result const& r : rows) line.push_back(percent(rate(r.sequences[s].hits, r.sequences[s].lookups)));
    table.add(std::move(line));
  }
  out << '\n';
  table.print(out);
}

nlohmann::ordered_json bounds_json(replay_result const& r) {
  nlohmann::ordered_json out;
  for (auto const& [name, counts] : named(r.bounds)) out[name] = hit_rate(counts->decode());
  return out;
}

nlohmann::ordered_json replay_json(replay_result const& r) {
  auto out = to_json(r.run);
  out["trace"] = r.trace;
  out["slots"] = r.slots;
  out["hits"] = r.run.total.hits;
  out["compulsory_misses"] = r.bounds.belady.decode().compulsory;
  out["bounds"] = bounds_json(r);
  out["prefill"] = {
      {"lookups", r.prefill.lookups}, {"hits", r.prefill.hits}, {"link_bytes", r.prefill_time.all_link_bytes()}};
  return out;
}

}  // namespace

void print_replays(std::ostream& out, std::vector<replay_result> const& rows, replay_tables const& tables) {
  auto const& first = rows.front();
  out << first.trace << " (" << first.run.model << "), " << pool_name(first.run.settings) << " pools; time modelled on "
      << first.run.machine.name << " with the sizes of " << first.run.shape.name << '\n';
  print_phases(out, first);
  print_rows(out, rows);
  if (tables.per_layer) print_layers(out, rows);
  if (tables.per_sequence) print_sequences(out, rows);
}

std::string replay_json_lines(std::vector<replay_result> const& rows) {
  std::string out;
  for (replay_result const& r : rows)
    out += replay_json(r).dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  return out;
}

std::string replay_csv(std::vector<replay_result> const& rows) {
  std::string out =
      "trace,pool,eviction,slots,cache_ratio,lookups,hits,hit_rate,belady,random,static,compulsory,"
      "link_bytes_per_token,stall_share,tokens_per_second\n";
  for (replay_result const& r : rows) {
    out += csv_field(r.trace) + "," + pool_name(r.run.settings) + "," + r.run.settings.eviction + "," +
           std::to_string(r.slots) + "," + fixed(r.run.settings.cache_ratio, 6) + "," +
           std::to_string(r.run.total.lookups) + "," + std::to_string(r.run.total.hits) + "," +
           fixed(r.run.hit_rate(), 6);
    for (auto const& [name, counts] : named(r.bounds)) out += "," + fixed(hit_rate(counts->decode()), 6);
    out += "," + std::to_string(r.bounds.belady.decode().compulsory) + "," +
           fixed(r.run.link_bytes_per_token(r.run.time.all_link_bytes()), 0) + "," + fixed(r.run.stall_share(), 6) +
           "," + fixed(r.run.tokens_per_second(), 4) + "\n";
  }
  return out;
}

}  // namespace harness
