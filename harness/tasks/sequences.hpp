// SPDX-License-Identifier: Apache-2.0
/// @file
/// What a model is evaluated on: windows of text, and rows of problems with known answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace harness {

/// Bytes [begin, end) of a sequence, newline included. @pre begin >= 1
struct answer_span {
  std::uint32_t begin{};
  std::uint32_t end{};

  bool operator==(answer_span const&) const = default;
};

/// One independent run of the model: all bytes but the last are fed, all bytes but the first are predicted.
struct sequence {
  std::vector<std::uint8_t> bytes;   ///< at least 2
  std::string domain;                ///< a text's name, or a task's
  std::vector<answer_span> answers;  ///< empty for text

  [[nodiscard]] std::size_t n_predictions() const noexcept { return bytes.size() - 1; }
};

/// Where the text is that ships with the harness.
[[nodiscard]] std::filesystem::path builtin_text_folder();

/// A text cut into windows, one after the other, no byte twice; a rest of one byte is left out.
/// @throws buddy::config_error when the text has fewer than 2 bytes or a window would
[[nodiscard]] std::vector<sequence> text_windows(std::string_view text, std::string const& domain,
                                                 std::size_t window_bytes);

/// A file's windows; the domain is its name without the last extension.
/// @throws buddy::config_error also when the file cannot be read
[[nodiscard]] std::vector<sequence> file_windows(std::filesystem::path const& file, std::size_t window_bytes);

/// The windows of every text of the folder, in turns by name, so that any beginning of the list holds all of them.
/// @throws buddy::config_error when the folder holds no text
[[nodiscard]] std::vector<sequence> folder_windows(std::filesystem::path const& folder, std::size_t window_bytes);

/// Problems of one task in a row, cut to `length` bytes; only answers that are complete are listed.
///
/// All sequences are drawn from one generator, so those of a shorter list are the first of a longer one. A problem that
/// is cut off is not continued in the next sequence.
/// @throws buddy::config_error when there is no such task or `length` is below 36, the longest problem
[[nodiscard]] std::vector<sequence> task_sequences(std::string_view task, std::size_t n_sequences, std::size_t length,
                                                   std::uint32_t seed);

/// The first sequences that together make `n_predictions` predictions; the last one is cut to fit, where it is a text.
[[nodiscard]] std::vector<sequence> first_predictions(std::span<sequence const> all, std::size_t n_predictions);

}  // namespace harness
