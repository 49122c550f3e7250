// SPDX-License-Identifier: Apache-2.0
/// @file
/// The C edge: exceptions end here.
#include "buddy_llama.h"
#include "src/attachment.hpp"
#include "src/context_hook.hpp"
#include "src/report.hpp"
#include "src/settings.hpp"

#include <buddy/error.hpp>

#include <ggml-backend.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

/// The handle of the C interface.
struct buddy_llama {
  std::shared_ptr<llama_adapter::attachment> model;
  std::vector<std::unique_ptr<llama_adapter::context_hook>> hooks;
};

namespace {

thread_local std::string last_error;  // of an attachment that failed

/// llama.cpp's own name for the expert tensors, as its --cpu-moe.
constexpr char const* expert_pattern = "\\.ffn_(up|down|gate|gate_up)_(ch|)exps";

/// Hooks of contexts that may still be there; few, and never freed.
void keep_for_ever(std::vector<std::unique_ptr<llama_adapter::context_hook>> hooks) {
  static std::mutex mutex;
  static std::vector<std::unique_ptr<llama_adapter::context_hook>> kept;
  std::lock_guard const lock{mutex};
  for (auto& hook : hooks) kept.push_back(std::move(hook));
}

}  // namespace

extern "C" {

void buddy_llama_model_params(llama_model_params* params) {
  static llama_model_tensor_buft_override const experts_on_host[] = {{expert_pattern, ggml_backend_cpu_buffer_type()},
                                                                     {nullptr, nullptr}};
  if (params == nullptr) return;
  params->use_extra_bufts = false;
  if (params->tensor_buft_overrides == nullptr) params->tensor_buft_overrides = experts_on_host;
}

buddy_llama* buddy_llama_attach(llama_model* model, char const* config) {
  try {
    if (model == nullptr) throw buddy::config_error("llama.cpp adapter: no model");
    auto attached = std::make_unique<buddy_llama>();
    attached->model = std::make_shared<llama_adapter::attachment>(model, llama_adapter::read_settings(config));
    last_error.clear();
    return attached.release();
  } catch (std::exception const& e) {
    last_error = e.what();
    return nullptr;
  }
}

int buddy_llama_context_params(buddy_llama* buddy, llama_context_params* params) {
  if (buddy == nullptr || params == nullptr) return -1;
  try {
    std::uint32_t const most = buddy->model->settings().max_tokens;
    if (params->n_ubatch > most)
      throw buddy::config_error("llama.cpp adapter: n_ubatch " + std::to_string(params->n_ubatch) +
                                " is above max-ubatch " + std::to_string(most));
    buddy->hooks.push_back(std::make_unique<llama_adapter::context_hook>(buddy->model));
    buddy->hooks.back()->install(*params);
    return 0;
  } catch (std::exception const& e) {
    last_error = e.what();
    return -1;
  }
}

int buddy_llama_stats(buddy_llama const* buddy, buddy_llama_counts* counts) {
  if (buddy == nullptr || counts == nullptr) return -1;
  *counts = buddy->model->counts();
  return 0;
}

size_t buddy_llama_report(buddy_llama const* buddy, char* text, size_t size) {
  if (buddy == nullptr) return 0;
  try {
    std::string const table = llama_adapter::report_of(buddy->model->counts());
    if (text != nullptr && size != 0) {
      std::size_t const n = std::min(size - 1, table.size());
      std::memcpy(text, table.data(), n);
      text[n] = '\0';
    }
    return table.size();
  } catch (std::exception const&) {
    return 0;
  }
}

char const* buddy_llama_error(buddy_llama const* buddy) {
  if (buddy != nullptr && buddy->model->failure() != nullptr) return buddy->model->failure();
  return last_error.empty() ? nullptr : last_error.c_str();
}

void buddy_llama_detach(buddy_llama* buddy) {
  if (buddy == nullptr) return;
  std::unique_ptr<buddy_llama> const mine{buddy};
  try {
    mine->model->finish();
    last_error.clear();
  } catch (std::exception const& e) {
    last_error = e.what();
  }
  for (auto const& hook : mine->hooks) hook->detach();
  if (auto* const store = mine->model->store(); store != nullptr) store->restore_model();
  keep_for_ever(std::move(mine->hooks));
}

}  // extern "C"
