// SPDX-License-Identifier: Apache-2.0
// The bundled model with its experts spread over processes, each rank reading a text of its own token by token:
// `02_expert_parallel MODEL_FOLDER TEXT RENDEZVOUS RANK N_RANKS [--max-share-host .12] ...`, once for each rank.
#include "options.hpp"
#include "reference_model.hpp"

#include <buddy/buddy.hpp>
#include <buddy/io/profile_io.hpp>

#include <buddy_torch/parallel/gloo_group.hpp>
#include <buddy_torch/parallel/parallel_moe.hpp>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <string>

namespace {

using namespace buddy::torch;

struct arguments {
  std::filesystem::path model;
  std::string text, rendezvous;
  rank_topology topology;
  options named;
};

/// Where the experts are, with replicas of those that the profile saw most.
expert_placement place(arguments const& a, buddy::model_shape const& shape) {
  expert_placement placement{shape, a.topology.n_ranks};
  if (auto const n = a.named.count("--replicas"); n != 0) {
    auto const file = buddy::io::safetensors_file::open(a.model / "profile.safetensors");
    auto const bytes = file.at("activations").bytes;
    placement.replicate_hottest({reinterpret_cast<std::uint64_t const*>(bytes.data()), bytes.size() / 8},
                                static_cast<std::uint32_t>(n));
  }
  return placement;
}

/// All that this rank holds, resident: a policy that never has to fetch.
std::shared_ptr<expert_session> hold(expert_placement const& placement, reference::weight_file const& weights,
                                     expert_sizes const& sizes, std::uint32_t rank, std::uint32_t max_rows) {
  auto const shape = sizes.shape(1, at::kFloat);
  auto const held = placement.held_by(rank);
  buddy::cache_budget const budget{.bytes = held.size() * shape.expert_bytes, .layout = buddy::pool_layout::global};
  buddy::slot_cache<buddy::eviction::lru> cache(shape, budget);
  cache.warm({held.data(), static_cast<std::uint32_t>(held.size())});
  any_policy policy{buddy::policy{shape, std::move(cache), buddy::prediction::none(shape), buddy::sensitivity::never{},
                                  buddy::selection::none{},
                                  buddy::policy_config{.exact = true, .max_tokens = max_rows}}};
  auto const store = std::make_shared<ExpertStore>(sizes, static_cast<std::int64_t>(held.size()));
  reference::load_experts(weights, *store, [&](auto l, auto e) {
    return placement.holds(rank, {static_cast<std::uint16_t>(l), static_cast<std::uint16_t>(e)});
  });
  return std::make_shared<expert_session>(std::move(policy), store, row_math::row_exact);
}

/// This rank's part of the text.
std::string read_part(arguments const& a) {
  auto const n = static_cast<std::size_t>(a.named.count("--tokens"));
  std::string part(n, ' ');
  std::ifstream file{a.text, std::ios::binary};
  file.seekg(a.named.count("--first") + static_cast<std::int64_t>(a.topology.rank * n));
  if (!file.read(part.data(), static_cast<std::streamsize>(n))) throw std::invalid_argument(a.text + " is too short");
  return part;
}

/// Shows what the others say of a rank that is gone, or does not answer.
void fail_on_purpose(options const& o, std::int64_t token) {
  if (token == o.count("--die-at")) ::_exit(9);
  if (token == o.count("--hang-at")) ::sleep(static_cast<unsigned>(o.count("--hang-seconds")));
}

void report(arguments const& a, wire_counts const& c, double bits, std::size_t n_tokens) {
  auto const share = [&](std::uint64_t n) {
    return static_cast<double>(n) / static_cast<double>(c.slots[0] + c.slots[1] + c.slots[2]);
  };
  auto const per_token = [&](std::uint64_t n) { return static_cast<double>(n) / static_cast<double>(n_tokens); };
  std::printf(
      "{\"rank\": %u, \"tokens\": %zu, \"bits\": %.9f, \"host_bytes\": %.1f, \"network_bytes\": %.1f, "
      "\"here\": %.5f, \"host\": %.5f, \"network\": %.5f, \"replaced\": %.5f}\n",
      a.topology.rank, n_tokens, bits, per_token(c.bytes[1]), per_token(c.bytes[2]), share(c.slots[0]),
      share(c.slots[1]), share(c.slots[2]), share(c.replaced));
}

/// This rank's share of the experts, and its way to the others.
std::shared_ptr<parallel_session> join(arguments const& a, reference::weight_file const& weights,
                                       reference::model_sizes const& sizes) {
  auto const placement = place(a, sizes.experts().shape(sizes.top_k, at::kFloat));
  auto const local = hold(placement, weights, sizes.experts(), a.topology.rank,
                          a.topology.n_ranks * static_cast<std::uint32_t>(sizes.top_k));
  std::chrono::milliseconds const timeout{a.named.count("--timeout-ms")};
  auto const group = gloo_on_loopback(a.rendezvous, static_cast<int>(a.topology.rank),
                                      static_cast<int>(a.topology.n_ranks), std::chrono::seconds{60} + timeout);
  hop_config const config{.kappa = a.named.number("--kappa"),
                          .max_share = {a.named.number("--max-share-host"), a.named.number("--max-share-network")},
                          .weights = buddy::weight_mode::own};
  return std::make_shared<parallel_session>(local, std::make_shared<rank_exchange>(group, timeout), placement,
                                            a.topology, config);
}

/// Reads the text token by token. @returns bits per byte
double read_text(arguments const& a, std::string const& text, reference::decoder& model) {
  std::ofstream file;
  if (!a.named.text("--logits").empty()) file.open(a.named.text("--logits"), std::ios::binary);
  auto const id = [&](std::size_t i) { return static_cast<std::int64_t>(static_cast<unsigned char>(text[i])); };
  double bits = 0.0;
  for (std::size_t i = 0; i != text.size(); ++i) {
    fail_on_purpose(a.named, static_cast<std::int64_t>(i));
    auto const logits = model.step(at::full({1}, id(i), at::kLong))[0].contiguous();
    if (file.is_open()) file.write(reinterpret_cast<char const*>(logits.data_ptr<float>()), logits.numel() * 4);
    if (i + 1 != text.size()) bits -= at::log_softmax(logits, 0)[id(i + 1)].item<double>() / std::log(2.0);
  }
  return bits / static_cast<double>(text.size() - 1);
}

int run(arguments const& a) {
  auto const sizes = reference::read_sizes(a.model);
  reference::weight_file const weights{a.model / "model.safetensors"};
  auto const session = join(a, weights, sizes);
  reference::decoder model{sizes, weights, [&](std::int64_t l, at::Tensor const& router) -> reference::moe_block {
                             moe_options const options{static_cast<std::uint16_t>(l), sizes.normalise};
                             ParallelMoE moe{options, router, session};
                             return [moe](at::Tensor const& x) mutable { return moe->forward(x); };
                           }};
  std::string const text = read_part(a);
  double const bits = read_text(a, text, model);
  report(a, session->counts(), bits, text.size());
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 6) {
    std::fputs("usage: 02_expert_parallel MODEL_FOLDER TEXT RENDEZVOUS RANK N_RANKS [--NAME VALUE]...\n", stderr);
    return 2;
  }
  options const named{argc,
                      argv,
                      6,
                      {{"--tokens", "128"},
                       {"--first", "0"},
                       {"--kappa", "0"},
                       {"--max-share-host", "0"},
                       {"--max-share-network", "0"},
                       {"--replicas", "0"},
                       {"--ranks-per-host", "1"},
                       {"--timeout-ms", "10000"},
                       {"--logits", ""},
                       {"--die-at", "-1"},
                       {"--hang-at", "-1"},
                       {"--hang-seconds", "60"}}};
  rank_topology const topology{static_cast<std::uint32_t>(std::stoul(argv[4])),
                               static_cast<std::uint32_t>(std::stoul(argv[5])),
                               static_cast<std::uint32_t>(named.count("--ranks-per-host"))};
  return run({argv[1], argv[2], argv[3], topology, named});
} catch (std::exception const& e) {
  std::fprintf(stderr, "02_expert_parallel: %s\n", e.what());
  std::fflush(nullptr);
  ::_exit(3);  // the threads of the abandoned group still run: no static may be destroyed under them
}
