// SPDX-License-Identifier: Apache-2.0
// Stands in for the header of the same name, of which the expert kernels use nothing.
#pragma once

namespace buddy::inline v0::cuda {

struct device_memory {};

}  // namespace buddy::inline v0::cuda
