// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "harness/temporary_folder.hpp"
#include "unit/file_errors.hpp"

#include <buddy/io/profile_io.hpp>
#include <buddy/io/safetensors_writer.hpp>
#include <buddy/profile_builder.hpp>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <vector>

using test::error_of;
using test::has;

namespace {

constexpr buddy::model_shape shape{2, 5, 3, 1234};

/// Ten tokens over experts 0..3; expert 4 is never routed to.
buddy::profile small_profile(bool with_weights = true, bool with_router = true) {
  buddy::profile_builder builder{shape, "tiny-moe"};
  for (std::uint16_t t = 0; t != 10; ++t) {
    for (std::uint16_t l = 0; l != 2; ++l) {
      auto const left_out = (t + l) % 4;
      std::vector<std::uint16_t> experts;
      for (std::uint16_t e = 0; e != 4; ++e)
        if (e != left_out) experts.push_back(e);
      std::vector<float> const weights{3.0F, 2.0F, static_cast<float>(t)};
      builder.observe(l, {{experts.data(), 3}, {weights.data(), with_weights ? 3U : 0U}});
    }
  }
  std::vector<float> const rows{1, 0, 0, 1, 1, 1, 2, 1, -1, 0};
  for (std::uint16_t l = 0; with_router && l != 2; ++l) builder.router_rows(l, {rows.data(), 10});
  auto p = builder.finish();
  p.output_cosine = p.router_cosine;
  for (float const c : p.router_cosine) p.output_cka.push_back(c * c);
  for (float const c : p.router_cosine) p.output_frobenius.push_back(0.5F + 0.5F * c);
  return p;
}

using texts = std::map<std::string, std::string>;

/// Writes the tensors and texts as they are, without the checks of `write_profile`.
void write_unchecked(std::filesystem::path const& path, buddy::profile const& p, texts const& changed = {},
                     std::string const& without = {}) {
  buddy::io::safetensors_writer file;
  texts metadata{{"format", "buddy.profile"}, {"version", "1"}, {"model", p.model},       {"layers", "2"},
                 {"experts_per_layer", "5"},  {"top_k", "3"},   {"expert_bytes", "1234"}, {"n_tokens", "10"}};
  for (auto const& [key, value] : changed) metadata[key] = value;
  for (auto const& [key, value] : metadata)
    if (key != without) file.set(key, value);
  auto const add = [&](std::string const& name, buddy::io::tensor_shape const& sizes, auto const& elements) {
    if (name != without) file.add(name, sizes, std::span{elements});
  };
  add("activations", {2, 5}, p.activations);
  add("coactivations", {2, 5, 5}, p.coactivations);
  add("transitions", {2, 5, 5}, p.transitions);
  add("min_weighted", {2, 5, 5}, p.min_weighted);
  add("entropy_percentiles", {2, 101}, p.entropy_percentiles);
  add("router_cosine", {2, 5, 5}, p.router_cosine);
  add("output_cosine", {2, 5, 5}, p.output_cosine);
  add("output_cka", {2, 5, 5}, p.output_cka);
  add("output_frobenius", {2, 5, 5}, p.output_frobenius);
  file.write(path);
}

/// The error of reading a file whose profile was changed by `change`.
std::string error_after(std::function<void(buddy::profile&)> const& change) {
  temporary_folder const folder;
  auto p = small_profile();
  change(p);
  write_unchecked(folder.path() / "p", p);
  auto const message = error_of([&] { static_cast<void>(buddy::io::read_profile(folder.path() / "p")); });
  // What the reader refuses, the writer must not write.
  CHECK(error_of([&] { buddy::io::write_profile(folder.path() / "q", p); }) != "no error");
  CHECK_FALSE(std::filesystem::exists(folder.path() / "q"));
  return message;
}

std::string error_with(texts const& changed, std::string const& without = {}) {
  temporary_folder const folder;
  write_unchecked(folder.path() / "p", small_profile(), changed, without);
  return error_of([&] { static_cast<void>(buddy::io::read_profile(folder.path() / "p")); });
}

}  // namespace

TEST_CASE("a profile comes back as it was written", "[unit][profile_io]") {
  temporary_folder const folder;
  for (int kind = 0; kind != 4; ++kind) {
    INFO("kind " << kind);
    auto const p = small_profile((kind & 1) != 0, (kind & 2) != 0);
    buddy::io::write_profile(folder.path() / "p", p);
    CHECK(buddy::io::read_profile(folder.path() / "p") == p);
  }
}

