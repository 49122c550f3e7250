// SPDX-License-Identifier: Apache-2.0
/// @file
/// Asks the file system.
#include "harness/commands/outputs.hpp"

#include <buddy/error.hpp>
#include <buddy/io/write_file.hpp>

#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <map>
#include <system_error>

namespace harness {

namespace fs = std::filesystem;

void require_outputs(std::vector<named_path> const& files) {
  for (named_path const& f : files)
    if (!f.path.empty()) static_cast<void>(buddy::io::write_target(f.path));
  require_different(files);
}

void require_different(std::vector<named_path> const& files) {
  std::map<fs::path, char const*> seen;
  for (named_path const& f : files) {
    if (f.path.empty()) continue;
    std::error_code none;
    auto const [other, is_new] = seen.try_emplace(fs::weakly_canonical(fs::absolute(f.path, none), none), f.flag);
    if (!is_new)
      throw buddy::config_error(f.path + ": " + other->second + " and " + f.flag + " must not name the same file");
  }
}

void require_output_folder(std::string const& folder) {
  if (folder.empty()) return;
  std::error_code none;
  fs::path place = fs::absolute(folder, none);
  while (!fs::exists(place, none) && place != place.parent_path()) place = place.parent_path();
  if (!fs::is_directory(place, none)) throw buddy::config_error(folder + ": " + place.string() + " is not a folder");
  if (::access(place.c_str(), W_OK | X_OK) != 0) throw buddy::config_error(folder + ": is not writable");
}

void write_if_named(std::string const& file, std::string const& text) {
  if (!file.empty()) buddy::io::write_file(file, text);
}

void print_warnings(std::vector<std::string> const& warnings) {
  for (std::string const& text : warnings) std::cerr << "buddy-harness: warning: " << text << '\n';
}

}  // namespace harness
