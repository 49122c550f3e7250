// SPDX-License-Identifier: Apache-2.0
/// @file
/// The flags, and the one warning about them.
#include "harness/commands/timeline_flags.hpp"

#include "harness/commands/outputs.hpp"

#include <buddy/io/write_file.hpp>

namespace harness {

void timeline_flags::add_to(CLI::App& command) {
  command.add_option("--trace-timeline", file_,
                     "write copies, layers and stalls to this file, for ui.perfetto.dev or chrome://tracing");
  command.add_option("--timeline-from", first_step_, "steps to pass over before the timeline begins")
      ->capture_default_str();
}

std::optional<timeline> timeline_flags::make() const {
  return asked() ? std::optional<timeline>{std::in_place, first_step_} : std::nullopt;
}

void timeline_flags::write(timeline const& drawn, timeline_labels const& labels) const {
  buddy::io::write_file(file_, timeline_json(drawn, labels));
  if (drawn.left_out() != 0)
    print_warnings({file_ + ": holds the first " + std::to_string(drawn.spans().size()) + " spans, " +
                    std::to_string(drawn.left_out()) + " more had no room"});
  if (drawn.spans().empty()) print_warnings({file_ + ": is empty, since there are fewer steps than --timeline-from"});
}

}  // namespace harness
