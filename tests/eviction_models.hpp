// SPDX-License-Identifier: Apache-2.0
// Every shipped eviction policy that needs nothing but a capacity, for the tests that all of them go through.
#pragma once

#include <buddy/buddy.hpp>

#include <tuple>

// clang-format off
using plain_evictions = std::tuple<
    buddy::eviction::arc,
    buddy::eviction::clock,
    buddy::eviction::fifo,
    buddy::eviction::least_stale,
    buddy::eviction::lfru,
    buddy::eviction::lfu,
    buddy::eviction::lfu_decayed,
    buddy::eviction::lru,
    buddy::eviction::lru_ds,
    buddy::eviction::lru_token,
    buddy::eviction::random,
    buddy::eviction::s3_fifo,
    buddy::eviction::sieve,
    buddy::eviction::slru,
    buddy::eviction::window_hot>;
// clang-format on
