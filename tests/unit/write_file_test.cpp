// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "file_errors.hpp"

#include <buddy/io/mapped_file.hpp>
#include <buddy/io/write_file.hpp>

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string>

namespace {

namespace fs = std::filesystem;
namespace io = buddy::io;
using test::error_of;
using test::has;

struct folder {
  folder() {
    std::string name = (fs::temp_directory_path() / "buddy-write-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  folder(folder const&) = delete;
  folder& operator=(folder const&) = delete;
  ~folder() { fs::remove_all(path); }
  fs::path path;
};

std::string content(fs::path const& file) {
  io::mapped_file const map{file};
  return {reinterpret_cast<char const*>(map.bytes().data()), map.bytes().size()};
}

}  // namespace

TEST_CASE("a pipe is neither replaced nor waited for", "[unit][io]") {
  folder const f;
  auto const pipe = f.path / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(has(error_of([&] { io::write_file(pipe, "text"); }), "pipe: cannot be written: is not a regular file"));
  CHECK(has(error_of([&] { io::mapped_file const map{pipe}; }), "pipe: is not a regular file"));
  CHECK(fs::is_fifo(pipe));
}

TEST_CASE("devices, folders and what is in no folder are refused", "[unit][io]") {
  folder const f;
  CHECK(has(error_of([] { io::write_file("/dev/null", "text"); }), "is not a regular file"));
  CHECK(has(error_of([&] { io::write_file(f.path, "text"); }), "is not a regular file"));
  CHECK(has(error_of([&] { io::write_file(f.path / "none/file", "text"); }), "there is no such folder"));
  CHECK(has(error_of([] { io::write_file("", "text"); }), "cannot be written"));
  CHECK(fs::is_empty(f.path));
}

TEST_CASE("a link stays, and what it points to is replaced", "[unit][io]") {
  folder const f;
  fs::create_directory(f.path / "sub");
  fs::create_symlink("sub/real", f.path / "relative");  // from the folder of the link, and not there yet
  fs::create_symlink(f.path / "relative", f.path / "absolute");
  io::write_file(f.path / "relative", "one");
  CHECK(content(f.path / "sub/real") == "one");
  io::write_file(f.path / "absolute", "two");
  CHECK(content(f.path / "sub/real") == "two");
  CHECK(fs::is_symlink(f.path / "relative"));
  CHECK(fs::is_symlink(f.path / "absolute"));
  CHECK(std::distance(fs::directory_iterator{f.path}, {}) == 3);  // nothing temporary is left
  CHECK(std::distance(fs::directory_iterator{f.path / "sub"}, {}) == 1);
}

TEST_CASE("links in a circle are refused", "[unit][io]") {
  folder const f;
  fs::create_symlink("b", f.path / "a");
  fs::create_symlink("a", f.path / "b");
  CHECK(has(error_of([&] { io::write_file(f.path / "a", "text"); }), "too many symbolic links"));
}
