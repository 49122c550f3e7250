// SPDX-License-Identifier: Apache-2.0
/// @file
/// LD_PRELOAD: the adapter for programs that were not built with it. They must use llama.cpp as a shared library.
///
/// Models are attached when their first context is made, by the variables BUDDY_LLAMA_*. A model or a configuration
/// that is not supported makes the context fail, with the reason on stderr: running without would look like success.
#include "buddy_llama.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace {

struct attachments {
  ~attachments() {
    for (auto const& [model, buddy] : of) end(buddy);
  }

  static void end(buddy_llama* buddy) {
    char const* const wanted = std::getenv("BUDDY_LLAMA_REPORT");
    if (wanted != nullptr && std::string{wanted} != "0" && std::string{wanted} != "false") {
      std::vector<char> text(buddy_llama_report(buddy, nullptr, 0) + 1);
      buddy_llama_report(buddy, text.data(), text.size());
      std::fputs(text.data(), stderr);
    }
    buddy_llama_detach(buddy);
    if (char const* const why = buddy_llama_error(nullptr)) std::fprintf(stderr, "buddy: %s\n", why);
  }

  std::mutex mutex;
  std::map<llama_model*, buddy_llama*> of;
};

attachments& all() {
  static attachments a;
  return a;
}

thread_local bool is_attaching = false;  // the context that is made then is the adapter's own

/// llama.cpp's function of this name, which ours stands in front of.
template <class Function>
Function* next(Function* /*ours*/, char const* name) {
  auto* const found = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
  if (found == nullptr) {
    std::fprintf(stderr, "buddy: this program has no %s\n", name);
    std::abort();
  }
  return found;
}

/// @returns whether the context may be made
bool hook(llama_model* model, llama_context_params& params) {
  std::lock_guard const lock{all().mutex};
  buddy_llama*& buddy = all().of[model];
  if (buddy == nullptr) {
    is_attaching = true;
    buddy = buddy_llama_attach(model, nullptr);
    is_attaching = false;
  }
  if (buddy != nullptr && buddy_llama_context_params(buddy, &params) == 0) return true;
  char const* const why = buddy_llama_error(buddy);
  std::fprintf(stderr, "buddy: %s\n", why == nullptr ? "unknown error" : why);
  if (buddy == nullptr) all().of.erase(model);
  return false;
}

}  // namespace

extern "C" {

BUDDY_LLAMA_API llama_model* llama_model_load_from_file(char const* path, llama_model_params params) {
  buddy_llama_model_params(&params);
  return next(&llama_model_load_from_file, "llama_model_load_from_file")(path, params);
}

BUDDY_LLAMA_API llama_model* llama_model_load_from_splits(char const** paths, size_t n, llama_model_params params) {
  buddy_llama_model_params(&params);
  return next(&llama_model_load_from_splits, "llama_model_load_from_splits")(paths, n, params);
}

BUDDY_LLAMA_API llama_context* llama_init_from_model(llama_model* model, llama_context_params params) {
  auto* const make = next(&llama_init_from_model, "llama_init_from_model");
  if (!is_attaching && !hook(model, params)) return nullptr;
  return make(model, params);
}

BUDDY_LLAMA_API void llama_model_free(llama_model* model) {
  {
    std::lock_guard const lock{all().mutex};
    if (auto const found = all().of.find(model); found != all().of.end()) {
      attachments::end(found->second);
      all().of.erase(found);
    }
  }
  next(&llama_model_free, "llama_model_free")(model);
}

}  // extern "C"
