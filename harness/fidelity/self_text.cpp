// SPDX-License-Identifier: Apache-2.0
/// @file
/// Samples bytes.
#include "harness/fidelity/self_text.hpp"

#include "harness/run/stepped.hpp"

#include <buddy/splitmix64.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace harness {

namespace {

constexpr std::size_t given_bytes = 16;  // enough to be of one kind of text

/// The byte at which the distribution function passes u. @param u  in [0, 1)
std::uint8_t draw(std::span<float const> logits, double u) {
  float const most = *std::max_element(logits.begin(), logits.end());
  double total = 0.0;
  for (float const x : logits) total += std::exp(static_cast<double>(x - most));
  double left = u * total;
  for (std::size_t b = 0; b + 1 < logits.size(); ++b) {
    left -= std::exp(static_cast<double>(logits[b] - most));
    if (left < 0.0) return static_cast<std::uint8_t>(b);
  }
  return static_cast<std::uint8_t>(logits.size() - 1);
}

}  // namespace

std::vector<sequence> self_written(weights const& model, std::span<sequence const> begun, std::size_t n_predictions,
                                   std::uint64_t seed) {
  std::vector<sequence> all;
  cpu_decoder decoder{model};
  exact_moe moe;
  std::uint64_t drawn = seed << 32;
  for (std::size_t i = 0; n_predictions != 0; ++i) {
    sequence const& from = begun[i % begun.size()];
    // Later rounds begin elsewhere in the sequence.
    std::size_t const places = from.bytes.size() > given_bytes ? from.bytes.size() - given_bytes : 1;
    std::size_t const begin = i / begun.size() * given_bytes % places;
    sequence s{{}, "self", {}};
    decoder.begin_sequence();
    std::size_t const wanted = std::min<std::size_t>(n_predictions, model.config().max_positions);
    for (std::size_t t = 0; t <= wanted; ++t) {
      std::size_t const given = std::min(given_bytes, from.bytes.size() - begin);
      if (t < given) {
        s.bytes.push_back(from.bytes[begin + t]);
      } else {
        double const u = static_cast<double>(buddy::splitmix64(drawn++) >> 11) * 0x1p-53;
        s.bytes.push_back(draw(decoder.step(s.bytes.back(), moe), u));
        continue;
      }
      if (t + 1 < given && t != wanted) static_cast<void>(decoder.step(s.bytes.back(), moe));
    }
    n_predictions -= std::min(n_predictions, s.n_predictions());
    all.push_back(std::move(s));
  }
  return all;
}

}  // namespace harness
