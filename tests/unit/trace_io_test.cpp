// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "harness/temporary_folder.hpp"
#include "unit/file_errors.hpp"

#include <buddy/io/safetensors_writer.hpp>
#include <buddy/io/trace_io.hpp>
#include <buddy/trace_recorder.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <vector>

using test::error_of;
using test::has;

namespace {

constexpr buddy::model_shape shape{2, 8, 2, 1};

using ids = std::vector<std::uint16_t>;
using floats = std::vector<float>;
using texts = std::map<std::string, std::string>;

void record(buddy::trace_recorder& recorder, std::uint16_t layer, ids const& experts, floats const& weights) {
  recorder.record(layer, {{experts.data(), static_cast<std::uint32_t>(experts.size())},
                          {weights.data(), static_cast<std::uint32_t>(weights.size())},
                          {},
                          static_cast<std::uint32_t>(experts.size() / 2)});
}

/// A prompt of two tokens, a decoded token without a record of layer 1, and another text of one token.
buddy::routing_trace small_trace() {
  buddy::trace_recorder recorder{shape, "tiny-moe"};
  recorder.begin_step(2, buddy::phase::prefill);
  record(recorder, 0, {0, 1, 2, 3}, {0.75F, 0.25F, 0.125F, 0.5F});
  record(recorder, 1, {4, 5, 6, 7}, {0.5F, 0.5F, 0.25F, 0.0F});
  recorder.begin_step(1);
  record(recorder, 0, {7, 0}, {0.5F, 0.25F});
  recorder.begin_sequence();
  recorder.begin_step(1);
  record(recorder, 0, {1, 2}, {0.5F, 0.25F});
  record(recorder, 1, {3, 4}, {0.5F, 0.25F});
  return recorder.trace();
}

/// Writes without the checks of `write_trace`.
void write_unchecked(std::filesystem::path const& path, buddy::routing_trace const& t, texts const& changed = {},
                     std::string const& without = {}, std::uint8_t first_phase = 0) {
  buddy::io::safetensors_writer file;
  texts metadata{{"format", "buddy.routing-trace"}, {"version", "1"}, {"model", "m"}, {"layers", "2"},
                 {"experts_per_layer", "8"},        {"top_k", "2"}};
  for (auto const& [key, value] : changed) metadata[key] = value;
  for (auto const& [key, value] : metadata)
    if (key != without) file.set(key, value);
  std::vector<std::uint16_t> halves;
  for (float const w : t.weights) halves.push_back(buddy::io::f32_to_f16(w));
  std::vector<std::uint8_t> const phases{first_phase, 0, 1, 1};
  if (without != "experts") file.add("experts", {4, 2, 2}, std::span{t.experts});
  file.add("weights", buddy::io::dtype::f16, {4, 2, 2}, std::as_bytes(std::span{halves}));
  if (without != "sequence_lengths")
    file.add("sequence_lengths", {t.sequence_lengths.size()}, std::span{t.sequence_lengths});
  file.add("phase", {4}, std::span{phases});
  file.write(path);
}

std::string error_with(buddy::routing_trace const& t, texts const& changed = {}, std::string const& without = {},
                       std::uint8_t first_phase = 0) {
  temporary_folder const folder;
  write_unchecked(folder.path() / "t", t, changed, without, first_phase);
  return error_of([&] { static_cast<void>(buddy::io::read_trace(folder.path() / "t")); });
}

/// The error of reading a file whose trace was changed by `change`.
std::string error_after(std::function<void(buddy::routing_trace&)> const& change) {
  temporary_folder const folder;
  auto t = small_trace();
  change(t);
  CHECK(error_of([&] { buddy::io::write_trace(folder.path() / "q", t); }) != "no error");
  CHECK_FALSE(std::filesystem::exists(folder.path() / "q"));
  return error_with(t);
}

TEST_CASE("a trace keeps the residency and record sizes of the engine that was recorded", "[unit][io]") {
  temporary_folder const folder;
  auto t = small_trace();
  t.resident.assign(t.experts.size(), 0);
  t.resident[3] = 1;
  t.record_bytes = {100, 120};
  buddy::io::write_trace(folder.path() / "t", t);
  CHECK(buddy::io::read_trace(folder.path() / "t") == t);
  auto const refused = [&](auto const& change, char const* word) {
    auto wrong = t;
    change(wrong);
    return has(error_of([&] { buddy::io::write_trace(folder.path() / "q", wrong); }), word);
  };
  CHECK(refused([](auto& x) { x.resident.pop_back(); }, "shape of experts"));
  CHECK(refused([](auto& x) { x.resident[0] = 2; }, "0 or 1"));
  CHECK(refused([](auto& x) { x.record_bytes.pop_back(); }, "[layers]"));
  CHECK(refused([](auto& x) { x.record_bytes[0] = 0; }, "2^40"));
  CHECK(refused([](auto& x) { x.record_bytes[1] = ~std::uint64_t{0}; }, "2^40"));
}

}  // namespace

