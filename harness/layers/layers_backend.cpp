// SPDX-License-Identifier: Apache-2.0
/// @file
/// Memory first, then the machines.
#include "harness/layers/layers_backend.hpp"

#include "harness/layers/cpu_machine.hpp"
#include "harness/report/text_table.hpp"

#include <buddy/error.hpp>

#include <algorithm>
#include <fstream>
#include <thread>

namespace harness {

namespace {

std::string gib(std::uint64_t bytes) { return fixed(static_cast<double>(bytes) / (1U << 30U), 2) + " GiB"; }

}  // namespace

memory_need cpu_memory(layers_plan const& plan) {
  std::uint64_t const record = plan.stack.record.bytes();
  std::uint64_t const vectors = std::uint64_t{plan.routing.n_tokens} * plan.stack.record.hidden * sizeof(float);
  return {plan.stack.all_bytes(), (std::uint64_t{slots_needed(plan)} + cpu_machine::spare) * record,
          plan.stack.rest_bytes + vectors * (plan.stack.top_k + 4U)};
}

std::uint64_t available_memory() {
  std::ifstream info{"/proc/meminfo"};
  std::string name;
  std::uint64_t kib = 0;
  for (std::string unit; info >> name >> kib && std::getline(info, unit);)
    if (name == "MemAvailable:") return kib * 1024;
  return 0;
}

std::string describe(memory_need const& need, std::uint64_t available) {
  std::string text = "host memory: " + gib(need.records) + " of records";
  if (need.slots != 0) text += " + " + gib(need.slots) + " of slots";
  text += " + " + gib(need.other) + " of other weights and vectors = " + gib(need.all());
  return available == 0 ? text : text + ", of " + gib(available) + " available";
}

void require_memory(memory_need const& need, std::uint64_t available) {
  if (available == 0 || need.all() <= available / 10 * 9) return;
  throw buddy::config_error("this needs " + gib(need.all()) +
                            " of host memory, and nine tenths of what is available are " + gib(available / 10 * 9) +
                            ": ask for fewer --layers, or a smaller shape");
}

layers_result run_on_cpu(layers_plan const& plan, std::uint32_t n_threads, timeline* drawn) {
  std::uint32_t const threads = n_threads != 0 ? n_threads : std::max(1U, std::thread::hardware_concurrency());
  layers_result r = result_of(plan, "cpu");
  cpu_machine machine{plan.stack, slots_needed(plan), plan.routing.n_tokens, threads};
  r.machine = machine.measure();
  r.modes = run_modes(plan, r.machine, machine, drawn);
  return r;
}

}  // namespace harness
