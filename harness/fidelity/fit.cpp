// SPDX-License-Identifier: Apache-2.0
/// @file
/// One fit for each kind.
#include "harness/fidelity/fit.hpp"

#include "harness/fidelity/rounding.hpp"

#include <buddy/stand_ins/packed_writer.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace harness {

namespace {

using buddy::stand_ins::gated_format;
using buddy::stand_ins::packed_format;
using cpu::row_matrix;
using dense = Eigen::MatrixXd;

/// Sums of products of two sets of columns over the tokens, weights adding up to 1.
dense moment(row_matrix const& a, Eigen::VectorXf const& weight, row_matrix const& b) {
  return (a.transpose() * weight.asDiagonal() * b).cast<double>();
}

/// Weights that add up to 1; equal ones where there are none.
Eigen::VectorXf normalised(Eigen::VectorXf w) {
  float const sum = w.sum();
  if (sum > 0.0F) return w / sum;
  return Eigen::VectorXf::Constant(w.size(), 1.0F / static_cast<float>(std::max<Eigen::Index>(1, w.size())));
}

Eigen::RowVectorXf mean_of(row_matrix const& x, Eigen::VectorXf const& weight) { return weight.transpose() * x; }

/// Writes a vector in halves. @returns it as it is stored
Eigen::RowVectorXf put_halves(Eigen::RowVectorXf const& x, std::span<std::uint8_t> bytes) {
  auto const n = static_cast<std::size_t>(x.size());
  buddy::stand_ins::packed_writer out{packed_format{}, n, bytes.data()};
  Eigen::RowVectorXf stored(x.size());
  for (std::size_t i = 0; i != n; ++i)
    stored[static_cast<Eigen::Index>(i)] = out.set_half(i, x[static_cast<Eigen::Index>(i)]);
  return stored;
}

/// Writes rows, each value to the nearest. @returns them as they are stored
row_matrix put_nearest(row_matrix const& x, packed_format const& f, std::span<std::uint8_t> bytes) {
  auto const n = static_cast<std::size_t>(x.size());
  buddy::stand_ins::pack_nearest(f, x.data(), n, bytes.data());
  row_matrix stored(x.rows(), x.cols());
  buddy::stand_ins::packed_values{f, n, bytes.data()}.decode(0, n, stored.data());
  return stored;
}

/// The bytes of a record, part by part.
class parts {
 public:
  explicit parts(std::vector<std::uint8_t>& record) : left_{record} {}
  std::span<std::uint8_t> take(std::size_t n) {
    auto const part = left_.first(n);
    left_ = left_.subspan(n);
    return part;
  }

