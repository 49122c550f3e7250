// SPDX-License-Identifier: Apache-2.0
/// @file
/// Figures, tables and sentences from made-up results.
#include "catch.hpp"
#include "harness/report/findings.hpp"
#include "harness/report/json.hpp"
#include "harness/report/result_table.hpp"
#include "harness/report/run_summary.hpp"
#include "harness/report/text_table.hpp"

#include <algorithm>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace harness;

/// 100 layers of a shape with 10: 10 tokens in `elapsed_us`; 1000 slots, `dropped` of them dropped and `fetched`
/// fetched.
run_result made_up(std::string const& name, double elapsed_us, std::uint64_t dropped, std::uint64_t fetched,
                   double change) {
  run_result r;
  r.settings.name = name;
  r.settings.cache_ratio = 0.5;
  r.shape = {"made-up", 10, 1000, 1000};
  r.machine.name = "none";
  r.n_tokens = 10;
  r.time.layers = 100;
  r.time.elapsed_ns = static_cast<std::uint64_t>(elapsed_us * 1000.0);
  r.time.stall_ns = r.time.elapsed_ns / 4;
  r.time.link_bytes = {1000, 200, 30};
  r.total.lookups = 1000;
  r.total.hits = 1000 - dropped - fetched;
  r.total.slots = {r.total.hits, 0, 0, 0, 0, fetched, dropped};
  r.text = text_metrics{{2.0 + change, 0.1}, {2.0, 0.1}, {change, 0.01}, {0.1, 0.01}, {0.09, 0.11}, {0.9, 0.01}};
  return r;
}

