// SPDX-License-Identifier: Apache-2.0
/// @file
/// Demand first; the background gives way to it, and goes on while the layer computes.
#include "src/expert_mover.hpp"

#include <buddy/error.hpp>
#include <buddy/giving_way.hpp>

#include <algorithm>

namespace llama_adapter {

namespace {

constexpr buddy::expert_key nobody{0xffff, 0xffff};

std::uint64_t nanoseconds(std::chrono::steady_clock::duration d) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(d).count());
}

}  // namespace

expert_mover::expert_mover(moe_graph const& graph, expert_source const& source, slot_store const* store,
                           harness::harness_policy& policy, limits const& l)
    : graph_{&graph},
      source_{&source},
      store_{store},
      policy_{&policy},
      read_ahead_{l.read_ahead},
      scratch_(l.n_readers),
      pieces_(l.n_readers),
      holder_(policy.cache().capacity(), nobody),
      arriving_(policy.cache().capacity()),
      queue_(l.n_readers, std::size_t{2} * graph.n_experts + 2 * l.read_ahead,
             [this](load_job const& job, std::size_t thread) { load(job, thread); }) {
  background_.reserve(l.read_ahead);
  demand_.reserve(graph.n_experts);
  transients_.reserve(graph.n_experts);
}

void expert_mover::load(load_job const& job, std::size_t thread) {
  auto const begin = clock::now();
  if (store_ != nullptr) {
    load_into(job, thread);
  } else {
    if (job.leaves != nobody) source_->drop(job.leaves.layer, job.leaves.expert);
    source_->populate(job.expert.layer, job.expert.expert);
  }
  load_ns_ += nanoseconds(clock::now() - begin);
  bytes_read_ += graph_->layers[job.expert.layer].expert_bytes();
}

void expert_mover::load_into(load_job const& job, std::size_t thread) {
  std::size_t const l = job.expert.layer;
  expert_home const home = job.staged ? expert_home::staging : expert_home::slots;
  for (std::size_t p = 0; p != graph_->layers[l].parts.size(); ++p) {
    std::byte* to = store_->address(l, p, job.place, home);
    bool const in_place = to != nullptr;
    if (!in_place) to = pieces_[thread].at_least(graph_->layers[l].parts[p].bytes());
    source_->read(l, p, job.expert.expert, to, scratch_[thread]);
    if (!in_place) store_->write(l, p, job.place, home, to);
  }
}

void expert_mover::load_residents() {
  auto const& shape = policy_->shape();
  for (std::uint16_t l = 0; l != shape.n_layers; ++l) {
    auto const slots = policy_->cache().residents(l);
    for (std::uint16_t e = 0; e != shape.n_experts; ++e) {
      if (slots[e] == buddy::no_slot) continue;
      demand_.push_back(submit({{l, e}, slots[e], 0, buddy::copy_reason::demand}, false));
    }
    for (pending const& p : demand_) await(p);
    for (pending const& p : demand_) arriving_[static_cast<std::size_t>(p.copy.slot)] = 0;
    demand_.clear();
    throw_failure();
  }
}

void expert_mover::begin_layer() {
  auto const now = clock::now();
  std::uint64_t const busy_ns = load_ns_.load(std::memory_order_relaxed);
  if (background_.empty() && busy_ns != 0) {
    double const bytes_per_ns = static_cast<double>(bytes_read()) / static_cast<double>(busy_ns);
    policy_->background_bytes(
        static_cast<std::uint64_t>(static_cast<double>(nanoseconds(now - last_layer_)) * bytes_per_ns));
  }
  std::erase_if(background_, [this](pending const& p) {
    if (!queue_.done(p.ticket)) return false;
    arrived(p);
    return true;
  });
  throw_failure();
  policy_->background_room(read_ahead_ - static_cast<std::uint32_t>(background_.size()));
  forget_transients();
}

/// A failed load ends too: the failure is looked at before anything is computed with its slot.
void expert_mover::arrived(pending const& p) {
  queue_.release(p.ticket);
  arriving_[static_cast<std::size_t>(p.copy.slot)] = 0;
  policy_->commit(p.copy);
}

