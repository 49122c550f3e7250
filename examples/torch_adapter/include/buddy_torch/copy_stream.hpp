// SPDX-License-Identifier: Apache-2.0
/// @file
/// Copies beside the computation: a stream and its events where the device has such, at once where it is the CPU.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <memory>
#include <optional>

namespace buddy::inline v0::torch {

/// A copy that has been begun; nothing to wait for on the CPU.
struct copy_ticket {
  std::shared_ptr<c10::Event> event;

  /// Asks, and does not wait.
  [[nodiscard]] bool done() const { return !event || event->query(); }
};

/// Written against c10's device-independent streams, so that it needs no header of CUDA. Not thread-safe.
class copy_stream {
 public:
  explicit copy_stream(at::Device device) : device_{device} {
    if (device.is_cpu()) return;
    c10::impl::VirtualGuardImpl const impl{device.type()};
    stream_ = impl.getStreamFromGlobalPool(device, /*isHighPriority=*/false);
  }

  /// Copies behind what the current stream has been given so far; the host does not wait.
  copy_ticket copy(at::Tensor const& to, at::Tensor const& from) {
    at::NoGradGuard const inference;
    if (!stream_) {
      to.copy_(from);
      return {};
    }
    auto const readers = record(current());
    readers->block(*stream_);
    c10::StreamGuard const aside{*stream_};
    to.copy_(from, /*non_blocking=*/true);
    for (at::Tensor const* const t : {&to, &from})  // freed by its owner, it is not given to another while it is read
      if (!t->device().is_cpu()) const_cast<at::Tensor*>(t)->record_stream(*stream_);
    return {record(*stream_)};
  }

  /// What the current stream is given from now on runs behind the copy; the host does not wait.
  void follow(copy_ticket const& ticket) {
    if (ticket.event) ticket.event->block(current());
  }

 private:
  [[nodiscard]] c10::Stream current() const { return c10::impl::VirtualGuardImpl{device_.type()}.getStream(device_); }

  [[nodiscard]] static std::shared_ptr<c10::Event> record(c10::Stream const& stream) {
    auto event = std::make_shared<c10::Event>(stream.device_type());
    event->record(stream);
    return event;
  }

  at::Device device_;
  std::optional<c10::Stream> stream_;
};

}  // namespace buddy::inline v0::torch
