// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "harness/temporary_folder.hpp"
#include "unit/file_errors.hpp"

#include <buddy/io/profile_io.hpp>
#include <buddy/stand_in_losses.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace {

using test::error_of;
using test::has;

/// One layer of two experts: nobody was routed anywhere, so that the counts are right whatever they are.
buddy::profile with_stand_ins() {
  buddy::profile p;
  p.shape = {1, 2, 1, 100};
  p.model = "tiny";
  p.n_tokens = 10;
  p.activations = {6, 4};
  p.coactivations.assign(4, 0);
  p.transitions.assign(4, 0);
  p.output_samples = {6, 0};
  p.stand_ins.push_back({"zero", buddy::resolution::drop, 0, {0.5F, 0.25F}, {2.0F}, {}});
  p.stand_ins.push_back({"low_bit:2", buddy::resolution::low_precision, 3, {0.125F, 0.0F}, {4.0F}, {1, 2, 3, 4, 5, 6}});
  p.buddy_errors = {0.0F, 0.25F, 0.5F, 0.0F};
  p.buddy_scales = {1.0F, 0.5F, 0.0F, 1.0F};
  p.buddy_loss_weights = {2.0F};
  return p;
}

std::string error_after(std::function<void(buddy::profile&)> const& change) {
  temporary_folder const folder;
  auto p = with_stand_ins();
  change(p);
  return error_of([&] { buddy::io::write_profile(folder.path() / "p", p); });
}

using texts = std::vector<std::pair<std::string, std::string>>;

/// The error of reading a file with some metadata changed, and some tensors with it.
std::string error_with(texts const& changed, std::function<void(buddy::io::safetensors_writer&)> const& add = {}) {
  temporary_folder const folder;
  buddy::io::safetensors_writer file;
  for (auto const& [key, value] : texts{{"format", "buddy.profile"},
                                        {"version", "1"},
                                        {"model", "m"},
                                        {"layers", "1"},
                                        {"experts_per_layer", "2"},
                                        {"top_k", "1"},
                                        {"expert_bytes", "1"},
                                        {"n_tokens", "10"},
                                        {"stand_ins", "1"},
                                        {"stand_ins.0.name", "s"},
                                        {"stand_ins.0.how", "surrogate"}})
    file.set(key, value);
  for (auto const& [key, value] : changed) file.set(key, value);
  std::vector<std::uint64_t> const seen{6, 4};
  std::vector<std::uint32_t> const none(4, 0);
  std::vector<float> const costs{1.0F, 1.0F};
  std::vector<float> const weight{1.0F};
  file.add("activations", {1, 2}, std::span{seen});
  file.add("coactivations", {1, 2, 2}, std::span{none});
  file.add("transitions", {1, 2, 2}, std::span{none});
  file.add("output_samples", {1, 2}, std::span{seen});
  file.add("stand_ins.0.errors", {1, 2}, std::span{costs});
  file.add("stand_ins.0.loss_weights", {1}, std::span{weight});
  if (add) add(file);
  file.write(folder.path() / "p");
  return error_of([&] { static_cast<void>(buddy::io::read_profile(folder.path() / "p")); });
}

}  // namespace

TEST_CASE("stand-ins come back as they were written", "[unit][stand_in_io]") {
  temporary_folder const folder;
  buddy::io::write_profile(folder.path() / "p", with_stand_ins());
  CHECK(buddy::io::read_profile(folder.path() / "p") == with_stand_ins());
}

