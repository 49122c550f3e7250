// SPDX-License-Identifier: Apache-2.0
/// @file
/// The program run inside a test, with what it prints.
#pragma once

#include "harness/commands/command.hpp"
#include "random_model.hpp"
#include "temporary_folder.hpp"

#include <nlohmann/json.hpp>

#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace cli {

struct outcome {
  int status;
  std::string out;
  std::string err;
};

/// Everything written to a stream while it lives.
class captured {
 public:
  explicit captured(std::ostream& stream) : stream_{&stream}, before_{stream.rdbuf(text_.rdbuf())} {}
  ~captured() { stream_->rdbuf(before_); }
  [[nodiscard]] std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
  std::ostream* stream_;
  std::streambuf* before_;
};

inline outcome run(std::vector<std::string> words) {
  words.insert(words.begin(), "buddy-harness");
  std::vector<char const*> arguments;
  for (std::string const& word : words) arguments.push_back(word.c_str());
  captured out{std::cout};
  captured err{std::cerr};
  int const status = harness::run_program(static_cast<int>(arguments.size()), arguments.data());
  return {status, out.text(), err.text()};
}

struct fixture {
  fixture() {
    auto c = random_model::tiny();
    c.n_experts = 16;
    random_model::write(c, folder.path(), 3);
  }

  [[nodiscard]] std::string file(std::string const& name) const { return (folder.path() / name).string(); }

  /// A command on this model, with few tokens.
  [[nodiscard]] outcome run_with(std::vector<std::string> words) const {
    words.insert(words.end(), {"--model", folder.path().string(), "--tokens", "300"});
    return run(std::move(words));
  }

  temporary_folder folder;
};

inline std::vector<nlohmann::json> lines_of(std::string const& file) {
  std::ifstream in{file};
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

}  // namespace cli
