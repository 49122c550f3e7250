// SPDX-License-Identifier: Apache-2.0
/// @file
/// The row kernel of an instruction set and a weight format, chosen while the program runs.
#pragma once

#include <buddy/expert_record.hpp>
#include <buddy/host/instruction_set.hpp>
#include <buddy/host/packed_vector.hpp>
#include <buddy/host/row_dots_avx2.hpp>
#include <buddy/host/row_dots_avx512.hpp>
#include <buddy/host/row_dots_scalar.hpp>

namespace buddy::inline v0::host {

/// One kernel, and the packing of the vector that it wants.
struct row_kernel {
  row_dots dots{};
  packing form{packing::f32};
};

/// @pre supported(s)
[[nodiscard]] inline row_kernel row_kernel_of(instruction_set s, weight_type type) noexcept {
  bool const bf16 = type == weight_type::bf16;
#if BUDDY_HAS_X86_KERNELS
  switch (s) {
    case instruction_set::scalar:
      break;
    case instruction_set::avx2:
      if (bf16) return {detail::row_dots_bf16_avx2, packing::f32_pairs_16};
      return {detail::row_dots_f16_avx2, packing::f32};
    case instruction_set::avx512_bf16:
      if (bf16) return {detail::row_dots_bf16_avx512_bf16, packing::bf16};
      [[fallthrough]];  // there are no f16 products with float sums
    case instruction_set::avx512:
      if (bf16) return {detail::row_dots_bf16_avx512, packing::f32_pairs_32};
      return {detail::row_dots_f16_avx512, packing::f32};
  }
#else
  static_cast<void>(s);
#endif
  return {bf16 ? detail::row_dots_bf16_scalar : detail::row_dots_f16_scalar, packing::f32};
}

}  // namespace buddy::inline v0::host
