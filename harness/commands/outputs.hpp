// SPDX-License-Identifier: Apache-2.0
/// @file
/// Files that a command will write, looked at before hours are spent on what goes into them.
#pragma once

#include <string>
#include <vector>

namespace harness {

/// A flag, and the file or folder it was given; empty when it was not.
struct named_path {
  char const* flag;
  std::string path;
};

/// @throws buddy::config_error when one of the files cannot be written, or two of them are the same
void require_outputs(std::vector<named_path> const& files);

/// @throws buddy::config_error when two of the paths are the same file
void require_different(std::vector<named_path> const& files);

/// @throws buddy::config_error when the folder is not writable, or cannot be made
void require_output_folder(std::string const& folder);

/// Writes a file completely or not at all; nothing when the name is empty.
void write_if_named(std::string const& file, std::string const& text);

/// A line each, on stderr.
void print_warnings(std::vector<std::string> const& warnings);

}  // namespace harness
