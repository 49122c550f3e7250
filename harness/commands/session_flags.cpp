// SPDX-License-Identifier: Apache-2.0
/// @file
/// Shared flags and small helpers of the commands.
#include "harness/commands/session_flags.hpp"

#include "harness/policy/presets.hpp"
#include "harness/report/text_table.hpp"

#include <buddy/error.hpp>

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <iostream>
#include <sstream>

namespace harness {

void session_flags::add_to(CLI::App& command) {
  auto& o = options_;
  command.add_option("--backend", backend_, "who computes: cpu (time is modelled) | cuda (a GPU, time is measured)")
      ->capture_default_str();
  command.add_option("--model", o.model, "folder with config.json and model.safetensors")->capture_default_str();
  command.add_option("--text", o.evaluation.text, "text that is read: a file, builtin or none")->capture_default_str();
  command.add_option("--tasks", tasks_, "synthetic tasks: on | off")->capture_default_str();
  command.add_option("--tokens", o.evaluation.n_tokens, "tokens to run, text and tasks together")
      ->capture_default_str();
  command.add_option("--seed", o.evaluation.seed, "of everything that is drawn")->capture_default_str();
  command.add_option("--hardware", o.hardware, "machine whose time is modelled: a name or a .json file")
      ->capture_default_str();
  command.add_option("--shape", shape_, "model whose sizes are charged [deepseek-v2-lite; with cuda: reference]");
  command.add_option("--record-bits", o.record_bits, "experts as the model has them, or rounded to 4 bits: 16 | 4")
      ->capture_default_str();
  command.add_option("--profile", o.profile, "profile of the model; default: profile.safetensors beside it");
  command.add_option("--threads", n_threads_, "rows that run at once; 0: one for each core, 8 at most")
      ->capture_default_str();
}

session_options session_flags::options() const {
  if (tasks_ != "on" && tasks_ != "off") throw buddy::config_error("--tasks '" + tasks_ + "': one of on, off");
  if (backend_ != "cpu" && backend_ != "cuda")
    throw buddy::config_error("--backend '" + backend_ + "': one of cpu, cuda");
  session_options o = options_;
  if (backend_ == "cuda") {
    o.backend = backend_kind::cuda;
    o.shape = "reference";
  }
  if (!shape_.empty()) o.shape = shape_;
  o.evaluation.tasks = tasks_ == "on";
  return o;
}

progress_line::progress_line(std::size_t n_rows) : n_rows_(n_rows), visible_(::isatty(STDERR_FILENO) != 0) {}

void progress_line::operator()(std::size_t done, run_result const& row) const {
  if (!visible_) return;
  std::cerr << "\r\033[K[" << done << "/" << n_rows_ << "] " << row.settings.name << " "
            << fixed(row.settings.cache_ratio, 3) << (done == n_rows_ ? "\r\033[K" : "") << std::flush;
}

namespace {

template <class T>
void require_once(std::string const& flag, std::vector<T> const& values) {
  for (std::size_t i = 0; i != values.size(); ++i) {
    if (std::find(values.begin() + static_cast<std::ptrdiff_t>(i) + 1, values.end(), values[i]) == values.end())
      continue;
    std::ostringstream value;
    value << values[i];
    throw buddy::config_error(flag + ": " + value.str() + " is there twice");
  }
}

}  // namespace

std::vector<std::string> split_list(std::string const& flag, std::string const& list) {
  std::vector<std::string> parts{""};
  for (char const c : list) {
    if (c == ',') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  if (std::find(parts.begin(), parts.end(), "") != parts.end())
    throw buddy::config_error(flag + " '" + list + "': needs a name between two commas");
  require_once(flag, parts);
  return parts;
}

std::vector<double> split_ratios(std::string const& flag, std::string const& list) {
  std::vector<double> ratios;
  for (std::string const& part : split_list(flag, list)) {
    double x = 0.0;
    auto const [end, error] = std::from_chars(part.data(), part.data() + part.size(), x);
    if (error != std::errc{} || end != part.data() + part.size() || !(x > 0.0 && x <= 1.0))
      throw buddy::config_error(flag + " '" + part + "': a cache ratio must be in (0, 1]");
    ratios.push_back(x);
  }
  require_once(flag, ratios);
  return ratios;
}

std::vector<policy_settings> grid(std::vector<std::string> const& policies, std::vector<double> const& ratios) {
  std::vector<policy_settings> rows;
  for (double const ratio : ratios) {
    for (std::string const& name : policies) {
      policy_settings s = preset_settings(name);
      bool const resident = s.cache_ratio == 1.0;
      if (resident && ratio != ratios.front()) continue;
      if (!resident) s.cache_ratio = ratio;
      rows.push_back(s);
    }
  }
  return rows;
}

}  // namespace harness
