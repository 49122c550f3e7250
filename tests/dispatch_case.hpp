// SPDX-License-Identifier: Apache-2.0
// Random batches for the expert kernels, and what they must give: for the device, and for the same source run by
// fibers.
#pragma once

#include "reference_ffn.hpp"

#include <buddy/cuda/dispatch_arrays.hpp>
#include <buddy/cuda/token_sort.hpp>
#include <buddy/testing/dice.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

/// Sizes of a batch, and how its routed slots are drawn.
struct dispatch_shape {
  buddy::expert_record record;
  std::uint32_t n_tokens{};
  std::uint32_t top_k{};
  std::uint32_t n_slots{};
  std::uint32_t no_slot_in{};  ///< one routed slot in so many has no place; 0: none
  std::uint32_t dropped_in{};  ///< one in so many has weight 0; 0: none
  bool with_base{};
  bool one_expert{};  ///< all tokens use slot 0 first
};

inline std::string name_of(dispatch_shape const& s) {
  return std::string(s.record.type == buddy::weight_type::bf16 ? "bf16 " : "f16 ") + std::to_string(s.record.hidden) +
         " x " + std::to_string(s.record.width) + ", " + std::to_string(s.n_tokens) + " tokens, top " +
         std::to_string(s.top_k) + " of " + std::to_string(s.n_slots) + (s.with_base ? ", base" : "") +
         (s.one_expert ? ", one expert" : "") + (s.no_slot_in != 0 ? ", some without a place" : "");
}

/// One batch in host memory. Slot n_slots - 1 is full of NaN: it stands where nothing may be read.
struct dispatch_case {
  dispatch_shape shape;
  std::size_t stride;
  std::vector<std::byte> pool;
  std::vector<buddy::slot_id> slots;
  std::vector<float> weights;
  std::vector<std::uint16_t> x;
  std::vector<float> base;

  dispatch_case(dispatch_shape const& s, std::uint64_t seed) : shape{s}, stride{(s.record.bytes() + 15) / 16 * 16} {
    reference::numbers random{seed};
    pool = reference::random_records(s.record, s.n_slots, stride, random);
    for (std::size_t i = (s.n_slots - 1) * stride; i != pool.size(); ++i) pool[i] = std::byte{0xff};
    x = reference::random_bits(std::size_t{s.n_tokens} * s.record.hidden, s.record.type, 1.0F, random);
    for (std::uint32_t t = 0; t != s.n_tokens; ++t) route(random);
    base.resize(std::size_t{s.n_tokens} * s.record.hidden);
    for (auto& b : base) b = s.with_base ? reference::uniform(random, 1.0F) : 0.0F;
  }

  [[nodiscard]] std::vector<double> expected() const {
    std::vector<double> y(base.begin(), base.end());
    std::uint32_t const hidden = shape.record.hidden;
    for (std::uint32_t i = 0; i != slots.size(); ++i) {
      if (slots[i] == buddy::no_slot || weights[i] == 0.0F) continue;
      std::size_t const at = std::size_t{i / shape.top_k} * hidden;
      reference::add_expert(shape.record, pool.data() + static_cast<std::size_t>(slots[i]) * stride, x.data() + at,
                            static_cast<double>(weights[i]), y.data() + at);
    }
    return y;
  }

  /// With pointers to host memory; `workspace` and `y` are still to be set.
  [[nodiscard]] buddy::cuda::dispatch_arrays arrays() const {
    return {.record = shape.record,
            .n_tokens = shape.n_tokens,
            .top_k = shape.top_k,
            .pool = pool.data(),
            .slot_stride = stride,
            .slots = slots.data(),
            .weights = weights.data(),
            .x = x.data(),
            .base = shape.with_base ? base.data() : nullptr};
  }

  /// Float sums of bf16 or f16 products; with several tokens the inner vector is rounded too (2^-9 or 2^-12 each).
  [[nodiscard]] double tolerance() const {
    if (shape.n_tokens == 1) return 1e-5;
    return shape.record.type == buddy::weight_type::bf16 ? 4e-3 : 5e-4;
  }

 private:
  /// Distinct slots for one token, none of them the last; a dropped routed slot points there.
  void route(reference::numbers& random) {
    std::vector<bool> used(shape.n_slots, false);
    for (std::uint32_t s = 0; s != shape.top_k; ++s) {
      std::uint32_t slot = shape.one_expert && s == 0 ? 0 : random.roll(shape.n_slots - 1);
      while (used[slot]) slot = (slot + 1) % (shape.n_slots - 1);
      used[slot] = true;
      bool const dropped = shape.dropped_in != 0 && random.chance(shape.dropped_in);
      bool const nowhere = shape.no_slot_in != 0 && random.chance(shape.no_slot_in);
      slots.push_back(nowhere ? buddy::no_slot : buddy::slot_id{dropped ? shape.n_slots - 1 : slot});
      weights.push_back(dropped ? 0.0F : 0.3F + reference::uniform(random, 0.2F));
    }
  }
};

/// Shapes that a decode batch can have, small: lengths that fill no step, no tile and no block, every number of tokens.
inline std::vector<dispatch_shape> decode_shapes() {
  using buddy::weight_type;
  std::vector<dispatch_shape> shapes;
  for (auto const type : {weight_type::bf16, weight_type::f16}) {
    shapes.push_back({{8, 8, type}, 1, 1, 2});
    shapes.push_back({{8, 8, type}, 2, 1, 2, 0, 0, false, true});
    shapes.push_back({{40, 24, type}, 1, 3, 9, 4, 4, true});
    shapes.push_back({{72, 136, type}, 3, 2, 6, 5, 5, true});
    shapes.push_back({{264, 88, type}, 1, 4, 9, 0, 3});
    shapes.push_back({{104, 72, type}, 9, 3, 7, 6, 6, false, true});  // more than 8 tokens of one expert
    shapes.push_back({{32, 64, type}, 16, 2, 5, 0, 0, true, true});   // 16 of one
    shapes.push_back({{16, 16, type}, 5, 32, 34, 9, 9});              // as many as a router may choose
    shapes.push_back({{24, 8, type}, 4, 2, 4, 1, 0, true});           // nothing has a place
    shapes.push_back({{24, 8, type}, 1, 2, 4, 1, 0});                 // the same for one token
    shapes.push_back({{520, 16, type}, 1, 1, 2});                     // two steps and a rest of 256 columns
  }
  return shapes;
}

/// Shapes of larger batches, for the sorted path.
inline std::vector<dispatch_shape> prefill_shapes() {
  using buddy::weight_type;
  return {{{40, 24, weight_type::bf16}, 2, 1, 3},
          {{40, 24, weight_type::f16}, 1, 2, 4},
          {{72, 80, weight_type::f16}, 70, 2, 6, 7, 7, true},
          {{24, 16, weight_type::bf16}, 150, 1, 4, 0, 0, false, true}};  // three tiles of one expert
}
