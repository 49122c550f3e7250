// SPDX-License-Identifier: Apache-2.0
/// @file
/// Names of stand-ins, fits, rounding, and what is measured of them, on random models.
#include "catch.hpp"
#include "harness/fidelity/fit.hpp"
#include "harness/fidelity/loss_weights.hpp"
#include "harness/fidelity/rounding.hpp"
#include "harness/fidelity/self_text.hpp"
#include "harness/fidelity/stand_in_calibration.hpp"
#include "harness/fidelity/stand_in_spec.hpp"
#include "harness/run/calibration.hpp"
#include "random_model.hpp"
#include "temporary_folder.hpp"

#include <buddy/error.hpp>
#include <buddy/stand_in_losses.hpp>
#include <buddy/stand_ins/packed_writer.hpp>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace harness;
using buddy::stand_ins::packed_format;

constexpr buddy::stand_ins::expert_size small{24, 9};

std::string refusal_of(std::string const& name) {
  try {
    static_cast<void>(stand_in_spec::parse(name).bytes(small));
  } catch (buddy::config_error const& e) {
    return e.what();
  }
  return {};
}

TEST_CASE("stand-ins are called by their names", "[harness][fidelity]") {
  for (auto const* const name : {"zero", "mean", "low_rank:4", "low_rank:4,8", "truncated:8,4", "truncated:8,2,d4,g32",
                                 "low_bit:2", "low_bit:2,d3,g64,c", "low_bit:16"}) {
    INFO(name);
    CHECK(stand_in_spec::parse(name).name() == name);
  }
  CHECK(stand_in_spec::parse("low_bit:2,g128,d2").name() == "low_bit:2");  // what is said anyway
  for (auto const* const name :
       {"", "none", "mean:", "low_rank", "low_rank:", "low_rank:0", "low_rank:4,16", "low_bit:9", "low_bit:-1",
        "low_bit:2,g0", "low_bit:2,x4", "low_bit:2,d2,d3", "low_bit:2,", "truncated:4", "truncated:4,2,c",
        "truncated:10,4", "low_bit:99999999999"}) {
    INFO(name);
    CHECK_FALSE(refusal_of(name).empty());
  }
}

TEST_CASE("stand-ins cost what their records hold", "[harness][fidelity]") {
  CHECK(stand_in_spec::parse("zero").bytes(small) == 0);
  CHECK(stand_in_spec::parse("mean").bytes(small) == 48);
  // 216 values: 2 bits are 54 bytes, and two groups of 128 take 8; three matrices.
  CHECK(stand_in_spec::parse("low_bit:2").bytes(small) == 3 * 62);
  // Four units: 96 values at 4 bits are 48 bytes, one group 4; three matrices and a constant.
  CHECK(stand_in_spec::parse("truncated:4,4").bytes(small) == 3 * 52 + 48);
}

/// |moment^(1/2) (w - rounded)'|^2: what the rounding does to the outputs.
double cost(cpu::row_matrix const& lost, Eigen::MatrixXf const& moment) {
  return static_cast<double>((lost * moment).cwiseProduct(lost).sum());
}

TEST_CASE("rounding with feedback spares what the inputs make of a matrix", "[harness][fidelity]") {
  std::mt19937 random{3};
  std::normal_distribution<float> normal;
  auto const drawn = [&](Eigen::Index rows, Eigen::Index columns) {
    cpu::row_matrix m(rows, columns);
    for (Eigen::Index i = 0; i != m.size(); ++i) m.data()[i] = normal(random);
    return m;
  };
  // Inputs of 32 numbers that move together in 6 ways.
  cpu::row_matrix const x = drawn(200, 6) * drawn(6, 32) + 0.1F * drawn(200, 32);
  Eigen::MatrixXf const moment = x.transpose() * x;
  for (std::uint32_t const bits : {1U, 2U, 3U, 4U}) {
    for (bool const by_column : {false, true}) {
      INFO(bits << " bits, " << by_column);
      cpu::row_matrix const w = drawn(16, 32);
      packed_format const f{bits, 32};
      std::vector<std::uint8_t> bytes(f.bytes(512));
      cpu::row_matrix rounded = w;
      round_with_feedback(rounded, moment, f, by_column, bytes);

      cpu::row_matrix stored(16, 32);  // the bytes say the same
      std::vector<float> values(512);
      buddy::stand_ins::packed_values{f, 512, bytes.data()}.decode(0, 512, values.data());
      for (Eigen::Index r = 0; r != 16; ++r)
        for (Eigen::Index c = 0; c != 32; ++c)
          stored(r, c) = values[static_cast<std::size_t>(by_column ? c * 16 + r : r * 32 + c)];
      CHECK(stored == rounded);

      std::vector<std::uint8_t> nearest(f.bytes(512));
      buddy::stand_ins::pack_nearest(f, w.data(), 512, nearest.data());
      buddy::stand_ins::packed_values{f, 512, nearest.data()}.decode(0, 512, stored.data());
      CHECK(cost(rounded - w, moment) < 0.8 * cost(stored - w, moment));
    }
  }
}

/// A random model and text that is not evaluated.
struct fixture {
  fixture() { random_model::write(random_model::tiny(), folder.path(), 4); }

  [[nodiscard]] buddy::profile measure(std::vector<std::string> const& names, bool buddies = false) const {
    weights const model = weights::load(folder.path());
    calibration_options const calibration{"builtin", 1600, 1, 16};
    buddy::profile p = calibrate(model, calibration);
    stand_in_options options;
    options.names = names;
    options.buddies = buddies;
    options.n_threads = 1;
    add_stand_ins(model, calibration_texts(model, calibration), options, p, [](std::string const&, double) {});
    return p;
  }

