// SPDX-License-Identifier: Apache-2.0
/// @file
/// A model whose dense weights are in the memory of a GPU and whose experts wait in pinned memory of the host.
///
/// No type of CUDA is named here: who includes this is compiled by any compiler, with or without the toolkit.
#pragma once

#include "harness/model/weights.hpp"

#include <memory>
#include <string>

namespace harness {

/// Why no model can run on a GPU here, in a few words; empty when one can.
[[nodiscard]] std::string why_no_device();

/// What all runs of one model on the current GPU share.
class device_model {
 public:
  /// @param w  must outlive this
  /// @throws buddy::config_error when there is no GPU, or the kernels cannot do the model: sizes that are no multiple
  /// of
  ///   8, heads above 256, experts that neither f16 nor bf16 holds exactly; buddy::error when memory does not suffice
  explicit device_model(weights const& w);
  ~device_model();
  device_model(device_model const&) = delete;
  device_model& operator=(device_model const&) = delete;

  [[nodiscard]] weights const& host() const noexcept { return *weights_; }
  [[nodiscard]] std::string const& device_name() const noexcept { return device_name_; }

  struct parts;
  [[nodiscard]] parts const& get() const noexcept { return *parts_; }

 private:
  weights const* weights_;
  std::string device_name_;
  std::unique_ptr<parts> parts_;
};

}  // namespace harness
