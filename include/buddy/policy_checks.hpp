// SPDX-License-Identifier: Apache-2.0
/// @file
/// What a policy refuses when it is put together.
#pragma once

#include <buddy/concepts/named.hpp>
#include <buddy/error.hpp>
#include <buddy/model_shape.hpp>
#include <buddy/policy_config.hpp>

#include <algorithm>
#include <cstdint>
#include <string>

namespace buddy::inline v0::detail {

template <class Component>
void require_fit(Component const& component, model_shape const& shape) {
  if constexpr (has_fits<Component>) {
    if (component.fits(shape)) return;
    std::string const name{name_of(component)};
    throw_config_error(("buddy::policy: the tables of " + name + " are of another shape").c_str());
  }
}

/// @returns the shape, once all parts are known to be of it
/// @throws config_error naming the part that is not
template <class Cache, class... Components>
model_shape const& checked_parts(model_shape const& shape, policy_config const& config, Cache const& cache,
                                 Components const&... components) {
  validate(shape);
  validate(config);
  if constexpr (requires { cache.shape() == shape; }) {
    if (!(cache.shape() == shape)) throw_config_error("buddy::policy: the cache was made for another shape");
  }
  (require_fit(components, shape), ...);
  return shape;
}

template <class Cache>
[[nodiscard]] std::uint64_t largest_record(Cache const& cache, model_shape const& shape) noexcept {
  std::uint64_t largest = 0;
  for (std::uint16_t l = 0; l != shape.n_layers; ++l) largest = std::max(largest, cache.record_bytes(l));
  return largest;
}

/// A prediction names no expert twice, so a greater width is of no use.
[[nodiscard]] inline std::uint32_t prefetch_width(model_shape const& shape, policy_config const& config) noexcept {
  return config.prefetch_width == 0 ? shape.top_k : std::min<std::uint32_t>(config.prefetch_width, shape.n_experts);
}

}  // namespace buddy::inline v0::detail
