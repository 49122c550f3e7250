// SPDX-License-Identifier: Apache-2.0
// Every stand-in keeps the laws; some that do not are found out.
#include "catch.hpp"

#include <buddy/concepts/stand_in_model.hpp>
#include <buddy/stand_ins/low_bit.hpp>
#include <buddy/stand_ins/low_rank.hpp>
#include <buddy/stand_ins/mean_output.hpp>
#include <buddy/stand_ins/packed_writer.hpp>
#include <buddy/stand_ins/scaled_buddy.hpp>
#include <buddy/stand_ins/truncated.hpp>
#include <buddy/stand_ins/zero.hpp>
#include <buddy/testing/stand_in_laws.hpp>

#include <cstddef>
#include <cstdint>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace buddy::stand_ins;
using buddy::testing::broken_stand_in_law;

constexpr expert_size expert{24, 10};

/// Values of every part of a record, one after the other.
std::vector<std::uint8_t> random_record(std::uint64_t seed, std::vector<std::pair<packed_format, std::size_t>> parts) {
  std::mt19937_64 random{seed};
  std::uniform_real_distribution<float> weight{-0.5F, 0.5F};
  std::vector<std::uint8_t> record;
  for (auto const& [format, n] : parts) {
    std::vector<float> x(n);
    for (float& v : x) v = weight(random);
    std::vector<std::uint8_t> bytes(format.bytes(n));
    pack_nearest(format, x.data(), n, bytes.data());
    record.insert(record.end(), bytes.begin(), bytes.end());
  }
  return record;
}

struct base {
  static constexpr std::string_view name = "broken";
  static constexpr buddy::resolution how = buddy::resolution::surrogate;
  static constexpr std::uint64_t bytes() noexcept { return 0; }
};

struct overwrites : base {
  static void add(float w, float const* x, float* y) noexcept {
    for (std::size_t i = 0; i != expert.hidden; ++i) y[i] = w * x[i];
  }
};

struct ignores_weight : base {
  static void add(float, float const* x, float* y) noexcept {
    for (std::size_t i = 0; i != expert.hidden; ++i) y[i] += x[i];
  }
};

struct squares_weight : base {
  static void add(float w, float const* x, float* y) noexcept {
    for (std::size_t i = 0; i != expert.hidden; ++i) y[i] += w * w * x[i];
  }
};

struct goes_too_far : base {
  static void add(float w, float const*, float* y) noexcept { y[expert.hidden] += w; }
};

struct fetches : base {
  static constexpr buddy::resolution how = buddy::resolution::fetch;
  static void add(float, float const*, float*) noexcept {}
};

}  // namespace

TEST_CASE("every stand-in keeps the laws", "[conformance][stand_in]") {
  CHECK(broken_stand_in_law(zero{}, expert.hidden, 1) == "");
  packed_format const halves{};
  auto const mean = random_record(2, {{halves, 24}});
  CHECK(broken_stand_in_law(mean_output{expert, mean.data()}, expert.hidden, 2) == "");
  for (std::uint32_t const bits : {8U, 16U}) {
    low_rank_format const f{3, bits};
    auto const record = random_record(3, {{halves, 24}, {f.factors(expert), 72}, {f.factors(expert), 72}});
    low_rank const map{f, expert, record.data()};
    CHECK(map.bytes() == record.size());
    CHECK(broken_stand_in_law(map, expert.hidden, 3) == "");
  }
  for (std::uint32_t const bits : {1U, 2U, 3U, 4U, 8U, 16U}) {
    packed_format const few{bits, 32};
    auto const kept = random_record(4, {{halves, 24}, {few, 96}, {few, 96}, {few, 96}});
    truncated const units{truncated::format(4, few), expert, kept.data()};
    CHECK(units.bytes() == kept.size());
    CHECK(broken_stand_in_law(units, expert.hidden, 4) == "");
    auto const all = random_record(5, {{few, 240}, {few, 240}, {halves, 240}});
    low_bit const copy{low_bit::format(expert, few, halves), expert, all.data()};
    CHECK(copy.bytes() == all.size());
    CHECK(broken_stand_in_law(copy, expert.hidden, 5) == "");
  }
  auto const other = [](float w, float const* x, float* y) noexcept {
    for (std::size_t i = 0; i != expert.hidden; ++i) y[i] += w * x[i];
  };
  CHECK(broken_stand_in_law(scaled_buddy{other, buddy::q16_one / 3}, expert.hidden, 6) == "");
}

TEST_CASE("the laws of stand-ins find each broken one", "[conformance][stand_in]") {
  CHECK(broken_stand_in_law(overwrites{}, expert.hidden, 1) == "a weight of 0 must add nothing");
  CHECK(broken_stand_in_law(ignores_weight{}, expert.hidden, 1) == "a weight of 0 must add nothing");
  CHECK(broken_stand_in_law(squares_weight{}, expert.hidden, 1) == "the output must be proportional to the weight");
  CHECK(broken_stand_in_law(goes_too_far{}, expert.hidden, 1) == "nothing beyond hidden may be touched");
  CHECK(broken_stand_in_law(fetches{}, expert.hidden, 1) == "how must be a stand-in's");
}
