// SPDX-License-Identifier: Apache-2.0
// LibTorch and Catch2 both have a CHECK: in the tests it is Catch2's.
#pragma once

#include <torch/torch.h>

#undef CHECK
#undef CHECK_FALSE
#undef CHECK_NOTHROW
#undef REQUIRE

#include "catch.hpp"
