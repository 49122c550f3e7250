// SPDX-License-Identifier: Apache-2.0
/// @file
/// Promises, the streams they are tried on, and the commands that try them.
#include "catch.hpp"
#include "cli_fixture.hpp"
#include "harness/guard/pareto_rows.hpp"
#include "harness/guard/streams.hpp"
#include "harness/policy/loss_promise.hpp"

#include <buddy/error.hpp>

#include <cstddef>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace {

using harness::loss_promise;

TEST_CASE("a promise is a share or bits", "[harness][guard]") {
  CHECK(loss_promise::parse("1%").target_ub(2.0) == 20000);  // 0.01 x 2 bits
  CHECK(loss_promise::parse("0.25%").target_ub(2.0) == 5000);
  CHECK(loss_promise::parse("0.02").target_ub(2.0) == 20000);
  CHECK(loss_promise::parse("0.25%").text() == "0.25%");
  CHECK(loss_promise::parse("0.02").text() == "0.02");
  for (char const* bad : {"", "x", "0", "-1%", "1%%", "1 bit", "nan", "2000"})
    CHECK_THROWS_AS(loss_promise::parse(bad), buddy::config_error);
  CHECK_THROWS_AS(loss_promise::parse("0.0000001").target_ub(2.0), buddy::config_error);  // below a micro-bit
}

TEST_CASE("a guard is tried on each domain, on one that nobody knows, and on switches", "[harness][guard]") {
  // Two texts of one window of 11 bytes each; streams of 20 predictions begin them anew.
  harness::sequence const a{std::vector<std::uint8_t>(11, 'a'), "a", {}};
  harness::sequence const b{std::vector<std::uint8_t>(11, 'b'), "b", {}};
  auto const streams = harness::guard_streams({a, b}, {}, 20, 10, 1);
  std::vector<std::string> names;
  for (auto const& s : streams) {
    names.push_back(s.name);
    std::size_t n = 0;
    for (auto const& x : s.sequences) n += x.n_predictions();
    CHECK(n == 20);
  }
  CHECK(names == std::vector<std::string>{"a", "b", "a > b", "a > number-table", "number-table"});
  CHECK(streams[2].sequences.front().bytes.front() == 'a');
  CHECK(streams[2].sequences.back().bytes.front() == 'b');
}

TEST_CASE("a number table is rows of numbers, the same for a seed", "[harness][guard]") {
  std::string const text = harness::number_table(300, 5);
  CHECK(text.size() == 300);
  CHECK(text.find_first_not_of("0123456789.,\n") == std::string::npos);
  CHECK(text == harness::number_table(300, 5));
  CHECK(text != harness::number_table(300, 6));
}

TEST_CASE("the comparison has several methods, each with its own rows", "[harness][guard]") {
  std::set<std::string> methods;
  std::set<std::pair<std::string, std::string>> rows;
  for (auto const& row : harness::pareto_rows("zero", 0.5, 1)) {
    methods.insert(row.method);
    CHECK(rows.insert({row.method, row.knob}).second);
    CHECK((row.settings.cache_ratio == 0.5 || row.method == "all resident"));
  }
  CHECK(methods.size() >= 12);
  CHECK(methods.contains("bounded"));
}

TEST_CASE("guard prints a line for each stream and promise, and writes them", "[harness][cli][guard]") {
  cli::fixture const f;
  auto const o = f.run_with({"guard", "--promises", "1%,5%", "--json", f.file("g.jsonl"), "--csv", f.file("g.csv")});
  INFO(o.err);
  REQUIRE(o.status == 0);
  auto const lines = cli::lines_of(f.file("g.jsonl"));
  CHECK(lines.size() % 2 == 0);
  CHECK(lines.size() >= 8);
  for (auto const& line : lines) {
    CHECK(line["kind"] == "guard");
    CHECK(line["guard"]["target_ub"] > 0);
    CHECK(line["lost_bits"].get<double>() > -1e-9);
    CHECK(line["fetched_by_oracle"].is_number());
  }
  CHECK(o.out.find("number-table") != std::string::npos);
}

TEST_CASE("a run with a promise tells of its guard, and repeats itself", "[harness][cli][guard]") {
  cli::fixture const f;
  auto const run = [&](char const* file) {
    auto const o = f.run_with({"run", "--policy", "bounded", "--max-loss", "2%", "--warm", "--json", f.file(file)});
    INFO(o.err);
    REQUIRE(o.status == 0);
    CHECK(o.out.find("promised, bits per byte") != std::string::npos);
    return cli::lines_of(f.file(file)).front();
  };
  auto const first = run("1");
  CHECK(first["guard"]["max_loss"] == "2%");
  CHECK(first == run("2"));
}

TEST_CASE("guard refuses a policy that promises nothing, and a promise that is none", "[harness][cli][guard]") {
  cli::fixture const f;
  CHECK(f.run_with({"guard", "--policy", "fetch"}).status == 2);
  CHECK(f.run_with({"guard", "--promises", "much"}).status == 2);
  CHECK(f.run_with({"run", "--policy", "bounded", "--max-loss", "-1%"}).status == 2);
}

}  // namespace
