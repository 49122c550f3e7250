// SPDX-License-Identifier: Apache-2.0
/// @file
/// Routing logs of others: what is read, and what is refused.
#include "catch.hpp"
#include "harness/formats/oracle_general.hpp"
#include "harness/formats/route_csv.hpp"
#include "harness/formats/routing_lines.hpp"

#include <buddy/error.hpp>
#include <buddy/splitmix64.hpp>
#include <buddy/types.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace {

using harness::parse_route_csv;
using harness::parse_routing_lines;
using ids = std::vector<std::uint16_t>;

constexpr auto none = buddy::no_expert;

std::string const head =
    "# route_trace v1\n"
    "# model=/models/tiny.gguf arch=moe n_layer=2 n_expert=8 n_expert_used=2\n"
    "# layer=0 expert_bytes=100 dense_bytes=7\n"
    "# layer=1 expert_bytes=120 dense_bytes=7\n"
    "turn,phase,step,layer,slot,expert,weight,residency,expert_bytes\n";

/// Token 0 lacks layer 1; token 1's slots are not by weight.
std::string const rows =
    "0,0,0,0,0,5,0.75,0,100\n"
    "0,0,0,0,1,1,0.25,0,100\n"
    "0,1,1,0,0,5,0.25,1,0\n"
    "0,1,1,0,1,2,0.75,0,100\n"
    "0,1,1,1,0,3,0.5,1,0\n"
    "0,1,1,1,1,4,0.5,0,120\n";

template <class Parse>
std::string error_of(Parse const& parse) {
  try {
    static_cast<void>(parse());
  } catch (buddy::config_error const& e) {
    return e.what();
  }
  return "no error";
}

bool csv_refused(std::string const& text, std::string const& word) {
  auto const error = error_of([&] { return parse_route_csv(text, "log"); });
  INFO(error);
  return error.find("log: line ") == 0 && error.find(word) != std::string::npos;
}

bool lines_refused(std::string const& text, std::string const& word) {
  auto const error = error_of([&] { return parse_routing_lines(text, "log"); });
  INFO(error);
  return error.find("log: line ") == 0 && error.find(word) != std::string::npos;
}

TEST_CASE("route.csv becomes a trace with residency and record sizes", "[harness][formats]") {
  auto const t = parse_route_csv(head + rows, "log");
  CHECK(t.model == "tiny.gguf");
  CHECK(t.experts == ids{5, 1, none, none, 2, 5, 3, 4});
  CHECK(t.weights == std::vector<float>{0.75F, 0.25F, 0.0F, 0.0F, 0.75F, 0.25F, 0.5F, 0.5F});
  CHECK(t.resident == std::vector<std::uint8_t>{0, 0, 0, 0, 0, 1, 1, 0});
  CHECK(t.phases == std::vector{buddy::phase::prefill, buddy::phase::decode});
  CHECK(t.sequence_lengths == std::vector<std::uint32_t>{2});
  CHECK(t.record_bytes == std::vector<std::uint64_t>{100, 120});
}

