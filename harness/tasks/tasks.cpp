// SPDX-License-Identifier: Apache-2.0
/// @file
/// The generators of the synthetic tasks. Each one's order of draws is that of harness/train/tasks.py.
#include "harness/tasks/tasks.hpp"

#include <buddy/error.hpp>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace harness {

namespace {

char letter(std::uint32_t index) { return static_cast<char>('a' + index); }

std::string word(splitmix64& rng, std::uint32_t length) {
  std::string text(length, ' ');
  for (char& c : text) c = letter(rng.below(26));
  return text;
}

std::string digits(std::uint32_t value, std::size_t width) {
  std::string const text = std::to_string(value);
  return std::string(width - text.size(), '0') + text;
}

/// One pair of operands in ten never occurs in training.
bool is_held_out(std::uint32_t a, std::uint32_t b) { return splitmix64{7919 + 100 * a + b}.below(10) == 0; }

problem addition(splitmix64& rng, bool held_out) {
  for (;;) {
    std::uint32_t const a = rng.below(100);
    std::uint32_t const b = rng.below(100);
    if (is_held_out(a, b) == held_out) return {digits(a, 2) + "+" + digits(b, 2) + "=", digits(a + b, 3) + "\n"};
  }
}

problem add(splitmix64& rng) { return addition(rng, false); }
problem addnew(splitmix64& rng) { return addition(rng, true); }

problem sort(splitmix64& rng) {
  std::string const text = word(rng, 3 + rng.below(4));
  std::string sorted = text;
  std::sort(sorted.begin(), sorted.end());
  return {"sort " + text + "=", sorted + "\n"};
}

problem rev(splitmix64& rng) {
  std::string const text = word(rng, 3 + rng.below(6));
  return {"rev " + text + "=", std::string(text.rbegin(), text.rend()) + "\n"};
}

problem copy(splitmix64& rng) {
  std::string const text = word(rng, 4 + rng.below(9));
  return {"copy " + text + "=", text + "\n"};
}

problem brk(splitmix64& rng) {
  std::uint32_t const n = 4 + rng.below(11);
  std::string prompt = "close ";
  std::string open;  // what would close each open bracket, the innermost last
  auto const begin_one = [&] {
    std::uint32_t const kind = rng.below(4);
    prompt += "([{<"[kind];
    open += ")]}>"[kind];
  };
  for (std::uint32_t i = 0; i != n; ++i) {
    if (!open.empty() && rng.chance(2, 5)) {
      prompt += open.back();
      open.pop_back();
    } else {
      begin_one();
    }
  }
  if (open.empty()) begin_one();
  return {prompt + " ", std::string(open.rbegin(), open.rend()) + "\n"};
}

problem kv(splitmix64& rng) {
  std::uint32_t const n = 3 + rng.below(4);
  std::string keys = "abcdefghijklmnopqrstuvwxyz";
  for (std::uint32_t i = 0; i != n; ++i) std::swap(keys[i], keys[i + rng.below(26 - i)]);
  std::string values;
  for (std::uint32_t i = 0; i != n; ++i) values += static_cast<char>('0' + rng.below(10));
  std::uint32_t const which = rng.below(n);
  std::string prompt = "get";
  for (std::uint32_t i = 0; i != n; ++i) prompt += std::string(" ") + keys[i] + values[i];
  return {prompt + "?" + keys[which] + "=", std::string(1, values[which]) + "\n"};
}

/// 512 keys of three letters with values of two, in the order they were drawn; a key keeps its first value.
std::vector<std::pair<std::string, std::string>> fact_table() {
  splitmix64 rng{20240607};
  std::vector<std::pair<std::string, std::string>> table;
  while (table.size() < 512) {
    std::string key = word(rng, 3);
    std::string value = word(rng, 2);
    auto const same = [&](auto const& row) { return row.first == key; };
    if (std::none_of(table.begin(), table.end(), same)) table.emplace_back(std::move(key), std::move(value));
  }
  return table;
}

problem fact(splitmix64& rng) {
  static auto const table = fact_table();
  auto const& [key, value] = table[rng.below(512)];
  return {"fact " + key + "=", value + "\n"};
}

problem succ(splitmix64& rng) {
  std::uint32_t const n = 3 + rng.below(4);
  problem p{"succ ", ""};
  for (std::uint32_t i = 0; i != n; ++i) {
    std::uint32_t const place = rng.below(25);  // so that nothing comes after z
    p.prompt += letter(place);
    p.answer += letter(place + 1);
  }
  return {p.prompt + "=", p.answer + "\n"};
}

std::size_t place_of(std::string_view task) {
  auto const it = std::find(task_names.begin(), task_names.end(), task);
  if (it == task_names.end()) {
    std::string known;
    for (std::string_view const name : task_names) known += " " + std::string(name);
    buddy::detail::throw_config_error(("task '" + std::string(task) + "' is not one of:" + known).c_str());
  }
  return static_cast<std::size_t>(it - task_names.begin());
}

}  // namespace

splitmix64 problem_rng(std::string_view task, std::uint32_t seed) {
  return splitmix64{(static_cast<std::uint64_t>(place_of(task)) << 32) + seed};
}

problem draw_problem(std::string_view task, splitmix64& rng) {
  static constexpr std::array<problem (*)(splitmix64&), task_names.size()> generators{add, sort, rev,  copy,  brk,
                                                                                      kv,  fact, succ, addnew};
  return generators[place_of(task)](rng);
}

}  // namespace harness
