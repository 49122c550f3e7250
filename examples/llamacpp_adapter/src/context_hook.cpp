// SPDX-License-Identifier: Apache-2.0
/// @file
/// Every node is offered once before it runs, in order, when all nodes before the last one that was asked for have run:
/// that is when its sources can still be exchanged. Returning false would end one part of the graph and let the others
/// go on, so a failure is told by the abort callback, and by weights that are not numbers.
#include "src/context_hook.hpp"

#include "src/tensor_rows.hpp"

#include <buddy/error.hpp>

#include <chrono>
#include <cstring>
#include <exception>
#include <limits>
#include <vector>

namespace llama_adapter {

void context_hook::install(llama_context_params& params) {
  next_ = std::exchange(params.cb_eval, on_node);
  next_data_ = std::exchange(params.cb_eval_user_data, this);
  next_abort_ = std::exchange(params.abort_callback, must_abort);
  next_abort_data_ = std::exchange(params.abort_callback_data, this);
}

void context_hook::detach() {
  slot_store* const store = attachment_->store();
  auto const& layers = attachment_->graph().layers;
  aborts_ = store != nullptr && store->is_moved();
  for (std::size_t l = 0; store != nullptr && l != layers.size(); ++l)
    for (std::size_t p = 0; p != layers[l].parts.size(); ++p)
      for (expert_home const home : {expert_home::slots, expert_home::staging}) gone_.insert(store->tensor(l, p, home));
  attachment_.reset();
}

bool context_hook::on_node(ggml_tensor* node, bool ask, void* self) {
  auto& hook = *static_cast<context_hook*>(self);
  try {
    if (ask) {
      if (hook.attachment_ == nullptr) hook.point_back(node);
      bool const ours = hook.attachment_ != nullptr && hook.wants(node);
      hook.next_wants_ = hook.next_ != nullptr && hook.next_(node, true, hook.next_data_);
      return ours || hook.next_wants_;
    }
    if (hook.attachment_ != nullptr) hook.computed(node);
  } catch (std::exception const& e) {
    hook.fail(e.what(), node);
  }
  return ask || !hook.next_wants_ || hook.next_(node, false, hook.next_data_);
}

bool context_hook::must_abort(void* self) {
  auto const& hook = *static_cast<context_hook*>(self);
  if (hook.aborts_ || (hook.attachment_ != nullptr && hook.attachment_->has_failed())) return true;
  return hook.next_abort_ != nullptr && hook.next_abort_(hook.next_abort_data_);
}

int context_hook::layer_of(int block) const noexcept {
  auto const& layers = attachment_->graph().layer_of_block;
  return block < 0 || block >= static_cast<int>(layers.size()) ? -1 : layers[static_cast<std::size_t>(block)];
}

bool context_hook::wants(ggml_tensor* node) {
  switch (node->op) {
    case GGML_OP_MUL_MAT_ID:
      point(node, node->src[0]);
      return false;
    case GGML_OP_ADD_ID:
      point(node, node->src[1]);
      return false;
    case GGML_OP_GET_ROWS:
      if (layer_of(block_of(node->name, "ffn_moe_weights")) >= 0) return true;
      break;
    default:
      break;
  }
  return wants_router(node) || is_final_weights(node) || is_last(node);
}

bool context_hook::is_final_weights(ggml_tensor const* node) const noexcept {
  return outcome_.weights_change &&
         attachment_->graph().layers[static_cast<std::size_t>(layer_)].final_weights == node->name;
}

bool context_hook::is_last(ggml_tensor const* node) const noexcept {
  return std::strcmp(node->name, attachment_->graph().last_node.c_str()) == 0;
}

/// Notes what the router reads. On other devices fused kernels skip the probabilities unless somebody asks for them.
bool context_hook::wants_router(ggml_tensor* node) {
  if (std::strncmp(node->name, "ffn_moe_", 8) != 0) return false;
  if (node->op == GGML_OP_MUL_MAT && block_of(node->name, "ffn_moe_logits") >= 0) input_ = node->src[1];
  return block_of(node->name, "ffn_moe_probs") >= 0 && !is_host(node);
}

/// A graph that is used again has the sources of its last run.
void context_hook::point(ggml_tensor* node, ggml_tensor*& source) {
  if (layer_ < 0) return;
  auto const l = static_cast<std::size_t>(layer_);
  slot_store const* const store = attachment_->store();
  if (store == nullptr) return;
  for (std::size_t p = 0; p != attachment_->graph().layers[l].parts.size(); ++p) {
    if (!store->holds(l, p, source)) continue;
    ggml_tensor* const wanted = store->tensor(l, p, outcome_.home);
    if (source == wanted) return;
    originals_[node] = store->tensor(l, p, expert_home::model);
    source = wanted;
    return;
  }
  throw buddy::config_error("llama.cpp adapter: node '" + std::string{node->name} +
                            "' reads expert weights that were not there when the model was attached: '" + source->name +
                            "'");
}

/// A graph that was built before and is used again.
void context_hook::point_back(ggml_tensor* node) {
  ggml_tensor*& source = node->src[node->op == GGML_OP_ADD_ID ? 1 : 0];
  if ((node->op == GGML_OP_MUL_MAT_ID || node->op == GGML_OP_ADD_ID) && gone_.contains(source))
    source = originals_.at(node);
}

void context_hook::computed(ggml_tensor* node) {
  auto const begin = std::chrono::steady_clock::now();
  bool const is_gate = node->op == GGML_OP_GET_ROWS && layer_of(block_of(node->name, "ffn_moe_weights")) >= 0;
  if (is_gate) decide(node);
  bool const is_final = is_final_weights(node);
  if (is_final) {
    attachment_->change_weights(node);
    outcome_.weights_change = false;
  }
  if (is_gate || is_final)
    attachment_->add_hook_seconds(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  if (is_last(node)) end_step(node);
}

void context_hook::decide(ggml_tensor* weights) {
  layer_ = layer_of(block_of(weights->name, "ffn_moe_weights"));
  outcome_ = {};
  if (layer_ == 0) attachment_->turn().take();
  if (attachment_->has_failed()) return fail({}, weights);
  outcome_ = attachment_->decide(static_cast<std::uint16_t>(layer_), weights, input_);
}

void context_hook::end_step(ggml_tensor* last) {
  if (attachment_->has_failed()) fail({}, last);
  attachment_->turn().give();
}

/// Whatever the graph still computes with this node is no number, on devices too that cannot be aborted.
void context_hook::fail(std::string const& why, ggml_tensor* node) noexcept {
  attachment_->fail(why);
  attachment_->turn().give();
  if (node->type != GGML_TYPE_F32 || !ggml_is_contiguous(node)) return;
  try {
    std::vector<float> const poison(static_cast<std::size_t>(ggml_nelements(node)),
                                    std::numeric_limits<float>::quiet_NaN());
    write_all(node, poison.data());
  } catch (std::exception const&) {  // no memory: the abort callback has to do
  }
}

}  // namespace llama_adapter
