// SPDX-License-Identifier: Apache-2.0
/// @file
/// `buddy-harness report`: pictures of results and profile, drawn by report.py.
#include "harness/commands/command.hpp"
#include "harness/commands/outputs.hpp"

#include <buddy/error.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace harness {

namespace {

struct report_flags {
  std::string in;
  std::string profile;
  std::string out = "report.html";
  std::string plots;
};

/// Runs a program without a shell.
/// @returns its exit status, or -1 when it did not end by itself
int run_process(std::vector<std::string> const& words) {
  std::vector<char*> arguments;
  for (std::string const& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  pid_t const child = ::fork();
  if (child < 0) return -1;
  if (child == 0) {
    ::execvp(arguments.front(), arguments.data());
    ::_exit(127);  // what a shell says when there is no such program
  }
  int status = 0;
  if (::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

void require_file(std::string const& file) {
  std::error_code none;
  if (!std::filesystem::is_regular_file(file, none)) throw buddy::config_error(file + ": there is no such file");
}

int report(report_flags const& flags) {
  require_file(flags.in);
  if (!flags.profile.empty()) require_file(flags.profile);
  require_outputs({{"--out", flags.out}});
  require_different({{"--in", flags.in}, {"--profile", flags.profile}, {"--out", flags.out}});
  require_output_folder(flags.plots);
  std::vector<std::string> words{"python3", BUDDY_SOURCE_DIR "/harness/report/report.py", "--in", flags.in, "--out",
                                 flags.out};
  if (!flags.profile.empty()) words.insert(words.end(), {"--profile", flags.profile});
  if (!flags.plots.empty()) words.insert(words.end(), {"--plots", flags.plots});
  int const status = run_process(words);
  if (status == 127) throw buddy::config_error("report needs python3 with matplotlib (Debian: python3-matplotlib)");
  return status < 0 ? 1 : status;  // the script has said what was wrong
}

}  // namespace

void add_report_command(CLI::App& program, command_action& action) {
  auto const flags = std::make_shared<report_flags>();
  CLI::App& command = *program.add_subcommand("report", "pictures of results and profile in one HTML page");
  command.add_option("--in", flags->in, "JSON lines, as --json wrote them")->required();
  command.add_option("--profile", flags->profile, "profile of the model, for the heat maps");
  command.add_option("--out", flags->out, "the page to write")->capture_default_str();
  command.add_option("--plots", flags->plots, "also write each picture as SVG into this folder");
  command.footer("It draws what the other commands wrote with --json, and has no figures of its own to write.");
  command.callback([&action, flags] { action = [flags] { return report(*flags); }; });
}

}  // namespace harness
