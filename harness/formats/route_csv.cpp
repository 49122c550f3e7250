// SPDX-License-Identifier: Apache-2.0
/// @file
/// Line by line; nothing is allocated that the lines themselves do not pay for.
#include "harness/formats/route_csv.hpp"

#include "harness/formats/trace_builder.hpp"

#include <buddy/io/mapped_file.hpp>
#include <buddy/types.hpp>

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace harness {

namespace {

constexpr std::string_view columns = "turn,phase,step,layer,slot,expert,weight,residency,expert_bytes";

class route_reader {
 public:
  route_reader(std::string const& name) : builder_{name} {}

  void line(std::string_view text, std::size_t number) {
    number_ = number;
    if (!text.empty() && text.back() == '\r') text.remove_suffix(1);
    if (text.empty()) return;
    if (text.front() == '#') return comment(text.substr(1));
    if (!header_seen_) {
      if (text != columns) builder_.fail(number_, "the header must be " + std::string{columns});
      if (shape_.size() != 3) builder_.fail(number_, "needs n_layer, n_expert and n_expert_used before the header");
      builder_.set_shape(number_, shape_["n_layer"], shape_["n_expert"], shape_["n_expert_used"]);
      header_seen_ = true;
      return;
    }
    row(text);
  }

  [[nodiscard]] buddy::routing_trace finish() {
    if (!header_seen_) builder_.fail(number_, "has no header");
    auto trace = builder_.finish();
    trace.model = model_;
    if (!bytes_.empty()) {
      for (std::uint16_t l = 0; l != trace.n_layers; ++l) {
        auto const found = bytes_.find(l);
        if (found == bytes_.end()) builder_.fail(number_, "has no expert_bytes of layer " + std::to_string(l));
        trace.record_bytes.push_back(found->second);
      }
    }
    return trace;
  }

 private:
  template <class T>
  T value(std::string_view text, char const* name) const {
    T x{};
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), x);
    if (error != std::errc{} || end != text.data() + text.size())
      builder_.fail(number_,
                    std::string{name} + " '" + std::string{text.substr(0, 32)} + "' is not a number it can be");
    return x;
  }

  /// `key=value` words; unknown ones are for others.
  void comment(std::string_view text) {
    std::map<std::string, std::string, std::less<>> words;
    while (!text.empty()) {
      std::size_t const end = std::min(text.find(' '), text.size());
      std::string_view const word = text.substr(0, end);
      if (auto const eq = word.find('='); eq != std::string_view::npos)
        words[std::string{word.substr(0, eq)}] = word.substr(eq + 1);
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    if (auto const m = words.find("model"); m != words.end())
      model_ = m->second.substr(m->second.find_last_of('/') + 1);
    for (char const* key : {"n_layer", "n_expert", "n_expert_used"})
      if (auto const w = words.find(key); w != words.end()) shape_[key] = value<std::uint32_t>(w->second, key);
    if (words.contains("layer") && words.contains("expert_bytes"))
      bytes_[value<std::uint32_t>(words["layer"], "layer")] =
          value<std::uint64_t>(words["expert_bytes"], "expert_bytes");
  }

  void row(std::string_view text) {
    std::array<std::string_view, 9> cells;
    for (std::size_t i = 0; i != cells.size(); ++i) {
      std::size_t const end = i + 1 == cells.size() ? text.size() : text.find(',');
      if (end == std::string_view::npos) builder_.fail(number_, "must have 9 columns");
      cells[i] = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    auto const phase = value<std::uint32_t>(cells[1], "phase");
    auto const residency = value<std::uint32_t>(cells[7], "residency");
    if (phase > 1) builder_.fail(number_, "phase must be 0 or 1");
    if (residency > 1) builder_.fail(number_, "residency must be 0 or 1");
    static_cast<void>(value<std::uint64_t>(cells[8], "expert_bytes"));
    static_cast<void>(value<std::uint32_t>(cells[4], "slot"));
    builder_.add(number_, {value<std::uint64_t>(cells[0], "turn"), value<std::uint64_t>(cells[2], "step")},
                 static_cast<buddy::phase>(phase), value<std::uint32_t>(cells[3], "layer"),
                 {value<std::uint32_t>(cells[5], "expert"), value<float>(cells[6], "weight"), residency == 1});
  }

  trace_builder builder_;
  std::size_t number_ = 1;
  bool header_seen_ = false;
  std::string model_ = "unknown";
  std::map<std::string, std::uint32_t> shape_;
  std::map<std::uint32_t, std::uint64_t> bytes_;
};

}  // namespace

buddy::routing_trace parse_route_csv(std::string_view text, std::string const& name) {
  route_reader reader{name};
  for (std::size_t number = 1; !text.empty(); ++number) {
    std::size_t const end = std::min(text.find('\n'), text.size());
    reader.line(text.substr(0, end), number);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return reader.finish();
}

buddy::routing_trace read_route_csv(std::filesystem::path const& file) {
  buddy::io::mapped_file const map{file};
  auto const bytes = map.bytes();
  return parse_route_csv({reinterpret_cast<char const*>(bytes.data()), bytes.size()}, file.string());
}

}  // namespace harness
