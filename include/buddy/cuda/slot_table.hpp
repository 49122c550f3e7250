// SPDX-License-Identifier: Apache-2.0
/// @file
/// Which slot each expert is in, where kernels look it up; changed in stream order, without stopping them.
#pragma once

#include <buddy/cuda/check.hpp>
#include <buddy/cuda/copy_backend.hpp>
#include <buddy/cuda/device_buffer.hpp>
#include <buddy/cuda/event.hpp>
#include <buddy/cuda/pinned_buffer.hpp>
#include <buddy/cuda/publish_protocol.hpp>
#include <buddy/cuda/stream_flags.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <vector>

namespace buddy::inline v0::cuda {

/// Owns the table that kernels read and does to it, in the two streams, what `publish_protocol` has decided.
///
/// Words are written and awaited by `stream_flags` where they work. Elsewhere a word is written by a copy of four
/// bytes, and the copy stream waits for an event that is recorded at the end of each epoch: a later point than needed,
/// never an earlier one. Not thread-safe. No allocation after construction; nothing waits on the host.
///
/// Later copies queue behind one that waits for its epoch, so retire a step ahead of need. A step that itself waits for
/// a copy must find its slot's epoch closed before it: the two would wait for each other.
class slot_table {
 public:
  /// All experts absent. @throws config_error when a size cannot be, cuda_error when there is no device
  slot_table(model_shape const& shape, std::uint32_t n_slots, stream_flags flags = stream_flags::find())
      : shape_(shape),
        flags_(flags),
        books_(n_slots, shape.n_keys()),
        after_(n_slots),
        entries_(shape.n_keys()),
        word_(1),
        values_((std::size_t{n_slots} + 1) * sizeof(std::uint32_t)) {
    std::vector<slot_id> const absent(shape.n_keys(), no_slot);
    entries_.load_from(std::span<slot_id const>(absent));
    std::uint32_t const zero = 0;
    word_.load_from({&zero, 1});
    auto* const values = ::new (values_.bytes().data()) std::uint32_t[std::size_t{n_slots} + 1];
    for (std::uint32_t s = 0; s != n_slots; ++s) values[s] = s;
    values[n_slots] = static_cast<std::uint32_t>(no_slot);
    values_.pin();
  }

  /// [n_experts] for kernels: memory of the device, at the same address for good.
  [[nodiscard]] view<slot_id const> layer(std::uint16_t l) const noexcept {
    return {entries_.data() + shape_.index({l, 0}), shape_.n_experts};
  }

  [[nodiscard]] publish_protocol const& books() const noexcept { return books_; }

  /// Nothing that comes later in the compute stream finds the slot's expert. Call `close_epoch` behind the last of
  /// them.
  /// @returns `cudaSuccess` too when the slot is not live, and then nothing happens
  [[nodiscard]] cudaError_t retire(slot_id s, cudaStream_t compute) noexcept {
    if (!books_.retire(s)) return cudaSuccess;
    return write(entry(books_.expert_in(s)), no_slot, compute);
  }

  /// Lets slots that were retired be filled, once all that is in the compute stream now has ended.
  [[nodiscard]] cudaError_t close_epoch(cudaStream_t compute) noexcept {
    auto const closed = static_cast<std::uint32_t>(books_.close_epoch());
    if (flags_.available()) return flags_.write(compute, word_.data(), closed);
    return passed_.ref().record(compute);
  }

  /// Gives the slot to the expert. Then submit the copy: its backend calls `before_fill` and `after_fill`.
  /// @returns false, and nothing changed, when `publish_protocol::begin_fill` refuses
  [[nodiscard]] bool begin_fill(slot_id s, expert_key expert) noexcept {
    fill_order const order = books_.begin_fill(s, shape_.index(expert));
    if (order.granted) after_[static_cast<std::uint32_t>(s)] = order.after;
    return order.granted;
  }

  /// The copy has landed: `copy_engine::done` said so.
  bool publish(slot_id s) noexcept { return books_.publish(s); }

  /// The copy was cancelled.
  bool abandon(slot_id s) noexcept { return books_.abandon(s); }

  /// In the copy stream, ahead of the first piece: nobody reads the slot any more.
  [[nodiscard]] cudaError_t before_fill(copy_piece const& piece, cudaStream_t copies) const noexcept {
    epoch const after = after_[static_cast<std::uint32_t>(piece.slot)];
    if (after == epoch{0}) return cudaSuccess;
    if (flags_.available()) return flags_.wait_until(copies, word_.data(), static_cast<std::uint32_t>(after));
    return passed_.ref().wait_in(copies);
  }

  /// In the copy stream, behind the last piece: kernels find the expert.
  [[nodiscard]] cudaError_t after_fill(copy_piece const& piece, cudaStream_t copies) const noexcept {
    return write(entry(shape_.index(piece.expert)), piece.slot, copies);
  }

 private:
  [[nodiscard]] slot_id* entry(std::size_t expert) const noexcept { return entries_.data() + expert; }

  [[nodiscard]] cudaError_t write(slot_id* to, slot_id s, cudaStream_t stream) const noexcept {
    if (flags_.available())
      return flags_.write(stream, reinterpret_cast<std::uint32_t*>(to), static_cast<std::uint32_t>(s));
    std::uint32_t const at = s == no_slot ? books_.n_slots() : static_cast<std::uint32_t>(s);
    return cudaMemcpyAsync(to, values_.bytes().data() + at * sizeof(slot_id), sizeof(slot_id), cudaMemcpyHostToDevice,
                           stream);
  }

  model_shape shape_;
  stream_flags flags_;
  publish_protocol books_;
  std::vector<epoch> after_;  // [n_slots] of the fill that was granted last
  device_buffer<slot_id> entries_;
  device_buffer<std::uint32_t> word_;
  pinned_buffer values_;  // every slot's number, then `no_slot`: what copies of four bytes take
  event passed_;
};

}  // namespace buddy::inline v0::cuda
