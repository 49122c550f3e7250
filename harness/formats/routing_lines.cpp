// SPDX-License-Identifier: Apache-2.0
/// @file
/// Two passes: the first finds the sizes, the second the slots.
#include "harness/formats/routing_lines.hpp"

#include "harness/formats/trace_builder.hpp"

#include <buddy/io/mapped_file.hpp>
#include <buddy/types.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace harness {

namespace {

using json = nlohmann::json;

/// One token at one layer, before the sizes are known.
struct routed {
  std::size_t line{};
  token_place place;
  buddy::phase phase{};
  std::uint32_t layer{};
  std::vector<std::uint32_t> experts;
  std::vector<float> weights;  // as many, or none
};

class line_reader {
 public:
  explicit line_reader(std::string const& name) : builder_{name} {}

  void line(std::string_view text, std::size_t number) {
    number_ = number;
    if (text.find_first_not_of(" \t\r") == std::string_view::npos) return;
    // What is nested deeper than any routing is left out while it is read.
    json const x = json::parse(text.begin(), text.end(), limit_depth, false);
    if (!x.is_object()) fail("must be one JSON object");
    bool const whole = x.contains("routed_experts");
    if (!all_.empty() && whole != whole_) fail("must be of the same kind as the lines before");
    whole_ = whole;
    whole ? sequence(x) : record(x);
  }

  [[nodiscard]] buddy::routing_trace finish(std::uint32_t n_experts) {
    if (all_.empty()) fail("there is no token");
    std::uint64_t layers = 0;
    std::uint64_t experts = n_experts;
    bool weighted = !all_.front().weights.empty();
    for (routed const& r : all_) {
      layers = std::max<std::uint64_t>(layers, std::uint64_t{r.layer} + 1);
      if (r.weights.empty() == weighted) builder_.fail(r.line, "weights must be on every line or on none");
      if (n_experts == 0)
        for (auto const e : r.experts) experts = std::max<std::uint64_t>(experts, std::uint64_t{e} + 1);
    }
    builder_.set_shape(number_, layers, experts, all_.front().experts.size());
    for (routed const& r : all_)
      for (std::size_t s = 0; s != r.experts.size(); ++s)
        builder_.add(r.line, r.place, r.phase, r.layer, {r.experts[s], weighted ? r.weights[s] : 0.0F, false});
    auto trace = builder_.finish();
    if (!weighted) trace.weights.clear();
    trace.resident.clear();
    trace.model = "unknown";
    return trace;
  }

 private:
  static bool limit_depth(int depth, json::parse_event_t, json&) { return depth < 8; }

  [[noreturn]] void fail(std::string const& rule) const { builder_.fail(number_, rule); }

  std::uint64_t number(json const& x, std::string const& name, std::uint64_t limit) const {
    if (!x.is_number_unsigned() || x.get<std::uint64_t>() >= limit)
      fail(name + " must be a whole number below " + std::to_string(limit));
    return x.get<std::uint64_t>();
  }

  /// The member of one of two names, or null.
  static json member(json const& x, char const* name, char const* other) {
    auto found = x.find(name);
    if (found == x.end()) found = x.find(other);
    return found == x.end() ? json(nullptr) : *found;
  }

  std::vector<std::uint32_t> ids(json const& x) const {
    if (!x.is_array() || x.empty() || x.size() > buddy::max_top_k) fail("experts must be a list of 1 to 32 ids");
    std::vector<std::uint32_t> out;
    for (json const& id : x) out.push_back(static_cast<std::uint32_t>(number(id, "an expert", buddy::max_experts)));
    return out;
  }

  void record(json const& x) {
    routed r{number_, {}, buddy::phase::decode, 0, ids(member(x, "experts", "topk_ids")), {}};
    r.layer = static_cast<std::uint32_t>(number(member(x, "layer", "layer_idx"), "layer", 0xffff));
    r.place.token = number(member(x, "token", "token_idx"), "token", std::uint64_t{1} << 32);
    if (x.contains("sequence")) r.place.sequence = number(x["sequence"], "sequence", std::uint64_t{1} << 32);
    if (x.contains("phase")) {
      if (x["phase"] != "prefill" && x["phase"] != "decode") fail("phase must be \"prefill\" or \"decode\"");
      if (x["phase"] == "prefill") r.phase = buddy::phase::prefill;
    }
    json const weights = member(x, "weights", "topk_weights");
    if (!weights.is_null()) {
      if (!weights.is_array() || weights.size() != r.experts.size()) fail("weights must be as many as experts");
      for (json const& w : weights) {
        if (!w.is_number()) fail("a weight must be a number");
        r.weights.push_back(w.get<float>());
      }
    }
    all_.push_back(std::move(r));
  }

  void sequence(json const& x) {
    json const& tokens = x["routed_experts"];
    if (!tokens.is_array() || tokens.empty()) fail("routed_experts must be a list of tokens");
    std::uint64_t const prompt =
        x.contains("prompt_tokens") ? number(x["prompt_tokens"], "prompt_tokens", tokens.size() + 1) : 0;
    for (std::size_t t = 0; t != tokens.size(); ++t) {
      if (!tokens[t].is_array() || tokens[t].empty() || tokens[t].size() > 0xffff)
        fail("a token must be a list of 1 to 65535 layers");
      for (std::size_t l = 0; l != tokens[t].size(); ++l)
        all_.push_back({number_,
                        {n_sequences_, t},
                        t < prompt ? buddy::phase::prefill : buddy::phase::decode,
                        static_cast<std::uint32_t>(l),
                        ids(tokens[t][l]),
                        {}});
    }
    ++n_sequences_;
  }

  trace_builder builder_;
  std::size_t number_ = 1;
  bool whole_ = false;
  std::uint64_t n_sequences_ = 0;
  std::vector<routed> all_;
};

}  // namespace

buddy::routing_trace parse_routing_lines(std::string_view text, std::string const& name, std::uint32_t n_experts) {
  line_reader reader{name};
  for (std::size_t number = 1; !text.empty(); ++number) {
    std::size_t const end = std::min(text.find('\n'), text.size());
    reader.line(text.substr(0, end), number);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return reader.finish(n_experts);
}

buddy::routing_trace read_routing_lines(std::filesystem::path const& file, std::uint32_t n_experts) {
  buddy::io::mapped_file const map{file};
  auto const bytes = map.bytes();
  return parse_routing_lines({reinterpret_cast<char const*>(bytes.data()), bytes.size()}, file.string(), n_experts);
}

}  // namespace harness
