// SPDX-License-Identifier: Apache-2.0
/// @file
/// Groups, their ranges, and the feedback between columns.
#include "harness/fidelity/rounding.hpp"

#include <buddy/stand_ins/packed_writer.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace harness {

namespace {

using buddy::stand_ins::group_range;
using buddy::stand_ins::packed_format;
using buddy::stand_ins::packed_writer;

constexpr float damping = 0.01F;  // of the mean diagonal, as GPTQ has it

/// Upper factor U of the inverse of the damped moment: U' U = moment^-1.
Eigen::MatrixXf inverse_factor(Eigen::MatrixXf const& moment) {
  Eigen::Index const n = moment.rows();
  double const mean = static_cast<double>(moment.trace()) / static_cast<double>(n);
  if (!(mean > 0.0)) return Eigen::MatrixXf::Identity(n, n);
  Eigen::MatrixXd damped = moment.cast<double>();
  damped.diagonal().array() += damping * mean;
  Eigen::MatrixXd const inverse = damped.llt().solve(Eigen::MatrixXd::Identity(n, n));
  return inverse.llt().matrixU().toDenseMatrix().cast<float>();
}

/// Squared error of a group's values under a range, each with the weight of its column.
float error_of(packed_format const& f, group_range const& range, std::vector<float> const& x,
               std::vector<float> const& weight) {
  float sum = 0.0F;
  for (std::size_t i = 0; i != x.size(); ++i) {
    float const e = range.value_of(f, range.code_of(f, x[i])) - x[i];
    sum += weight[i] * e * e;
  }
  return sum;
}

/// The best of some ranges within the spanning one: few codes are better spent on the many values near the middle.
group_range best_range(packed_format const& f, std::vector<float> const& x, std::vector<float> const& weight) {
  group_range const whole = buddy::stand_ins::spanning_range(f, x.data(), x.size());
  group_range best = whole;
  float least = error_of(f, whole, x, weight);
  float const span = whole.scale * (f.bits == 1 ? 1.0F : static_cast<float>(f.max_code()));
  for (int low = 0; low <= 8; ++low) {
    for (int high = f.bits == 1 ? 8 : 0; high <= 8; ++high) {
      group_range r;
      if (f.bits == 1) {
        r.scale = span * (0.6F + 0.1F * static_cast<float>(low));
      } else {
        float const cut_low = span * 0.05F * static_cast<float>(low);
        float const cut_high = span * 0.05F * static_cast<float>(high);
        r = {(span - cut_low - cut_high) / static_cast<float>(f.max_code()), whole.minimum + cut_low};
      }
      float const e = error_of(f, r, x, weight);
      if (e < least) {
        least = e;
        best = r;
      }
    }
  }
  return best;
}

/// One matrix on its way.
class rounded_matrix {
 public:
  rounded_matrix(cpu::row_matrix& w, Eigen::MatrixXf const& moment, packed_format const& f, bool by_column,
                 std::span<std::uint8_t> bytes)
      : w_{w},
        f_{f},
        by_column_{by_column},
        factor_{inverse_factor(moment)},
        // The error of a column costs 1 / factor^2 after the best feedback.
        cost_{factor_.diagonal().array().square().inverse()},
        out_{f, static_cast<std::size_t>(w.size()), bytes.data()},
        ranges_(f.n_groups(static_cast<std::size_t>(w.size()))),
        known_(ranges_.size(), false) {}

  void run() {
    for (Eigen::Index c = 0; c != w_.cols(); ++c) {
      Eigen::VectorXf const before = w_.col(c);
      for (Eigen::Index r = 0; r != w_.rows(); ++r) w_(r, c) = stored(r, c);
      Eigen::VectorXf const lost = (before - w_.col(c)) / factor_(c, c);
      Eigen::Index const left = w_.cols() - c - 1;
      w_.rightCols(left).noalias() -= lost * factor_.row(c).tail(left);
    }
  }

 private:
  [[nodiscard]] std::size_t place(Eigen::Index r, Eigen::Index c) const {
    return static_cast<std::size_t>(by_column_ ? c * w_.rows() + r : r * w_.cols() + c);
  }

  float stored(Eigen::Index r, Eigen::Index c) {
    std::size_t const i = place(r, c);
    if (!f_.has_groups()) return out_.set_half(i, w_(r, c));
    std::size_t const group = i / f_.group;
    if (!known_[group]) find_range(group);
    std::uint32_t const code = ranges_[group].code_of(f_, w_(r, c));
    out_.set_code(i, code);
    return ranges_[group].value_of(f_, code);
  }

  /// From the values as they are when the first of the group is reached: those made up for included.
  void find_range(std::size_t group) {
    std::vector<float> x;
    std::vector<float> weight;
    auto const n = static_cast<std::size_t>(w_.size());
    for (std::size_t i = group * f_.group; i != std::min(n, (group + 1) * f_.group); ++i) {
      auto const major = static_cast<Eigen::Index>(i) / (by_column_ ? w_.rows() : w_.cols());
      auto const minor = static_cast<Eigen::Index>(i) % (by_column_ ? w_.rows() : w_.cols());
      x.push_back(by_column_ ? w_(minor, major) : w_(major, minor));
      weight.push_back(cost_[by_column_ ? major : minor]);
    }
    ranges_[group] = out_.set_range(group, best_range(f_, x, weight));
    known_[group] = true;
  }

  cpu::row_matrix& w_;
  packed_format f_;
  bool by_column_;
  Eigen::MatrixXf factor_;
  Eigen::VectorXf cost_;
  packed_writer out_;
  std::vector<group_range> ranges_;
  std::vector<bool> known_;
};

}  // namespace

void round_with_feedback(cpu::row_matrix& w, Eigen::MatrixXf const& moment, packed_format const& f, bool by_column,
                         std::span<std::uint8_t> bytes) {
  rounded_matrix{w, moment, f, by_column, bytes}.run();
}

}  // namespace harness