TEST_CASE("trace_recorder keeps tokens in order and slots by falling weight", "[unit][trace_io]") {
  auto const t = small_trace();
  auto const none = buddy::no_expert;
  CHECK(t.n_tokens() == 4);
  // [token][layer]; token 1 came as 2: .125, 3: .5; token 2 has no record of layer 1.
  CHECK(t.experts == ids{0, 1, 4, 5, 3, 2, 6, 7, 7, 0, none, none, 1, 2, 3, 4});
  CHECK(t.weights ==
        floats{0.75F, 0.25F, 0.5F, 0.5F, 0.5F, 0.125F, 0.25F, 0.0F, 0.5F, 0.25F, 0, 0, 0.5F, 0.25F, 0.5F, 0.25F});
  CHECK(t.sequence_lengths == std::vector<std::uint32_t>{3, 1});
  CHECK(t.phase_of(1) == buddy::phase::prefill);
  CHECK(t.phase_of(2) == buddy::phase::decode);
  CHECK(t.has_record(2, 0));
  CHECK_FALSE(t.has_record(2, 1));
  auto const r = t.at(1, 0);
  CHECK(r.n_tokens == 1);
  CHECK(ids(r.experts.begin(), r.experts.end()) == ids{3, 2});
  CHECK(floats(r.weights.begin(), r.weights.end()) == floats{0.5F, 0.125F});
  CHECK(t.shape(9) == buddy::model_shape{2, 8, 2, 9});
}

TEST_CASE("trace_recorder refuses what no router can say", "[unit][trace_io]") {
  buddy::trace_recorder recorder{shape, "tiny-moe"};
  auto const refused = [&](std::uint16_t layer, ids const& experts, floats const& weights) {
    CHECK_THROWS_AS(record(recorder, layer, experts, weights), buddy::config_error);
  };
  refused(0, {0, 1}, {1, 1});  // no step has begun
  CHECK_THROWS_AS(recorder.begin_step(0), buddy::config_error);
  recorder.begin_step(1);
  refused(2, {0, 1}, {1, 1});
  refused(0, {0, 8}, {1, 1});
  refused(0, {1, 1}, {1, 1});
  refused(0, {0, 1, 2, 3}, {1, 1, 1, 1});  // the step has one token
  refused(0, {0, 1}, {});
  refused(0, {0, 1}, {1, -1});
  refused(0, {0, 1}, {1, std::numeric_limits<float>::infinity()});
  CHECK_FALSE(recorder.trace().has_record(0, 0));
}

TEST_CASE("a trace comes back as it was written", "[unit][trace_io]") {
  temporary_folder const folder;
  auto t = small_trace();
  t.source = "a test";
  t.licence = "Apache-2.0";
  buddy::io::write_trace(folder.path() / "full", t);
  CHECK(buddy::io::read_trace(folder.path() / "full") == t);

  t.weights.clear();
  t.phases.clear();
  t.source.clear();
  buddy::io::write_trace(folder.path() / "bare", t);
  auto const bare = buddy::io::read_trace(folder.path() / "bare");
  CHECK(bare == t);
  CHECK(bare.at(0, 0).weights.empty());
  CHECK(bare.phase_of(0) == buddy::phase::decode);
}

TEST_CASE("a trace stores weights in half precision", "[unit][trace_io]") {
  temporary_folder const folder;
  auto t = small_trace();
  t.weights[0] = 0.7F;  // the nearest half: 1434/2048 = .700195...
  buddy::io::write_trace(folder.path() / "t", t);
  CHECK(buddy::io::read_trace(folder.path() / "t").weights[0] == 1434.0F / 2048.0F);
  t.weights[0] = 65520.0F;  // would become infinite
  CHECK(has(error_of([&] { buddy::io::write_trace(folder.path() / "u", t); }), "must be below 65520"));
}

