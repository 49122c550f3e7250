// SPDX-License-Identifier: Apache-2.0
// What an error says.
#pragma once

#include <exception>
#include <string>

/// The words, or none when nothing was thrown.
template <class F>
std::string words_of(F const& f) {
  try {
    f();
  } catch (std::exception const& e) {
    return e.what();
  }
  return {};
}

inline bool says(std::string const& words, std::string const& part) { return words.find(part) != std::string::npos; }
