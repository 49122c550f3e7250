/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file
 * Runs a llama.cpp model whose experts do not all fit in fast memory, through any policy of buddy.
 *
 *   struct llama_model_params mp = llama_model_default_params();
 *   buddy_llama_model_params(&mp);                               // before the model is loaded
 *   buddy_llama * buddy = buddy_llama_attach(model, "policy.json");
 *   buddy_llama_context_params(buddy, &cp);                      // before each context is made
 *   ... llama_decode as ever; non-zero when an expert could not be read ...
 *   buddy_llama_detach(buddy);                                   // before or after the contexts, and the model
 *
 * C on the outside, no exception leaves it. Contexts of one attachment may decode on several threads: they take turns.
 */
#ifndef BUDDY_LLAMA_H
#define BUDDY_LLAMA_H

#include <llama.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BUDDY_LLAMA_API __attribute__((visibility("default")))

/** A model whose experts are managed. */
typedef struct buddy_llama buddy_llama;

/** What was counted since the attachment; a look-up is one distinct expert of one layer and ubatch. */
struct buddy_llama_counts {
  uint64_t steps;                /* forward passes that reached an expert layer */
  uint64_t tokens;               /* routed tokens, summed over the layers */
  uint64_t lookups;
  uint64_t hits;                 /* look-ups that found their expert resident */
  uint64_t slots_own;            /* routed slots served by their own expert without waiting */
  uint64_t slots_stand_in;       /* ... by another resident expert */
  uint64_t slots_fetched;        /* ... by their own expert after waiting for it */
  uint64_t slots_dropped;        /* ... left out */
  uint64_t fetches;              /* experts a layer waited for */
  uint64_t refills;              /* experts copied in the background after a miss */
  uint64_t prefetches;           /* experts copied on a prediction */
  uint64_t useful_prefetches;    /* of these, asked for before they left */
  uint64_t staged_layers;        /* batches that needed more experts than there are slots */
  uint64_t bytes_read;
  double wait_seconds;           /* that layers waited for experts */
  double hook_seconds;           /* in the callback, waits included */
  uint64_t bytes_resident;       /* budget of the experts */
};

/** Sets what `buddy_llama_attach` needs: experts in plain layout, in host memory. Call it before loading. */
BUDDY_LLAMA_API void buddy_llama_model_params(struct llama_model_params * params);

/**
 * Learns where the model's experts are, by decoding one token, and makes the policy.
 * @param config  name of a JSON file, or JSON itself (its first character is '{'); NULL: the variables BUDDY_LLAMA_*
 * @returns NULL when the model or the configuration is not supported: `buddy_llama_error(NULL)` says why
 */
BUDDY_LLAMA_API buddy_llama * buddy_llama_attach(struct llama_model * model, const char * config);

/**
 * Hooks the next context that is made from `params`; a callback that is there already is called too.
 * @returns 0, or -1 when the parameters do not fit: `buddy_llama_error` says why
 */
BUDDY_LLAMA_API int buddy_llama_context_params(buddy_llama * buddy, struct llama_context_params * params);

/** Not while a context decodes. @returns 0, or -1 when a pointer is null */
BUDDY_LLAMA_API int buddy_llama_stats(const buddy_llama * buddy, struct buddy_llama_counts * counts);

/** The same as a table. Writes at most `size` bytes, zero-terminated. @returns the length it has without a limit */
BUDDY_LLAMA_API size_t buddy_llama_report(const buddy_llama * buddy, char * text, size_t size);

/**
 * What went wrong, or NULL. Once an expert could not be read, `llama_decode` of every hooked context ends with 2 (on
 * the CPU) and its logits are NaN.
 * @param buddy  NULL: the last attachment that this thread tried
 */
BUDDY_LLAMA_API const char * buddy_llama_error(const buddy_llama * buddy);

/**
 * Writes the trace and the profile, if any were asked for, and gives the memory back. Not while a context decodes; with
 * a pool on another device than the CPU not after the model was freed.
 */
BUDDY_LLAMA_API void buddy_llama_detach(buddy_llama * buddy);

#ifdef __cplusplus
}
#endif

#endif