TEST_CASE("route.csv is refused when a line is not as it must be", "[harness][formats]") {
  CHECK(csv_refused("", "no header"));
  CHECK(csv_refused(head, "no token"));
  CHECK(csv_refused("turn,phase\n", "header"));
  CHECK(csv_refused("turn,phase,step,layer,slot,expert,weight,residency,expert_bytes\n", "n_layer"));
  CHECK(csv_refused(head + "0,1,0,0,0,5,0.75,0\n", "9 columns"));
  CHECK(csv_refused(head + "0,1,0,0,0,5,0.75,0,1,1\n", "expert_bytes"));
  CHECK(csv_refused(head + "0,2,0,0,0,5,0.75,0,1\n", "phase"));
  CHECK(csv_refused(head + "0,1,0,2,0,5,0.75,0,1\n", "layer"));
  CHECK(csv_refused(head + "0,1,0,0,0,8,0.75,0,1\n", "expert"));
  CHECK(csv_refused(head + "0,1,0,0,0,-1,0.75,0,1\n", "expert"));
  CHECK(csv_refused(head + "0,1,0,0,0,5,nan,0,1\n", "weight"));
  CHECK(csv_refused(head + "0,1,0,0,0,5,-0.5,0,1\n", "weight"));
  CHECK(csv_refused(head + "0,1,0,0,0,5,0.5,2,1\n", "residency"));
  CHECK(csv_refused(head + "0,1,99999999999999999999,0,0,5,0.5,1,1\n", "step"));
  CHECK(csv_refused(head + "0,1,0,0,0,5,0.5,0,1\n0,1,0,0,1,5,0.5,0,1\n", "twice"));
  CHECK(csv_refused(head + "0,1,0,0,0,5,0.5,0,1\n", "has 1 experts"));
  CHECK(csv_refused(head + rows + "0,1,1,1,2,6,0.1,0,120\n", "more than 2"));
  CHECK(csv_refused(head + "0,1,0,0,0,5,0.5,0,1\n0,0,0,0,1,6,0.5,0,1\n", "all prefill"));
  CHECK(csv_refused("# n_layer=70000 n_expert=8 n_expert_used=2\n" + head.substr(head.find("turn")), "layers"));
  CHECK(csv_refused(
      "# layer=0 expert_bytes=1 n_layer=2 n_expert=8 n_expert_used=2\n" + head.substr(head.find("turn")) + rows,
      "of layer 1"));
}

TEST_CASE("JSON lines of one token and layer each become a trace", "[harness][formats]") {
  auto const t = parse_routing_lines(
      "{\"layer\":1,\"token\":0,\"experts\":[3,4],\"weights\":[0.25,0.5],\"phase\":\"prefill\"}\n\n"
      "{\"layer\":0,\"token_idx\":0,\"topk_ids\":[1,2],\"topk_weights\":[0.5,0.25],\"phase\":\"prefill\"}\n"
      "{\"layer\":0,\"token\":0,\"sequence\":7,\"experts\":[0,2],\"weights\":[1,0],\"other\":{}}",
      "log", 8);
  CHECK(t.n_experts == 8);
  CHECK(t.experts == ids{1, 2, 4, 3, 0, 2, none, none});
  CHECK(t.weights == std::vector<float>{0.5F, 0.25F, 0.5F, 0.25F, 1.0F, 0.0F, 0.0F, 0.0F});
  CHECK(t.phases == std::vector{buddy::phase::prefill, buddy::phase::decode});
  CHECK(t.sequence_lengths == std::vector<std::uint32_t>{1, 1});
}

TEST_CASE("JSON lines of a whole sequence each become a trace", "[harness][formats]") {
  auto const t = parse_routing_lines(
      "{\"routed_experts\":[[[5,1],[3,2]],[[5,0],[2,7]]],\"prompt_tokens\":1}\n{\"routed_experts\":[[[1,2],[3,4]]]}",
      "log");
  CHECK(t.n_experts == 8);
  CHECK(t.weights.empty());
  CHECK(t.experts == ids{5, 1, 3, 2, 5, 0, 2, 7, 1, 2, 3, 4});
  CHECK(t.phases == std::vector{buddy::phase::prefill, buddy::phase::decode, buddy::phase::decode});
  CHECK(t.sequence_lengths == std::vector<std::uint32_t>{2, 1});
}

