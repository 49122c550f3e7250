// SPDX-License-Identifier: Apache-2.0
/// @file
/// "--name value ..." after the positional arguments of an example.
#pragma once

#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>

class options {
 public:
  /// @param defaults  every name there is
  /// @throws std::invalid_argument when a name is unknown or has no value
  options(int argc, char** argv, int first, std::map<std::string, std::string> defaults)
      : values_{std::move(defaults)} {
    for (int i = first; i < argc; i += 2) {
      std::string const name = argv[i];
      if (!values_.contains(name)) throw std::invalid_argument("there is no " + name);
      if (i + 1 == argc) throw std::invalid_argument(name + " needs a value");
      values_[name] = argv[i + 1];
    }
  }

  [[nodiscard]] std::string const& text(std::string const& name) const { return values_.at(name); }
  [[nodiscard]] double number(std::string const& name) const {
    std::size_t used = 0;
    double const x = std::stod(text(name) + "\n", &used);
    if (used != text(name).size()) throw std::invalid_argument(name + " must be a number, not '" + text(name) + "'");
    return x;
  }
  [[nodiscard]] std::int64_t count(std::string const& name) const { return static_cast<std::int64_t>(number(name)); }

 private:
  std::map<std::string, std::string> values_;
};
