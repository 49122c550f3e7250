// SPDX-License-Identifier: Apache-2.0
/// @file
/// Shares are of routed slots, times and bytes also by step.
#include "src/report.hpp"

#include <cstdarg>
#include <cstdio>

namespace llama_adapter {

namespace {

__attribute__((format(printf, 2, 3))) void add(std::string& out, char const* format, ...) {
  char line[256];
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  out += line;
}

double share(std::uint64_t part, std::uint64_t all) {
  return all == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(all);
}

double per(double x, std::uint64_t n) { return n == 0 ? 0.0 : x / static_cast<double>(n); }

}  // namespace

std::string report_of(buddy_llama_counts const& c) {
  std::uint64_t const slots = c.slots_own + c.slots_stand_in + c.slots_fetched + c.slots_dropped;
  double const mib = static_cast<double>(c.bytes_read) / 1048576.0;
  auto const number = [](std::uint64_t n) { return static_cast<unsigned long long>(n); };
  std::string out;
  add(out, "experts in fast memory   %10.1f MiB\n", static_cast<double>(c.bytes_resident) / 1048576.0);
  add(out, "steps                    %10llu\n", number(c.steps));
  add(out, "hit rate                 %9.1f %%\n", share(c.hits, c.lookups));
  add(out, "slots: own               %9.1f %%\n", share(c.slots_own, slots));
  add(out, "       stand-in          %9.1f %%\n", share(c.slots_stand_in, slots));
  add(out, "       fetched           %9.1f %%\n", share(c.slots_fetched, slots));
  add(out, "       dropped           %9.1f %%\n", share(c.slots_dropped, slots));
  add(out, "experts read             %10llu waited for, %llu refills, %llu prefetches (%llu of use)\n",
      number(c.fetches), number(c.refills), number(c.prefetches), number(c.useful_prefetches));
  add(out, "staged batches           %10llu\n", number(c.staged_layers));
  add(out, "bytes read               %10.1f MiB, %.2f MiB/step\n", mib, per(mib, c.steps));
  add(out, "waiting                  %10.2f s, %.2f ms/step\n", c.wait_seconds, per(1e3 * c.wait_seconds, c.steps));
  add(out, "in the hook, not waiting %10.2f s, %.3f ms/step\n", c.hook_seconds - c.wait_seconds,
      per(1e3 * (c.hook_seconds - c.wait_seconds), c.steps));
  return out;
}

}  // namespace llama_adapter