TEST_CASE("a trace with impossible records is refused", "[unit][trace_io]") {
  using trace = buddy::routing_trace;
  CHECK(error_with(small_trace()) == "no error");
  CHECK(has(error_after([](trace& t) { t.experts[4] = 8; }), "'experts': id 8 must be below experts_per_layer"));
  CHECK(has(error_after([](trace& t) { t.experts[4] = 8; }), "(token 1, layer 0)"));
  CHECK(has(error_after([](trace& t) { t.experts[7] = 6; }), "'experts': id 6 must not occur twice"));
  CHECK(has(error_after([](trace& t) { t.experts[7] = buddy::no_expert; }), "65535 in all slots"));
  CHECK(has(error_after([](trace& t) { t.weights[1] = 0.8F; }), "'weights': must not rise (token 0, layer 0)"));
  CHECK(has(error_after([](trace& t) { t.weights[7] = -0.5F; }), "'weights': must be finite and at least 0"));
  for (float const bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    CHECK(has(error_after([&](trace& t) { t.weights[0] = bad; }), "'weights': must be finite"));
  CHECK(has(error_after([](trace& t) { t.sequence_lengths = {3, 2}; }), "must add up to the 4 tokens, not to 5"));
  CHECK(has(error_after([](trace& t) { t.sequence_lengths = {4, 0}; }), "at least one token"));
  // Together 2^32 + 4: the sum must not wrap round.
  CHECK(has(error_after([](trace& t) { t.sequence_lengths = {0xffff'ffffU, 5}; }), "not to 4294967300"));
  CHECK(has(error_after([](trace& t) { t.sequence_lengths.clear(); }), "must add up to the 4 tokens, not to 0"));
  CHECK(has(error_with(small_trace(), {}, {}, 2), "'phase': must be 0 (prefill) or 1 (decode), not 2"));
}

TEST_CASE("a trace is not written with tensors of unequal sizes", "[unit][trace_io]") {
  temporary_folder const folder;
  auto const error = [&](std::function<void(buddy::routing_trace&)> const& change) {
    auto t = small_trace();
    change(t);
    return error_of([&] { buddy::io::write_trace(folder.path() / "t", t); });
  };
  using trace = buddy::routing_trace;
  CHECK(has(error([](trace& t) { t.experts.pop_back(); }), "'experts': must be"));
  CHECK(has(error([](trace& t) { t.weights.pop_back(); }), "'weights': must have the shape"));
  CHECK(has(error([](trace& t) { t.phases.pop_back(); }), "'phase': must be"));
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("a trace whose metadata do not fit is refused", "[unit][trace_io]") {
  auto const t = small_trace();
  CHECK(has(error_with(t, {{"format", "buddy.profile"}}), "'format' must be 'buddy.routing-trace'"));
  CHECK(has(error_with(t, {{"version", "0"}}), "'version' must be '1'"));
  CHECK(has(error_with(t, {{"layers", "4"}}), "'experts': shape must be [4, 4, 2], not [4, 2, 2]"));
  CHECK(has(error_with(t, {{"top_k", "1"}}), "'experts': shape must be"));
  CHECK(has(error_with(t, {{"top_k", "9"}}), "'top_k' must be a whole number in [1, 8]"));
  CHECK(has(error_with(t, {{"experts_per_layer", "7"}}), "id 7 must be below experts_per_layer"));
  for (auto const* const name :
       {"format", "version", "model", "layers", "experts_per_layer", "top_k", "experts", "sequence_lengths"}) {
    INFO(name);
    CHECK(has(error_with(t, {}, name), "'" + std::string(name) + "'"));
    CHECK(has(error_with(t, {}, name), "is missing"));
  }
}

TEST_CASE("a trace cut off anywhere is refused", "[unit][trace_io]") {
  temporary_folder const folder;
  auto const path = folder.path() / "t";
  buddy::io::write_trace(path, small_trace());
  for (auto left = std::filesystem::file_size(path); left != 0; --left) {
    std::filesystem::resize_file(path, left - 1);
    INFO("bytes " << left - 1);
    CHECK(error_of([&] { static_cast<void>(buddy::io::read_trace(path)); }) != "no error");
  }
}

TEST_CASE("traces of real models load", "[unit][trace_io]") {
  char const* const folder = std::getenv("BUDDY_TRACE_DIR");
  if (folder == nullptr) {
    WARN("skipped: BUDDY_TRACE_DIR names no folder of *.safetensors traces");
    return;
  }
  for (auto const& entry : std::filesystem::directory_iterator{folder}) {
    if (entry.path().extension() != ".safetensors") continue;
    INFO(entry.path().string());
    auto const t = buddy::io::read_trace(entry.path());
    CHECK(t.n_tokens() != 0);
    temporary_folder const copies;
    buddy::io::write_trace(copies.path() / "copy", t);
    CHECK(buddy::io::read_trace(copies.path() / "copy") == t);
  }
}
