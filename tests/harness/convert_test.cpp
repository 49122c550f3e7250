// SPDX-License-Identifier: Apache-2.0
/// @file
/// `convert` as its user meets it.
#include "catch.hpp"
#include "cli_fixture.hpp"

#include <buddy/io/trace_io.hpp>

#include <filesystem>
#include <fstream>
#include <string>

namespace {

using cli::fixture;
using cli::run;

std::string lines_file(fixture const& f) {
  std::ofstream{f.file("log.jsonl")} << "{\"routed_experts\":[[[5,1]],[[3,2]]]}\n";
  return f.file("log.jsonl");
}

TEST_CASE("convert keeps what the flags say of a log", "[harness][cli]") {
  fixture const f;
  auto const o = run({"convert", lines_file(f), f.file("t.safetensors"), "--n-experts", "64", "--model", "a model",
                      "--licence", "MIT"});
  INFO(o.err);
  REQUIRE(o.status == 0);
  auto const trace = buddy::io::read_trace(f.file("t.safetensors"));
  CHECK(trace.n_experts == 64);
  CHECK(trace.model == "a model");
  CHECK(trace.licence == "MIT");
}

TEST_CASE("convert refuses flags that its files have no use for", "[harness][cli]") {
  fixture const f;
  REQUIRE(run({"convert", lines_file(f), f.file("t.safetensors")}).status == 0);
  auto const own = run({"convert", f.file("t.safetensors"), f.file("u.safetensors"), "--n-experts", "64"});
  CHECK(own.status == 2);
  CHECK(own.err.find("--n-experts is for .jsonl") != std::string::npos);
  auto const held = run({"convert", f.file("t.safetensors"), f.file("u.oracleGeneral"), "--source", "here"});
  CHECK(held.status == 2);
  CHECK(held.err.find("cannot hold them") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(f.file("u.safetensors")));
  CHECK_FALSE(std::filesystem::exists(f.file("u.oracleGeneral")));
}

}  // namespace
