// SPDX-License-Identifier: Apache-2.0
// A decoder whose MoE blocks are buddy's: half of the experts fit. `01_drop_in MODEL_FOLDER`
#include "reference_model.hpp"

#include <buddy/buddy.hpp>

#include <buddy_torch/moe.hpp>

#include <cstdio>
#include <string_view>

int main(int argc, char** argv) {
  if (argc != 2) return std::fputs("usage: 01_drop_in MODEL_FOLDER\n", stderr), 2;
  auto const sizes = reference::read_sizes(argv[1]);
  reference::weight_file const weights{std::filesystem::path{argv[1]} / "model.safetensors"};

  auto const shape = sizes.experts().shape(sizes.top_k, at::kFloat);
  buddy::torch::any_policy policy{buddy::policy{
      shape, buddy::slot_cache<buddy::eviction::lru>(shape, buddy::cache_budget::from_ratio(shape, 0.5)),
      buddy::prediction::none(shape), buddy::sensitivity::weight_gate::fixed(0.12), buddy::selection::live_score{},
      buddy::policy_config{.on_refused = buddy::resolution::fetch, .refill_after = 0, .max_tokens = 256}}};
  auto const store = std::make_shared<buddy::torch::ExpertStore>(sizes.experts(), policy.capacity(), at::kFloat);
  reference::load_experts(weights, *store);
  auto const session = std::make_shared<buddy::torch::expert_session>(std::move(policy), store);

  reference::decoder model{sizes, weights, [&](std::int64_t layer, at::Tensor const& router) -> reference::moe_block {
                             buddy::torch::moe_options const options{static_cast<std::uint16_t>(layer),
                                                                     sizes.normalise};
                             buddy::torch::MoE moe{options, router, session};
                             return [moe](at::Tensor const& x) mutable { return moe->forward(x); };
                           }};

  std::string_view const prompt = "The history of the town begins with ";
  auto text = at::empty({static_cast<std::int64_t>(prompt.size())}, at::kLong);
  for (std::size_t i = 0; i != prompt.size(); ++i) text[static_cast<std::int64_t>(i)] = prompt[i];
  auto next = model.step(text)[-1].argmax();
  std::printf("%s", std::string{prompt}.c_str());
  for (int i = 0; i != 100; ++i) {
    std::printf("%c", static_cast<char>(next.item<std::int64_t>()));
    next = model.step(next.view({1}))[0].argmax();
  }
  auto const c = session->policy().total();
  auto const replaced = c.slots_ending(buddy::resolution::buddy);
  std::printf("\nhit rate %.3f, fetched %llu, replaced %llu of %llu routed slots\n",
              static_cast<double>(c.hits) / static_cast<double>(c.lookups), static_cast<unsigned long long>(c.fetches),
              static_cast<unsigned long long>(replaced), 100ULL * shape.n_layers * shape.top_k);
  return replaced != 0 && c.fetches != 0 ? 0 : 1;
}
