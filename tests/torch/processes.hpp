// SPDX-License-Identifier: Apache-2.0
// Starts the ranks of a group as processes, waits for them with a deadline, and keeps what they said.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

struct ended_process {
  int code{-1};  ///< exit code; 1000 for one that had to be killed
  double seconds{};
  std::string output;  ///< both streams
};

inline std::string contents_of(std::filesystem::path const& file) {
  std::ifstream in{file, std::ios::binary};
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

inline pid_t start_process(std::vector<std::string> const& command, std::filesystem::path const& output) {
  std::vector<char*> words;
  for (auto const& w : command) words.push_back(const_cast<char*>(w.c_str()));
  words.push_back(nullptr);
  pid_t const pid = ::fork();
  if (pid != 0) return pid;
  std::FILE* const file = std::fopen(output.c_str(), "w");
  if (file == nullptr || ::dup2(::fileno(file), 1) < 0 || ::dup2(::fileno(file), 2) < 0) ::_exit(126);
  ::setenv("OMP_NUM_THREADS", "1", 1);  // as many ranks as cores, or more
  ::execv(words[0], words.data());
  ::_exit(127);
}

/// One process for each command; none outlives the deadline.
inline std::vector<ended_process> run_processes(std::vector<std::vector<std::string>> const& commands,
                                                std::filesystem::path const& outputs, std::chrono::seconds deadline) {
  auto const begin = std::chrono::steady_clock::now();
  std::vector<pid_t> pids;
  std::vector<ended_process> ends(commands.size());
  for (std::size_t i = 0; i != commands.size(); ++i)
    pids.push_back(start_process(commands[i], outputs / ("output." + std::to_string(i))));
  for (std::size_t running = commands.size(); running != 0;) {
    auto const elapsed = std::chrono::steady_clock::now() - begin;
    for (std::size_t i = 0; i != pids.size(); ++i) {
      if (ends[i].code != -1) continue;
      bool const late = elapsed > deadline;
      if (late) ::kill(pids[i], SIGKILL);
      int status = 0;
      if (::waitpid(pids[i], &status, late ? 0 : WNOHANG) != pids[i]) continue;
      ends[i] = {WIFEXITED(status) ? WEXITSTATUS(status) : 1000, std::chrono::duration<double>(elapsed).count(),
                 contents_of(outputs / ("output." + std::to_string(i)))};
      --running;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
  }
  return ends;
}
