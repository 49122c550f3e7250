// SPDX-License-Identifier: Apache-2.0
/// @file
/// The copy engine behind a plain face.
#include "harness/model/cuda/device_slots.hpp"

#include "harness/model/cuda/device_parts.hpp"

#include <buddy/cuda/check.hpp>

#include <utility>

namespace harness {

namespace {

/// Records of many megabytes begin at large pages; small ones would waste most of one.
std::size_t alignment_of(buddy::expert_record const& record) {
  constexpr std::size_t large_record = std::size_t{1} << 20U;
  return record.bytes() >= large_record ? buddy::cuda::large_page_bytes : 256;
}

}  // namespace

device_slots::parts::parts(device_model const& model, std::uint32_t n_slots)
    : slab(n_slots, model.get().record.bytes(), alignment_of(model.get().record)),
      copies(buddy::cuda::cuda_copy_backend<>(
          model.get().experts, static_cast<std::uint16_t>(model.host().config().n_experts), slab.ref(), nobody)),
      record_bytes(model.get().record.bytes()) {}

device_slots::device_slots(device_model const& model, std::uint32_t n_slots)
    : parts_{std::make_unique<parts>(model, n_slots)} {}

device_slots::~device_slots() = default;
device_slots::device_slots(device_slots&&) noexcept = default;
device_slots& device_slots::operator=(device_slots&&) noexcept = default;

buddy::ticket device_slots::submit(buddy::expert_copy const& c) noexcept {
  buddy::expert_copy whole = c;
  whole.bytes = parts_->record_bytes;  // whatever a model charges for it
  return parts_->copies.submit(whole);
}

bool device_slots::done(buddy::ticket t) const noexcept { return parts_->copies.done(t); }
void device_slots::wait(buddy::ticket t) noexcept { parts_->copies.wait(t); }
bool device_slots::cancel(buddy::ticket t) noexcept { return parts_->copies.cancel(t); }

void device_slots::load(buddy::expert_key expert, buddy::slot_id slot) {
  wait(submit({expert, slot, parts_->record_bytes, buddy::copy_reason::demand}));
  BUDDY_CUDA_TRY(parts_->copies.backend().error());
}

}  // namespace harness
