// SPDX-License-Identifier: Apache-2.0
// Counts the calls of the CUDA runtime, and of the driver below it, that a steady step must not make.
#pragma once

#include "catch.hpp"

#include <cupti.h>

#include <cstdint>
#include <string>
#include <string_view>

/// From construction to destruction, every call of this process is looked at. Not for timing.
class call_counter {
 public:
  call_counter() {
    REQUIRE(cuptiSubscribe(&subscriber_, &on_call, this) == CUPTI_SUCCESS);
    REQUIRE(cuptiEnableDomain(1, subscriber_, CUPTI_CB_DOMAIN_RUNTIME_API) == CUPTI_SUCCESS);
    REQUIRE(cuptiEnableDomain(1, subscriber_, CUPTI_CB_DOMAIN_DRIVER_API) == CUPTI_SUCCESS);
  }
  call_counter(call_counter const&) = delete;
  call_counter& operator=(call_counter const&) = delete;
  ~call_counter() { (void)cuptiUnsubscribe(subscriber_); }

  [[nodiscard]] std::uint32_t calls() const { return calls_; }
  [[nodiscard]] std::uint32_t launches() const { return launches_; }

  /// Names of the calls that wait for the device or take memory, each followed by a blank.
  [[nodiscard]] std::string const& forbidden() const { return forbidden_; }

  static bool waits_or_allocates(std::string_view name) {
    auto const has = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
    bool const copy_that_waits = (has("Memcpy") || has("Memset")) && !has("Async");
    return has("Synchronize") || has("Malloc") || has("MemAlloc") || has("Free") || has("HostAlloc") ||
           has("HostRegister") || copy_that_waits;
  }

 private:
  static void CUPTIAPI on_call(void* self, CUpti_CallbackDomain, CUpti_CallbackId, void const* data) {
    auto const& call = *static_cast<CUpti_CallbackData const*>(data);
    if (call.callbackSite != CUPTI_API_ENTER) return;
    auto& counter = *static_cast<call_counter*>(self);
    std::string_view const name = call.functionName;
    ++counter.calls_;
    if (name.starts_with("cudaGraphLaunch")) ++counter.launches_;  // the driver's below it is the same
    if (waits_or_allocates(name)) counter.forbidden_ += std::string(name) + " ";
  }

  CUpti_SubscriberHandle subscriber_{};
  std::uint32_t calls_ = 0;
  std::uint32_t launches_ = 0;
  std::string forbidden_;
};
