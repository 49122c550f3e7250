// SPDX-License-Identifier: Apache-2.0
/// @file
/// Whether a prediction is worth a copy: measured, rank by rank, and switched off where it is not.
#pragma once

#include <buddy/fixed_point.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/types.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace buddy::inline v0 {

/// What `policy::prefetch` does with a prediction.
enum class prefetch_mode : std::uint8_t {
  always,       ///< copies every predicted expert that is absent, while the host has room
  governed,     ///< copies within the bytes of idle link time, and only ranks that have proved useful
  retain_only,  ///< copies nothing: what is predicted and resident is kept, as if it had been asked for
};

/// What was measured, and what follows from it.
struct prefetch_status {
  bool on{};         ///< the best-ranked prediction is worth its copy
  q16 usefulness{};  ///< share of its copies that the layer's next run asked for
  q16 cost{};        ///< share of the experts evicted for copies that were asked for within the same time

  [[nodiscard]] constexpr std::string_view reason() const noexcept {
    return on ? "useful: more copies are asked for than experts that left for them are missed"
              : "switched off: at least as many experts that left are missed as copies are asked for";
  }
};

/// Judges each copied prediction when its layer has run once more: was it asked for, and was the expert that left for
/// it missed? A rank whose copies are asked for more often than victims are missed is worth a copy; of the others one
/// in `probe_every` is tried, so that a rank can come back.
///
/// The horizon is one step for both, since a prediction is about the next run of a layer. Bytes are the other half of
/// the price: the policy spends no more on copies than the link had idle. Memory: 12 bytes a predicted expert and
/// layer, 4 a slot. No allocation after construction.
class prefetch_governor {
 public:
  static constexpr std::uint32_t probe_every = 64;

  prefetch_governor(model_shape const& shape, std::uint32_t width)
      : shape_(shape),
        width_(width),
        open_(std::size_t{shape.n_layers} * width),
        n_open_(shape.n_layers, 0),
        missed_(shape.n_keys(), 0),
        usefulness_(width, q16_one / 2),
        waited_(width, 0) {}

  /// Whether the `rank`-th prediction may be copied now. Counts the question: some are tried although they should not.
  [[nodiscard]] bool allows(std::uint32_t rank) noexcept {
    if (usefulness_[rank] > cost_) return true;
    if (++waited_[rank] < probe_every) return false;
    waited_[rank] = 0;
    return true;
  }

  /// A copy was planned. @param victim  who left for it, or `nobody`
  void planned(expert_key key, std::uint32_t rank, expert_key victim) noexcept {
    std::uint32_t& n = n_open_[key.layer];
    if (n == width_) return;
    if (victim != nobody) missed_[shape_.index(victim)] = 0;
    open_[std::size_t{key.layer} * width_ + n++] = {key, victim, static_cast<std::uint16_t>(rank)};
  }

  /// A planned copy will not happen: nothing can be said of it. Its victim has left all the same.
  void cancelled(expert_key key) noexcept {
    for (std::uint32_t i = 0; i != n_open_[key.layer]; ++i) {
      judgement& j = open_[std::size_t{key.layer} * width_ + i];
      if (j.key == key) j.key = nobody;
    }
  }

  /// The router asked for an expert that was absent, whatever became of it.
  void missed(expert_key key) noexcept { missed_[shape_.index(key)] = 1; }

  /// The layer has run since its copies were planned: they are judged.
  /// @param unused  bool unused(expert_key): it was copied and not asked for since
  template <class Unused>
  void judge(std::uint16_t layer, Unused const& unused) noexcept {
    for (std::uint32_t i = 0; i != n_open_[layer]; ++i) {
      judgement const& j = open_[std::size_t{layer} * width_ + i];
      if (j.key != nobody) move_towards(usefulness_[j.rank], !unused(j.key));
      if (j.victim != nobody) move_towards(cost_, missed_[shape_.index(j.victim)] != 0);
    }
    n_open_[layer] = 0;
  }

  [[nodiscard]] prefetch_status status() const noexcept { return {usefulness_[0] > cost_, usefulness_[0], cost_}; }

  static constexpr expert_key nobody{0xffff, 0xffff};

 private:
  struct judgement {
    expert_key key;
    expert_key victim;
    std::uint16_t rank{};
  };

  /// Exponential average over some 32 samples; rounding towards the sample, so that it arrives.
  static void move_towards(q16& average, bool sample) noexcept {
    if (sample) {
      average += (q16_one - average + 31) / 32;
    } else {
      average -= (average + 31) / 32;
    }
  }

  model_shape shape_;
  std::uint32_t width_;
  std::vector<judgement> open_;        // [n_layers, width] copies not yet judged
  std::vector<std::uint32_t> n_open_;  // [n_layers]
  std::vector<std::uint8_t> missed_;   // [n_layers, n_experts] fetched since it left for a copy
  std::vector<q16> usefulness_;        // [width]
  std::vector<std::uint32_t> waited_;  // [width] refusals since the last probe
  q16 cost_ = 0;
};

}  // namespace buddy::inline v0