 private:
  std::span<std::uint8_t> left_;
};

void fit_mean(fit_case const& c, std::vector<std::uint8_t>& record) {
  put_halves(mean_of(c.outputs, normalised(c.inputs.weight)), record);
}

/// Leading directions of the fitted outputs, and the map onto them: [hidden, rank] of what reads x.
struct reduced_map {
  row_matrix reads;  // [rank, hidden]
  row_matrix adds;   // [rank, hidden]
};

reduced_map reduced_rank(row_matrix const& x, row_matrix const& y, Eigen::VectorXf const& w, Eigen::Index rank) {
  dense const xx = moment(x, w, x);
  double const ridge = 1e-3 * xx.trace() / static_cast<double>(xx.rows()) + 1e-30;
  dense const damped = xx + ridge * dense::Identity(xx.rows(), xx.cols());
  dense const full = damped.llt().solve(moment(x, w, y));  // [hidden, hidden], y = x full
  Eigen::SelfAdjointEigenSolver<dense> const solver{full.transpose() * damped * full};
  dense const lead = solver.eigenvectors().rightCols(rank);  // [hidden, rank]
  return {(full * lead).transpose().cast<float>(), lead.transpose().cast<float>()};
}

void fit_low_rank(stand_in_spec const& spec, fit_case const& c, std::vector<std::uint8_t>& record) {
  Eigen::VectorXf const w = normalised(c.inputs.weight);
  Eigen::RowVectorXf const x_mean = mean_of(c.inputs.x, w);
  Eigen::RowVectorXf const y_mean = mean_of(c.outputs, w);
  row_matrix const x = c.inputs.x.rowwise() - x_mean;
  row_matrix const y = c.outputs.rowwise() - y_mean;
  auto const rank = std::min<Eigen::Index>(spec.map.rank, c.size.hidden);
  reduced_map map = reduced_rank(x, y, w, rank);
  parts part{record};
  auto const constant = part.take(packed_format{}.bytes(c.size.hidden));
  packed_format const f = spec.map.factors(c.size);
  std::size_t const bytes = f.bytes(std::size_t{spec.map.rank} * c.size.hidden);
  // A record of more dimensions than there are reads zeros.
  row_matrix reads = row_matrix::Zero(spec.map.rank, c.size.hidden);
  row_matrix adds = reads;
  reads.topRows(rank) = map.reads;
  reads = put_nearest(reads, f, part.take(bytes));
  row_matrix const z = x * reads.transpose();
  dense zz = moment(z, w, z);
  zz.diagonal().array() += 1e-6 * zz.trace() / static_cast<double>(zz.rows()) + 1e-30;
  adds = put_nearest(zz.llt().solve(moment(z, w, y)).cast<float>(), f, part.take(bytes));
  put_halves(y_mean - (x_mean * reads.transpose()) * adds, constant);
}

/// silu(x gate') (x up'), [n, units]
row_matrix activations(row_matrix const& x, row_matrix const& gate, row_matrix const& up) {
  row_matrix g = x * gate.transpose();
  g.array() = g.array() / (1.0F + (-g.array()).exp());
  row_matrix const u = x * up.transpose();
  return g.cwiseProduct(u);
}

/// The units that put most into the output, the most important first.
std::vector<Eigen::Index> by_importance(row_matrix const& a, Eigen::VectorXf const& w, row_matrix const& down) {
  Eigen::VectorXf const power =
      (a.array().square().matrix().transpose() * w).cwiseProduct(down.colwise().squaredNorm().transpose());
  std::vector<Eigen::Index> order(static_cast<std::size_t>(power.size()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](auto i, auto j) { return power[i] > power[j]; });
  return order;
}

/// What gate and up of one unit see of an input: an error of the gate counts for what `up` and the slope make of it,
/// one of `up` for what the gate lets through.
struct unit_slopes {
  Eigen::VectorXf gate;  // [n] squared
  Eigen::VectorXf up;    // [n] squared
};

unit_slopes slopes_of(row_matrix const& x, Eigen::RowVectorXf const& gate, Eigen::RowVectorXf const& up) {
  Eigen::ArrayXf const g = (x * gate.transpose()).array();
  Eigen::ArrayXf const u = (x * up.transpose()).array();
  Eigen::ArrayXf const s = 1.0F / (1.0F + (-g).exp());
  return {(u * s * (1.0F + g * (1.0F - s))).square(), (g * s).square()};
}

class gated_fit {
 public:
  gated_fit(gated_format const& f, fit_case const& c, std::vector<std::uint8_t>& record)
      : f_{f}, case_{c}, w_{normalised(c.inputs.weight)}, part_{record} {
    auto const width = static_cast<Eigen::Index>(c.size.width);
    row_matrix const both = cpu::matrix(c.expert.gate_up, 2 * c.size.width);
    row_matrix const down = cpu::matrix(c.expert.down, c.size.hidden);
    gate_ = both.topRows(width);
    up_ = both.bottomRows(width);
    down_ = down;
    if (f.units < c.size.width) keep(by_importance(activations(c.inputs.x, gate_, up_), w_, down_));
  }

