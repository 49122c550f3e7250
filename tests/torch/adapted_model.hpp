// SPDX-License-Identifier: Apache-2.0
// The bundled model with buddy's blocks, and what tests of it need.
#pragma once

#include "cpp/reference_model.hpp"
#include "torch/torch_catch.hpp"

#include <buddy/buddy.hpp>

#include <buddy_torch/moe.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

inline std::filesystem::path const folder = std::filesystem::path{BUDDY_SOURCE_DIR} / "models" / "reference";

/// Half of the experts, stand-ins for light ones, refills and prefetches: whatever moves, moves.
inline auto composed(buddy::model_shape const& shape, double ratio, buddy::policy_config config) {
  return buddy::policy{shape,
                       buddy::slot_cache<buddy::eviction::lru>(shape, buddy::cache_budget::from_ratio(shape, ratio)),
                       buddy::prediction::markov(shape),
                       buddy::sensitivity::weight_gate::fixed(0.15),
                       buddy::selection::live_score{},
                       config};
}

/// The bundled model with buddy's blocks.
struct adapted {
  reference::model_sizes sizes = reference::read_sizes(folder);
  std::shared_ptr<buddy::torch::expert_session> session;
  std::vector<buddy::torch::MoE> blocks;
  std::unique_ptr<reference::decoder> model;

  adapted(double ratio, buddy::policy_config const& config,
          buddy::torch::row_math math = buddy::torch::row_math::fastest) {
    auto const shape = sizes.experts().shape(sizes.top_k, at::kFloat);
    buddy::torch::any_policy policy{composed(shape, ratio, config)};
    auto store =
        std::make_shared<buddy::torch::ExpertStore>(sizes.experts(), static_cast<std::int64_t>(policy.capacity()));
    reference::weight_file const file{folder / "model.safetensors"};
    reference::load_experts(file, *store);
    session = std::make_shared<buddy::torch::expert_session>(std::move(policy), store, math);
    model = std::make_unique<reference::decoder>(
        sizes, file, [this](std::int64_t l, at::Tensor const& router) -> reference::moe_block {
          buddy::torch::MoE block{buddy::torch::moe_options{static_cast<std::uint16_t>(l), sizes.normalise}, router,
                                  session};
          blocks.push_back(block);
          return [this, block](at::Tensor const& x) mutable {
            auto y = block->forward(x);
            for (auto const& a : session->plan().assignments) decisions.push_back(a);
            return y;
          };
        });
  }

  std::vector<buddy::assignment> decisions;
};

inline std::string text_of(char const* name, std::size_t n) {
  buddy::io::mapped_file const file{std::filesystem::path{BUDDY_SOURCE_DIR} / "harness" / "tasks" / "text" / name};
  return {reinterpret_cast<char const*>(file.bytes().data()) + 2000, n};
}

inline at::Tensor tokens_of(std::string const& text) {
  std::vector<std::int64_t> ids;
  for (char const c : text) ids.push_back(static_cast<unsigned char>(c));
  return at::tensor(ids, at::kLong);
}

inline double largest_difference(at::Tensor const& a, at::Tensor const& b) {
  return (a - b).abs().max().item<double>();
}
