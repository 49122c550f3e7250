// SPDX-License-Identifier: Apache-2.0
#include "harness/tasks/quality.hpp"

#include "catch.hpp"

#include <cmath>
#include <numbers>
#include <string>
#include <vector>

namespace {

using namespace harness;

bool near(double a, double b, double tolerance = 1e-12) { return std::abs(a - b) <= tolerance; }

/// Logits that are 0 but for some bytes.
struct row {
  std::uint8_t byte;
  float logit;
};

std::vector<float> logits(std::vector<std::vector<row>> const& rows) {
  std::vector<float> all(rows.size() * 256);
  for (std::size_t t = 0; t != rows.size(); ++t)
    for (row const r : rows[t]) all[t * 256 + r.byte] = r.logit;
  return all;
}

sequence text(std::string const& bytes) { return {{bytes.begin(), bytes.end()}, "text", {}}; }

}  // namespace

TEST_CASE("equal logits cost eight bits and have no divergence", "[harness][quality]") {
  std::vector<float> const flat(256, 3.0F);
  auto const p = score_prediction(flat, flat, 17);
  CHECK(near(p.bits, 8.0));  // -log2(1/256)
  CHECK(near(p.bits_exact, 8.0));
  CHECK(p.kl_nats == 0.0);
  CHECK(p.best == 0);  // ties to the lower byte
}

TEST_CASE("bits and divergence follow their definitions", "[harness][quality]") {
  // Four bytes share all of the probability (the others have logit -1000, so e^-1000 = 0 of it).
  // exact: 1/2 1/4 1/8 1/8, run: 1/8 1/8 1/4 1/2.
  std::vector<float> exact(256, -1000.0F), run(256, -1000.0F);
  float const ln2 = std::numbers::ln2_v<float>;
  float const e[4]{-1, -2, -3, -3};
  float const r[4]{-3, -3, -2, -1};
  for (std::size_t i = 0; i != 4; ++i) {
    exact[i] = e[i] * ln2;
    run[i] = r[i] * ln2;
  }
  auto const p = score_prediction(run, exact, 2);
  CHECK(near(p.bits, 2.0, 1e-6));
  CHECK(near(p.bits_exact, 3.0, 1e-6));
  // In bits: 1/2 (-1+3) + 1/4 (-2+3) + 1/8 (-3+2) + 1/8 (-3+1) = 1 + .25 - .125 - .25 = .875
  CHECK(near(p.kl_nats, 0.875 * std::numbers::ln2, 1e-6));
  CHECK(p.best == 3);
  CHECK(p.best_exact == 0);
}

TEST_CASE("large logits neither overflow nor lose the small ones", "[harness][quality]") {
  std::vector<float> run(256, 1e30F), exact(256, -1e30F);
  auto const p = score_prediction(run, exact, 1);
  CHECK(near(p.bits, 8.0));
  CHECK(near(p.bits_exact, 8.0));
  std::vector<float> sure(256, 0.0F);
  sure[9] = 40.0F;  // the others: e^-40 each
  CHECK(near(score_prediction(sure, sure, 9).bits, 255 * std::exp(-40.0) / std::numbers::ln2, 1e-18));
  CHECK(near(score_prediction(sure, sure, 8).bits, 40.0 / std::numbers::ln2, 1e-9));
}

TEST_CASE("a shift of all logits changes nothing", "[harness][quality]") {
  auto const a = logits({{{'x', 2.0F}, {'y', 1.0F}}});
  auto b = a;
  for (float& x : b) x += 64.0F;
  auto const p = score_prediction(a, b, 'y');
  CHECK(near(p.kl_nats, 0.0));
  CHECK(near(p.bits, p.bits_exact));
}

TEST_CASE("a sequence adds up its predictions", "[harness][quality]") {
  // "abc": row 0 predicts b, row 1 predicts c. The run is right about b only, the exact model about both.
  auto const run = logits({{{'b', 1.0F}}, {{'x', 1.0F}}});
  auto const exact = logits({{{'b', 1.0F}}, {{'c', 1.0F}}});
  auto const s = score_sequence(text("abc"), run, exact);
  CHECK(!s.is_task);
  CHECK(s.n_predictions == 2.0);
  CHECK(s.agreements == 1.0);
  // Z = 255 + e for all rows; bits = log2(Z) - logit / ln 2.
  double const log_z = std::log2(255.0 + std::numbers::e);
  CHECK(near(s.bits, 2 * log_z - 1 / std::numbers::ln2, 1e-9));        // row 1: logit of c is 0
  CHECK(near(s.bits_exact, 2 * log_z - 2 / std::numbers::ln2, 1e-9));  // both logits are 1
  // Row 0 agrees; row 1: p_c = e / Z, p_x = 1 / Z, log p - log q = 1 at c and -1 at x: (e - 1) / Z.
  CHECK(near(s.kl_nats, (std::numbers::e - 1) / (255 + std::numbers::e), 1e-9));
}

