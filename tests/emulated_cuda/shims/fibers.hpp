// SPDX-License-Identifier: Apache-2.0
// Kernels on the CPU: every thread of a block is a fiber, and what threads do together is a meeting of fibers.
//
// One block after another, one fiber at a time, so a race shows only as a wrong result; what it does check is every
// index, every bound and every exchange between lanes, with the kernels' own source.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

struct dim3 {
  std::uint32_t x = 1, y = 1, z = 1;
  constexpr dim3(std::uint32_t x_ = 1, std::uint32_t y_ = 1, std::uint32_t z_ = 1) : x{x_}, y{y_}, z{z_} {}
};

inline dim3 threadIdx;
inline dim3 blockIdx;

namespace emulated {

/// Some threads that meet: a warp, or a block.
struct meeting {
  std::uint32_t members = 0;
  std::uint32_t arrived = 0;
  std::uint32_t round = 0;

  void leave() {
    --members;
    open_if_complete();
  }
  void open_if_complete() {
    if (members == 0 || arrived != members) return;
    arrived = 0;
    ++round;
  }
};

/// `ucontext` makes the stack, jumps do the rest: they need no system call.
struct fiber {
  ucontext_t context{};
  jmp_buf at{};
  bool begun = false;
  bool ended = false;
};

struct warp_state {
  meeting all;
  std::uint32_t words[32][8] = {};  // what each lane shows to the others
};

struct block_state {
  jmp_buf scheduler{};
  std::vector<fiber> fibers;
  std::vector<warp_state> warps;
  meeting all;
  void (*body)(void*) = nullptr;
  void* argument = nullptr;
};

inline block_state* block = nullptr;

inline warp_state& my_warp() { return block->warps[threadIdx.x / 32]; }

inline void yield() {
  if (_setjmp(block->fibers[threadIdx.x].at) == 0) _longjmp(block->scheduler, 1);
}

/// Goes on with a thread until it yields or ends.
inline void resume(std::uint32_t thread) {
  threadIdx = dim3(thread);
  fiber& f = block->fibers[thread];
  if (_setjmp(block->scheduler) != 0) return;
  if (f.begun) _longjmp(f.at, 1);
  f.begun = true;
  setcontext(&f.context);
}

/// Waits for the others. A thread that has ended is not waited for.
inline void meet(meeting& m) {
  std::uint32_t const round = m.round;
  ++m.arrived;
  m.open_if_complete();
  while (m.round == round) yield();
}

/// Shows up to 8 words to the warp, then reads what all have shown.
template <class Read>
auto exchange(std::uint32_t const (&mine)[8], Read const& read) {
  warp_state& w = my_warp();
  for (int i = 0; i != 8; ++i) w.words[threadIdx.x % 32][i] = mine[i];
  meet(w.all);
  auto const result = read(w);
  meet(w.all);  // nobody shows the next before all have read
  return result;
}

inline void entry() {
  block->body(block->argument);
  block->fibers[threadIdx.x].ended = true;
  my_warp().all.leave();
  block->all.leave();
  _longjmp(block->scheduler, 1);
}

inline void begin_fiber(fiber& f, std::size_t thread) {
  constexpr std::size_t stack_bytes = std::size_t{64} << 10;
  static std::vector<std::unique_ptr<char[]>> stacks;  // of all blocks, one after another
  while (stacks.size() <= thread) stacks.push_back(std::make_unique_for_overwrite<char[]>(stack_bytes));
  getcontext(&f.context);
  f.context.uc_stack.ss_sp = stacks[thread].get();
  f.context.uc_stack.ss_size = stack_bytes;
  f.context.uc_link = nullptr;  // it never returns
  makecontext(&f.context, entry, 0);
}

/// Runs one block. A pass in which no fiber gets on would be a deadlock; every meeting ends or is left, so there is
/// none unless a kernel's threads part before a meeting, and then this never returns: the test's time limit says so.
inline void run_block(std::uint32_t n_threads, void (*body)(void*), void* argument) {
  block_state state;
  block = &state;
  state.fibers.resize(n_threads);
  state.warps.resize((n_threads + 31) / 32);
  state.all.members = n_threads;
  state.body = body;
  state.argument = argument;
  for (std::uint32_t t = 0; t != n_threads; ++t) {
    begin_fiber(state.fibers[t], t);
    ++state.warps[t / 32].all.members;
  }
  for (bool busy = true; busy;) {
    busy = false;
    for (std::uint32_t t = 0; t != n_threads; ++t) {
      if (state.fibers[t].ended) continue;
      busy = true;
      resume(t);
    }
  }
}

template <class F>
void run_grid(dim3 grid, dim3 threads, F f) {
  for (blockIdx.y = 0; blockIdx.y != grid.y; ++blockIdx.y)
    for (blockIdx.x = 0; blockIdx.x != grid.x; ++blockIdx.x)
      run_block(threads.x, [](void* a) { (*static_cast<F*>(a))(); }, &f);
}

}  // namespace emulated
