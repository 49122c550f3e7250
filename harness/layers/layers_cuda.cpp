// SPDX-License-Identifier: Apache-2.0
/// @file
/// Says why there is no GPU.
#include "harness/layers/layers_backend.hpp"

#include <buddy/error.hpp>

namespace harness {

memory_need cuda_memory(layers_plan const& plan) {
  std::uint64_t const vectors = std::uint64_t{plan.routing.n_tokens} * plan.stack.record.hidden * sizeof(float);
  return {plan.stack.all_bytes(), 0, 2 * vectors};
}

std::string why_no_cuda() { return "this program was built without the CUDA toolkit (BUDDY_ENABLE_CUDA)"; }

layers_result run_on_cuda(layers_plan const&, hardware const&, timeline*) { throw buddy::config_error(why_no_cuda()); }

}  // namespace harness