TEST_CASE("an answer is right when all its bytes are, newline included", "[harness][quality]") {
  sequence s = text("1+1=2\n3+3=6\n");
  s.domain = "add";
  s.answers = {{4, 6}, {10, 12}};
  std::vector<std::vector<row>> rows(11);
  auto const predict = [&](std::size_t position, char c) {
    rows[position - 1] = {{static_cast<std::uint8_t>(c), 1.0F}};
  };
  for (std::size_t const i : {4U, 5U, 10U, 11U}) predict(i, static_cast<char>(s.bytes[i]));
  auto const exact = logits(rows);
  predict(11, ' ');  // the run answers 6 but does not end the line
  auto const run = logits(rows);
  auto const score = score_sequence(s, run, exact);
  CHECK(score.is_task);
  CHECK(score.n_answers == 2.0);
  CHECK(score.n_correct == 1.0);
  CHECK(score.n_correct_exact == 2.0);
  predict(4, '3');
  CHECK(score_sequence(s, logits(rows), exact).n_correct == 0.0);
}

TEST_CASE("a ratio of sums has the standard error of its sequences", "[harness][quality]") {
  // 10 of 10 and 10 of 30: mean 20 / 40 = .5. Deviations 10 - .5*10 = 5 and 10 - .5*30 = -5: squares 25 + 25 = 50;
  // times n / (n - 1) = 2: 100; root 10; by 40: .25.
  auto const r = ratio(std::vector<double>{10, 10}, std::vector<double>{10, 30});
  CHECK(near(r.mean, 0.5));
  CHECK(near(r.standard_error, 0.25));
  auto const one = ratio(std::vector<double>{3}, std::vector<double>{4});
  CHECK(near(one.mean, 0.75));
  CHECK(std::isnan(one.standard_error));
}

TEST_CASE("text and tasks are summarised apart", "[harness][quality]") {
  std::vector<sequence_score> scores(5);
  // Two texts of one domain: 100 bytes at 2 bits and 300 at 4, exact 1 and 4. Mean (200 + 1200) / 400 = 3.5; exact
  // (100 + 1200) / 400 = 3.25; change .25: deviations 100 - 25 = 75 and 0 - 75, error sqrt(2 * 11250) / 400 = .375.
  scores[0] = {"a", false, 100, 200, 100, 10, 90, 0, 0, 0};
  scores[1] = {"a", false, 300, 1200, 1200, 30, 270, 0, 0, 0};
  scores[2] = {"b", false, 100, 100, 100, 0, 100, 0, 0, 0};
  scores[3] = {"add", true, 255, 999, 999, 99, 0, 10, 5, 10};
  scores[4] = {"add", true, 255, 999, 999, 99, 0, 10, 10, 10};
  auto const domains = summarise_domains(scores);
  REQUIRE(domains.size() == 2);
  text_metrics const& a = domains.at("a");
  CHECK(near(a.bits_per_byte.mean, 3.5));
  CHECK(near(a.bits_per_byte_exact.mean, 3.25));
  CHECK(near(a.change.mean, 0.25));
  CHECK(near(a.change.standard_error, 0.375));
  CHECK(near(a.kl_nats.mean, 0.1));
  CHECK(near(a.top1_agreement.mean, 0.9));
  CHECK(near(summarise_text(scores).bits_per_byte.mean, 3.0));  // (1400 + 100) / 500
  auto const tasks = summarise_tasks(scores);
  REQUIRE(tasks.size() == 1);
  CHECK(near(tasks.at("add").accuracy.mean, 0.75));
  // Deviations 5 - 7.5 and 10 - 7.5: squares 12.5, times 2: 25, root 5, by 20 answers: .25.
  CHECK(near(tasks.at("add").accuracy.standard_error, 0.25));
  CHECK(tasks.at("add").accuracy_exact.mean == 1.0);
  CHECK(tasks.at("add").n_answers == 20);
}
