// SPDX-License-Identifier: Apache-2.0
/// @file
/// For every expert the peers that may stand in for it, best first.
#pragma once

#include <buddy/config.hpp>
#include <buddy/error.hpp>
#include <buddy/fixed_point.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace buddy::inline v0 {

/// One expert's buddies, best first.
struct buddy_list {
  view<std::uint16_t const> experts;  ///< distinct, never the expert itself
  view<q16 const> similarities;       ///< same length, falling, Q16
};

/// What a selector or a kernel reads; points into a `buddy_table` or a copy of its arrays in device memory.
struct buddy_table_ref {
  view<std::uint16_t const> experts;  ///< [n_layers, n_experts, stride]
  view<q16 const> similarities;       ///< [n_layers, n_experts, stride], Q16
  view<std::uint16_t const> lengths;  ///< [n_layers, n_experts]
  std::uint32_t n_experts{};
  std::uint32_t stride{};

  [[nodiscard]] BUDDY_HD constexpr buddy_list of(expert_key k) const noexcept {
    std::uint32_t const row = k.layer * n_experts + k.expert;
    std::uint32_t const n = lengths[row];
    return {experts.part(row * stride, n), similarities.part(row * stride, n)};
  }

  /// Whether it has a list for every expert of a model.
  [[nodiscard]] constexpr bool fits(model_shape const& shape) const noexcept {
    std::size_t const entries = shape.n_keys() * stride;
    return n_experts == shape.n_experts && lengths.size == shape.n_keys() && experts.size == entries &&
           similarities.size == entries;
  }
};

static_assert(device_portable<buddy_table_ref>);

/// Owns the lists of all layers. All lists are empty at first.
class buddy_table {
 public:
  /// @param stride  most buddies of one expert
  /// @throws config_error when stride is not in [1, n_experts], or the table has 2^32 entries or more
  buddy_table(model_shape const& shape, std::uint32_t stride) : shape_(shape), stride_(stride) {
    validate(shape);
    if (stride == 0 || stride > shape.n_experts)
      detail::throw_config_error("buddy::buddy_table: the stride must be in [1, n_experts]");
    if (shape.n_keys() > std::numeric_limits<std::uint32_t>::max() / stride)
      detail::throw_config_error("buddy::buddy_table: layers x experts x stride must be below 2^32");
    experts_.resize(shape.n_keys() * stride);
    similarities_.resize(shape.n_keys() * stride);
    lengths_.resize(shape.n_keys());
  }

  /// Adds a buddy behind those the expert already has.
  /// @pre the list is not full; `buddy` is another expert that is not in it; similarities of a list never rise
  void append(expert_key k, std::uint16_t buddy, q16 similarity) noexcept {
    std::size_t const row = shape_.index(k);
    std::size_t const at = row * stride_ + lengths_[row]++;
    experts_[at] = buddy;
    similarities_[at] = similarity;
  }

  [[nodiscard]] buddy_list of(expert_key k) const noexcept { return ref().of(k); }

  /// Valid while the table lives and is not appended to; moving the table keeps it valid.
  [[nodiscard]] buddy_table_ref ref() const noexcept {
    auto const size = static_cast<std::uint32_t>(experts_.size());
    return {{experts_.data(), size},
            {similarities_.data(), size},
            {lengths_.data(), static_cast<std::uint32_t>(lengths_.size())},
            shape_.n_experts,
            stride_};
  }

  [[nodiscard]] model_shape const& shape() const noexcept { return shape_; }

  bool operator==(buddy_table const&) const = default;

 private:
  model_shape shape_;
  std::uint32_t stride_;
  std::vector<std::uint16_t> experts_;
  std::vector<q16> similarities_;
  std::vector<std::uint16_t> lengths_;
};

}  // namespace buddy::inline v0
