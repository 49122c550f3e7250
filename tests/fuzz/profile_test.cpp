// SPDX-License-Identifier: Apache-2.0
// A profile with stand-ins, every byte of its header and many of its data changed: it is refused with a message, or
// what is read keeps the rules, so that the writer takes it again.
#include "catch.hpp"
#include "harness/temporary_folder.hpp"

#include <buddy/error.hpp>
#include <buddy/io/profile_io.hpp>
#include <buddy/io/write_file.hpp>
#include <buddy/splitmix64.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

buddy::profile small_profile() {
  buddy::profile p;
  p.shape = {2, 3, 1, 100};
  p.model = "tiny";
  p.n_tokens = 10;
  p.activations = {6, 4, 0, 5, 5, 0};
  p.coactivations.assign(18, 0);
  p.transitions.assign(18, 0);
  p.output_samples = {6, 4, 0, 5, 5, 0};
  p.stand_ins.push_back({"zero", buddy::resolution::drop, 0, std::vector<float>(6, 0.5F), {2.0F, 1.0F}, {}});
  p.stand_ins.push_back({"low_bit:2",
                         buddy::resolution::low_precision,
                         3,
                         std::vector<float>(6, 0.125F),
                         {4.0F, 1.0F},
                         std::vector<std::uint8_t>(18, 7)});
  p.buddy_errors.assign(18, 0.25F);
  p.buddy_scales.assign(18, 0.5F);
  p.buddy_loss_weights = {2.0F, 3.0F};
  return p;
}

std::string bytes_of(std::filesystem::path const& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>{in}, {}};
}

/// Whether the content was accepted; what is accepted must be writable.
bool accepted(std::filesystem::path const& folder, std::string const& content) {
  buddy::io::write_file(folder / "p", content);
  buddy::profile p;
  try {
    p = buddy::io::read_profile(folder / "p");
  } catch (buddy::config_error const& e) {
    CHECK(std::string(e.what()).find((folder / "p").string()) != std::string::npos);
    return false;
  }
  CHECK_NOTHROW(buddy::io::write_profile(folder / "q", p));
  return true;
}

}  // namespace

TEST_CASE("a profile with any byte changed is refused or keeps the rules", "[fuzz][profile_io]") {
  temporary_folder const folder;
  buddy::io::write_profile(folder.path() / "good", small_profile());
  std::string const good = bytes_of(folder.path() / "good");
  REQUIRE(accepted(folder.path(), good));
  std::size_t n_refused = 0;
  for (std::size_t i = 0; i != good.size(); ++i) {
    std::string changed = good;
    changed[i] = static_cast<char>(buddy::splitmix64(i));
    n_refused += accepted(folder.path(), changed) ? 0 : 1;
  }
  CHECK(n_refused > good.size() / 4);
}

TEST_CASE("a profile cut off or grown anywhere is refused", "[fuzz][profile_io]") {
  temporary_folder const folder;
  buddy::io::write_profile(folder.path() / "good", small_profile());
  std::string const good = bytes_of(folder.path() / "good");
  for (std::size_t n = 0; n < good.size(); n += 13) CHECK_FALSE(accepted(folder.path(), good.substr(0, n)));
  CHECK_FALSE(accepted(folder.path(), good + "x"));
}