expert_mover::pending expert_mover::submit(buddy::expert_copy const& copy, bool urgent) {
  auto const slot = static_cast<std::size_t>(copy.slot);
  auto const first = static_cast<std::uint32_t>(policy_->cache().first_slot(copy.expert.layer));
  load_job const job{copy.expert, static_cast<std::uint32_t>(slot) - first, false, holder_[slot]};
  holder_[slot] = copy.expert;
  arriving_[slot] = 1;
  return {copy, queue_.submit(job, urgent), job.leaves};
}

void expert_mover::submit_background(buddy::view<buddy::expert_copy const> copies) {
  for (buddy::expert_copy const& c : copies) background_.push_back(submit(c, false));
}

void expert_mover::make_way(buddy::layer_plan const& plan) {
  std::erase_if(background_, [&](pending const& p) {
    if (!buddy::gives_way(p.copy, plan) || !queue_.cancel(p.ticket)) return false;
    auto const slot = static_cast<std::size_t>(p.copy.slot);
    arriving_[slot] = 0;
    holder_[slot] = nobody;
    if (store_ == nullptr && p.leaves != nobody) source_->drop(p.leaves.layer, p.leaves.expert);
    policy_->cancel(p.copy);
    return true;
  });
}

void expert_mover::run(buddy::layer_plan const& plan) {
  make_way(plan);
  demand_.clear();
  for (buddy::expert_copy const& c : plan.fetches)
    if (c.slot != buddy::no_slot) demand_.push_back(submit(c, true));
  submit_background(plan.refills);
  auto const next = static_cast<std::uint16_t>((plan.layer + 1U) % policy_->shape().n_layers);
  submit_background(policy_->prefetch(next));
  if (!demand_.empty() || !plan.waits.empty()) {
    auto const begin = clock::now();
    for (buddy::expert_copy const& c : plan.waits) await_background(c);
    for (pending const& p : demand_) {
      queue_.wait(p.ticket);
      arrived(p);
    }
    wait_seconds_ += std::chrono::duration<double>(clock::now() - begin).count();
    throw_failure();
  }
  last_layer_ = clock::now();
}

void expert_mover::await(pending const& p) {
  queue_.wait(p.ticket);
  queue_.release(p.ticket);
}

void expert_mover::await_background(buddy::expert_copy const& copy) {
  auto const at =
      std::find_if(background_.begin(), background_.end(), [&](pending const& p) { return p.copy.slot == copy.slot; });
  if (at == background_.end()) return;
  queue_.hurry(at->ticket);
  queue_.wait(at->ticket);
  arrived(*at);
  background_.erase(at);
}

void expert_mover::stage(std::uint16_t layer, std::span<std::uint16_t const> experts) {
  auto const begin = clock::now();
  auto const first = static_cast<std::uint32_t>(policy_->cache().first_slot(layer));
  auto const slots = policy_->cache().residents(layer);
  std::vector<load_queue::ticket> tickets;
  for (std::uint16_t const e : experts)
    if (slots[e] == buddy::no_slot) {
      tickets.push_back(queue_.submit({{layer, e}, e, true}, true));
      if (store_ == nullptr) transients_.push_back({layer, e});
    }
  for (std::uint16_t const e : experts)
    if (store_ != nullptr && slots[e] != buddy::no_slot)
      store_->stage(layer, static_cast<std::uint32_t>(slots[e]) - first, e);
  for (auto const t : tickets) {
    queue_.wait(t);
    queue_.release(t);
  }
  wait_seconds_ += std::chrono::duration<double>(clock::now() - begin).count();
  throw_failure();
}

/// Pages that nobody pays a slot for leave again, unless their expert has got one by now.
void expert_mover::forget_transients() {
  for (buddy::expert_key const k : transients_)
    if (policy_->cache().where(k) == buddy::residency::absent) source_->drop(k.layer, k.expert);
  transients_.clear();
}

void expert_mover::throw_failure() {
  if (auto const why = queue_.failure(); !why.empty()) throw buddy::config_error(why);
}

}  // namespace llama_adapter
