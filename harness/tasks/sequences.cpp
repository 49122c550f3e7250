// SPDX-License-Identifier: Apache-2.0
/// @file
/// Cuts texts and draws problems into sequences.
#include "harness/tasks/sequences.hpp"

#include "harness/tasks/tasks.hpp"

#include <buddy/error.hpp>
#include <buddy/io/mapped_file.hpp>

#include <algorithm>
#include <system_error>
#include <utility>

namespace harness {

namespace {

/// "close ", 14 brackets, a blank, 14 brackets, a newline: so that every sequence holds a complete answer.
constexpr std::size_t longest_problem = 6 + 14 + 1 + 14 + 1;

[[noreturn]] void refuse(std::string const& what) { buddy::detail::throw_config_error(what.c_str()); }

std::vector<std::filesystem::path> texts_of(std::filesystem::path const& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (auto const& entry : std::filesystem::directory_iterator{folder, error})
    if (entry.is_regular_file()) files.push_back(entry.path());
  if (files.empty()) refuse(folder.string() + ": holds no text");
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

std::filesystem::path builtin_text_folder() {
  return std::filesystem::path{BUDDY_SOURCE_DIR} / "harness" / "tasks" / "text";
}

std::vector<sequence> text_windows(std::string_view text, std::string const& domain, std::size_t window_bytes) {
  if (window_bytes < 2) refuse("a window of text must have at least 2 bytes");
  if (text.size() < 2) refuse("text '" + domain + "' must have at least 2 bytes");
  std::vector<sequence> windows;
  for (std::size_t begin = 0; begin + 2 <= text.size(); begin += window_bytes) {
    std::string_view const part = text.substr(begin, window_bytes);
    windows.push_back({{part.begin(), part.end()}, domain, {}});
  }
  return windows;
}

std::vector<sequence> file_windows(std::filesystem::path const& file, std::size_t window_bytes) {
  buddy::io::mapped_file const map{file};
  auto const bytes = map.bytes();
  if (bytes.size() < 2) refuse(file.string() + ": must have at least 2 bytes of text");
  return text_windows({reinterpret_cast<char const*>(bytes.data()), bytes.size()}, file.stem().string(), window_bytes);
}

std::vector<sequence> folder_windows(std::filesystem::path const& folder, std::size_t window_bytes) {
  std::vector<std::vector<sequence>> texts;
  std::size_t longest = 0;
  for (auto const& file : texts_of(folder)) {
    texts.push_back(file_windows(file, window_bytes));
    longest = std::max(longest, texts.back().size());
  }
  std::vector<sequence> all;
  for (std::size_t turn = 0; turn != longest; ++turn)
    for (auto& text : texts)
      if (turn < text.size()) all.push_back(std::move(text[turn]));
  return all;
}

std::vector<sequence> task_sequences(std::string_view task, std::size_t n_sequences, std::size_t length,
                                     std::uint32_t seed) {
  if (length < longest_problem)
    refuse("a sequence of problems must have at least " + std::to_string(longest_problem) + " bytes");
  splitmix64 rng = problem_rng(task, seed);
  std::vector<sequence> all(n_sequences);
  for (sequence& s : all) {
    s.domain = task;
    while (s.bytes.size() < length) {
      problem const p = draw_problem(task, rng);
      s.bytes.insert(s.bytes.end(), p.prompt.begin(), p.prompt.end());
      auto const begin = static_cast<std::uint32_t>(s.bytes.size());
      s.bytes.insert(s.bytes.end(), p.answer.begin(), p.answer.end());
      auto const end = static_cast<std::uint32_t>(s.bytes.size());
      if (end <= length) s.answers.push_back({begin, end});
    }
    s.bytes.resize(length);
  }
  return all;
}

std::vector<sequence> first_predictions(std::span<sequence const> all, std::size_t n_predictions) {
  std::vector<sequence> first;
  for (sequence const& s : all) {
    if (n_predictions == 0) break;
    first.push_back(s);
    if (s.answers.empty() && s.n_predictions() > n_predictions) first.back().bytes.resize(n_predictions + 1);
    n_predictions -= std::min(n_predictions, s.n_predictions());
  }
  return first;
}

}  // namespace harness
