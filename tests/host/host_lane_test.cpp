// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "reference_ffn.hpp"

#include <buddy/host/host_lane.hpp>

#include <cmath>
#include <cstdint>
#include <vector>

using buddy::expert_record;
using buddy::weight_type;
using namespace buddy::host;

namespace {

/// Random experts, tokens and uses, and a lane's answer beside the reference.
struct lane_case {
  expert_record record;
  std::uint32_t n_tokens;
  std::vector<std::byte> records;
  std::vector<std::uint16_t> x;
  std::vector<lane_expert> experts;
  std::vector<lane_use> uses;

  /// Expert e is used by every token whose number is a multiple of e + 1, so by fewer and fewer.
  lane_case(expert_record const& r, std::uint32_t tokens, std::uint32_t n_experts, std::uint64_t seed)
      : record{r}, n_tokens{tokens} {
    reference::numbers random{seed};
    records = reference::random_records(r, n_experts, r.bytes(), random);
    x = reference::random_bits(std::size_t{tokens} * r.hidden, r.type, 1.0F, random);
    for (std::uint32_t e = 0; e != n_experts; ++e) {
      lane_expert expert{records.data() + e * r.bytes(), static_cast<std::uint32_t>(uses.size()), 0};
      for (std::uint32_t t = 0; t < tokens; t += e + 1, ++expert.n_uses)
        uses.push_back({t, 0.1F + reference::uniform(random, 0.1F)});
      experts.push_back(expert);
    }
  }

  [[nodiscard]] lane_config config(std::uint32_t n_workers, instruction_set set) const {
    lane_config c{.record = record, .n_workers = n_workers, .instructions = set};
    c.max_tokens = n_tokens == 0 ? 1 : n_tokens;
    c.max_uses = uses.empty() ? 1 : static_cast<std::uint32_t>(uses.size());
    return c;
  }

  [[nodiscard]] std::vector<float> answer_of(host_lane& lane) const {
    std::vector<float> y(std::size_t{n_tokens} * record.hidden, std::nanf(""));  // poison
    lane.compute({{experts.data(), static_cast<std::uint32_t>(experts.size())},
                  {uses.data(), static_cast<std::uint32_t>(uses.size())},
                  x.data(),
                  y.data(),
                  n_tokens});
    return y;
  }

  [[nodiscard]] std::vector<float> answer(std::uint32_t n_workers, instruction_set set) const {
    host_lane lane(config(n_workers, set));
    return answer_of(lane);
  }

  [[nodiscard]] std::vector<double> expected() const {
    std::vector<double> y(std::size_t{n_tokens} * record.hidden, 0.0);
    for (auto const& e : experts)
      for (std::uint32_t u = e.first_use; u != e.first_use + e.n_uses; ++u)
        reference::add_expert(record, e.record, x.data() + std::size_t{uses[u].token} * record.hidden,
                              static_cast<double>(uses[u].weight),
                              y.data() + std::size_t{uses[u].token} * record.hidden);
    return y;
  }
};

/// Only the bf16 products round the inner vector: to 8 bits, so by at most 2^-9 of each element.
double tolerance(instruction_set set, weight_type type) {
  return set == instruction_set::avx512_bf16 && type == weight_type::bf16 ? 4e-3 : 1e-5;
}

}  // namespace

TEST_CASE("the host lane computes what the experts are, on every instruction set of this CPU", "[unit][host_lane]") {
  for (auto const type : {weight_type::bf16, weight_type::f16}) {
    for (auto const& [hidden, width] : {std::pair{1U, 1U}, {33U, 17U}, {31U, 65U}, {64U, 32U}, {200U, 131U}}) {
      for (std::uint32_t const n_tokens : {1U, 5U}) {
        lane_case const c({hidden, width, type}, n_tokens, 3, hidden * 31 + n_tokens);
        auto const expected = c.expected();
        for (auto const set : all_instruction_sets) {
          if (!supported(set)) continue;
          INFO(to_string(set) << ", " << hidden << " x " << width << ", " << n_tokens << " tokens");
          CHECK(reference::relative_error(c.answer(1, set), expected) <= tolerance(set, type));
        }
      }
    }
  }
}

TEST_CASE("the host lane gives the same bits on any number of threads", "[unit][host_lane]") {
  lane_case const c({100, 70, weight_type::bf16}, 3, 4, 7);
  for (auto const set : all_instruction_sets) {
    if (!supported(set)) continue;
    auto const alone = c.answer(1, set);
    for (std::uint32_t const n_workers : {2U, 3U, 8U})  // 8 workers, 4 blocks of rows: some have nothing to do
      CHECK(c.answer(n_workers, set) == alone);
  }
}

TEST_CASE("the host lane keeps nothing from one call to the next, on several threads", "[unit][host_lane]") {
  lane_case const wide({96, 64, weight_type::bf16}, 4, 3, 11);
  lane_case const one({96, 64, weight_type::bf16}, 1, 1, 12);
  host_lane lane(wide.config(3, best_instruction_set()));
  auto const first = wide.answer_of(lane);
  auto const other = one.answer_of(lane);
  for (int i = 0; i != 50; ++i) {
    CHECK(wide.answer_of(lane) == first);
    CHECK(one.answer_of(lane) == other);
  }
}

TEST_CASE("the host lane gives zeros to tokens that nothing is computed for", "[unit][host_lane]") {
  lane_case c({40, 24, weight_type::f16}, 2, 1, 3);
  c.uses.resize(1);  // the first token alone
  c.experts[0].n_uses = 1;
  auto const y = c.answer(2, best_instruction_set());
  CHECK(std::vector<float>(y.begin() + 40, y.end()) == std::vector<float>(40, 0.0F));
  c.experts.clear();
  c.uses.clear();
  CHECK(c.answer(2, best_instruction_set()) == std::vector<float>(80, 0.0F));
}

TEST_CASE("the host lane does nothing for no tokens", "[unit][host_lane]") {
  lane_case const c({40, 24, weight_type::f16}, 0, 1, 3);
  CHECK(c.answer(2, best_instruction_set()).empty());
}

TEST_CASE("a host lane refuses sizes and instructions that cannot work", "[unit][host_lane]") {
  CHECK_THROWS_AS(host_lane({.record = {0, 8}}), buddy::config_error);
  CHECK_THROWS_AS(host_lane({.record = {8, 8}, .max_tokens = 0}), buddy::config_error);
  CHECK_THROWS_AS(host_lane({.record = {8, 8}, .max_uses = 0}), buddy::config_error);
  CHECK_THROWS_AS(host_lane({.record = {8, 8}, .n_workers = 0}), buddy::config_error);
  if (!supported(instruction_set::avx512_bf16))
    CHECK_THROWS_AS(host_lane({.record = {8, 8}, .instructions = instruction_set::avx512_bf16}), buddy::config_error);
}
