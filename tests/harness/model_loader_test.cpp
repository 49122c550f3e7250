// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "harness/model/weights.hpp"
#include "random_model.hpp"
#include "temporary_folder.hpp"

#include <buddy/error.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <string>
#include <vector>

namespace {

using namespace harness;
using nlohmann::json;

/// What `parse_model_config` says to a config with one field changed.
std::string complaint(std::string const& field, json const& value) {
  json object = random_model::json_of(random_model::tiny());
  object[field] = value;
  try {
    static_cast<void>(parse_model_config(object.dump(), "m/config.json"));
  } catch (buddy::config_error const& e) {
    return e.what();
  }
  return "accepted";
}

std::string load_complaint(std::filesystem::path const& folder) {
  try {
    static_cast<void>(weights::load(folder));
  } catch (buddy::config_error const& e) {
    return e.what();
  }
  return "accepted";
}

bool contains(std::string const& text, std::string const& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a config is read field by field", "[harness][model]") {
  auto const c = random_model::tiny();
  CHECK(parse_model_config(random_model::json_of(c).dump(), "config.json") == c);
  CHECK(c.expert_parameters() == 3 * 24 * 9);
}

TEST_CASE("a config out of range is refused, naming file, field and rule", "[harness][model]") {
  struct row {
    char const* field;
    json value;
    char const* rule;
  };
  auto const r = GENERATE(
      row{"hidden_size", 0, "from 1 to 65536"}, row{"hidden_size", -1, "from 1 to 65536"},
      row{"hidden_size", 24.5, "from 1 to 65536"}, row{"hidden_size", "24", "from 1 to 65536"},
      row{"hidden_size", 18446744073709551615U, "from 1 to 65536"}, row{"num_hidden_layers", 1025, "from 1 to 1024"},
      row{"head_dim", 11, "must be even"}, row{"num_key_value_heads", 3, "must divide"},
      row{"num_experts", 1025, "from 1 to 1024"}, row{"num_experts_per_tok", 8, "at most num_experts"},
      row{"num_experts_per_tok", 33, "from 1 to 32"}, row{"vocab_size", 151936, "must be 256"},
      row{"rms_norm_eps", 0, "above 0"}, row{"rope_theta", -1, "above 0"}, row{"norm_topk_prob", 1, "true or false"},
      row{"max_position_embeddings", nullptr, "missing"}, row{"moe_intermediate_size", 0, "from 1 to 65536"},
      row{"model_type", "llama", "must be qwen3_moe"}, row{"mlp_only_layers", {0}, "must be empty"},
      row{"decoder_sparse_step", 2, "must be 1"}, row{"attention_bias", true, "must be false"},
      row{"use_sliding_window", true, "must be false"}, row{"hidden_act", "gelu", "must be silu"},
      row{"rope_scaling", {{"type", "yarn"}}, "must be null"});
  std::string const said = complaint(r.field, r.value);
  CAPTURE(said);
  CHECK(contains(said, "m/config.json"));
  CHECK(contains(said, r.field));
  CHECK(contains(said, r.rule));
}

TEST_CASE("a config that is no JSON object is refused", "[harness][model]") {
  std::string const text = GENERATE(std::string(), std::string("[]"), std::string("{\"hidden_size\": "),
                                    std::string(100000, '['), std::string("\xff\xfe"));
  CHECK_THROWS_AS(parse_model_config(text, "config.json"), buddy::config_error);
}

TEST_CASE("weights arrive as stored, one record per expert", "[harness][model]") {
  temporary_folder const folder;
  auto const c = random_model::tiny();
  random_model::write(c, folder.path(), 3);
  auto const w = weights::load(folder.path());
  auto const file = buddy::io::safetensors_file::open(folder / "model.safetensors");
  auto const equal = [&](std::span<float const> loaded, std::string const& name) {
    auto const stored = buddy::io::widened(file.at(name));
    return std::equal(loaded.begin(), loaded.end(), stored.begin(), stored.end());
  };
  CHECK(equal(w.embedding(), "model.embed_tokens.weight"));
  CHECK(equal(w.layer(1).router, "model.layers.1.mlp.gate.weight"));
  CHECK(
      equal(w.layer(1).qkv.subspan(40 * 24, 20 * 24), "model.layers.1.self_attn.k_proj.weight"));  // after 4 x 10 rows
  auto const record = w.expert({1, 6});
  CHECK(equal(record.gate_up.first(9 * 24), "model.layers.1.mlp.experts.6.gate_proj.weight"));
  CHECK(equal(record.gate_up.subspan(9 * 24), "model.layers.1.mlp.experts.6.up_proj.weight"));
  CHECK(equal(record.down, "model.layers.1.mlp.experts.6.down_proj.weight"));
  CHECK(record.down.data() == record.gate_up.data() + 2 * 9 * 24);
  CHECK(w.expert_bytes() == 2 * 3 * 24 * 9);  // f16
  CHECK(w.shape() == buddy::model_shape{2, 7, 3, 2 * 3 * 24 * 9});
}

TEST_CASE("the identity changes with any byte of the model", "[harness][model]") {
  temporary_folder const a, b, c;
  random_model::write(random_model::tiny(), a.path(), 3);
  random_model::write(random_model::tiny(), b.path(), 3);
  random_model::write(random_model::tiny(), c.path(), 4);
  auto const identity = weights::load(a.path()).identity();
  CHECK(identity.size() == 16);
  CHECK(weights::load(b.path()).identity() == identity);
  CHECK(weights::load(c.path()).identity() != identity);
  buddy::io::write_file(b / "config.json", random_model::json_of(random_model::tiny()).dump(1));
  CHECK(weights::load(b.path()).identity() != identity);
}

TEST_CASE("a model whose files do not fit together is refused", "[harness][model]") {
  temporary_folder const folder;
  auto c = random_model::tiny();
  random_model::write(c, folder.path(), 3);
  SECTION("another hidden size") {
    c.hidden_size = 32;
    buddy::io::write_file(folder / "config.json", random_model::json_of(c).dump());
    auto const said = load_complaint(folder.path());
    CHECK(contains(said, "model.safetensors"));
    CHECK(contains(said, "'model.embed_tokens.weight': shape must be [256, 32], not [256, 24]"));
  }
  SECTION("more experts than the file has") {
    c.n_experts = 8;
    buddy::io::write_file(folder / "config.json", random_model::json_of(c).dump());
    CHECK(contains(load_complaint(folder.path()), "'model.layers.0.mlp.gate.weight': shape"));
  }
  SECTION("more layers than the file has") {
    c.n_layers = 3;
    buddy::io::write_file(folder / "config.json", random_model::json_of(c).dump());
    CHECK(contains(load_complaint(folder.path()), "'model.layers.2.input_layernorm.weight': is missing"));
  }
  SECTION("an untied head that is not there") {
    c.tied_embeddings = true;
    random_model::write(c, folder.path(), 3);
    c.tied_embeddings = false;
    buddy::io::write_file(folder / "config.json", random_model::json_of(c).dump());
    CHECK(contains(load_complaint(folder.path()), "'lm_head.weight': is missing"));
  }
  SECTION("integers instead of floats") {
    buddy::io::safetensors_writer w;
    std::vector<std::uint16_t> const numbers(256 * 24);
    w.add<std::uint16_t>("model.embed_tokens.weight", {256, 24}, numbers);
    w.write(folder / "model.safetensors");
    CHECK(contains(load_complaint(folder.path()), "'model.embed_tokens.weight': dtype must be F16, BF16 or F32"));
  }
  SECTION("a value that is no number") {
    auto const file = folder / "model.safetensors";
    auto const stored = buddy::io::safetensors_file::open(file);
    for (std::uint16_t const bad :
         std::initializer_list<std::uint16_t>{0x7c00, 0xfc00, 0x7e00}) {  // halves: infinity, minus infinity, NaN
      buddy::io::safetensors_writer w;
      for (auto const& t : stored.tensors()) {
        std::vector<std::byte> bytes{t.bytes.begin(), t.bytes.end()};
        if (t.name == "model.layers.1.mlp.gate.weight") std::memcpy(bytes.data() + 2 * 5, &bad, 2);
        w.add(t.name, t.type, t.shape, bytes);
      }
      w.write(file);
      auto const said = load_complaint(folder.path());
      CHECK(contains(said, "model.safetensors"));
      CHECK(contains(said, "'model.layers.1.mlp.gate.weight': all values must be finite, unlike number 5"));
    }
  }
  SECTION("a file cut off anywhere") {
    auto const file = folder / "model.safetensors";
    auto const size = std::filesystem::file_size(file);
    for (std::uintmax_t const keep : {size - 1, size / 2, std::uintmax_t{100}, std::uintmax_t{7}, std::uintmax_t{0}}) {
      std::filesystem::resize_file(file, keep);
      CHECK(contains(load_complaint(folder.path()), "model.safetensors"));
    }
  }
  SECTION("no file at all") {
    std::filesystem::remove(folder / "model.safetensors");
    CHECK(contains(load_complaint(folder.path()), "model.safetensors: cannot be opened"));
    std::filesystem::remove(folder / "config.json");
    CHECK(contains(load_complaint(folder.path()), "config.json: cannot be opened"));
  }
}
