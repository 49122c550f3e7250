// SPDX-License-Identifier: Apache-2.0
/// @file
/// Tensors are described first, then all of them are given memory at once.
#include "src/slot_store.hpp"

#include <buddy/error.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

namespace llama_adapter {

namespace {

constexpr std::size_t page = 4096;  // records that are read past the page cache begin on one

constexpr std::size_t paged(std::size_t bytes) { return (bytes + page - 1) / page * page; }

ggml_context* descriptions(moe_graph const& graph) {
  std::size_t n = 16;
  for (auto const& layer : graph.layers) n += 2 * layer.parts.size();
  return ggml_init({ggml_tensor_overhead() * n, nullptr, true});
}

/// Of one type, and with records of one shape where both have as many.
bool are_alike(ggml_tensor const* a, ggml_tensor const* b) {
  return a->type == b->type && a->ne[0] == b->ne[0] && a->ne[1] == b->ne[1];
}

}  // namespace

slot_store::slot_store(moe_graph const& graph, std::span<slot_range const> slots, std::string const& device)
    : context_(descriptions(graph), ggml_free) {
  for (std::size_t l = 0; l != graph.layers.size(); ++l) share_or_add(graph, slots, l);
  if (device.empty()) {
    allocate_host();
  } else {
    allocate_on(device);
    move_model();
  }
}

slot_store::~slot_store() {
  if (buffer_ != nullptr) ggml_backend_buffer_free(buffer_);
  if (memory_ != nullptr) munmap(memory_, bytes_);
}

void slot_store::share_or_add(moe_graph const& graph, std::span<slot_range const> slots, std::size_t layer) {
  auto& homes_of_layer = parts_.emplace_back();
  auto const& wanted = graph.layers[layer].parts;
  bool const shares = layer != 0 && slots[layer].first == slots[0].first;
  for (std::size_t p = 0; p != wanted.size(); ++p) {
    homes h{.model = wanted[p].tensor,
            .staging = staging_like(wanted[p], graph.n_experts),
            .bytes = wanted[p].bytes(),
            .is_bias = wanted[p].is_bias,
            .original = *wanted[p].tensor};
    if (!shares) {
      h.slots = add(wanted[p], slots[layer].count);
    } else if (p < parts_[0].size() && wanted.size() == parts_[0].size() && are_alike(parts_[0][p].model, h.model)) {
      h.slots = parts_[0][p].slots;
    } else {
      throw buddy::config_error("llama.cpp adapter: pool 'global' needs layers of one shape and type; tensor '" +
                                std::string{h.model->name} + "' differs from that of the first layer");
    }
    homes_of_layer.push_back(h);
  }
}

ggml_tensor* slot_store::add(expert_part const& part, std::uint32_t count) {
  ggml_tensor const* const t = part.tensor;
  return part.is_bias ? ggml_new_tensor_2d(context_.get(), t->type, t->ne[0], count)
                      : ggml_new_tensor_3d(context_.get(), t->type, t->ne[0], t->ne[1], count);
}

/// The same for all layers, but not for two parts of one: those are read by the same batch.
ggml_tensor* slot_store::staging_like(expert_part const& part, std::uint32_t n_experts) {
  auto const is_taken = [this](ggml_tensor const* t) {
    return std::any_of(parts_.back().begin(), parts_.back().end(), [t](homes const& h) { return h.staging == t; });
  };
  for (shared_staging const& s : staging_)
    if (s.is_bias == part.is_bias && are_alike(s.tensor, part.tensor) && !is_taken(s.tensor)) return s.tensor;
  return staging_.emplace_back(add(part, n_experts), part.is_bias).tensor;
}

/// Zeros, and given by the kernel only where something is written: staging costs nothing until a batch needs it.
void slot_store::allocate_host() {
  for (auto* t = ggml_get_first_tensor(context_.get()); t != nullptr; t = ggml_get_next_tensor(context_.get(), t))
    bytes_ += paged(ggml_nbytes(t));
  memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory_ == MAP_FAILED) {
    memory_ = nullptr;
    throw buddy::config_error("llama.cpp adapter: no memory for " + std::to_string(bytes_) + " bytes of slots");
  }
  buffer_ = ggml_backend_cpu_buffer_from_ptr(memory_, bytes_);
  ggml_backend_buffer_set_usage(buffer_, GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
  auto* at = static_cast<std::byte*>(memory_);
  for (auto* t = ggml_get_first_tensor(context_.get()); t != nullptr; t = ggml_get_next_tensor(context_.get(), t)) {
    ggml_backend_tensor_alloc(buffer_, t, at);
    at += paged(ggml_nbytes(t));
  }
}

void slot_store::allocate_on(std::string const& device) {
  ggml_backend_dev_t const dev = ggml_backend_dev_by_name(device.c_str());
  if (dev == nullptr) throw buddy::config_error("llama.cpp adapter: unknown device '" + device + "'");
  buffer_ = ggml_backend_alloc_ctx_tensors_from_buft(context_.get(), ggml_backend_dev_buffer_type(dev));
  if (buffer_ == nullptr) throw buddy::config_error("llama.cpp adapter: no memory for slots on '" + device + "'");
  ggml_backend_buffer_clear(buffer_, 0);  // kernels may read beyond a record, and what they read must be numbers
  ggml_backend_buffer_set_usage(buffer_, GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
  bytes_ = ggml_backend_buffer_get_size(buffer_);
}

void slot_store::move_model() {
  for (auto& layer : parts_) {
    for (homes& h : layer) {
      h.model->data = h.slots->data;
      h.model->buffer = h.slots->buffer;
      h.model->extra = h.slots->extra;
      for (int d = 0; d != GGML_MAX_DIMS; ++d) h.model->ne[d] = h.slots->ne[d], h.model->nb[d] = h.slots->nb[d];
    }
  }
  moved_ = true;
}

void slot_store::restore_model() noexcept {
  if (!moved_) return;
  for (auto& layer : parts_)
    for (homes& h : layer) *h.model = h.original;
  moved_ = false;
}

ggml_tensor* slot_store::tensor(std::size_t layer, std::size_t part, expert_home home) const noexcept {
  homes const& h = parts_[layer][part];
  if (home == expert_home::staging) return h.staging;
  return home == expert_home::model || moved_ ? h.model : h.slots;
}

bool slot_store::holds(std::size_t layer, std::size_t part, ggml_tensor const* t) const noexcept {
  homes const& h = parts_[layer][part];
  return t == h.model || t == h.slots || t == h.staging;
}

std::byte* slot_store::address(std::size_t layer, std::size_t part, std::uint32_t place,
                               expert_home home) const noexcept {
  if (memory_ == nullptr) return nullptr;
  homes const& h = parts_[layer][part];
  auto* const data = static_cast<std::byte*>(home == expert_home::staging ? h.staging->data : h.slots->data);
  return data + h.bytes * place;
}

void slot_store::write(std::size_t layer, std::size_t part, std::uint32_t place, expert_home home,
                       std::byte const* from) const {
  homes const& h = parts_[layer][part];
  ggml_tensor* const to = home == expert_home::staging ? h.staging : h.slots;
  ggml_backend_tensor_set(to, from, h.bytes * place, h.bytes);
}

void slot_store::stage(std::size_t layer, std::uint32_t slot, std::uint16_t expert) const {
  for (std::size_t p = 0; p != parts_[layer].size(); ++p) {
    homes const& h = parts_[layer][p];
    if (memory_ != nullptr) {
      std::memcpy(address(layer, p, expert, expert_home::staging), address(layer, p, slot, expert_home::slots),
                  h.bytes);
      continue;
    }
    ggml_tensor from = *h.slots;  // one record of each, as tensors of their own
    ggml_tensor to = *h.staging;
    int const records = h.is_bias ? 1 : 2;
    from.ne[records] = to.ne[records] = 1;
    from.data = static_cast<std::byte*>(h.slots->data) + h.bytes * slot;
    to.data = static_cast<std::byte*>(h.staging->data) + h.bytes * expert;
    ggml_backend_tensor_copy(&from, &to);
  }
}

}  // namespace llama_adapter
