// SPDX-License-Identifier: Apache-2.0
/// @file
/// Asks git and the system.
#include "harness/report/provenance.hpp"

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>

namespace harness {

namespace {

bool is_commit(std::string const& s) {
  return s.size() == 40 && s.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

std::optional<std::string> source_commit() {
  std::string const folder = BUDDY_SOURCE_DIR;
  std::error_code none;
  // A folder without its own .git may lie inside somebody else's repository.
  if (!std::filesystem::exists(folder + "/.git", none) || folder.find('\'') != std::string::npos) return std::nullopt;
  std::string const command = "git -C '" + folder + "' rev-parse HEAD 2>/dev/null";
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> const pipe{::popen(command.c_str(), "r"), ::pclose};
  if (!pipe) return std::nullopt;
  std::array<char, 41> answer{};
  std::size_t const n = std::fread(answer.data(), 1, 40, pipe.get());
  std::string const commit{answer.data(), n};
  return is_commit(commit) ? std::optional{commit} : std::nullopt;
}

std::optional<std::string> machine_name() {
  std::ifstream info{"/proc/cpuinfo"};
  for (std::string line; std::getline(info, line);) {
    auto const colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
  }
  return std::nullopt;
}

}  // namespace harness
