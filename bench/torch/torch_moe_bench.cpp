// SPDX-License-Identifier: Apache-2.0
// The module against the same block in plain LibTorch, all experts resident, and what `resolve` costs a layer.
//
// By ratio: both are measured in turn (A B A B ...), the medians are divided. `bench_torch_moe [--quick]`; it checks
// that both compute the same. What is measured depends on LibTorch's BLAS: say which it was.
#include <buddy/buddy.hpp>

#include <buddy_torch/moe.hpp>
#include <buddy_torch/resolve_on_tensors.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

namespace {

using namespace buddy::torch;

struct case_sizes {
  std::int64_t n_tokens;
  expert_sizes experts;
  std::int64_t top_k;
};

struct spread {
  double low, median, high;
};

spread spread_of(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return {x[x.size() / 10], x[x.size() / 2], x[x.size() * 9 / 10]};
}

double microseconds(std::function<void()> const& f) {
  auto const begin = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
}

/// The block as one writes it without buddy: experts grouped on the host, two products for each.
struct plain_block {
  at::Tensor router, gate_up, down;  // [E, H], [E, 2W, H], [E, H, W]
  std::int64_t top_k;

  at::Tensor forward(at::Tensor const& x) const {
    at::NoGradGuard const inference;
    auto [weights, ids] = at::softmax(at::linear(x, router), -1).topk(top_k, -1);
    weights = weights / weights.sum(-1, true);
    std::vector<std::vector<std::int64_t>> rows(static_cast<std::size_t>(router.size(0))), slots = rows;
    for (std::int64_t i = 0; i != ids.numel(); ++i) {
      auto const e = static_cast<std::size_t>(ids.data_ptr<std::int64_t>()[i]);
      rows[e].push_back(i / top_k);
      slots[e].push_back(i);
    }
    auto const flat = weights.reshape({-1, 1});
    auto y = at::zeros_like(x);
    for (std::int64_t e = 0; e != router.size(0); ++e) {
      auto const& mine = rows[static_cast<std::size_t>(e)];
      if (mine.empty()) continue;
      auto const index = at::tensor(mine, at::kLong);
      auto const h = at::matmul(x.index_select(0, index), gate_up[e].t()).chunk(2, -1);
      auto const out = at::matmul(at::silu(h[0]) * h[1], down[e].t());
      y.index_add_(0, index, out * flat.index_select(0, at::tensor(slots[static_cast<std::size_t>(e)], at::kLong)));
    }
    return y;
  }
};

struct pair_of_blocks {
  plain_block plain;
  MoE moe{nullptr};

