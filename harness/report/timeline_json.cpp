// SPDX-License-Identifier: Apache-2.0
/// @file
/// Events are written one by one: a document tree of as many nodes would take ten times the memory.
#include "harness/report/timeline_json.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <cstddef>

namespace harness {

namespace {

using json = nlohmann::ordered_json;

constexpr int process = 1;
enum tracks : int { layers = 1, link = 2, host_lane = 3 };

char const* name_of(buddy::copy_reason why) {
  return std::array{"demand", "prefetch", "refill"}[static_cast<std::size_t>(why)];
}

char const* name_of(span_kind kind) {
  return std::array{"layer", "rest", "resolve", "experts", "stall", "host", "copy"}[static_cast<std::size_t>(kind)];
}

tracks track_of(span_kind kind) {
  if (kind == span_kind::copy) return link;
  return kind == span_kind::host ? host_lane : layers;
}

std::string title_of(timeline_span const& s) {
  std::string const layer = std::to_string(s.layer);
  if (s.kind == span_kind::layer) return "layer " + layer;
  if (s.kind == span_kind::copy) return std::string{name_of(s.why)} + " " + layer + ":" + std::to_string(s.expert);
  return name_of(s.kind);
}

json event_of(timeline_span const& s) {
  json e{{"ph", "X"},
         {"pid", process},
         {"tid", static_cast<int>(track_of(s.kind))},
         {"ts", static_cast<double>(s.begin_ns) / 1000.0},
         {"dur", static_cast<double>(s.end_ns - s.begin_ns) / 1000.0},
         {"name", title_of(s)},
         {"cat", s.kind == span_kind::copy ? name_of(s.why) : name_of(s.kind)}};
  e["args"] = {{"step", s.step}, {"layer", s.layer}};
  if (s.kind == span_kind::copy) e["args"].update({{"expert", s.expert}, {"bytes", s.bytes}});
  return e;
}

json name_event(char const* what, int track, std::string const& name) {
  return {{"ph", "M"}, {"pid", process}, {"tid", track}, {"name", what}, {"args", {{"name", name}}}};
}

std::string line_of(json const& e) { return e.dump(-1, ' ', false, json::error_handler_t::replace); }

}  // namespace

std::string timeline_json(timeline const& drawn, timeline_labels const& labels) {
  json const about{{"clock", labels.clock},   {"hardware", labels.hardware},      {"shape", labels.shape},
                   {"policy", labels.policy}, {"first_step", drawn.first_step()}, {"left_out", drawn.left_out()}};
  std::string out = "{\"displayTimeUnit\":\"ns\",\"otherData\":" + line_of(about) + ",\"traceEvents\":[\n";
  out += line_of(name_event("process_name", 0, labels.policy + " on " + labels.hardware));
  out += ",\n" + line_of(name_event("thread_name", layers, "layers"));
  out += ",\n" + line_of(name_event("thread_name", link, "link"));
  out += ",\n" + line_of(name_event("thread_name", host_lane, "CPU"));
  for (timeline_span const& s : drawn.spans()) out += ",\n" + line_of(event_of(s));
  return out + "\n]}\n";
}

}  // namespace harness