TEST_CASE("a result turns counts into rates", "[harness][report]") {
  run_result const r = made_up("fetch", 1000, 0, 300, 0.0);
  // 1000 us for 100 layers are 10 us a layer, 100 us for the ten layers of a token.
  CHECK(r.tokens_per_second() == Approx(10'000));
  CHECK(r.stall_share() == Approx(0.25));
  CHECK(r.link_bytes_per_token(r.time.all_link_bytes()) == Approx(123));  // 1230 B over 10 tokens
  CHECK(r.hit_rate() == Approx(0.7));
  CHECK(r.share(buddy::resolution::fetch) == Approx(0.3));
}

TEST_CASE("JSON has null where a figure does not apply", "[harness][report]") {
  run_result r = made_up("fetch", 1000, 0, 300, 0.5);
  r.text->kl_nats.standard_error = std::numeric_limits<double>::quiet_NaN();  // one sequence only
  auto json = nlohmann::json::parse(to_json(r).dump());
  CHECK(json["quality"]["bits_per_byte"] == Approx(2.5));
  CHECK(json["quality"]["standard_error"]["kl_nats"].is_null());
  CHECK(json["quality"]["task_accuracy"].is_null());
  CHECK(json["trace"].is_null());
  CHECK(json["buddy_rank_mean"].is_null());
  CHECK(json["link_bytes_per_token_by_reason"]["prefetch"] == Approx(20));
  r.text.reset();
  r.tasks["add"] = {{0.5, 0.1}, {1.0, 0.0}, 10};
  json = nlohmann::json::parse(to_json(r).dump());
  CHECK(json["quality"]["bits_per_byte"].is_null());
  CHECK(json["quality"]["task_accuracy"]["add"] == Approx(0.5));
  CHECK(json["quality"]["task_accuracy_exact"]["add"] == Approx(1.0));
}

TEST_CASE("tasks are averaged alike", "[harness][report]") {
  run_result r;
  r.tasks["add"] = {{0.5, 0.3}, {1.0, 0.0}, 10};
  r.tasks["sort"] = {{0.7, 0.4}, {0.9, 0.1}, 1000};
  CHECK(r.task_accuracy().mean == Approx(0.6));
  // sqrt(0.3^2 + 0.4^2) / 2
  CHECK(r.task_accuracy().standard_error == Approx(0.25));
  CHECK(r.task_accuracy_exact().mean == Approx(0.95));
}

std::string cell_of(std::string const& table, std::string const& policy, std::size_t column) {
  std::istringstream lines{table};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words{line};
    std::vector<std::string> cells;
    for (std::string word; words >> word;) cells.push_back(word);
    if (!cells.empty() && cells.front() == policy) return cells.at(column);
  }
  return {};
}

TEST_CASE("the table relates speed to fetching at the same ratio", "[harness][report]") {
  std::vector<run_result> rows{made_up("fetch", 1000, 0, 300, 0.0), made_up("drop", 250, 300, 0, 0.5)};
  std::ostringstream out;
  print_results(out, rows);
  CHECK(cell_of(out.str(), "fetch", 3) == "1.00x");
  CHECK(cell_of(out.str(), "drop", 3) == "4.00x");
  CHECK(cell_of(out.str(), "drop", 12) == "+25.0%");  // 0.5 of 2.0 bits
  rows[1].settings.cache_ratio = 0.75;
  out.str("");
  print_results(out, rows);
  CHECK(cell_of(out.str(), "drop", 3) == "-");  // no fetch at this ratio
}

TEST_CASE("CSV has as many fields in each line as names", "[harness][report]") {
  std::istringstream lines{to_csv({made_up("fetch", 1000, 0, 300, 0.0), made_up("drop", 250, 300, 0, 0.5)})};
  std::vector<std::ptrdiff_t> commas;
  for (std::string line; std::getline(lines, line);) commas.push_back(std::count(line.begin(), line.end(), ','));
  REQUIRE(commas.size() == 3);
  CHECK(commas[0] == 18);
  CHECK(commas[1] == commas[0]);
  CHECK(commas[2] == commas[0]);
}

TEST_CASE("CSV quotes what would end a field", "[harness][report]") {
  run_result r = made_up("fetch", 1000, 0, 300, 0.0);
  r.machine.name = R"(a "fast", machine)";
  CHECK(to_csv({r}).find(R"(,"a ""fast"", machine",made-up,)") != std::string::npos);
}

TEST_CASE("the legend says how the cache starts", "[harness][report]") {
  auto const legend = [](std::vector<run_result> const& rows) {
    std::ostringstream out;
    print_legend(out, rows);
    return out.str();
  };
  std::vector<run_result> rows{made_up("all_resident", 1000, 0, 0, 0.0), made_up("fetch", 1000, 0, 300, 0.0)};
  CHECK(legend(rows).find("start: cold") != std::string::npos);
  rows[1].settings.warm = true;
  CHECK(legend(rows).find("start: warm") != std::string::npos);
}

TEST_CASE("the summary has a line for every text, and no error of one sequence", "[harness][report]") {
  run_result r = made_up("fetch", 1000, 0, 300, 0.5);
  r.domains["a"] = r.domains["b"] = *r.text;
  r.domains["b"].bits_per_byte.mean = 7.25;
  r.text->kl_nats.standard_error = std::numeric_limits<double>::quiet_NaN();
  r.total.refills = 5;
  r.time.background_cancelled = 3;
  std::ostringstream out;
  print_summary(out, r);
  CHECK(out.str().find("b                        7.2500 (exact 2.0000, change +0.5000)") != std::string::npos);
  CHECK(out.str().find("0.10000\n") != std::string::npos);
  CHECK(out.str().find("nan") == std::string::npos);
  CHECK(out.str().find("3 prefetches and refills") != std::string::npos);
  CHECK(out.str().find("start cold") != std::string::npos);
}

TEST_CASE("a name that is not UTF-8 spoils no result", "[harness][report]") {
  run_result r = made_up("fetch", 1000, 0, 300, 0.0);
  r.model = "\xff";
  CHECK(nlohmann::json::parse(to_json_lines({r}))["model"] == "\xef\xbf\xbd");  // U+FFFD, the replacement character
}

TEST_CASE("findings say what the rows say", "[harness][report]") {
  std::vector<run_result> rows{made_up("fetch", 1000, 0, 300, 0.0), made_up("drop", 250, 300, 0, 0.5),
                               made_up("random", 300, 300, 0, 0.4), made_up("buddymoe", 900, 20, 280, 0.01),
                               made_up("drop_light", 500, 200, 100, 0.006)};
  auto said = findings(rows, 0.5);
  REQUIRE(said.size() == 3);
  // The one that loses least comes first: random, 0.4 of 2.0 bits.
  CHECK(said[0].find("random +20.0%, drop +25.0%") != std::string::npos);
  CHECK(said[0].find("3.33 times") != std::string::npos);
  CHECK(said[1].find("replaces 2.0%") != std::string::npos);
  // 100 fetched instead of 300.
  CHECK(said[2].find("avoids 67%") != std::string::npos);
  CHECK(said[2].find(", less than BuddyMoE") != std::string::npos);
  rows.back() = made_up("drop_light", 500, 200, 100, 0.6);
  CHECK(findings(rows, 0.5)[2].find(", not less than BuddyMoE") != std::string::npos);
  CHECK(findings(rows, 0.75).empty());
}

TEST_CASE("findings name the gate weight of a stand-in", "[harness][report]") {
  std::vector<run_result> rows{made_up("fetch", 1000, 0, 300, 0.0), made_up("buddy", 250, 0, 0, 0.5),
                               made_up("live_score", 300, 0, 0, 0.2)};
  for (std::size_t i = 1; i != 3; ++i) rows[i].total.slots[static_cast<std::size_t>(buddy::resolution::buddy)] = 300;
  rows[2].settings.rules.weights = buddy::weight_mode::own;
  auto const said = findings(rows, 0.5);
  REQUIRE(said.size() == 1);
  CHECK(said[0].find("live_score (at its own weight) +10.0%, buddy (with the missing expert's weight) +25.0%") !=
        std::string::npos);
}

TEST_CASE("findings without a text speak of tasks, and without either of speed", "[harness][report]") {
  std::vector<run_result> rows{made_up("fetch", 1000, 0, 300, 0.0), made_up("drop", 250, 300, 0, 0.5),
                               made_up("buddymoe", 900, 20, 280, 0.01), made_up("drop_light", 500, 200, 100, 0.006)};
  auto const all = [&] {
    std::string text;
    for (auto const& sentence : findings(rows, 0.5)) text += sentence;
    return text;
  };
  for (run_result& r : rows) r.text.reset();
  CHECK(all().find("bits per byte") == std::string::npos);
  CHECK(all().find(" than BuddyMoE loses") == std::string::npos);
  for (run_result& r : rows) r.tasks["add"] = {{0.5, 0.1}, {0.75, 0.1}, 10};
  CHECK(all().find("bits per byte") == std::string::npos);
  CHECK(all().find("drop -25.0") != std::string::npos);  // 0.5 - 0.75
  CHECK(all().find("not less than BuddyMoE loses") != std::string::npos);
}

TEST_CASE("numbers are printed as asked", "[harness][report]") {
  CHECK(fixed(1.005, 1) == "1.0");
  CHECK(fixed(2.0, 2, true) == "+2.00");
  CHECK(percent(0.1234) == "12.3%");
}

}  // namespace
