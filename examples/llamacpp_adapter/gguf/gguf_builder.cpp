// SPDX-License-Identifier: Apache-2.0
/// @file
/// Keys first, then the tensors in the order in which they were added.
#include "gguf/gguf_builder.hpp"

#include <buddy/error.hpp>

#include <cstdio>
#include <utility>

namespace llama_adapter {

namespace {

ggml_context* new_shapes(std::size_t max_tensors) {
  return ggml_init({ggml_tensor_overhead() * max_tensors, nullptr, true});
}

std::string utf8(std::uint32_t c) {
  if (c < 0x80) return {static_cast<char>(c)};
  return {static_cast<char>(0xC0 | (c >> 6)), static_cast<char>(0x80 | (c & 63))};  // none is above U+07FF
}

/// How GPT-2's vocabularies write bytes: printable ones as they are, the others moved above U+0100.
std::vector<std::string> byte_names() {
  std::vector<std::string> names;
  std::uint32_t moved = 256;
  for (std::uint32_t b = 0; b != 256; ++b) {
    bool const printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    names.push_back(utf8(printable ? b : moved++));
  }
  return names;
}

struct file_closer {
  void operator()(std::FILE* f) const { std::fclose(f); }
};
using output = std::unique_ptr<std::FILE, file_closer>;

void put(std::FILE* f, void const* bytes, std::size_t n, std::filesystem::path const& file) {
  if (n != 0 && std::fwrite(bytes, 1, n, f) != n) throw buddy::config_error(file.string() + ": cannot be written");
}

}  // namespace

gguf_builder::gguf_builder(std::string architecture, std::size_t max_tensors)
    : architecture_(std::move(architecture)),
      file_(gguf_init_empty(), gguf_free),
      shapes_(new_shapes(max_tensors), ggml_free) {
  set("general.architecture", architecture_);
}

void gguf_builder::set(std::string const& key, std::uint32_t value) {
  gguf_set_val_u32(file_.get(), full(key).c_str(), value);
}
void gguf_builder::set(std::string const& key, float value) { gguf_set_val_f32(file_.get(), full(key).c_str(), value); }
void gguf_builder::set(std::string const& key, bool value) { gguf_set_val_bool(file_.get(), full(key).c_str(), value); }
void gguf_builder::set(std::string const& key, std::string const& value) {
  gguf_set_val_str(file_.get(), full(key).c_str(), value.c_str());
}

std::int64_t gguf_builder::set_byte_tokenizer(bool specials) {
  auto names = byte_names();
  std::vector<std::int32_t> types(names.size(), 1);  // normal
  if (specials) {
    for (char const* special : {"<s>", "</s>", "<unk>"}) names.emplace_back(special);
    types.resize(names.size(), 3);  // control
    set("tokenizer.ggml.bos_token_id", 256U);
    set("tokenizer.ggml.eos_token_id", 257U);
  }
  std::vector<char const*> pointers;
  for (auto const& name : names) pointers.push_back(name.c_str());
  char const* no_merge[] = {"\xC4\x80 \xC4\x81"};  // the key must be there; bytes 0 and 1 are seldom neighbours
  set("tokenizer.ggml.model", std::string{"gpt2"});
  set("tokenizer.ggml.pre", std::string{"gpt-2"});
  gguf_set_arr_str(file_.get(), "tokenizer.ggml.tokens", pointers.data(), pointers.size());
  gguf_set_arr_data(file_.get(), "tokenizer.ggml.token_type", GGUF_TYPE_INT32, types.data(), types.size());
  gguf_set_arr_str(file_.get(), "tokenizer.ggml.merges", no_merge, 1);
  return static_cast<std::int64_t>(names.size());
}

void gguf_builder::add(std::string const& name, ggml_type type, std::vector<std::int64_t> const& shape,
                       row_maker rows) {
  ggml_tensor* const t = ggml_new_tensor(shapes_.get(), type, static_cast<int>(shape.size()), shape.data());
  ggml_set_name(t, name.c_str());
  gguf_add_tensor(file_.get(), t);
  tensors_.push_back({t, std::move(rows)});
}

/// The writer aligns data by 32 whatever a file asks for: a key of the right length moves all of it.
void gguf_builder::align(std::size_t data_alignment) {
  if (data_alignment <= 32) return;
  gguf_set_val_str(file_.get(), "buddy.padding", "");
  std::size_t const size = gguf_get_meta_size(file_.get());
  gguf_set_val_str(file_.get(), "buddy.padding", std::string(GGML_PAD(size, data_alignment) - size, '.').c_str());
}

void gguf_builder::write(std::filesystem::path const& file, std::size_t data_alignment) {
  align(data_alignment);
  output const out{std::fopen(file.c_str(), "wb")};
  if (!out || !gguf_write_to_file_ptr(file_.get(), out.get(), true))
    throw buddy::config_error(file.string() + ": cannot be written");
  std::vector<float> row;
  std::vector<std::byte> packed;
  for (tensor const& t : tensors_) {
    row.resize(static_cast<std::size_t>(t.about->ne[0]));
    packed.resize(ggml_row_size(t.about->type, t.about->ne[0]));
    for (std::int64_t r = 0; r != ggml_nrows(t.about); ++r) {
      t.rows(r, row);
      ggml_quantize_chunk(t.about->type, row.data(), packed.data(), 0, 1, t.about->ne[0], nullptr);
      put(out.get(), packed.data(), packed.size(), file);
    }
    std::vector<std::byte> const padding(GGML_PAD(ggml_nbytes(t.about), 32) - ggml_nbytes(t.about));
    put(out.get(), padding.data(), padding.size(), file);
  }
  if (std::fflush(out.get()) != 0) throw buddy::config_error(file.string() + ": cannot be written");
}

}  // namespace llama_adapter
