// SPDX-License-Identifier: Apache-2.0
/// @file
/// `--trace-timeline`, for every command whose time can be looked at.
#pragma once

#include "harness/report/timeline_json.hpp"
#include "harness/sim/timeline.hpp"

#include <CLI/CLI.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace harness {

/// Where the timeline goes, and from where on it is kept.
class timeline_flags {
 public:
  /// The flags must outlive the parsing.
  void add_to(CLI::App& command);

  [[nodiscard]] bool asked() const noexcept { return !file_.empty(); }
  [[nodiscard]] std::string const& file() const noexcept { return file_; }

  /// Takes the memory for the spans; nothing when no file was named.
  [[nodiscard]] std::optional<timeline> make() const;

  /// Writes the file completely or not at all, and says how much did not fit.
  void write(timeline const& drawn, timeline_labels const& labels) const;

 private:
  std::string file_;
  std::uint64_t first_step_ = 0;
};

}  // namespace harness
