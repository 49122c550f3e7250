// SPDX-License-Identifier: Apache-2.0
/// @file
/// The instruction sets that the row kernels are written for, and which of them this CPU has.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

/// Whether the vector kernels exist: x86-64, and a compiler with per-function targets.
#if defined(__x86_64__) && defined(__GNUC__)
#define BUDDY_HAS_X86_KERNELS 1
#else
#define BUDDY_HAS_X86_KERNELS 0
#endif

namespace buddy::inline v0::host {

/// From the reference to the widest.
enum class instruction_set : std::uint8_t { scalar, avx2, avx512, avx512_bf16 };

inline constexpr std::array<instruction_set, 4> all_instruction_sets{
    instruction_set::scalar, instruction_set::avx2, instruction_set::avx512, instruction_set::avx512_bf16};

/// The name that benchmarks and reports use.
[[nodiscard]] constexpr std::string_view to_string(instruction_set s) noexcept {
  constexpr std::array<std::string_view, 4> names{"scalar", "avx2", "avx512", "avx512_bf16"};
  return names[static_cast<std::size_t>(s)];
}

/// Whether this CPU, and the system on it, can run `s`. Asks the CPU: not for the hot path.
[[nodiscard]] inline bool supported(instruction_set s) noexcept {
#if BUDDY_HAS_X86_KERNELS
  // F16C is in every CPU with AVX2, and clang 14 cannot ask for it.
  bool const avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  bool const avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  switch (s) {
    case instruction_set::scalar:
      return true;
    case instruction_set::avx2:
      return avx2;
    case instruction_set::avx512:
      return avx512;
    case instruction_set::avx512_bf16:
      return avx512 && __builtin_cpu_supports("avx512bf16");
  }
  return false;
#else
  return s == instruction_set::scalar;
#endif
}

/// The widest that this CPU can run.
[[nodiscard]] inline instruction_set best_instruction_set() noexcept {
  instruction_set best = instruction_set::scalar;
  for (instruction_set const s : all_instruction_sets)
    if (supported(s)) best = s;
  return best;
}

}  // namespace buddy::inline v0::host