  void run() {
    std::size_t const n = f_.values(case_.size);
    auto const constant = part_.take(f_.constant_bytes(case_.size));
    auto const gate_bytes = part_.take(f_.gate_up.bytes(n));
    auto const up_bytes = part_.take(f_.gate_up.bytes(n));
    round_gates(gate_bytes, up_bytes);
    row_matrix const a = activations(case_.inputs.x, gate_, up_);
    Eigen::RowVectorXf const none = Eigen::RowVectorXf::Zero(a.cols());
    Eigen::RowVectorXf const a_mean = f_.has_constant ? mean_of(a, w_) : none;
    Eigen::RowVectorXf const y_mean = mean_of(case_.outputs, w_);
    row_matrix const centred = a.rowwise() - a_mean;
    dense const aa = moment(centred, w_, centred);
    refit_down(centred, aa, f_.has_constant ? y_mean : Eigen::RowVectorXf::Zero(y_mean.size()));
    round_with_feedback(down_, aa.cast<float>(), f_.down, true, part_.take(f_.down.bytes(n)));
    if (f_.has_constant) put_halves(y_mean - a_mean * down_.transpose(), constant);
  }

 private:
  void keep(std::vector<Eigen::Index> order) {
    order.resize(f_.units);
    std::sort(order.begin(), order.end());
    row_matrix const gate = gate_(order, Eigen::all);
    row_matrix const up = up_(order, Eigen::all);
    row_matrix const down = down_(Eigen::all, order);
    gate_ = gate;
    up_ = up;
    down_ = down;
  }

  /// Both with the moment that the inputs have for all units alike.
  void round_gates(std::span<std::uint8_t> gate_bytes, std::span<std::uint8_t> up_bytes) {
    Eigen::VectorXf gate_weight = Eigen::VectorXf::Zero(w_.size());
    Eigen::VectorXf up_weight = gate_weight;
    for (Eigen::Index u = 0; u != gate_.rows(); ++u) {
      unit_slopes const s = slopes_of(case_.inputs.x, gate_.row(u), up_.row(u));
      float const power = down_.col(u).squaredNorm();
      gate_weight += power * s.gate;
      up_weight += power * s.up;
    }
    row_matrix const& x = case_.inputs.x;
    Eigen::VectorXf const g = normalised(w_.cwiseProduct(gate_weight));
    Eigen::VectorXf const u = normalised(w_.cwiseProduct(up_weight));
    round_with_feedback(gate_, moment(x, g, x).cast<float>(), f_.gate_up, false, gate_bytes);
    round_with_feedback(up_, moment(x, u, x).cast<float>(), f_.gate_up, false, up_bytes);
  }

  /// Ridge towards the expert's own down projection.
  void refit_down(row_matrix const& a, dense const& aa, Eigen::RowVectorXf const& y_mean) {
    double const ridge = aa.trace() / static_cast<double>(aa.rows()) *
                         (1e-4 + 4.0 / static_cast<double>(std::max<Eigen::Index>(1, a.rows())));
    dense const damped = aa + (ridge + 1e-30) * dense::Identity(aa.rows(), aa.cols());
    row_matrix const y = case_.outputs.rowwise() - y_mean;
    dense const own = down_.transpose().cast<double>();
    down_ = damped.llt().solve(moment(a, w_, y) + ridge * own).transpose().cast<float>();
  }

  gated_format f_;
  fit_case const& case_;
  Eigen::VectorXf w_;
  parts part_;
  row_matrix gate_, up_;  // [units, hidden]
  row_matrix down_;       // [hidden, units]
};

}  // namespace

std::vector<std::uint8_t> fit_stand_in(stand_in_spec const& spec, fit_case const& c) {
  std::vector<std::uint8_t> record(spec.bytes(c.size));
  switch (spec.what) {
    case stand_in_spec::kind::zero:
      break;
    case stand_in_spec::kind::mean:
      fit_mean(c, record);
      break;
    case stand_in_spec::kind::low_rank:
      fit_low_rank(spec, c, record);
      break;
    case stand_in_spec::kind::truncated:
    case stand_in_spec::kind::low_bit:
      gated_fit{spec.units_of(c.size), c, record}.run();
      break;
  }
  return record;
}

row_matrix outputs_for(any_stand_in const& s, row_matrix const& x) {
  row_matrix y = row_matrix::Zero(x.rows(), x.cols());
  for (Eigen::Index t = 0; t != x.rows(); ++t) s.add(1.0F, x.row(t).data(), y.row(t).data());
  return y;
}

}  // namespace harness
