// SPDX-License-Identifier: Apache-2.0
/// @file
/// All-to-all over a c10d process group, with an end: a peer that is gone or out of step is an error, never a result.
#pragma once

#include <buddy/error.hpp>

#include <ATen/ATen.h>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace buddy::inline v0::torch {

/// Another process died, hangs, or is somewhere else in the model.
class peer_error : public error {
 public:
  using error::error;
};

/// What every rank says before it sends rows.
struct exchange_header {
  std::int64_t call;  ///< running number of the exchange
  std::int64_t layer;
  std::int64_t n_rows;
};

/// Moves rows between the ranks of a group. All ranks call it the same number of times, in the same order; a rank
/// without rows sends none. After an error every further call is one: what a late peer may still send is not believed.
class rank_exchange {
 public:
  /// @param group    Gloo for tensors on the CPU, NCCL on GPUs; any type with `alltoall_base`
  /// @param timeout  how long the CPU waits for the others in one exchange. Make the group with the same timeout; on a
  ///                 GPU it is the group's that ends a wait
  /// @param device   of the tensors that the group moves
  template <class Group>
  rank_exchange(c10::intrusive_ptr<Group> group, std::chrono::milliseconds timeout, at::Device device = at::kCPU)
      : rank_{group->getRank()}, n_ranks_{group->getSize()}, timeout_{timeout}, device_{device} {
    exchange_ = [group = std::move(group)](at::Tensor& out, at::Tensor& in, std::vector<std::int64_t>& out_rows,
                                           std::vector<std::int64_t>& in_rows, std::chrono::milliseconds limit) {
      auto const work = group->alltoall_base(out, in, out_rows, in_rows);
      return out.device().is_cpu() ? work->wait(limit) : work->wait();
    };
  }

  [[nodiscard]] std::int64_t rank() const noexcept { return rank_; }
  [[nodiscard]] std::int64_t n_ranks() const noexcept { return n_ranks_; }

  /// Tells every rank how many rows it will get. @returns [n_ranks] how many come from each
  /// @throws peer_error when a peer is gone, late, or at another call or layer
  std::vector<std::int64_t> announce(std::int64_t layer, std::vector<std::int64_t> const& n_rows) {
    auto const told = at::empty({n_ranks_, 3}, at::kLong);
    ++calls_;
    for (std::int64_t r = 0; r != n_ranks_; ++r)
      write(told, r, {calls_, layer, n_rows.at(static_cast<std::size_t>(r))});
    std::vector<std::int64_t> const one_each(static_cast<std::size_t>(n_ranks_), 1);
    auto const heard = swap(layer, told.to(device_), one_each, one_each).to(at::kCPU);
    std::vector<std::int64_t> coming;
    for (std::int64_t r = 0; r != n_ranks_; ++r) coming.push_back(checked(read(heard, r), r, layer).n_rows);
    return coming;
  }

  /// @param rows  [sum of `send`, ...] those for rank 0, for rank 1, ...
  /// @returns     [sum of `receive`, ...] those of rank 0, of rank 1, ...
  /// @throws peer_error when a peer is gone or late
  at::Tensor swap(std::int64_t layer, at::Tensor const& rows, std::vector<std::int64_t> send,
                  std::vector<std::int64_t> receive) {
    auto sizes = rows.sizes().vec();
    sizes[0] = 0;
    for (auto const n : receive) sizes[0] += n;
    auto out = addressable(sizes, rows.options());
    auto in = rows.size(0) != 0 ? rows.contiguous() : addressable(rows.sizes().vec(), rows.options());
    run(out, in, receive, send, layer);
    return out;
  }

 private:
  using exchange_function = std::function<bool(at::Tensor&, at::Tensor&, std::vector<std::int64_t>&,
                                               std::vector<std::int64_t>&, std::chrono::milliseconds)>;

  /// Memory with an address also where there are no rows: not every backend takes a null pointer.
  static at::Tensor addressable(std::vector<std::int64_t> sizes, at::TensorOptions const& options) {
    auto const n = sizes[0];
    sizes[0] = n + (n == 0 ? 1 : 0);
    return at::empty(sizes, options).narrow(0, 0, n);
  }

  static void write(at::Tensor const& to, std::int64_t row, exchange_header const& h) {
    std::int64_t* const p = to.data_ptr<std::int64_t>() + 3 * row;
    p[0] = h.call, p[1] = h.layer, p[2] = h.n_rows;
  }

  static exchange_header read(at::Tensor const& from, std::int64_t row) {
    std::int64_t const* const p = from.data_ptr<std::int64_t>() + 3 * row;
    return {p[0], p[1], p[2]};
  }

  exchange_header checked(exchange_header const& h, std::int64_t peer, std::int64_t layer) {
    constexpr std::int64_t most_rows = std::int64_t{1} << 32;
    if (h.call == calls_ && h.layer == layer && h.n_rows >= 0 && h.n_rows < most_rows) return h;
    fail(layer, "rank " + std::to_string(peer) + " is at call " + std::to_string(h.call) + ", layer " +
                    std::to_string(h.layer) + ", and this rank at call " + std::to_string(calls_) +
                    ": every rank must run every layer as often as the others");
  }

  void run(at::Tensor& out, at::Tensor& in, std::vector<std::int64_t>& out_rows, std::vector<std::int64_t>& in_rows,
           std::int64_t layer) {
    if (!broken_.empty()) throw peer_error(broken_);
    try {
      if (!exchange_(out, in, out_rows, in_rows, timeout_)) fail(layer, "the exchange did not complete");
    } catch (peer_error const&) {
      throw;
    } catch (std::exception const& e) {
      std::string const words = e.what();
      fail(layer, words.substr(0, words.find('\n')));
    }
  }

  /// A group with an exchange under way waits in its destructor for the peer that does not answer: it never gets there.
  void abandon_group() const {
    static auto& abandoned = *new std::vector<exchange_function>;
    abandoned.push_back(exchange_);
  }

  [[noreturn]] void fail(std::int64_t layer, std::string const& why) {
    abandon_group();
    broken_ = "buddy::rank_exchange: rank " + std::to_string(rank_) + " lost the others at layer " +
              std::to_string(layer) + " (they died, or did not answer within " + std::to_string(timeout_.count()) +
              " ms): " + why;
    throw peer_error(broken_);
  }

  exchange_function exchange_;
  std::int64_t rank_, n_ranks_;
  std::chrono::milliseconds timeout_;
  at::Device device_;
  std::int64_t calls_{};
  std::string broken_;
};

}  // namespace buddy::inline v0::torch
