// SPDX-License-Identifier: Apache-2.0
/// @file
/// Reads the batch, asks the policy, moves the experts, rewrites the ids.
#include "src/attachment.hpp"

#include "src/tensor_rows.hpp"

#include <buddy/cache_budget.hpp>
#include <buddy/error.hpp>
#include <buddy/io/profile_io.hpp>

#include <algorithm>
#include <utility>

namespace llama_adapter {

namespace {

buddy::model_shape shape_of(moe_graph const& graph) {
  buddy::model_shape shape{static_cast<std::uint16_t>(graph.layers.size()), graph.n_experts, graph.top_k, 0};
  for (auto const& layer : graph.layers) shape.expert_bytes = std::max(shape.expert_bytes, layer.expert_bytes());
  buddy::validate(shape);
  return shape;
}

/// Quantised files mix types: every layer's records are charged with what they have.
buddy::cache_budget budget_of(adapter_settings const& s, moe_graph const& graph, buddy::model_shape const& shape) {
  buddy::cache_budget budget = buddy::cache_budget::from_ratio(shape, s.policy.cache_ratio, s.policy.pool);
  std::uint64_t one_of_each = 0;
  for (auto const& layer : graph.layers) {
    budget.layer_bytes.push_back(layer.expert_bytes());
    one_of_each += layer.expert_bytes();
  }
  budget.bytes = budget.bytes / (shape.expert_bytes * shape.n_layers) * one_of_each;
  if (s.budget_mib) budget.bytes = static_cast<std::uint64_t>(*s.budget_mib * 1048576.0);
  return budget;
}

/// Stand-ins that are no experts have no place among the slots.
void require_known(buddy::resolution how) {
  using buddy::resolution;
  if (how != resolution::own && how != resolution::buddy && how != resolution::fetch && how != resolution::drop)
    throw buddy::config_error("llama.cpp adapter: the policy ends a slot as '" + std::string{buddy::to_string(how)} +
                              "', which is not computed here");
}

std::string name_of_model(llama_model const* model) {
  char name[256] = "";
  llama_model_meta_val_str(model, "general.name", name, sizeof name);
  return name;
}

}  // namespace

attachment::attachment(llama_model* model, adapter_settings settings)
    : settings_(std::move(settings)),
      graph_(learn_graph(model)),
      source_(graph_, settings_.direct),
      shape_(shape_of(graph_)),
      batch_(shape_.n_experts, shape_.top_k),
      is_listed_(shape_.n_experts) {
  read_routers(settings_.policy.predictor == "next_gate" || !settings_.profile_file.empty());
  make_log(model);
  if (settings_.where == residency::observe) return;
  if (settings_.where == residency::page_cache && !source_.is_mapped())
    throw buddy::config_error("llama.cpp adapter: residency 'page-cache' needs a model that is mapped from its file");
  make_policy();
  if (settings_.where == residency::pool) make_store();
  mover_.emplace(graph_, source_, store_.get(), policy_->policy(),
                 expert_mover::limits{settings_.n_readers, settings_.read_ahead});
  if (settings_.where == residency::page_cache) source_.manage_pages();
  if (source_.is_mapped() && (settings_.direct || settings_.where == residency::page_cache))
    for (std::uint16_t l = 0; l != shape_.n_layers; ++l)
      for (std::uint16_t e = 0; e != shape_.n_experts; ++e) source_.drop(l, e);
  mover_->load_residents();
}

void attachment::read_routers(bool is_needed) {
  if (!is_needed) return;
  for (moe_layer const& layer : graph_.layers) {
    ggml_tensor const* const router = layer.router;
    if (router == nullptr || (router->type != GGML_TYPE_F32 && router->type != GGML_TYPE_F16))
      throw buddy::config_error("llama.cpp adapter: the graph shows no router matrix of type f32 or f16 for layer " +
                                std::to_string(layer.block));
    auto& rows = routers_.emplace_back(static_cast<std::size_t>(ggml_nelements(router)));
    if (router->type == GGML_TYPE_F32) {
      read_all(router, rows.data());
    } else {
      std::vector<ggml_fp16_t> halves(rows.size());
      ggml_backend_tensor_get(router, halves.data(), 0, ggml_nbytes(router));
      ggml_fp16_to_fp32_row(halves.data(), rows.data(), ggml_nelements(router));
    }
    router_rows_.push_back({rows.data(), static_cast<std::uint32_t>(rows.size())});
  }
}

void attachment::make_policy() {
  auto& s = settings_.policy;
  s.rules.max_tokens = settings_.max_tokens;
  std::optional<buddy::profile> profile;
  if (!settings_.profile.empty()) profile = buddy::io::read_profile(settings_.profile);
  policy_.emplace(s, shape_, profile ? &*profile : nullptr, budget_of(settings_, graph_, shape_),
                  buddy::view<buddy::view<float const> const>{router_rows_.data(),
                                                              static_cast<std::uint32_t>(router_rows_.size())});
}

void attachment::make_store() {
  for (moe_layer const& layer : graph_.layers)
    if (layer.has_expert_scales)
      throw buddy::config_error("llama.cpp adapter: layer " + std::to_string(layer.block) +
                                " has scales by expert, which slots cannot serve; residency 'page-cache' can");
  std::vector<slot_range> slots;
  for (std::uint16_t l = 0; l != shape_.n_layers; ++l)
    slots.push_back(
        {static_cast<std::uint32_t>(policy_->policy().cache().first_slot(l)), policy_->policy().cache().n_slots(l)});
  store_ = std::make_unique<slot_store>(graph_, slots, settings_.device);
}

void attachment::make_log(llama_model const* model) {
  if (settings_.trace_file.empty() && settings_.profile_file.empty()) {
    if (settings_.where == residency::observe)
      throw buddy::config_error("llama.cpp adapter: residency 'observe' needs record-trace or record-profile");
    return;
  }
  log_.emplace(shape_, name_of_model(model), settings_.trace_file, settings_.profile_file);
  for (std::uint16_t l = 0; l != router_rows_.size(); ++l) log_->router(l, router_rows_[l]);
}

/// A prompt after tokens that were decoded one by one is another text.
void attachment::begin_step(std::uint32_t n_tokens) {
  step_begins_ = false;
  ++steps_;
  phase_ = n_tokens > settings_.decode_tokens ? buddy::phase::prefill : buddy::phase::decode;
  bool const is_new_text = phase_ == buddy::phase::prefill && has_decoded_;
  has_decoded_ = phase_ == buddy::phase::decode;
  if (is_new_text && policy_) policy_->policy().begin_sequence();
  if (is_new_text && log_) log_->begin_sequence();
  if (policy_) policy_->policy().begin_step(phase_);
  if (log_) log_->begin_step(n_tokens, phase_);
}

layer_outcome attachment::decide(std::uint16_t layer, ggml_tensor* weights, ggml_tensor const* input) {
  if (layer == 0) step_begins_ = true;
  batch_.read(graph_.layers[layer], weights, router_rows_.empty() ? nullptr : input);
  if (batch_.n_tokens() == 0) return {};
  if (batch_.row() != shape_.top_k || batch_.n_tokens() > settings_.max_tokens) return run_all(layer);
  if (step_begins_) begin_step(batch_.n_tokens());
  auto const routing = batch_.routing();
  if (log_) log_->record(layer, routing);
  if (!policy_) return {};
  mover_->begin_layer();
  auto const& plan = policy_->policy().resolve(layer, routing);
  mover_->run(plan);
  follow(plan);
  bool const in_slots = store_ != nullptr && !needs_staging(plan) && place_in_slots(plan);
  if (!in_slots) place_in_staging(plan);
  write_rows(weights->src[1], places_.data());
  bool const change = std::any_of(factors_.begin(), factors_.end(), [](float f) { return f != 1.0F; });
  if (store_ == nullptr) return {expert_home::model, change};
  return {in_slots ? expert_home::slots : expert_home::staging, change};
}

/// Gate weights behind the router are these times one factor a token, so a ratio is all that has to be known.
void attachment::follow(buddy::layer_plan const& plan) {
  auto const before = batch_.routing().weights;
  places_.resize(plan.assignments.size);
  factors_.resize(plan.assignments.size);
  for (std::uint32_t i = 0; i != plan.assignments.size; ++i) {
    require_known(plan.assignments[i].how);
    float const after = plan.assignments[i].weight;
    factors_[i] = after == before[i] ? 1.0F : before[i] > 0.0F ? after / before[i] : 0.0F;
  }
}

bool attachment::needs_staging(buddy::layer_plan const& plan) const noexcept {
  return std::any_of(plan.fetches.begin(), plan.fetches.end(),
                     [](buddy::expert_copy const& c) { return c.slot == buddy::no_slot; });
}

/// @returns false when a token's dropped experts find no slot that nobody else of it uses
bool attachment::place_in_slots(buddy::layer_plan const& plan) {
  auto const first = static_cast<std::uint32_t>(policy_->policy().cache().first_slot(plan.layer));
  for (std::uint32_t i = 0; i != plan.assignments.size; ++i) {
    auto const& a = plan.assignments[i];
    places_[i] = a.slot == buddy::no_slot ? -1 : static_cast<std::int32_t>(static_cast<std::uint32_t>(a.slot) - first);
  }
  for (std::uint32_t t = 0; t != plan.n_tokens; ++t)
    if (!fill_dropped(plan, t)) return false;
  return true;
}

/// Kernels need distinct ids in a row, also of experts whose weight is 0; and what they compute must be a number, so no
/// slot will do into which bytes are on their way.
bool attachment::fill_dropped(buddy::layer_plan const& plan, std::uint32_t row) {
  auto const& cache = policy_->policy().cache();
  auto const first = static_cast<std::uint32_t>(cache.first_slot(plan.layer));
  auto const places = places_.begin() + row * plan.top_k;
  std::uint32_t slot = 0;
  for (auto place = places; place != places + plan.top_k; ++place) {
    if (*place >= 0) continue;
    auto const is_used = [&] {
      return mover_->is_arriving(static_cast<buddy::slot_id>(first + slot)) ||
             std::find(places, places + plan.top_k, static_cast<std::int32_t>(slot)) != places + plan.top_k;
    };
    while (slot != cache.n_slots(plan.layer) && is_used()) ++slot;
    if (slot == cache.n_slots(plan.layer)) return false;
    *place = static_cast<std::int32_t>(slot);
  }
  return true;
}

/// By expert ids: in staging, which has room for every expert, or in the model itself where pages are what is resident.
void attachment::place_in_staging(buddy::layer_plan const& plan) {
  distinct_.clear();
  std::fill(is_listed_.begin(), is_listed_.end(), std::uint8_t{0});
  for (std::uint32_t i = 0; i != plan.assignments.size; ++i) {
    auto const& a = plan.assignments[i];
    places_[i] = a.expert;
    bool const is_read = a.how != buddy::resolution::drop && (store_ != nullptr || a.slot == buddy::no_slot);
    if (is_read && std::exchange(is_listed_[a.expert], std::uint8_t{1}) == 0) distinct_.push_back(a.expert);
  }
  if (distinct_.empty()) return;
  ++staged_layers_;
  mover_->stage(plan.layer, distinct_);
}

/// A batch that the policy was not made for, such as a warm-up, which asks for all experts: exact, and it changes
/// nothing that is resident.
layer_outcome attachment::run_all(std::uint16_t layer) {
  if (!policy_ || store_ == nullptr) return {};
  mover_->begin_layer();
  distinct_ = batch_.experts();
  std::sort(distinct_.begin(), distinct_.end());
  distinct_.erase(std::unique(distinct_.begin(), distinct_.end()), distinct_.end());
  ++staged_layers_;
  mover_->stage(layer, distinct_);
  return {expert_home::staging, false};
}

void attachment::change_weights(ggml_tensor* weights) {
  final_weights_.resize(factors_.size());
  read_all(weights, final_weights_.data());
  for (std::size_t i = 0; i != factors_.size(); ++i)
    if (factors_[i] != 1.0F) final_weights_[i] *= factors_[i];
  write_all(weights, final_weights_.data());
}

void attachment::fail(std::string const& why) noexcept {
  std::lock_guard const lock{failure_mutex_};
  if (failed_) return;
  failure_ = why;
  failed_.store(true, std::memory_order_release);
}

buddy_llama_counts attachment::counts() const {
  buddy_llama_counts c{};
  c.steps = steps_;
  c.staged_layers = staged_layers_;
  c.hook_seconds = hook_seconds_;
  if (!policy_) return c;
  auto const& policy = policy_->policy();
  auto total = policy.total(buddy::phase::decode);
  total += policy.total(buddy::phase::prefill);
  c.tokens = total.tokens;
  c.lookups = total.lookups;
  c.hits = total.hits;
  c.slots_own = total.slots_ending(buddy::resolution::own);
  c.slots_stand_in = total.slots_ending(buddy::resolution::buddy);
  c.slots_fetched = total.slots_ending(buddy::resolution::fetch);
  c.slots_dropped = total.slots_ending(buddy::resolution::drop);
  c.fetches = total.fetches;
  c.refills = total.refills - total.cancelled_refills;
  c.prefetches = total.prefetches - total.cancelled_prefetches;
  c.useful_prefetches = total.useful_prefetches;
  c.bytes_read = mover_->bytes_read();
  c.wait_seconds = mover_->wait_seconds();
  c.bytes_resident = policy.cache().byte_budget();
  return c;
}

void attachment::finish() const {
  if (log_) log_->write();
}

}  // namespace llama_adapter
