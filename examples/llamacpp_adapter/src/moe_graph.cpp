// SPDX-License-Identifier: Apache-2.0
/// @file
/// Names find the layers; what the nodes read decides. Anything that is not as expected is refused by name, since a
/// consumer of expert ids that was overlooked would compute with another expert than the others.
#include "src/moe_graph.hpp"

#include <buddy/error.hpp>
#include <buddy/types.hpp>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>
#include <span>

namespace llama_adapter {

namespace {

using nodes = std::span<ggml_tensor* const>;

[[noreturn]] void refuse(std::string const& why) { throw buddy::config_error("llama.cpp adapter: " + why); }

std::string at(ggml_tensor const* node) { return std::string{" (node '"} + node->name + "')"; }

bool is_model_weight(ggml_tensor const* t) { return t != nullptr && t->op == GGML_OP_NONE && t->view_src == nullptr; }

ggml_tensor* named(nodes all, std::string const& name) {
  auto const found = std::find_if(all.begin(), all.end(), [&](ggml_tensor* t) { return name == t->name; });
  return found == all.end() ? nullptr : *found;
}

router_scores kind_of(ggml_tensor const* probs) {
  if (probs->op == GGML_OP_SOFT_MAX || probs->op == GGML_OP_UNARY || probs->op == GGML_OP_SQRT)
    return router_scores::probabilities;
  if (probs->op == GGML_OP_MUL_MAT || probs->op == GGML_OP_ADD) return router_scores::logits;
  refuse(std::string{"unknown gating function "} + ggml_op_name(probs->op) + at(probs));
}

/// Reads one layer, from its gate weights on.
class layer_reader {
 public:
  layer_reader(nodes all, std::size_t first, int block)
      : all_{all}, weights_{all[first]}, ids_{all[first]->src[1]}, after_{all.subspan(first + 1)} {
    layer_.block = block;
  }

  [[nodiscard]] moe_layer read() {
    std::string const number = "-" + std::to_string(layer_.block);
    if ("ffn_moe_topk" + number != ids_->name || ids_->type != GGML_TYPE_I32)
      refuse("expert ids are not the router's top-k but computed from them" + at(ids_));
    layer_.scores = kind_of(weights_->src[0]->src[0]);
    for (ggml_tensor* const node : after_)
      if (block_of(node->name, "ffn_moe_weights") < 0) collect(node);
    if (layer_.parts.empty()) refuse("no expert weights behind the router" + at(weights_));
    if (layer_.scores == router_scores::logits && named(all_, "ffn_moe_weights_softmax" + number) == nullptr &&
        named(all_, "ffn_moe_weights_softmax" + number + " (reshaped)") == nullptr)
      refuse("gate weights that are neither probabilities nor a softmax of the chosen" + at(weights_));
    find_final_weights(number);
    if (ggml_tensor const* const logits = named(all_, "ffn_moe_logits" + number);
        logits != nullptr && logits->op == GGML_OP_MUL_MAT && is_model_weight(logits->src[0]))
      layer_.router = logits->src[0];
    return std::move(layer_);
  }

 private:
  void collect(ggml_tensor* node) {
    if (node->op == GGML_OP_MUL_MAT_ID && node->src[2] == ids_) return add({node->src[0], false}, node);
    if (node->op == GGML_OP_ADD_ID && node->src[2] == ids_) return add({node->src[1], true}, node);
    if (std::find(std::begin(node->src), std::end(node->src), ids_) == std::end(node->src)) return;
    if (node->op != GGML_OP_GET_ROWS)
      refuse(std::string{"expert ids are read by "} + ggml_op_name(node->op) + at(node));
    layer_.has_expert_scales = true;
  }

  void add(expert_part part, ggml_tensor const* node) {
    if (!is_model_weight(part.tensor)) refuse("expert weights that the graph computes" + at(node));
    layer_.parts.push_back(part);
  }

  void find_final_weights(std::string const& number) {
    ggml_tensor const* const weighted = named(after_, "ffn_moe_weighted" + number);
    if (weighted == nullptr || weighted->op != GGML_OP_MUL)
      refuse("no product of expert outputs and gate weights" + at(weights_));
    auto const product = std::find(after_.begin(), after_.end(), weighted);
    if (std::none_of(after_.begin(), product, [&](ggml_tensor* t) { return t->op == GGML_OP_MUL_MAT_ID; }))
      refuse("gate weights are applied before the experts" + at(weighted));
    layer_.final_weights = weighted->src[1]->name;
  }

  nodes all_;
  ggml_tensor* weights_;
  ggml_tensor* ids_;
  nodes after_;
  moe_layer layer_;
};

moe_graph read_graph(nodes all) {
  moe_graph graph;
  for (std::size_t i = 0; i != all.size(); ++i) {
    int const block = block_of(all[i]->name, "ffn_moe_weights");
    if (block < 0 || all[i]->op != GGML_OP_GET_ROWS) continue;
    ggml_tensor const* const ids = all[i]->src[1];
    auto const n_experts = static_cast<std::uint16_t>(all[i]->src[0]->ne[1]);
    auto const top_k = static_cast<std::uint16_t>(ids->ne[0]);
    if (!graph.layers.empty() && (graph.n_experts != n_experts || graph.top_k != top_k))
      refuse("layers differ in their number of experts or in top-k" + at(all[i]));
    graph.n_experts = n_experts;
    graph.top_k = top_k;
    graph.layers.push_back(layer_reader{all, i, block}.read());
    graph.layer_of_block.resize(static_cast<std::size_t>(block) + 1, -1);
    graph.layer_of_block.back() = static_cast<int>(graph.layers.size()) - 1;
  }
  if (graph.layers.empty()) refuse("the model has no expert layer that its graph names in the standard way");
  graph.last_node = all.back()->name;
  return graph;
}

/// What the learning context's callback fills; no exception may leave it.
struct lesson {
  std::vector<ggml_tensor*> nodes;
  moe_graph graph;
  std::string refusal;
};

/// Every node is offered before any of its range is computed, so that nothing has to be asked for.
bool write_down(ggml_tensor* node, bool ask, void* user) {
  if (ask) static_cast<lesson*>(user)->nodes.push_back(node);
  return !ask;
}

}  // namespace

int block_of(char const* name, std::string_view base) noexcept {
  std::size_t const n = base.size();
  if (std::strncmp(name, base.data(), n) != 0 || name[n] != '-') return -1;
  char const* const end = name + std::strlen(name);
  int block = -1;
  auto const [stop, wrong] = std::from_chars(name + n + 1, end, block);
  return wrong == std::errc{} && stop == end ? block : -1;
}

moe_graph learn_graph(llama_model* model) {
  lesson seen;
  auto params = llama_context_default_params();
  params.n_ctx = 64;
  params.n_batch = params.n_ubatch = 64;
  params.n_threads = params.n_threads_batch = 1;
  params.cb_eval = write_down;
  params.cb_eval_user_data = &seen;
  std::unique_ptr<llama_context, void (*)(llama_context*)> const context{llama_init_from_model(model, params),
                                                                         llama_free};
  if (!context) refuse("no context could be made to look at the model");
  seen.nodes.clear();  // of the reservations
  llama_token token = 0;
  if (llama_decode(context.get(), llama_batch_get_one(&token, 1)) != 0) refuse("the model does not decode");
  return read_graph(seen.nodes);
}

}  // namespace llama_adapter