TEST_CASE("JSON lines are refused when one is not as it must be", "[harness][formats]") {
  CHECK(lines_refused("", "no token"));
  CHECK(lines_refused("{\"layer\":0", "JSON object"));
  CHECK(lines_refused("[1]", "JSON object"));
  CHECK(lines_refused("{\"layer\":0,\"token\":0}", "experts"));
  CHECK(lines_refused("{\"layer\":0,\"token\":0,\"experts\":[]}", "experts"));
  CHECK(lines_refused("{\"layer\":0,\"token\":0,\"experts\":[-1]}", "expert"));
  CHECK(lines_refused("{\"layer\":0,\"token\":0,\"experts\":[1024]}", "expert"));
  CHECK(lines_refused("{\"layer\":0,\"token\":0,\"experts\":[1.5]}", "expert"));
  CHECK(lines_refused("{\"layer\":0,\"token\":0,\"experts\":[1,1]}", "twice"));
  CHECK(lines_refused("{\"layer\":99999,\"token\":0,\"experts\":[1]}", "layer"));
  CHECK(lines_refused("{\"layer\":0,\"token\":\"0\",\"experts\":[1]}", "token"));
  CHECK(lines_refused("{\"layer\":0,\"token\":0,\"experts\":[1],\"weights\":[]}", "weights"));
  CHECK(lines_refused("{\"layer\":0,\"token\":0,\"experts\":[1],\"weights\":[1e99]}", "weight"));
  CHECK(lines_refused("{\"layer\":0,\"token\":0,\"experts\":[1],\"phase\":3}", "phase"));
  CHECK(lines_refused("{\"layer\":0,\"token\":0,\"experts\":[1]}\n{\"layer\":0,\"token\":1,\"experts\":[1,2]}",
                      "more than 1"));
  CHECK(lines_refused("{\"layer\":0,\"token\":0,\"experts\":[1]}\n{\"routed_experts\":[[[1]]]}", "same kind"));
  CHECK(lines_refused("{\"routed_experts\":[[[1]]],\"prompt_tokens\":2}", "prompt_tokens"));
  CHECK(lines_refused("{\"routed_experts\":[[[1]],[]]}", "list of 1 to 65535 layers"));  // not dropped in silence
  CHECK(
      lines_refused("{\"layer\":0,\"token\":0,\"experts\":[1]}\n{\"layer\":0,\"token\":1,\"experts\":[1],"
                    "\"weights\":[1]}",
                    "weights"));
}

/// Bytes of a valid log changed, cut and doubled: a trace or a config_error, nothing else. Seeds 1 to 2000.
TEST_CASE("damaged logs give a trace or an error", "[harness][formats][fuzz]") {
  std::string const lines = "{\"layer\":0,\"token\":0,\"experts\":[1,2],\"weights\":[0.5,0.25]}\n";
  std::size_t refused = 0;
  for (std::uint64_t seed = 1; seed != 2001; ++seed) {
    std::string text = seed % 2 == 0 ? head + rows : lines + lines;
    for (std::uint64_t i = 0; i != 1 + seed % 3; ++i) {
      std::uint64_t const draw = buddy::splitmix64(seed * 8 + i);
      std::size_t const at = draw % text.size();
      if (draw >> 60 == 0) text.resize(at + 1);
      text[at] = "0123456789,.-{}[]\"\n#e\xff"[(draw >> 32) % 22];
    }
    auto const error =
        error_of([&] { return seed % 2 == 0 ? parse_route_csv(text, "log") : parse_routing_lines(text, "log"); });
    refused += error == "no error" ? 0 : 1;
  }
  CHECK(refused > 500);
  CHECK(refused < 2000);
}

TEST_CASE("oracleGeneral is 24 packed bytes a request with its next", "[harness][formats]") {
  buddy::routing_trace t;
  t.n_layers = 1, t.n_experts = 4, t.top_k = 2;
  t.experts = {3, 0, none, none, 0, 1};
  t.sequence_lengths = {3};
  auto const bytes = harness::oracle_general(t);
  REQUIRE(bytes.size() == 4 * 24);
  auto const field = [&](std::size_t request, std::size_t at, std::size_t n) {
    std::uint64_t x = 0;
    for (std::size_t i = 0; i != n; ++i) x |= std::to_integer<std::uint64_t>(bytes[request * 24 + at + i]) << (8 * i);
    return x;
  };
  std::uint64_t const never = ~std::uint64_t{0};
  // Requests 3, 0, 0, 1 as objects 4, 1, 1, 2; only request 1 comes again, as request 2, in token 2.
  for (auto const& [request, time, object, next] :
       std::vector<std::array<std::uint64_t, 4>>{{0, 0, 4, never}, {1, 0, 1, 2}, {2, 2, 1, never}, {3, 2, 2, never}}) {
    CHECK(field(request, 0, 4) == time);
    CHECK(field(request, 4, 8) == object);
    CHECK(field(request, 12, 4) == 1);
    CHECK(field(request, 16, 8) == next);
  }
}

}  // namespace
