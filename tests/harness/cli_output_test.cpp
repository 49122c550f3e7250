// SPDX-License-Identifier: Apache-2.0
/// @file
/// Where results go: what is refused before anything runs, and what survives when a place cannot be written.
#include "catch.hpp"
#include "cli_fixture.hpp"
#include "harness/commands/outputs.hpp"

#include <buddy/error.hpp>

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

namespace {

namespace fs = std::filesystem;
using cli::fixture;
using cli::outcome;

bool has(std::string const& text, char const* part) { return text.find(part) != std::string::npos; }

TEST_CASE("what is no file is neither replaced nor waited for", "[harness][cli]") {
  fixture const f;
  REQUIRE(::mkfifo(f.file("pipe").c_str(), 0600) == 0);
  auto const refused = [&](char const* command, char const* flag, std::string const& path) {
    outcome const o = f.run_with({command, flag, path});
    INFO(o.err);
    CHECK(o.status == 2);
    CHECK(has(o.err, "is not a regular file"));
    CHECK(o.out.empty());
  };
  for (char const* flag : {"--json", "--record-trace"}) {
    refused("run", flag, f.file("pipe"));
    refused("run", flag, f.folder.path().string());
  }
  refused("sweep", "--csv", f.file("pipe"));
  refused("demo", "--json", "/dev/null");
  refused("profile", "--out", f.file("pipe"));
  refused("run", "--text", f.file("pipe"));
  CHECK(fs::is_fifo(f.file("pipe")));
  CHECK(fs::is_character_file("/dev/null"));
}

TEST_CASE("two outputs are two files", "[harness][cli]") {
  fixture const f;
  fs::create_symlink(f.file("a"), f.file("link"));
  outcome const o = f.run_with({"run", "--json", f.file("a"), "--record-trace", f.folder.path().string() + "/./a"});
  CHECK(o.status == 2);
  CHECK(has(o.err, "--json and --record-trace must not name the same file"));
  CHECK_FALSE(fs::exists(f.file("a")));
  std::ofstream{f.file("a")} << "kept";
  CHECK(f.run_with({"sweep", "--json", f.file("a"), "--csv", f.file("link")}).status == 2);
  CHECK(cli::run({"report", "--in", f.file("a"), "--out", f.file("link")}).status == 2);
  CHECK(fs::file_size(f.file("a")) == 4);
}

TEST_CASE("a folder of pictures may be made, but not inside a file", "[harness][cli]") {
  temporary_folder const folder;
  CHECK_NOTHROW(harness::require_output_folder((folder / "new/newer").string()));
  CHECK_FALSE(fs::exists(folder / "new"));
  std::ofstream{folder / "file"};
  CHECK_THROWS_AS(harness::require_output_folder((folder / "file").string()), buddy::config_error);
  CHECK_THROWS_AS(harness::require_output_folder((folder / "file/new").string()), buddy::config_error);
}

/// A stream that takes nothing, as a full disk.
class refusing : public std::streambuf {};

TEST_CASE("a standard output that takes nothing ends in status 1, after the files were written", "[harness][cli]") {
  fixture const f;
  refusing full;
  std::ostringstream err;
  auto* const out_before = std::cout.rdbuf(&full);
  auto* const err_before = std::cerr.rdbuf(err.rdbuf());
  std::string const model = f.folder.path().string();
  std::string const json = f.file("r.json");
  char const* const words[]{"buddy-harness", "run",         "--tokens", "100",
                            "--model",       model.c_str(), "--json",   json.c_str()};
  int const status = harness::run_program(8, words);
  std::cout.rdbuf(out_before);
  std::cerr.rdbuf(err_before);
  std::cout.clear();
  CHECK(status == 1);
  CHECK(err.str() == "buddy-harness: standard output cannot be written\n");
  CHECK(cli::lines_of(json).size() == 1);
}

TEST_CASE("report draws a page", "[harness][cli]") {
  char const* const probe = "import matplotlib";
  auto const can = [&](std::string const& python) {
    return std::system((python + " -c '" + probe + "' 2>/dev/null").c_str()) == 0;
  };
  if (!can("python3") && !can("/usr/bin/python3")) {
    WARN("skipped: there is no python3 with matplotlib");
    return;
  }
  fixture const f;
  REQUIRE(f.run_with({"sweep", "--policies", "fetch,drop", "--cache-ratios", "0.75,0.5", "--json", f.file("s.jsonl")})
              .status == 0);
  REQUIRE(f.run_with({"profile", "--out", f.file("p.safetensors")}).status == 0);
  outcome const o = cli::run({"report", "--in", f.file("s.jsonl"), "--profile", f.file("p.safetensors"), "--out",
                              f.file("page.html"), "--plots", f.file("plots")});
  INFO(o.err);
  REQUIRE(o.status == 0);
  std::ifstream page{f.file("page.html")};
  std::string const html{std::istreambuf_iterator<char>{page}, {}};
  CHECK(has(html, "</html>"));
  CHECK(has(html, "data:image/svg+xml"));
  CHECK(fs::directory_iterator{f.file("plots")} != fs::directory_iterator{});
}

}  // namespace
