// SPDX-License-Identifier: Apache-2.0
/// @file
/// Names to sizes and back.
#include "harness/fidelity/stand_in_spec.hpp"

#include <buddy/error.hpp>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <vector>

namespace harness {

namespace {

namespace stand_ins = buddy::stand_ins;

[[noreturn]] void refuse(std::string const& text) {
  throw buddy::config_error("stand-in '" + text +
                            "': one of zero, mean, low_rank:R[,8], truncated:U,B[,dB][,gN], low_bit:B[,dB][,gN][,c]");
}

/// In [1, 65536]; 0 when it is none.
std::uint32_t number(std::string_view word) {
  std::uint32_t x = 0;
  auto const [end, error] = std::from_chars(word.data(), word.data() + word.size(), x);
  if (error != std::errc{} || end != word.data() + word.size() || x > 65536) return 0;
  return x;
}

std::vector<std::string_view> words_of(std::string_view list) {
  std::vector<std::string_view> words;
  for (std::size_t begin = 0; begin <= list.size();) {
    std::size_t const end = std::min(list.find(',', begin), list.size());
    words.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

/// `dB`, `gN` and `c`, each at most once.
void add_options(stand_in_spec& s, std::vector<std::string_view> const& words, std::size_t first,
                 std::string const& text) {
  bool down = false;
  bool group = false;
  bool constant = false;
  for (std::size_t i = first; i != words.size(); ++i) {
    std::string_view const w = words[i];
    std::uint32_t const n = w.empty() ? 0 : number(w.substr(1));
    if (w == "c" && s.what == stand_in_spec::kind::low_bit && !constant) {
      s.gated.has_constant = constant = true;
    } else if (n != 0 && w.front() == 'd' && !down) {
      s.gated.down.bits = n;
      down = true;
    } else if (n != 0 && w.front() == 'g' && !group) {
      s.gated.gate_up.group = s.gated.down.group = n;
      group = true;
    } else {
      refuse(text);
    }
  }
  stand_ins::validate(s.gated.gate_up);
  stand_ins::validate(s.gated.down);
}

std::string options_of(stand_ins::gated_format const& f, bool constant) {
  std::string text;
  if (f.down.bits != f.gate_up.bits) text += ",d" + std::to_string(f.down.bits);
  if (f.gate_up.group != stand_ins::packed_format{}.group) text += ",g" + std::to_string(f.gate_up.group);
  return text + (constant ? ",c" : "");
}

}  // namespace

stand_in_spec stand_in_spec::parse(std::string const& text) {
  stand_in_spec s;
  if (text == "zero") return s;
  if (text == "mean") {
    s.what = kind::mean;
    return s;
  }
  std::size_t const colon = text.find(':');
  if (colon == std::string::npos) refuse(text);
  auto const words = words_of(std::string_view{text}.substr(colon + 1));
  std::string const kind_name = text.substr(0, colon);
  std::uint32_t const first = number(words[0]);
  std::uint32_t const second = words.size() > 1 ? number(words[1]) : 0;
  if (first == 0) refuse(text);
  if (kind_name == "low_rank" && (words.size() == 1 || (words.size() == 2 && second == 8))) {
    s.what = kind::low_rank;
    s.map = {first, words.size() == 2 ? 8U : 16U};
  } else if (kind_name == "truncated" && second != 0) {
    s.what = kind::truncated;
    s.gated = stand_ins::truncated::format(first, {second});
    add_options(s, words, 2, text);
  } else if (kind_name == "low_bit") {
    s.what = kind::low_bit;
    s.gated = {0, {first}, {first}, false};
    add_options(s, words, 1, text);
  } else {
    refuse(text);
  }
  return s;
}

std::string stand_in_spec::name() const {
  switch (what) {
    case kind::zero:
      break;
    case kind::mean:
      return "mean";
    case kind::low_rank:
      return "low_rank:" + std::to_string(map.rank) + (map.bits == 8 ? ",8" : "");
    case kind::truncated:
      return "truncated:" + std::to_string(gated.units) + "," + std::to_string(gated.gate_up.bits) +
             options_of(gated, false);
    case kind::low_bit:
      return "low_bit:" + std::to_string(gated.gate_up.bits) + options_of(gated, gated.has_constant);
  }
  return "zero";
}

buddy::resolution stand_in_spec::how() const noexcept {
  return what == kind::zero      ? stand_ins::zero::how
         : what == kind::low_bit ? stand_ins::low_bit::how
                                 : buddy::resolution::surrogate;
}

stand_ins::gated_format stand_in_spec::units_of(stand_ins::expert_size const& e) const {
  stand_ins::gated_format f = gated;
  if (what == kind::low_bit) f.units = e.width;
  if (f.units > e.width)
    throw buddy::config_error("stand-in '" + name() + "': an expert has only " + std::to_string(e.width) + " units");
  return f;
}

std::uint64_t stand_in_spec::bytes(stand_ins::expert_size const& e) const {
  switch (what) {
    case kind::zero:
      break;
    case kind::mean:
      return stand_ins::mean_output::bytes_of(e);
    case kind::low_rank:
      return map.bytes(e);
    case kind::truncated:
    case kind::low_bit:
      return units_of(e).bytes(e);
  }
  return 0;
}

any_stand_in::model any_stand_in::make(stand_in_spec const& spec, stand_ins::expert_size const& e,
                                       std::uint8_t const* record) {
  switch (spec.what) {
    case stand_in_spec::kind::zero:
      break;
    case stand_in_spec::kind::mean:
      return stand_ins::mean_output{e, record};
    case stand_in_spec::kind::low_rank:
      return stand_ins::low_rank{spec.map, e, record};
    case stand_in_spec::kind::truncated:
      return stand_ins::truncated{spec.units_of(e), e, record};
    case stand_in_spec::kind::low_bit:
      return stand_ins::low_bit{spec.units_of(e), e, record};
  }
  return stand_ins::zero{};
}

any_stand_in::any_stand_in(stand_in_spec const& spec, stand_ins::expert_size const& e, std::uint8_t const* record)
    : model_{make(spec, e, record)} {}

}  // namespace harness
