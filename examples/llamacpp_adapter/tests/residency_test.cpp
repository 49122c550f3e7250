// SPDX-License-Identifier: Apache-2.0
/// @file
/// Other meanings of "resident": the page cache, and none at all.
#include "catch.hpp"
#include "tests/tiny_run.hpp"

#include <buddy/io/profile_io.hpp>
#include <buddy/io/trace_io.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

using namespace llama_test;

namespace {

/// A model whose expert matrices are several pages each, so that most pages hold one expert only.
llama_adapter::generated_model paged() {
  auto m = tiny();
  m.width = 256;
  m.expert_width = 128;
  m.n_layers = 2;
  m.data_alignment = 4096;
  return m;
}

/// Only pages that the disk has can leave the page cache.
std::filesystem::path written(std::filesystem::path const& file) {
  int const fd = open(file.c_str(), O_RDONLY);
  fsync(fd);
  close(fd);
  return file;
}

/// Bytes of the file that the page cache holds.
std::size_t cached_bytes(std::filesystem::path const& file) {
  std::size_t const size = std::filesystem::file_size(file);
  int const fd = open(file.c_str(), O_RDONLY);
  void* const at = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  std::vector<unsigned char> pages((size + 4095) / 4096);
  mincore(at, size, pages.data());
  munmap(at, size);
  close(fd);
  std::size_t n = 0;
  for (unsigned char const p : pages) n += p & 1U;
  return n * 4096;
}

}  // namespace

TEST_CASE("page-cache: exact runs give the bits of plain llama.cpp within the byte budget", "[llama][page_cache]") {
  auto const file = written(file_of(paged()));
  auto const model = load(file);
  auto const plain = run(model.get(), nullptr);
  attached const buddy{model.get(), R"({"residency":"page_cache","cache_ratio":0.25})"};
  CHECK(cached_bytes(file) < std::filesystem::file_size(file) / 4);  // nothing but what is no expert
  CHECK(same_bits(plain, run(model.get(), buddy.handle)));
  auto const counts = buddy.counts();
  CHECK(counts.fetches > 0);
  // Eight of 32 experts, and what is neither expert nor evictable: a quarter of the file on top is generous.
  CHECK(cached_bytes(file) < counts.bytes_resident + std::filesystem::file_size(file) / 4);
}

TEST_CASE("page-cache and pool decide alike, and give the same bits", "[llama][page_cache]") {
  auto const model = load(file_of(paged()));
  for (char const* policy : {"live_light", "drop_light", "ser"}) {
    INFO(policy);
    std::string const rest = std::string{R"(,"cache_ratio":0.5,"policy":")"} + policy + R"("})";
    attached const pool{model.get(), R"({"residency":"pool")" + rest};
    attached const pages{model.get(), R"({"residency":"page_cache")" + rest};
    run_options const o{.n_prompt = 10, .n_decoded = 20};
    CHECK(same_bits(run(model.get(), pool.handle, o), run(model.get(), pages.handle, o)));
    CHECK(pool.counts().slots_stand_in == pages.counts().slots_stand_in);
    CHECK(pool.counts().slots_dropped == pages.counts().slots_dropped);
  }
}

TEST_CASE("observe changes nothing and writes what the routers chose", "[llama][observe]") {
  auto const model = load(file_of(tiny()));
  auto const trace_file = scratch_file("routing.safetensors");
  auto const profile_file = scratch_file("profile.safetensors");
  {
    attached const buddy{model.get(), R"({"residency":"observe","record-trace":")" + trace_file.string() +
                                          R"(","record-profile":")" + profile_file.string() + R"("})"};
    CHECK(same_bits(run(model.get(), nullptr), run(model.get(), buddy.handle, {})));
  }
  auto const trace = buddy::io::read_trace(trace_file);
  CHECK(trace.n_layers == 4);
  CHECK(trace.n_experts == 16);
  CHECK(trace.sequence_lengths == std::vector<std::uint32_t>{30});  // 24 of the prompt, 6 one by one
  CHECK(trace.has_record(29, 3));
  auto const profile = buddy::io::read_profile(profile_file);
  CHECK(profile.n_tokens == 30);
  CHECK(profile.model == "generated qwen3moe");
  CHECK(profile.router_cosine.size() == 4 * 16 * 16);
}

TEST_CASE("a profile that was recorded starts a policy that needs one", "[llama][observe]") {
  auto const model = load(file_of(tiny()));
  auto const file = scratch_file("own-profile.safetensors");
  {
    attached const observer{model.get(), R"({"residency":"observe","record-profile":")" + file.string() + R"("})"};
    (void)run(model.get(), observer.handle);
  }
  attached const buddy{model.get(),
                       R"({"policy":"buddymoe","cache_ratio":0.5,"warm":true,"profile":")" + file.string() + R"("})"};
  (void)run(model.get(), buddy.handle);
  CHECK(buddy.counts().hits > 0);
}
