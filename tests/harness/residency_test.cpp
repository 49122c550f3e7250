// SPDX-License-Identifier: Apache-2.0
/// @file
/// A run that starts with what another run held at its end.
#include "catch.hpp"
#include "cli_fixture.hpp"

#include <buddy/io/residency_io.hpp>

#include <nlohmann/json.hpp>

#include <string>

namespace {

using cli::fixture;
using cli::lines_of;

TEST_CASE("run saves its residents and starts with saved ones", "[harness][cli]") {
  fixture const f;
  auto o = f.run_with({"run", "--cache-ratio", "0.5", "--save-residency", f.file("r"), "--json", f.file("cold.json")});
  INFO(o.err);
  REQUIRE(o.status == 0);
  auto const saved = buddy::io::read_residency(f.file("r"));
  CHECK(saved.shape.n_experts == 16);
  CHECK(saved.experts.size() == std::size_t{8} * saved.shape.n_layers);  // every slot is in use at the end
  o = f.run_with({"run", "--cache-ratio", "0.5", "--warm-from", f.file("r"), "--json", f.file("warm.json")});
  INFO(o.err);
  REQUIRE(o.status == 0);
  CHECK(o.out.find("start from saved residents") != std::string::npos);
  auto const cold = lines_of(f.file("cold.json")).front();
  auto const warm = lines_of(f.file("warm.json")).front();
  CHECK(cold["config"]["saved_residents"] == 0);
  CHECK(warm["config"]["saved_residents"] == saved.experts.size());
  CHECK(warm["hit_rate"] != cold["hit_rate"]);
}

TEST_CASE("run refuses the residents of another model and broken files", "[harness][cli]") {
  fixture const f;
  buddy::io::write_residency(f.file("other"), {"another model", {2, 16, 3, 1}, {{0, 1}}});
  auto o = f.run_with({"run", "--warm-from", f.file("other")});
  CHECK(o.status == 2);
  CHECK(o.err.find("the residency is of model 'another model'") != std::string::npos);
  o = f.run_with({"run", "--warm-from", f.file("model.safetensors")});
  CHECK(o.status == 2);
  o = f.run_with({"run", "--warm-from", f.file("none")});
  CHECK(o.status == 2);
  CHECK(o.err.find("none: cannot be opened") != std::string::npos);
  o = f.run_with({"run", "--save-residency", f.file("no/such/folder/r")});
  CHECK(o.status == 2);
  CHECK(o.err.find("no such folder") != std::string::npos);
}

}  // namespace
