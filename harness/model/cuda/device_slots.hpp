// SPDX-License-Identifier: Apache-2.0
/// @file
/// The slots of a GPU that hold experts, and the link that fills them.
#pragma once

#include "harness/model/cuda/device_model.hpp"

#include <buddy/concepts/transfer_engine.hpp>
#include <buddy/layer_plan.hpp>
#include <buddy/types.hpp>

#include <cstdint>
#include <memory>
#include <string_view>

namespace harness {

/// A transfer engine (`buddy::cuda::copy_engine`) over pinned records and slots of the device.
///
/// Whoever names a slot to kernels has seen its copy done; whoever submits a copy knows that no kernel reads its slot.
class device_slots {
 public:
  static constexpr std::string_view name = "device_slots";

  /// @param model  must outlive this
  /// @throws buddy::error when the device has not got the memory
  device_slots(device_model const& model, std::uint32_t n_slots);
  ~device_slots();
  device_slots(device_slots&&) noexcept;
  device_slots& operator=(device_slots&&) noexcept;

  [[nodiscard]] buddy::ticket submit(buddy::expert_copy const& c) noexcept;
  [[nodiscard]] bool done(buddy::ticket t) const noexcept;
  void wait(buddy::ticket t) noexcept;
  bool cancel(buddy::ticket t) noexcept;

  /// Fills a slot and waits: for what is there before the first step.
  /// @throws buddy::error when the link fails
  void load(buddy::expert_key expert, buddy::slot_id slot);

  struct parts;
  [[nodiscard]] parts const& get() const noexcept { return *parts_; }

 private:
  std::unique_ptr<parts> parts_;
};

static_assert(buddy::transfer_engine<device_slots>);

}  // namespace harness