  explicit pair_of_blocks(case_sizes const& c) {
    auto const& s = c.experts;
    auto const scale = 1.0 / std::sqrt(static_cast<double>(s.hidden));
    plain = {at::randn({s.n_experts, s.hidden}) * scale, at::randn({s.n_experts, 2 * s.width, s.hidden}) * scale,
             at::randn({s.n_experts, s.hidden, s.width}) * scale, c.top_k};
    auto const shape = s.shape(c.top_k, at::kFloat);
    buddy::slot_cache<buddy::eviction::lru> cache(shape, buddy::cache_budget::from_ratio(shape, 1.0));
    std::vector<buddy::expert_key> all;
    for (std::uint16_t e = 0; e != shape.n_experts; ++e) all.push_back({0, e});
    cache.warm({all.data(), static_cast<std::uint32_t>(all.size())});
    any_policy policy{buddy::policy{shape, std::move(cache), buddy::prediction::none(shape),
                                    buddy::sensitivity::weight_gate::fixed(0.12), buddy::selection::live_score{},
                                    buddy::policy_config{.max_tokens = static_cast<std::uint32_t>(c.n_tokens)}}};
    auto const store = std::make_shared<ExpertStore>(s, s.n_experts);
    for (auto const& k : all)
      store->set(k, plain.gate_up[k.expert].narrow(0, 0, s.width), plain.gate_up[k.expert].narrow(0, s.width, s.width),
                 plain.down[k.expert]);
    moe = MoE{moe_options{}, plain.router, std::make_shared<expert_session>(std::move(policy), store)};
  }
};

/// @returns whether both agree
bool compare(case_sizes const& c, int rounds, int inner) {
  pair_of_blocks blocks{c};
  std::vector<at::Tensor> inputs;  // other experts each time: what is read is not what the cache of the CPU still has
  for (int i = 0; i != 8; ++i) inputs.push_back(at::randn({c.n_tokens, c.experts.hidden}));
  double largest = 0.0;
  for (auto const& x : inputs)
    largest = std::max(largest, (blocks.plain.forward(x) - blocks.moe->forward(x)).abs().max().item<double>());
  std::vector<double> plain, ours, ratios;
  auto const run = [&](auto const& block) {
    return microseconds([&] {
             for (int i = 0; i != inner; ++i) static_cast<void>(block(inputs[static_cast<std::size_t>(i % 8)]));
           }) /
           inner;
  };
  for (int r = 0; r != rounds; ++r) {
    plain.push_back(run([&](auto const& x) { return blocks.plain.forward(x); }));
    ours.push_back(run([&](auto const& x) { return blocks.moe->forward(x); }));
    ratios.push_back(plain.back() / ours.back());
  }
  auto const a = spread_of(plain), b = spread_of(ours), q = spread_of(ratios);
  auto const& e = c.experts;
  std::printf(
      "torch/moe/tokens:%lld/experts:%lldx%lld,%lld/top_k:%lld  plain %.1f us (%.1f..%.1f)  module %.1f us "
      "(%.1f..%.1f)  ratio %.2f (%.2f..%.2f)\n",
      static_cast<long long>(c.n_tokens), static_cast<long long>(e.n_experts), static_cast<long long>(e.hidden),
      static_cast<long long>(e.width), static_cast<long long>(c.top_k), a.median, a.low, a.high, b.median, b.low,
      b.high, q.median, q.low, q.high);
  return largest < 1e-3;
}

void resolve_cost(std::int64_t n_tokens, std::int64_t n_experts, std::int64_t top_k, int rounds, int inner) {
  auto const scores = at::softmax(at::randn({n_tokens, n_experts}) * 2, -1);
  auto const best = scores.topk(top_k, -1);
  auto slot_of = at::full({n_experts}, -1, at::kInt);
  for (std::int64_t e = 0; e < n_experts; e += 2) slot_of[e] = e / 2;
  routing_tensors const r{std::get<1>(best), std::get<0>(best), scores, slot_of};
  std::vector<double> rows, tensors;
  for (int i = 0; i != rounds; ++i) {
    rows.push_back(microseconds([&] {
                     for (int j = 0; j != inner; ++j) static_cast<void>(resolve_rows(r, {}));
                   }) /
                   inner);
    tensors.push_back(microseconds([&] {
                        for (int j = 0; j != inner; ++j) static_cast<void>(resolve_on_tensors(r, {}));
                      }) /
                      inner);
  }
  auto const a = spread_of(rows), b = spread_of(tensors);
  std::printf(
      "torch/resolve/tokens:%lld/experts:%lld/top_k:%lld  rows %.2f us (%.2f..%.2f)  tensor operations %.1f us "
      "(%.1f..%.1f)\n",
      static_cast<long long>(n_tokens), static_cast<long long>(n_experts), static_cast<long long>(top_k), a.median,
      a.low, a.high, b.median, b.low, b.high);
}

}  // namespace

int main(int argc, char** argv) {
  bool const quick = argc > 1 && std::string_view{argv[1]} == "--quick";
  at::manual_seed(1);
  int const rounds = quick ? 2 : 41;
  bool same = true;
  for (std::int64_t const n : {1, 8, 64}) {
    same &= compare({n, {1, 64, 128, 32}, 6}, rounds, quick ? 2 : 200 / static_cast<int>(n) + 8);
    if (!quick) same &= compare({n, {1, 32, 1024, 512}, 4}, rounds, n == 1 ? 16 : 2);
  }
  for (std::int64_t const n : {1, 64}) resolve_cost(n, 128, 8, rounds, quick ? 2 : 200);
  if (!same) std::puts("ERROR: the module and the plain block differ");
  return same ? 0 : 1;
}
