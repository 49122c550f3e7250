// SPDX-License-Identifier: Apache-2.0
/// @file
/// The model on a GPU in a build without the CUDA toolkit: it says so.
#include "harness/model/cuda/device_decoder.hpp"
#include "harness/model/cuda/device_model.hpp"
#include "harness/model/cuda/device_slots.hpp"

#include <buddy/error.hpp>

namespace harness {

namespace {

constexpr char const* reason = "this build has no CUDA backend (configure with -DBUDDY_ENABLE_CUDA=ON)";

[[noreturn]] void refuse() { throw buddy::config_error(std::string{"--backend cuda: "} + reason); }

}  // namespace

struct device_model::parts {};
struct device_slots::parts {};
struct device_decoder::parts {};

std::string why_no_device() { return reason; }

device_model::device_model(weights const& w) : weights_{&w} { refuse(); }
device_model::~device_model() = default;

device_slots::device_slots(device_model const&, std::uint32_t) { refuse(); }
device_slots::~device_slots() = default;
device_slots::device_slots(device_slots&&) noexcept = default;
device_slots& device_slots::operator=(device_slots&&) noexcept = default;
buddy::ticket device_slots::submit(buddy::expert_copy const&) noexcept { return buddy::no_ticket; }
bool device_slots::done(buddy::ticket) const noexcept { return false; }
void device_slots::wait(buddy::ticket) noexcept {}
bool device_slots::cancel(buddy::ticket) noexcept { return false; }
void device_slots::load(buddy::expert_key, buddy::slot_id) { refuse(); }

device_decoder::device_decoder(device_model const& model, device_slots const&)
    : weights_{&model.host()}, config_{&weights_->config()} {
  refuse();
}
device_decoder::~device_decoder() = default;
void device_decoder::begin(std::uint8_t) { refuse(); }
void device_decoder::attend(std::uint16_t) { refuse(); }
router_output device_decoder::route(std::uint16_t) { refuse(); }
std::span<float const> device_decoder::input() const noexcept { return {}; }
void device_decoder::run(std::span<expert_use const>) { refuse(); }
std::span<float> device_decoder::cleared_sum() noexcept { return {}; }
void device_decoder::add_expert(std::uint16_t, expert_use const&) noexcept {}
void device_decoder::send_sum() { refuse(); }
std::span<float const> device_decoder::finish() { refuse(); }

}  // namespace harness