TEST_CASE("a profile whose stand-ins break a rule is not written", "[unit][stand_in_io]") {
  using profile = buddy::profile;
  float const nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(error_after([](profile&) {}) == "no error");
  CHECK(has(error_after([](profile& p) { p.output_samples.pop_back(); }), "'output_samples': must have the size"));
  CHECK(has(error_after([](profile& p) { p.output_samples.clear(); }), "'output_samples': must have the size"));
  CHECK(has(error_after([](profile& p) { p.stand_ins[1].errors.pop_back(); }), "'stand_ins.1.errors': must have the"));
  CHECK(has(error_after([&](profile& p) { p.stand_ins[1].errors[0] = nan; }), "'stand_ins.1.errors': must be finite"));
  CHECK(has(error_after([](profile& p) { p.stand_ins[0].loss_weights[0] = -1.0F; }), "loss_weights': must be finite"));
  CHECK(has(error_after([](profile& p) { p.stand_ins[1].records.pop_back(); }), "'stand_ins.1.records': must have"));
  CHECK(has(error_after([](profile& p) { p.stand_ins[1].name = "zero"; }), "the name 'zero' is there twice"));
  CHECK(has(error_after([](profile& p) { p.stand_ins[0].name.clear(); }), "must have a name"));
  CHECK(has(error_after([](profile& p) { p.stand_ins[0].how = buddy::resolution::buddy; }), "always resident"));
  CHECK(has(error_after([](profile& p) { p.buddy_errors.pop_back(); }), "'buddy_errors': must have the size"));
  CHECK(has(error_after([](profile& p) { p.buddy_scales.clear(); }), "'buddy_scales': must have the size"));
  CHECK(has(error_after([](profile& p) { p.buddy_scales[1] = -0.5F; }), "'buddy_scales': must be finite"));
  CHECK(has(error_after([](profile& p) { p.buddy_loss_weights.clear(); }), "'buddy_loss_weights': must have"));
}

TEST_CASE("a file whose stand-ins are not what it says is refused", "[unit][stand_in_io]") {
  std::vector<std::uint8_t> const bytes(8, 0);
  auto const records = [&](buddy::io::tensor_shape const& shape) {
    return [&, shape](auto& file) { file.add("stand_ins.0.records", shape, std::span{bytes}); };
  };
  CHECK(error_with({}) == "no error");
  CHECK(error_with({}, records({1, 2, 4})) == "no error");
  CHECK(has(error_with({{"stand_ins", "2"}}), "'stand_ins.1.name' is missing"));
  for (auto const* const text : {"0", "-1", "257", "1.5", "x"})
    CHECK(has(error_with({{"stand_ins", text}}), "'stand_ins' must be a whole number in [1, 256]"));
  for (auto const* const word : {"fetch", "buddy", "own", "", "Surrogate"})
    CHECK(has(error_with({{"stand_ins.0.how", word}}), "must be surrogate, low_precision or drop"));
  CHECK(has(error_with({}, records({8})), "'stand_ins.0.records': shape must be [layers, experts, bytes"));
  CHECK(has(error_with({}, records({2, 1, 4})), "'stand_ins.0.records': shape must be [1, 2, 4]"));
}

TEST_CASE("losses of a profile are its errors by the weights of their layers", "[unit][stand_in_losses]") {
  auto const p = with_stand_ins();
  auto const errors = buddy::losses_of(p, "low_bit:2");
  // Expert 0: 4 bits x 0.125 = 0.5 bits. Expert 1 was never seen: the worst of its layer.
  CHECK(errors.ref().stand_in_of({0, 0}).full_loss_ub == 500000);
  CHECK(errors.ref().stand_in_of({0, 0}).how == buddy::resolution::low_precision);
  CHECK(errors.ref().stand_in_of({0, 1}).full_loss_ub == 500000);
  CHECK(errors.confidence({0, 0}) == 6);
  CHECK(errors.confidence({0, 1}) == 0);
  // Expert 1 for expert 0: 2 x 0.25 bits at half its output; for expert 1, which nobody saw, no pair is known.
  CHECK(errors.ref().buddy_loss({0, 0}, 1).full_loss_ub == 500000);
  CHECK(errors.ref().buddy_loss({0, 0}, 1).scale_q16 == 32768);
  CHECK_FALSE(errors.ref().buddy_loss({0, 1}, 0).known());
  CHECK_FALSE(buddy::losses_of(p, "zero", false).ref().has_buddies());
  CHECK(has(error_of([&] { static_cast<void>(buddy::losses_of(p, "mean")); }), "it has: zero; low_bit:2"));
}

TEST_CASE("losses are rounded up to micro-bits and stay below the unknown one", "[unit][stand_in_losses]") {
  CHECK(buddy::to_loss_ub(0.0) == 0);
  CHECK(buddy::to_loss_ub(1e-9) == 1);
  CHECK(buddy::to_loss_ub(1.5) == 1500000);
  CHECK(buddy::to_loss_ub(1e9) == buddy::unknown_loss_ub - 1);
}
