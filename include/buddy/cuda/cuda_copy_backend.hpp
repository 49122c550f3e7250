// SPDX-License-Identifier: Apache-2.0
/// @file
/// The link to a device under `copy_engine`: a stream of its own, an event for each mark.
#pragma once

#include <buddy/cuda/check.hpp>
#include <buddy/cuda/copy_backend.hpp>
#include <buddy/cuda/event.hpp>
#include <buddy/cuda/memcpy_batch.hpp>
#include <buddy/cuda/pinned_buffer.hpp>
#include <buddy/cuda/record_array.hpp>
#include <buddy/cuda/stream.hpp>
#include <buddy/error.hpp>
#include <buddy/types.hpp>
#include <buddy/view.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace buddy::inline v0::cuda {

/// Nobody is told when a slot is filled: for hosts that order their kernels behind the copies themselves.
struct unpublished {
  [[nodiscard]] cudaError_t before_fill(copy_piece const&, cudaStream_t) const noexcept { return cudaSuccess; }
  [[nodiscard]] cudaError_t after_fill(copy_piece const&, cudaStream_t) const noexcept { return cudaSuccess; }
};

/// How a `cuda_copy_backend` copies.
struct cuda_copy_options {
  std::uint32_t n_marks = 2;      ///< at least the engine's `in_flight_limit`
  std::size_t staging_bytes = 0;  ///< of each mark; 0: the source is pinned, and copied from where it lies
  bool timed = false;             ///< add up the time in which the link was busy
};

/// Copies records from memory of the host to slots of the current device.
///
/// From pinned memory a copy runs beside the host. From pageable or file-backed memory, `issue` first copies the bytes
/// to the pinned staging buffer of its mark: that takes the caller's time, and waits for the disk where the file is not
/// in memory. Two marks then keep the link busy while the next buffer is filled.
///
/// Its end waits for the copies that are under way.
/// @tparam Table  is told of the begin and end of each fill, in the order of the stream: a `slot_table`, or
/// `unpublished`
template <class Table = unpublished>
class cuda_copy_backend {
 public:
  /// @param source  [n_layers, n_experts] records of the host; must outlive this, like `slots` and `table`
  /// @throws config_error when an option cannot be, cuda_error when there is no device
  cuda_copy_backend(host_records source, std::uint16_t n_experts, device_slab_ref slots, Table& table,
                    cuda_copy_options const& options = {})
      : source_(source),
        n_experts_(n_experts),
        slots_(slots),
        table_(&table),
        options_(checked(options)),
        staging_(options.staging_bytes * options.n_marks),
        marks_(options.n_marks) {
    staging_.pin();
    auto const kind = options.timed ? event_kind::timed : event_kind::order;
    for (mark_events& m : marks_) {
      if (options.timed) m.begin.push_back(event(kind));
      m.end.push_back(event(kind));
    }
  }

  [[nodiscard]] std::uint32_t n_marks() const noexcept { return static_cast<std::uint32_t>(marks_.size()); }
  [[nodiscard]] std::uint64_t issue_limit_bytes() const noexcept {
    return options_.staging_bytes != 0 ? options_.staging_bytes : std::numeric_limits<std::uint64_t>::max();
  }

  /// @pre the mark is reached
  void issue(view<copy_piece const> pieces, copy_mark mark) noexcept {
    mark_events& m = at(mark);
    for (copy_piece const& p : pieces)
      if (p.first) keep(table_->before_fill(p, stream_.get()));
    if (failed()) return;  // never copy without the order that the table asked for
    if (options_.timed) keep(m.begin.front().ref().record(stream_.get()));
    batch_.clear();
    std::byte* staging = staging_.bytes().data() + static_cast<std::uint32_t>(mark) * options_.staging_bytes;
    for (copy_piece const& p : pieces) {
      if (batch_.full()) keep(batch_.send(order(), stream_.get()));
      batch_.add(slots_.record(static_cast<std::uint32_t>(p.slot)) + p.offset, stage(p, staging), p.bytes);
    }
    keep(batch_.send(order(), stream_.get()));
    if (failed()) return;  // never publish what was not copied
    for (copy_piece const& p : pieces)
      if (p.last) keep(table_->after_fill(p, stream_.get()));
    keep(m.end.front().ref().record(stream_.get()));
    m.under_way = true;
  }

  [[nodiscard]] bool reached(copy_mark mark) noexcept {
    mark_events& m = at(mark);
    if (!m.under_way) return true;
    cudaError_t const code = m.end.front().ref().query();
    if (code == cudaErrorNotReady) {
      (void)cudaGetLastError();
      return false;
    }
    keep(code);
    if (failed()) return false;
    if (options_.timed) add_time(m);
    m.under_way = false;
    return true;
  }

  void wait(copy_mark mark) noexcept {
    if (!failed()) keep(at(mark).end.front().ref().wait());
  }

  [[nodiscard]] bool failed() const noexcept { return error_ != cudaSuccess; }

  /// What failed first, or `cudaSuccess`.
  [[nodiscard]] cudaError_t error() const noexcept { return error_; }

  /// Time in which the link was busy, if `timed`: latencies of copies that did not wait for others are in it.
  [[nodiscard]] double busy_ms() const noexcept { return busy_ms_; }

  [[nodiscard]] cudaStream_t stream() const noexcept { return stream_.get(); }

 private:
  struct mark_events {
    std::vector<event> begin, end;  // one each, or none; made while setting up
    bool under_way = false;
  };

  static cuda_copy_options const& checked(cuda_copy_options const& o) {
    if (o.n_marks == 0) v0::detail::throw_config_error("buddy::cuda::cuda_copy_backend: n_marks must be at least 1");
    return o;
  }

  [[nodiscard]] mark_events& at(copy_mark mark) noexcept { return marks_[static_cast<std::uint32_t>(mark)]; }

  /// Weights are never written, staging buffers are.
  [[nodiscard]] source_order order() const noexcept {
    return options_.staging_bytes != 0 ? source_order::of_the_stream : source_order::any;
  }

  /// Where the device copies the piece from; moves `staging` on where that is a staging buffer.
  [[nodiscard]] std::byte const* stage(copy_piece const& p, std::byte*& staging) const noexcept {
    auto const index = std::uint32_t{p.expert.layer} * n_experts_ + p.expert.expert;
    std::byte const* const source = source_.record(index) + p.offset;
    if (options_.staging_bytes == 0 || p.bytes == 0) return source;
    std::memcpy(staging, source, p.bytes);
    staging += p.bytes;
    return staging - p.bytes;
  }

  void add_time(mark_events const& m) noexcept {
    float ms = 0;
    keep(cudaEventElapsedTime(&ms, m.begin.front().get(), m.end.front().get()));
    busy_ms_ += static_cast<double>(ms);
  }

  void keep(cudaError_t code) noexcept {
    if (code == cudaSuccess) return;
    (void)cudaGetLastError();
    if (error_ == cudaSuccess) error_ = code;
  }

  host_records source_;
  std::uint32_t n_experts_;
  device_slab_ref slots_;
  Table* table_;
  cuda_copy_options options_;
  pinned_buffer staging_;
  draining_stream stream_;  // goes first: copies under way still read the staging buffers
  std::vector<mark_events> marks_;
  memcpy_batch batch_;
  cudaError_t error_ = cudaSuccess;
  double busy_ms_ = 0;
};

}  // namespace buddy::inline v0::cuda
