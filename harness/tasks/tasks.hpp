// SPDX-License-Identifier: Apache-2.0
/// @file
/// Synthetic tasks with one exact answer: damage to a model shows as answers that are no longer right.
#pragma once

#include "harness/tasks/splitmix64.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace harness {

/// All tasks; the place of a name is part of the seed. The model was trained on all but the last.
///
///     add     47+85=                  132       pairs of numbers below 100 that training contains
///     sort    sort dab=               abd       3 to 6 letters in order
///     rev     rev abc=                cba       3 to 8 letters backwards
///     copy    copy abcd=              abcd      4 to 12 letters again
///     brk     close ([{               }])       the brackets that are still open
///     kv      get a1 b2 c3?b=         2         recall from the prompt
///     fact    fact xyz=               qw        a fixed table of 512 keys: knowledge that only weights can hold
///     succ    succ abc=               bcd       the next letter of each
///     addnew  as add, but only pairs that training never contained
inline constexpr std::array<std::string_view, 9> task_names{"add", "sort", "rev",  "copy",  "brk",
                                                            "kv",  "fact", "succ", "addnew"};

/// One problem; the answer ends with a newline, which is part of it.
struct problem {
  std::string prompt;
  std::string answer;
};

/// What all problems of a task and seed are drawn from, one after the other: seeded with place * 2^32 + seed.
/// @throws buddy::config_error when there is no such task
[[nodiscard]] splitmix64 problem_rng(std::string_view task, std::uint32_t seed);

/// The next problem. The draws are those of harness/train/tasks.py, in the same order.
/// @throws buddy::config_error when there is no such task
[[nodiscard]] problem draw_problem(std::string_view task, splitmix64& rng);

}  // namespace harness