  temporary_folder folder;
};

double mean_error(buddy::profile const& p, std::string const& name) {
  double sum = 0.0;
  for (float const e : buddy::stand_ins_named(p, name).errors) sum += static_cast<double>(e);
  return sum;
}

TEST_CASE("more bytes make smaller errors", "[harness][fidelity]") {
  auto const p = fixture{}.measure({"mean", "low_rank:2,8", "truncated:5,4", "low_bit:2", "low_bit:4", "low_bit:8"});
  REQUIRE(p.stand_ins.size() == 7);
  CHECK(p.stand_ins[0].name == "zero");
  CHECK(mean_error(p, "truncated:5,4") < mean_error(p, "zero"));
  CHECK(mean_error(p, "low_bit:2") < 0.5 * mean_error(p, "zero"));
  CHECK(mean_error(p, "low_bit:4") < 0.2 * mean_error(p, "low_bit:2"));
  CHECK(mean_error(p, "low_bit:8") < 0.1 * mean_error(p, "low_bit:4"));
  for (buddy::stand_in_set const& s : p.stand_ins) {
    INFO(s.name);
    CHECK(s.record_bytes == stand_in_spec::parse(s.name).bytes(small));
    for (float const weight : s.loss_weights) CHECK(weight >= 0.0F);
    if (s.name != "low_bit:8") CHECK(s.loss_weights[0] > 0.0F);  // an error there is one at the end
  }
}

TEST_CASE("an expert in its own place costs nothing, in another's no more than leaving that out",
          "[harness][fidelity]") {
  auto const p = fixture{}.measure({}, true);
  for (std::uint16_t l = 0; l != p.shape.n_layers; ++l) {
    for (std::uint16_t i = 0; i != p.shape.n_experts; ++i) {
      if (p.output_samples[p.shape.index({l, i})] == 0) continue;
      CHECK(p.buddy_scales[p.pair_index(l, i, i)] == 1.0F);
      CHECK(p.buddy_errors[p.pair_index(l, i, i)] < 1e-6F);
      for (std::uint16_t j = 0; j != p.shape.n_experts; ++j)
        CHECK(p.buddy_errors[p.pair_index(l, i, j)] <= 1.001F * p.stand_ins[0].errors[p.shape.index({l, i})]);
    }
  }
}

TEST_CASE("calibration of stand-ins repeats, whatever the number of threads", "[harness][fidelity]") {
  fixture const f;
  weights const model = weights::load(f.folder.path());
  auto const set = calibration_texts(model, {"builtin", 1600, 1, 16});
  buddy::profile made[2];
  for (std::uint32_t t = 0; t != 2; ++t) {
    made[t].shape = model.shape();
    stand_in_options options;
    options.names = {"low_bit:2"};
    options.n_threads = t + 1;
    add_stand_ins(model, set, options, made[t], [](std::string const&, double) {});
  }
  CHECK(made[0] == made[1]);
  stand_in_options twice;
  twice.names = {"low_bit:2", "low_bit:2,g128"};
  CHECK_THROWS_AS(add_stand_ins(model, set, twice, made[0], [](std::string const&, double) {}), buddy::config_error);
}

TEST_CASE("records of other sizes than their name says are refused", "[harness][fidelity]") {
  fixture const f;
  auto p = f.measure({"low_bit:2"});
  weights const model = weights::load(f.folder.path());
  CHECK_NOTHROW(stand_ins_of(p.stand_ins[1], model));
  p.stand_ins[1].name = "low_bit:3";
  CHECK_THROWS_AS(stand_ins_of(p.stand_ins[1], model), buddy::config_error);
  p.stand_ins[1].name = "who knows";
  CHECK_THROWS_AS(stand_ins_of(p.stand_ins[1], model), buddy::config_error);
}

TEST_CASE("the model goes on from what it is given, the same way with the same seed", "[harness][fidelity]") {
  fixture const f;
  weights const model = weights::load(f.folder.path());
  std::vector<sequence> const begun{{{'a', 'b', 'c'}, "x", {}}, {std::vector<std::uint8_t>(40, 'z'), "y", {}}};
  auto const written = self_written(model, begun, 250, 7);
  REQUIRE(written.size() == 3);  // 100 positions each
  CHECK(written[0].n_predictions() == 100);
  CHECK(written[2].n_predictions() == 50);
  CHECK(std::string(written[0].bytes.begin(), written[0].bytes.begin() + 3) == "abc");
  CHECK(std::string(written[1].bytes.begin(), written[1].bytes.begin() + 16) == std::string(16, 'z'));
  auto const again = self_written(model, begun, 250, 7);
  auto const other = self_written(model, begun, 250, 8);
  CHECK(again[2].bytes == written[2].bytes);
  CHECK(other[2].bytes != written[2].bytes);
}

TEST_CASE("experts of 4 bits are another model, and change no more than their rounding", "[harness][fidelity]") {
  fixture const f;
  weights model = weights::load(f.folder.path());
  weights const before = weights::load(f.folder.path());
  model.round_experts();
  CHECK(model.identity() != before.identity());
  // 648 weights: 324 bytes of codes, 21 groups of 32 with 4 bytes each.
  CHECK(model.expert_bytes() == 324 + 21 * 4);
  auto const rounded = model.expert({1, 3}).gate_up;
  auto const own = before.expert({1, 3}).gate_up;
  float most = 0.0F;
  for (std::size_t i = 0; i != own.size(); ++i) most = std::max(most, std::abs(rounded[i] - own[i]));
  CHECK(most > 0.0F);
  CHECK(most < 0.2F);
}

}  // namespace