TEST_CASE("equal profiles give equal files", "[unit][profile_io]") {
  temporary_folder const folder;
  auto const bytes = [&](char const* name) {
    buddy::io::write_profile(folder.path() / name, small_profile());
    std::ifstream in(folder.path() / name, std::ios::binary);
    return std::string{std::istreambuf_iterator<char>{in}, {}};
  };
  CHECK(bytes("a") == bytes("b"));
}

TEST_CASE("the profile of another model is refused, and both are named", "[unit][profile_io]") {
  temporary_folder const folder;
  auto const path = folder.path() / "p";
  buddy::io::write_profile(path, small_profile());
  auto const read_for = [&](std::string const& model, buddy::model_shape const& s) {
    return error_of([&] { static_cast<void>(buddy::io::read_profile(path, model, s)); });
  };
  CHECK(read_for("tiny-moe", shape) == "no error");
  CHECK(read_for("tiny-moe", {2, 5, 3, 77}) == "no error");  // another quantisation of the same model
  auto const other = read_for("other-moe", shape);
  CHECK(has(other, "'tiny-moe'"));
  CHECK(has(other, "'other-moe'"));
  CHECK(has(other, path.string()));
  auto const smaller = read_for("tiny-moe", {2, 4, 3, 1234});
  CHECK(has(smaller, "5 experts"));
  CHECK(has(smaller, "4 experts"));
}

TEST_CASE("a profile with impossible counts is refused", "[unit][profile_io]") {
  auto const pair = [](buddy::profile const& p, std::uint16_t i, std::uint16_t j) { return p.pair_index(1, i, j); };
  using profile = buddy::profile;
  // The untouched file reads: what follows is refused for the change alone.
  CHECK(error_with({}) == "no error");
  CHECK(has(error_after([](profile& p) { p.activations[0] = 11; }), "'activations': must not exceed n_tokens"));
  CHECK(has(error_after([&](profile& p) { p.coactivations[pair(p, 0, 1)] -= 1; }), "'coactivations': must be symm"));
  CHECK(has(error_after([&](profile& p) {
              p.coactivations[pair(p, 2, 2)] = 1;
              p.coactivations[pair(p, 2, 1)] -= 1;
              p.coactivations[pair(p, 1, 2)] -= 1;
            }),
            "the diagonal must be 0"));
  // A pair that never met, with expert 4 that was never active; the rows still fit since another pair gives way.
  CHECK(has(error_after([&](profile& p) {
              p.coactivations[pair(p, 0, 4)] = 1;
              p.coactivations[pair(p, 0, 1)] -= 1;
              p.coactivations[pair(p, 4, 0)] = 1;
              p.coactivations[pair(p, 1, 0)] -= 1;
            }),
            "'coactivations': must not exceed the activations"));
  CHECK(has(error_after([&](profile& p) { p.coactivations[pair(p, 0, 1)] += 1; }), "activations x (top_k - 1)"));
  CHECK(has(error_after([&](profile& p) { p.transitions[pair(p, 0, 1)] += 100; }), "activations x top_k"));
  CHECK(has(error_after([&](profile& p) { p.transitions[pair(p, 0, 4)] += 1, p.transitions[pair(p, 0, 1)] -= 1; }),
            "'transitions': must not exceed the activations"));
  CHECK(has(error_after([&](profile& p) { p.min_weighted[pair(p, 0, 1)] += 1; }), "'min_weighted': must be symm"));
  CHECK(has(error_after([&](profile& p) { p.min_weighted[pair(p, 0, 1)] = 11 << 16; }), "coactivations x 65536"));
  CHECK(
      has(error_after([](profile& p) { p.entropy_percentiles[3] = 70000; }), "'entropy_percentiles': must be at most"));
  CHECK(has(error_after([](profile& p) { p.entropy_percentiles[101 + 100] = 0; }), "must not fall at [1, 100]"));
  CHECK(has(error_after([&](profile& p) { p.router_cosine[pair(p, 0, 1)] = 1.5F; }), "'router_cosine': must be in"));
  CHECK(has(error_after([&](profile& p) { p.router_cosine[pair(p, 0, 1)] = 0.25F; }), "'router_cosine': must be symm"));
  CHECK(
      has(error_after([&](profile& p) { p.output_cosine[pair(p, 0, 1)] = -1.5F; }), "'output_cosine': must be in [-1"));
  CHECK(has(error_after([&](profile& p) { p.output_cka[pair(p, 0, 1)] = -0.5F; }), "'output_cka': must be in [0, 1]"));
  CHECK(has(error_after([&](profile& p) { p.output_cka[pair(p, 0, 1)] = 0.125F; }), "'output_cka': must be symm"));
  CHECK(has(error_after([&](profile& p) { p.output_frobenius[pair(p, 1, 2)] = 2.0F; }), "'output_frobenius': must be"));
  float const nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(has(error_after([&](profile& p) { p.output_frobenius[pair(p, 0, 1)] = nan; }), "'output_frobenius': must be"));
  CHECK(has(error_after([&](profile& p) { p.router_cosine[pair(p, 0, 1)] = nan; }), "'router_cosine': must be in"));
}

