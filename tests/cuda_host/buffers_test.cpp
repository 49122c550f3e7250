// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/cuda/device.hpp>
#include <buddy/cuda/device_buffer.hpp>
#include <buddy/cuda/device_slab.hpp>
#include <buddy/cuda/event.hpp>
#include <buddy/cuda/graph.hpp>
#include <buddy/cuda/host_pages.hpp>
#include <buddy/cuda/pinned_buffer.hpp>
#include <buddy/cuda/stream.hpp>
#include <buddy/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace {

template <class T>
constexpr bool only_moves = std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T> &&
                            !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T>;

static_assert(only_moves<buddy::cuda::stream>);
static_assert(only_moves<buddy::cuda::event>);
static_assert(only_moves<buddy::cuda::graph>);
static_assert(only_moves<buddy::cuda::host_pages>);
static_assert(only_moves<buddy::cuda::pinned_buffer>);
static_assert(only_moves<buddy::cuda::device_buffer<int>>);
static_assert(only_moves<buddy::cuda::device_slab>);
static_assert(std::is_trivially_copyable_v<buddy::cuda::stream_ref>);
static_assert(std::is_trivially_copyable_v<buddy::cuda::event_ref>);
static_assert(std::is_trivially_copyable_v<buddy::cuda::graph_ref>);

bool at_large_page(void const* p) { return reinterpret_cast<std::uintptr_t>(p) % buddy::cuda::large_page_bytes == 0; }

}  // namespace

TEST_CASE("host pages begin at a large page, all zero", "[cuda_host][host_pages]") {
  auto const bytes = GENERATE(std::size_t{1}, std::size_t{4096}, (std::size_t{2} << 20U) + 1);
  buddy::cuda::host_pages const pages(bytes);
  REQUIRE(pages.bytes().size() == bytes);
  CHECK(at_large_page(pages.bytes().data()));
  CHECK(std::all_of(pages.bytes().begin(), pages.bytes().end(), [](std::byte b) { return b == std::byte{0}; }));
}

TEST_CASE("host pages stay where they are when their owner moves", "[cuda_host][host_pages]") {
  buddy::cuda::host_pages a(100);
  std::byte* const where = a.bytes().data();
  where[99] = std::byte{7};
  buddy::cuda::host_pages b(std::move(a));
  CHECK(a.bytes().empty());
  buddy::cuda::host_pages c(5);
  c = std::move(b);
  REQUIRE(c.bytes().data() == where);
  CHECK(c.bytes()[99] == std::byte{7});
  CHECK(buddy::cuda::host_pages(0).bytes().empty());
  CHECK_THROWS_AS(buddy::cuda::host_pages(std::size_t{1} << 60U), buddy::config_error);
}

TEST_CASE("a node that cannot be is refused softly", "[cuda_host][host_pages]") {
  buddy::cuda::host_pages pages(4096);
  CHECK_FALSE(pages.prefer_node(-1));
  CHECK_FALSE(pages.prefer_node(64));
  CHECK_FALSE(buddy::cuda::host_pages().prefer_node(0));
  (void)pages.prefer_node(0);  // whatever this system says
  pages.bytes()[0] = std::byte{1};
  CHECK(pages.bytes()[0] == std::byte{1});
}

TEST_CASE("a pinned buffer without a device is plain memory", "[cuda_host][pinned_buffer]") {
  buddy::cuda::pinned_buffer buffer(5000);
  buffer.bytes()[4999] = std::byte{9};
  CHECK_FALSE(buffer.pinned());
  CHECK_THROWS_AS(buffer.on_device(), buddy::config_error);
  CHECK_NOTHROW(buffer.pin());
  CHECK(buffer.pinned() == buddy::cuda::gpu_available());
  buddy::cuda::pinned_buffer const moved(std::move(buffer));
  CHECK(buffer.bytes().empty());
  CHECK(moved.bytes()[4999] == std::byte{9});
  CHECK(at_large_page(moved.bytes().data()));
}

TEST_CASE("what needs a device says so where there is none", "[cuda_host][device_buffer]") {
  CHECK(buddy::cuda::device_buffer<int>(0).data() == nullptr);
  CHECK_THROWS_AS(buddy::cuda::device_buffer<int>(std::size_t{1} << 62U), buddy::config_error);
  CHECK_THROWS_AS(buddy::cuda::device_slab(0, 1), buddy::config_error);
  CHECK_THROWS_AS(buddy::cuda::device_slab(1, 0), buddy::config_error);
  CHECK_THROWS_AS(buddy::cuda::device_slab(1, 1, 3), buddy::config_error);
  if (buddy::cuda::gpu_available()) return;
  CHECK_THROWS_AS(buddy::cuda::device_buffer<int>(1), buddy::cuda_error);
  CHECK_THROWS_AS(buddy::cuda::device_slab(1, 1), buddy::cuda_error);
  CHECK_THROWS_AS(buddy::cuda::stream(), buddy::cuda_error);
  CHECK_THROWS_AS(buddy::cuda::event(), buddy::cuda_error);
}
