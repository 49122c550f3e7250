// SPDX-License-Identifier: Apache-2.0
/// @file
/// Fit, error, loss: one kind after the other.
#include "harness/fidelity/stand_in_calibration.hpp"

#include "harness/fidelity/fit.hpp"
#include "harness/fidelity/loss_weights.hpp"
#include "harness/fidelity/pair_errors.hpp"
#include "harness/fidelity/routed_sample.hpp"
#include "harness/fidelity/stand_in_spec.hpp"
#include "harness/run/for_each.hpp"

#include <buddy/error.hpp>

#include <algorithm>
#include <chrono>

namespace harness {

namespace {

constexpr std::size_t checked_every = 8;

std::vector<sequence> every(std::vector<sequence> const& set, bool checked) {
  std::vector<sequence> chosen;
  for (std::size_t i = 0; i != set.size(); ++i)
    if ((i % checked_every == checked_every - 1) == checked) chosen.push_back(set[i]);
  return chosen;
}

class stopwatch {
 public:
  double lap() {
    auto const now = std::chrono::steady_clock::now();
    double const seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return seconds;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

/// One kind for all experts of a model, fitted and measured.
class set_builder {
 public:
  set_builder(weights const& model, stand_in_options const& options, routed_sample const& fit,
              routed_sample const& check)
      : model_{&model}, options_{&options}, fit_{&fit}, check_{&check} {}

  buddy::stand_in_set build(stand_in_spec const& spec) const {
    auto const shape = model_->shape();
    buddy::stand_ins::expert_size const size = expert_size_of(*model_);
    buddy::stand_in_set set{spec.name(), spec.how(), spec.bytes(size), {}, {}, {}};
    set.errors.resize(shape.n_keys());
    set.records.resize(shape.n_keys() * set.record_bytes);
    for_each(
        shape.n_keys(), options_->n_threads,
        [&](std::size_t i) {
          auto const key = key_of(shape, i);
          auto const record = fit(spec, key);
          std::copy(record.begin(), record.end(),
                    set.records.begin() + static_cast<std::ptrdiff_t>(i * set.record_bytes));
          set.errors[i] = error_of(any_stand_in{spec, size, record.data()}, key);
        },
        [](std::size_t) {});
    return set;
  }

 private:
  static buddy::expert_key key_of(buddy::model_shape const& shape, std::size_t i) noexcept {
    return {static_cast<std::uint16_t>(i / shape.n_experts), static_cast<std::uint16_t>(i % shape.n_experts)};
  }

  std::vector<std::uint8_t> fit(stand_in_spec const& spec, buddy::expert_key k) const {
    fit_case c{model_->expert(k), expert_size_of(*model_), inputs_of(*fit_, k, options_->fit_tokens), {}};
    c.outputs = outputs_for(*model_, k, c.inputs.x);
    return fit_stand_in(spec, c);
  }

  /// Mean over the tokens of |error|^2 / |h|^2, a token counting as its gate squared.
  float error_of(any_stand_in const& s, buddy::expert_key k) const {
    expert_inputs const in = inputs_of(*check_, k, options_->fit_tokens);
    if (in.n_routed == 0 || !(in.gates_squared > 0.0)) return 0.0F;
    cpu::row_matrix const lost = outputs_for(*model_, k, in.x) - outputs_for(s, in.x);
    Eigen::VectorXf const squared = lost.rowwise().squaredNorm();
    return static_cast<float>(static_cast<double>(squared.dot(in.weight)) / in.gates_squared);
  }

  weights const* model_;
  stand_in_options const* options_;
  routed_sample const* fit_;
  routed_sample const* check_;
};

std::vector<stand_in_spec> specs_of(std::vector<std::string> const& names) {
  std::vector<stand_in_spec> specs{stand_in_spec{}};
  for (std::string const& name : names) {
    stand_in_spec const spec = stand_in_spec::parse(name);
    if (spec.what == stand_in_spec::kind::zero) continue;
    if (std::find(specs.begin(), specs.end(), spec) != specs.end())
      throw buddy::config_error("stand-in '" + name + "' is there twice");
    specs.push_back(spec);
  }
  return specs;
}

std::vector<std::uint64_t> samples_of(routed_sample const& check, buddy::model_shape const& shape) {
  std::vector<std::uint64_t> n(shape.n_keys());
  for (std::uint16_t l = 0; l != shape.n_layers; ++l)
    for (std::uint16_t const e : check.layers[l].experts) ++n[shape.index({l, e})];
  return n;
}

}  // namespace

void add_stand_ins(weights const& model, std::vector<sequence> const& set, stand_in_options const& options,
                   buddy::profile& p, calibration_progress const& progress) {
  if (set.size() < checked_every)
    throw buddy::config_error("stand-ins need at least " + std::to_string(checked_every) +
                              " sequences to be fitted to");
  auto const specs = specs_of(options.names);
  stopwatch watch;
  routed_sample const fit = sample_routing(model, every(set, false));
  auto const checked = every(set, true);
  routed_sample const check = sample_routing(model, checked);
  p.output_samples = samples_of(check, p.shape);
  progress("inputs of " + std::to_string(fit.n_tokens() + check.n_tokens()) + " tokens", watch.lap());
  loss_meter const meter{model, first_predictions(checked, options.loss_tokens)};
  set_builder const builder{model, options, fit, check};
  p.stand_ins.clear();
  for (stand_in_spec const& spec : specs) {
    buddy::stand_in_set made = builder.build(spec);
    double const seconds = watch.lap();
    made.loss_weights = meter.weights_of(made, p.output_samples, options.n_threads);
    p.stand_ins.push_back(std::move(made));
    progress(spec.name() + ": fits and errors", seconds);
    progress(spec.name() + ": losses of layers", watch.lap());
  }
  if (!options.buddies) return;
  add_pair_errors(model, check, options.buddy_tokens, options.n_threads, p);
  p.buddy_loss_weights = p.stand_ins.front().loss_weights;  // what is lost is whole outputs, as of `zero`
  progress("errors of all pairs", watch.lap());
}

}  // namespace harness
