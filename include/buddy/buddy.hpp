// SPDX-License-Identifier: Apache-2.0
/// @file
/// The whole library but for files (`buddy/io/`) and the GPU (`buddy/cuda/`).
#pragma once

#include <buddy/policies/buddymoe.hpp>
#include <buddy/policies/eviction/lfu_decayed.hpp>
#include <buddy/policies/eviction/lru.hpp>
#include <buddy/policies/eviction/lru_token.hpp>
#include <buddy/policies/eviction/random.hpp>
#include <buddy/policies/prediction/markov.hpp>
#include <buddy/policies/prediction/none.hpp>
#include <buddy/policies/prediction/previous_token.hpp>
#include <buddy/policies/selection/coactivation.hpp>
#include <buddy/policies/selection/live_score.hpp>
#include <buddy/policies/selection/none.hpp>
#include <buddy/policies/selection/random_resident.hpp>
#include <buddy/policies/selection/zero_fill.hpp>
#include <buddy/policies/sensitivity/always.hpp>
#include <buddy/policies/sensitivity/entropy_gate.hpp>
#include <buddy/policies/sensitivity/margin_gate.hpp>
#include <buddy/policies/sensitivity/never.hpp>
#include <buddy/policies/sensitivity/weight_gate.hpp>
#include <buddy/policies/transfer/immediate.hpp>
#include <buddy/policies/transfer/sim_link.hpp>
#include <buddy/policy.hpp>
#include <buddy/slot_cache.hpp>
#include <buddy/version.hpp>
