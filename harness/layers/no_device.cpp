// SPDX-License-Identifier: Apache-2.0
/// @file
/// A build without the CUDA toolkit: it says so.
#include "harness/calibrate/device_probe.hpp"
#include "harness/layers/layers_backend.hpp"

#include <buddy/error.hpp>

namespace harness {

namespace {

constexpr char const* reason = "this build has no CUDA backend (configure with -DBUDDY_ENABLE_CUDA=ON)";

}  // namespace

memory_need cuda_memory(layers_plan const& plan) { return {plan.stack.all_bytes(), 0, 0}; }

std::string why_no_cuda() { return reason; }

layers_result run_on_cuda(layers_plan const&, hardware const&, timeline*) { throw buddy::config_error(reason); }

std::string why_no_device_probe() { return reason; }

std::vector<figure> probe_device() { throw buddy::config_error(reason); }

}  // namespace harness
