// SPDX-License-Identifier: Apache-2.0
// What the tests of the file formats share.
#pragma once

#include <buddy/error.hpp>

#include <string>
#include <string_view>

namespace test {

/// The message of the error that `f` throws; "no error" when it throws none.
template <class F>
std::string error_of(F const& f) {
  try {
    f();
  } catch (buddy::config_error const& e) {
    return e.what();
  }
  return "no error";
}

inline bool has(std::string const& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace test
