// SPDX-License-Identifier: Apache-2.0
/// @file
/// What must hold for the counts of a profile, whoever made them.
#pragma once

#include <buddy/fixed_point.hpp>
#include <buddy/io/mapped_file.hpp>
#include <buddy/profile.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

namespace buddy::inline v0::io::detail {

/// Checked for a profile that was read as for one that is to be written.
class profile_rules {
 public:
  profile_rules(profile const& p, std::filesystem::path const& path) : p_{p}, path_{path} {}

  /// @throws config_error naming file, tensor and rule
  void check() const {
    check_sizes();
    if (p_.n_tokens > std::numeric_limits<std::uint32_t>::max()) fail(path_, "n_tokens must be below 2^32");
    for (std::uint16_t l = 0; l != p_.shape.n_layers; ++l) {
      if (!p_.entropy_percentiles.empty()) check_percentiles(l);
      for (std::uint16_t i = 0; i != p_.shape.n_experts; ++i) {
        if (activations(l, i) > p_.n_tokens) refuse("activations", "must not exceed n_tokens", l, i);
        check_row(l, i);
        for (std::uint16_t j = 0; j != p_.shape.n_experts; ++j) check_pair(l, i, j);
      }
    }
  }

 private:
  template <class... Where>
  [[noreturn]] void refuse(std::string const& tensor, std::string const& rule, Where... where) const {
    std::string place;
    ((place += (place.empty() ? " at [" : ", ") + std::to_string(where)), ...);
    fail(path_, "tensor '" + tensor + "': " + rule + (place.empty() ? place : place + "]"));
  }

  void check_sizes() const {
    std::size_t const n_keys = p_.shape.n_keys();
    std::size_t const n_pairs = n_keys * p_.shape.n_experts;
    auto const require = [&](std::string const& tensor, std::size_t size, std::size_t wanted, bool optional) {
      if (size != wanted && !(optional && size == 0)) refuse(tensor, "must have the size of the model's shape");
    };
    require("activations", p_.activations.size(), n_keys, false);
    require("coactivations", p_.coactivations.size(), n_pairs, false);
    require("transitions", p_.transitions.size(), n_pairs, false);
    require("min_weighted", p_.min_weighted.size(), n_pairs, true);
    require("entropy_percentiles", p_.entropy_percentiles.size(), p_.shape.n_layers * n_percentiles, true);
    require("router_cosine", p_.router_cosine.size(), n_pairs, true);
    require("output_cosine", p_.output_cosine.size(), n_pairs, true);
    require("output_cka", p_.output_cka.size(), n_pairs, true);
    require("output_frobenius", p_.output_frobenius.size(), n_pairs, true);
  }

  [[nodiscard]] std::uint64_t activations(std::size_t layer, std::uint16_t i) const noexcept {
    return p_.activations[layer * p_.shape.n_experts + i];
  }

  void check_percentiles(std::uint16_t l) const {
    for (std::uint32_t percent = 0; percent != n_percentiles; ++percent) {
      q16 const value = p_.entropy_percentile(l, percent);
      if (value > q16_one) refuse("entropy_percentiles", "must be at most 65536", l, percent);
      if (percent != 0 && value < p_.entropy_percentile(l, percent - 1))
        refuse("entropy_percentiles", "must not fall", l, percent);
    }
  }

  /// Each of an expert's tokens has at most top_k - 1 peers here and top_k experts at the layer that follows.
  void check_row(std::uint16_t l, std::uint16_t i) const {
    std::uint64_t peers = 0;
    std::uint64_t next = 0;
    for (std::uint16_t j = 0; j != p_.shape.n_experts; ++j) {
      peers += p_.coactivations[p_.pair_index(l, i, j)];
      next += p_.transitions[p_.pair_index(l, i, j)];
    }
    if (peers > activations(l, i) * (p_.shape.top_k - 1U))
      refuse("coactivations", "a row must not exceed activations x (top_k - 1)", l, i);
    if (next > activations(l, i) * p_.shape.top_k)
      refuse("transitions", "a row must not exceed activations x top_k", l, i);
  }

  void check_pair(std::uint16_t l, std::uint16_t i, std::uint16_t j) const {
    std::size_t const here = p_.pair_index(l, i, j);
    std::size_t const mirrored = p_.pair_index(l, j, i);
    std::uint64_t const met = p_.coactivations[here];
    if (i == j && met != 0) refuse("coactivations", "the diagonal must be 0", l, i, j);
    if (met != p_.coactivations[mirrored]) refuse("coactivations", "must be symmetric", l, i, j);
    if (met > std::min(activations(l, i), activations(l, j)))
      refuse("coactivations", "must not exceed the activations of either expert", l, i, j);
    if (p_.transitions[here] > std::min(activations(l, i), activations((l + 1U) % p_.shape.n_layers, j)))
      refuse("transitions", "must not exceed the activations of either expert", l, i, j);
    if (!p_.min_weighted.empty()) {
      if (p_.min_weighted[here] > met << 16) refuse("min_weighted", "must not exceed coactivations x 65536", l, i, j);
      if (p_.min_weighted[here] != p_.min_weighted[mirrored]) refuse("min_weighted", "must be symmetric", l, i, j);
    }
    check_similarity("router_cosine", p_.router_cosine, -1.0F, l, i, j);
    check_similarity("output_cosine", p_.output_cosine, -1.0F, l, i, j);
    check_similarity("output_cka", p_.output_cka, 0.0F, l, i, j);
    check_similarity("output_frobenius", p_.output_frobenius, 0.0F, l, i, j);
  }

  /// @param least  -1 or 0: where the range begins; it ends at 1
  void check_similarity(std::string const& tensor, std::vector<float> const& values, float least, std::uint16_t l,
                        std::uint16_t i, std::uint16_t j) const {
    if (values.empty()) return;
    float const x = values[p_.pair_index(l, i, j)];
    if (!(x >= least - rounding && x <= 1.0F + rounding))
      refuse(tensor, least < 0.0F ? "must be in [-1, 1]" : "must be in [0, 1]", l, i, j);
    if (x != values[p_.pair_index(l, j, i)]) refuse(tensor, "must be symmetric", l, i, j);
  }

  static constexpr float rounding = 0.0001F;

  profile const& p_;
  std::filesystem::path const& path_;
};

}  // namespace buddy::inline v0::io::detail
