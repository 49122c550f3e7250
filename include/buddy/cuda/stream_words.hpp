// SPDX-License-Identifier: Apache-2.0
/// @file
/// What a type must offer to write words of memory in the order of a stream, and to make a stream wait for them.
#pragma once

#include <cuda_runtime_api.h>

#include <concepts>
#include <cstdint>

namespace buddy::inline v0::cuda {

/// Words that a stream writes and waits for: `stream_flags`, `kernel_words`, or `lane_words`, which picks.
///
/// @code
/// struct my_words {
///   cudaError_t write(cudaStream_t, std::uint32_t* word, std::uint32_t value) const noexcept;
///   cudaError_t wait_until(cudaStream_t, std::uint32_t* word, std::uint32_t value) const noexcept;
/// };
/// static_assert(buddy::cuda::stream_words<my_words>);
/// @endcode
///
/// Laws: what the stream wrote before the word is visible, to the host too, to whoever sees it; what comes later in the
/// stream begins once the word has reached the value, in the cyclic order of differences; neither waits on the host.
template <class F>
concept stream_words = requires(F const& words, cudaStream_t stream, std::uint32_t* word) {
  { words.write(stream, word, 1U) } noexcept -> std::same_as<cudaError_t>;
  { words.wait_until(stream, word, 1U) } noexcept -> std::same_as<cudaError_t>;
};

}  // namespace buddy::inline v0::cuda
