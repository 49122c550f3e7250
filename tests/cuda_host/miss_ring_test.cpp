// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/cuda/miss_ring.hpp>
#include <buddy/error.hpp>

TEST_CASE("a ring of misses needs a power of two", "[cuda_host][miss_ring]") {
  CHECK_THROWS_AS(buddy::cuda::miss_ring(0), buddy::config_error);
  CHECK_THROWS_AS(buddy::cuda::miss_ring(48), buddy::config_error);
}
