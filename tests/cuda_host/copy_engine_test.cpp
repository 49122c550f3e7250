// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/cuda/copy_engine.hpp>
#include <buddy/cuda/cuda_copy_backend.hpp>
#include <buddy/cuda/device.hpp>
#include <buddy/cuda/memcpy_batch.hpp>
#include <buddy/cuda/slot_table.hpp>
#include <buddy/cuda/stream_flags.hpp>
#include <buddy/error.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>

using buddy::cuda::cuda_copy_backend;
using buddy::cuda::slot_table;
using buddy::cuda::unpublished;

static_assert(buddy::cuda::copy_backend<cuda_copy_backend<>>);
static_assert(buddy::cuda::copy_backend<cuda_copy_backend<slot_table>>);
static_assert(buddy::transfer_engine<buddy::cuda::copy_engine<cuda_copy_backend<slot_table>>>);

TEST_CASE("a link needs a device", "[cuda_host][copy_engine]") {
  unpublished table;
  using backend = cuda_copy_backend<>;
  CHECK_THROWS_AS(backend({}, 1, {}, table, {.n_marks = 0}), buddy::config_error);
  if (buddy::cuda::gpu_available()) return;
  CHECK_THROWS_AS(backend({}, 1, {}, table), buddy::cuda_error);
}

TEST_CASE("a slot table needs a device", "[cuda_host][slot_table]") {
  buddy::model_shape const shape{.n_layers = 2, .n_experts = 3, .top_k = 1, .expert_bytes = 1};
  CHECK_THROWS_AS(slot_table(shape, 0), buddy::config_error);
  if (buddy::cuda::gpu_available()) return;
  CHECK_THROWS_AS(slot_table(shape, 2), buddy::cuda_error);
}

TEST_CASE("stream flags that cannot be found are not available", "[cuda_host][stream_flags]") {
  CHECK_FALSE(buddy::cuda::stream_flags().available());
  if (buddy::cuda::gpu_available()) return;
  CHECK_FALSE(buddy::cuda::stream_flags::find().available());
}

TEST_CASE("a batch is full at its capacity and leaves empty copies out", "[cuda_host][memcpy_batch]") {
  buddy::cuda::memcpy_batch batch;
  std::byte to{}, from{};
  for (std::size_t i = 0; i != buddy::cuda::memcpy_batch::capacity; ++i) {
    CHECK_FALSE(batch.full());
    batch.add(&to, &from, 0);
    batch.add(&to, &from, 1);
  }
  CHECK(batch.full());
  batch.clear();
  CHECK_FALSE(batch.full());
  CHECK(batch.send(buddy::cuda::source_order::any, cudaStream_t{}) == cudaSuccess);  // nothing to send
}
