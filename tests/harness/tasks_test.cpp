// SPDX-License-Identifier: Apache-2.0
#include "harness/tasks/tasks.hpp"

#include "catch.hpp"
#include "harness/tasks/sequences.hpp"
#include "harness/tasks/splitmix64.hpp"
#include "temporary_folder.hpp"

#include <buddy/error.hpp>
#include <buddy/io/write_file.hpp>

#include <fstream>
#include <set>
#include <string>
#include <vector>

namespace {

using namespace harness;

std::string text_of(sequence const& s) { return {s.bytes.begin(), s.bytes.end()}; }

}  // namespace

TEST_CASE("splitmix64 gives the published numbers", "[harness][tasks]") {
  splitmix64 rng{1234567};  // test vector of the reference implementation, as Rosetta Code lists it
  CHECK(rng.next() == 6457827717110365317U);
  CHECK(rng.next() == 3203168211198807973U);
  CHECK(rng.next() == 9817491932198370423U);
}

TEST_CASE("problems are those of the training script", "[harness][tasks]") {
  // Written by harness/train/tasks.py: for each task the first ten problems of seed 1, "task\tprompt\tanswer\\n".
  std::ifstream golden{BUDDY_SOURCE_DIR "/tests/data/tasks.golden.txt"};
  REQUIRE(golden);
  std::set<std::string> tasks;
  std::size_t n_problems = 0;
  splitmix64 rng{0};
  for (std::string line; std::getline(golden, line); ++n_problems) {
    std::string const task = line.substr(0, line.find('\t'));
    if (tasks.insert(task).second) rng = problem_rng(task, 1);
    problem const p = draw_problem(task, rng);
    CHECK(p.answer.back() == '\n');
    CHECK(task + "\t" + p.prompt + "\t" + p.answer.substr(0, p.answer.size() - 1) + "\\n" == line);
  }
  CHECK(n_problems == 90);
  CHECK(tasks == std::set<std::string>(task_names.begin(), task_names.end()));
}

TEST_CASE("an unknown task is refused and the known ones are listed", "[harness][tasks]") {
  try {
    static_cast<void>(problem_rng("subtract", 1));
    FAIL("accepted");
  } catch (buddy::config_error const& e) {
    CHECK(std::string(e.what()) == "task 'subtract' is not one of: add sort rev copy brk kv fact succ addnew");
  }
}

TEST_CASE("a sequence of problems lists each complete answer", "[harness][tasks]") {
  for (std::string_view const task : task_names) {
    auto const all = task_sequences(task, 3, 256, 9);
    REQUIRE(all.size() == 3);
    splitmix64 rng = problem_rng(task, 9);
    for (sequence const& s : all) {
      CHECK(s.bytes.size() == 256);
      CHECK(s.domain == task);
      std::size_t end = 0;
      for (answer_span const a : s.answers) {
        problem const p = draw_problem(task, rng);
        CHECK(text_of(s).substr(end, a.begin - end) == p.prompt);
        CHECK(text_of(s).substr(a.begin, a.end - a.begin) == p.answer);
        end = a.end;
      }
      // What is left is the beginning of one more problem, which the next sequence does not continue.
      CHECK(256 - end < 36);
      if (end != 256) {
        problem const cut = draw_problem(task, rng);
        CHECK((cut.prompt + cut.answer).starts_with(text_of(s).substr(end)));
      }
    }
  }
}

TEST_CASE("every sequence of problems has an answer, however short", "[harness][tasks]") {
  for (std::string_view const task : task_names)
    for (sequence const& s : task_sequences(task, 200, 36, 4)) REQUIRE(!s.answers.empty());
  CHECK_THROWS_AS(task_sequences("add", 1, 35, 4), buddy::config_error);
}

TEST_CASE("a text is cut into windows without a gap", "[harness][tasks]") {
  auto const two = text_windows("abcdefgh", "t", 5);
  REQUIRE(two.size() == 2);
  CHECK(text_of(two[0]) == "abcde");
  CHECK(text_of(two[1]) == "fgh");
  CHECK(two[1].n_predictions() == 2);
  CHECK(two[0].answers.empty());
  CHECK(text_windows("abcdef", "t", 5).size() == 1);  // the last byte alone predicts nothing
  CHECK_THROWS_AS(text_windows("a", "t", 5), buddy::config_error);
  CHECK_THROWS_AS(text_windows("", "t", 5), buddy::config_error);
  CHECK_THROWS_AS(text_windows("abc", "t", 1), buddy::config_error);
}

TEST_CASE("texts of a folder take turns", "[harness][tasks]") {
  temporary_folder const folder;
  CHECK_THROWS_AS(folder_windows(folder.path(), 2), buddy::config_error);
  CHECK_THROWS_AS(folder_windows(folder / "missing", 2), buddy::config_error);
  buddy::io::write_file(folder / "b.txt", "1122");
  buddy::io::write_file(folder / "a.py.txt", "xxyyzz");
  std::string order, domains;
  for (sequence const& s : folder_windows(folder.path(), 2)) {
    order += text_of(s);
    domains += s.domain + " ";
  }
  CHECK(order == "xx11yy22zz");
  CHECK(domains == "a.py b a.py b a.py ");
  buddy::io::write_file(folder / "c.txt", "");
  CHECK_THROWS_AS(folder_windows(folder.path(), 2), buddy::config_error);
}

TEST_CASE("text for evaluation ships with the project", "[harness][tasks]") {
  auto const all = folder_windows(builtin_text_folder(), 256);
  std::set<std::string> domains;
  std::size_t bytes = 0;
  for (sequence const& s : all) {
    domains.insert(s.domain);
    bytes += s.bytes.size();
  }
  CHECK(domains ==
        std::set<std::string>{"english-prose", "example.cpp", "example.py", "french-prose", "german-prose", "notes"});
  CHECK(bytes >= 24000);
}

TEST_CASE("a limit takes the first predictions and cuts the last text", "[harness][tasks]") {
  auto const texts = text_windows("abcdefghijkl", "t", 4);  // three windows of 3 predictions
  CHECK(first_predictions(texts, 100).size() == 3);
  auto const some = first_predictions(texts, 5);
  REQUIRE(some.size() == 2);
  CHECK(text_of(some[0]) == "abcd");
  CHECK(text_of(some[1]) == "efg");  // 3 + 2 = 5
  CHECK(first_predictions(texts, 0).empty());
  auto const tasks = task_sequences("add", 2, 100, 1);
  CHECK(first_predictions(tasks, 5).at(0).bytes.size() == 100);  // problems stay whole
}