TEST_CASE("a profile whose metadata do not fit is refused", "[unit][profile_io]") {
  CHECK(has(error_with({{"format", "buddy.routing-trace"}}), "'format' must be 'buddy.profile'"));
  CHECK(has(error_with({{"version", "2"}}), "'version' must be '1', not '2'"));
  CHECK(has(error_with({{"layers", "3"}}), "'activations': shape must be [3, 5], not [2, 5]"));
  CHECK(has(error_with({{"layers", "65536"}}), "'layers' must be a whole number in [1, 65535]"));
  CHECK(has(error_with({{"experts_per_layer", "1025"}}), "'experts_per_layer' must be"));
  CHECK(has(error_with({{"top_k", "6"}}), "'top_k' must be a whole number in [1, 5]"));
  CHECK(has(error_with({{"n_tokens", "4294967296"}}), "n_tokens must be below 2^32"));
  for (auto const* const text : {"", "0", "-1", "+3", " 3", "3 ", "0x3", "3.0", "99999999999999999999"}) {
    INFO("'" << text << "'");
    CHECK(has(error_with({{"layers", text}}), "'layers' must be a whole number"));
  }
  for (auto const* const name : {"format", "version", "model", "layers", "experts_per_layer", "top_k", "expert_bytes",
                                 "n_tokens", "activations", "coactivations", "transitions"}) {
    INFO(name);
    CHECK(has(error_with({}, name), "'" + std::string(name) + "'"));
    CHECK(has(error_with({}, name), "is missing"));
  }
  for (auto const* const name : {"min_weighted", "router_cosine", "output_cosine", "output_cka", "output_frobenius"})
    CHECK(error_with({}, name) == "no error");  // optional
}

TEST_CASE("a profile of another element type is refused", "[unit][profile_io]") {
  temporary_folder const folder;
  auto const p = small_profile();
  auto const path = folder.path() / "p";
  buddy::io::safetensors_writer file;
  for (auto const& [key, value] : texts{{"format", "buddy.profile"},
                                        {"version", "1"},
                                        {"model", "m"},
                                        {"layers", "2"},
                                        {"experts_per_layer", "5"},
                                        {"top_k", "3"},
                                        {"expert_bytes", "1"},
                                        {"n_tokens", "10"}})
    file.set(key, value);
  std::vector<float> const as_floats(p.activations.begin(), p.activations.end());
  file.add("activations", {2, 5}, std::span{as_floats});
  file.write(path);
  CHECK(has(error_of([&] { static_cast<void>(buddy::io::read_profile(path)); }), "'activations': dtype must be U64"));
}

TEST_CASE("a profile cut off anywhere is refused", "[unit][profile_io]") {
  temporary_folder const folder;
  auto const path = folder.path() / "p";
  buddy::io::write_profile(path, small_profile());
  auto const size = std::filesystem::file_size(path);
  for (auto left = size; left != 0; left -= std::min<std::uintmax_t>(left, 97)) {
    std::filesystem::resize_file(path, left - 1);
    INFO(left - 1 << " of " << size << " bytes");
    CHECK(error_of([&] { static_cast<void>(buddy::io::read_profile(path)); }) != "no error");
  }
}

TEST_CASE("a profile that saw nothing is not written", "[unit][profile_io]") {
  temporary_folder const folder;
  auto const empty = buddy::profile_builder{shape, "tiny-moe"}.finish();
  CHECK(has(error_of([&] { buddy::io::write_profile(folder.path() / "p", empty); }), "at least one token"));
  CHECK(std::filesystem::is_empty(folder.path()));
}
