// SPDX-License-Identifier: Apache-2.0
/// @file
/// Files are written at the end: a run that is killed leaves none.
#include "src/routing_log.hpp"

#include <buddy/io/profile_io.hpp>
#include <buddy/io/trace_io.hpp>

#include <utility>

namespace llama_adapter {

routing_log::routing_log(buddy::model_shape const& shape, std::string model, std::string trace_file,
                         std::string profile_file)
    : trace_file_(std::move(trace_file)), profile_file_(std::move(profile_file)) {
  if (!trace_file_.empty()) trace_.emplace(shape, model);
  if (!profile_file_.empty()) profile_.emplace(shape, std::move(model));
}

void routing_log::router(std::uint16_t layer, buddy::view<float const> rows) {
  if (profile_) profile_->router_rows(layer, rows);
}

void routing_log::begin_sequence() {
  if (trace_) trace_->begin_sequence();
  if (profile_) profile_->begin_sequence();
}

void routing_log::begin_step(std::uint32_t n_tokens, buddy::phase p) {
  n_tokens_ = n_tokens;
  if (trace_) trace_->begin_step(n_tokens, p);
}

void routing_log::record(std::uint16_t layer, buddy::routing const& r) {
  if (profile_) profile_->observe(layer, r);
  if (trace_ && r.n_tokens == n_tokens_) trace_->record(layer, r);
}

void routing_log::write() const {
  if (trace_ && trace_->trace().n_tokens() != 0) buddy::io::write_trace(trace_file_, trace_->trace());
  if (profile_ && n_tokens_ != 0) buddy::io::write_profile(profile_file_, profile_->finish());
}

}  // namespace llama_adapter
