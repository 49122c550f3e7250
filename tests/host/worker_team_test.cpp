// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/host/worker_team.hpp>

#include <cstdint>
#include <vector>

using buddy::host::worker_team;

TEST_CASE("a worker team that never runs ends on several threads", "[unit][host_lane]") {
  worker_team const team(4);
  CHECK(team.size() == 4);
}

TEST_CASE("every worker sees after a barrier what all wrote before it, on several threads", "[unit][host_lane]") {
  constexpr std::uint32_t n = 4;
  worker_team team(n, {}, 100);  // also the sleeping wait
  std::vector<std::uint32_t> written(n, 0);
  std::vector<std::uint32_t> wrong(n, 0);
  for (std::uint32_t round = 1; round <= 200; ++round) {
    auto job = [&](std::uint32_t worker) noexcept {
      written[worker] = round;
      team.barrier();
      for (std::uint32_t const w : written) wrong[worker] += w == round ? 0 : 1;
      team.barrier();
    };
    team.run(job);
  }
  CHECK(written == std::vector<std::uint32_t>(n, 200));
  CHECK(wrong == std::vector<std::uint32_t>(n, 0));
}
