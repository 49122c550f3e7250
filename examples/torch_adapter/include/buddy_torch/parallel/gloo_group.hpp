// SPDX-License-Identifier: Apache-2.0
/// @file
/// A Gloo process group whose ranks find each other through a file: for one host, for tests, for examples.
#pragma once

#if !defined(USE_C10D_GLOO)
#define USE_C10D_GLOO  // LibTorch's header is empty without it
#endif
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include <chrono>
#include <string>

namespace buddy::inline v0::torch {

/// Ranks on this host, over loopback.
/// @param file     the same for all ranks, not there yet, or left over from no other group
/// @param timeout  after which a rank that waits for another gives up
/// @throws std::exception when the others do not come in time
inline c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo_on_loopback(std::string const& file, int rank, int n_ranks,
                                                                   std::chrono::milliseconds timeout) {
  auto store = c10::make_intrusive<c10d::FileStore>(file, n_ranks);
  store->setTimeout(timeout);
  auto options = c10d::ProcessGroupGloo::Options::create(timeout);
  options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));
  return c10::make_intrusive<c10d::ProcessGroupGloo>(std::move(store), rank, n_ranks, std::move(options));
}

}  // namespace buddy::inline v0::torch
