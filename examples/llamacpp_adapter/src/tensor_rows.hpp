// SPDX-License-Identifier: Apache-2.0
/// @file
/// Rows of a tensor of 4-byte elements, wherever it lives. The top-k ids are a view with the row stride of the argsort.
#pragma once

#include <ggml-backend.h>
#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace llama_adapter {

/// Whether the processor may read and write the elements where they are.
[[nodiscard]] inline bool is_host(ggml_tensor const* t) noexcept {
  ggml_backend_buffer_t const buffer = t->view_src != nullptr ? t->view_src->buffer : t->buffer;
  return buffer != nullptr && ggml_backend_buffer_is_host(buffer);
}

/// @param out  [ne1, ne0], rows without gaps
template <class T>
void read_rows(ggml_tensor const* t, T* out) {
  static_assert(sizeof(T) == 4);
  auto const columns = static_cast<std::size_t>(t->ne[0]);
  auto const rows = static_cast<std::size_t>(t->ne[1]);
  if (rows == 0) return;
  if (!is_host(t)) {
    ggml_backend_tensor_get_2d(t, out, 0, columns * 4, rows, t->nb[1], columns * 4);
    return;
  }
  for (std::size_t r = 0; r != rows; ++r)
    std::memcpy(out + r * columns, static_cast<char const*>(t->data) + r * t->nb[1], columns * 4);
}

/// @param in  [ne1, ne0], rows without gaps
template <class T>
void write_rows(ggml_tensor* t, T const* in) {
  static_assert(sizeof(T) == 4);
  auto const columns = static_cast<std::size_t>(t->ne[0]);
  auto const rows = static_cast<std::size_t>(t->ne[1]);
  if (rows == 0) return;
  if (!is_host(t)) {
    ggml_backend_tensor_set_2d(t, in, 0, columns * 4, rows, t->nb[1], columns * 4);
    return;
  }
  for (std::size_t r = 0; r != rows; ++r)
    std::memcpy(static_cast<char*>(t->data) + r * t->nb[1], in + r * columns, columns * 4);
}

/// All elements of a contiguous tensor, in memory order.
template <class T>
void read_all(ggml_tensor const* t, T* out) {
  if (is_host(t)) {
    std::memcpy(out, t->data, ggml_nbytes(t));
  } else {
    ggml_backend_tensor_get(t, out, 0, ggml_nbytes(t));
  }
}

template <class T>
void write_all(ggml_tensor* t, T const* in) {
  if (is_host(t)) {
    std::memcpy(t->data, in, ggml_nbytes(t));
  } else {
    ggml_backend_tensor_set(t, in, 0, ggml_nbytes(t));
  }
}

}  // namespace llama_adapter
