// SPDX-License-Identifier: Apache-2.0
/// @file
/// What all runs of one process share: the model, the evaluation set, the exact run and the profile.
#pragma once

#include "harness/guard/exact_reference.hpp"
#include "harness/guard/loss_setup.hpp"
#include "harness/model/cuda/device_model.hpp"
#include "harness/model/weights.hpp"
#include "harness/policy/compose.hpp"
#include "harness/policy/settings.hpp"
#include "harness/run/evaluation_set.hpp"
#include "harness/run/run_result.hpp"
#include "harness/run/stepped.hpp"
#include "harness/sim/charged_shape.hpp"
#include "harness/sim/hardware.hpp"

#include <buddy/profile.hpp>
#include <buddy/routing_trace.hpp>
#include <buddy/trace_recorder.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace harness {

class composed_policy;

/// [n_layers] router matrices.
using router_rows = buddy::view<buddy::view<float const> const>;

/// Who computes the model: the CPU, while the time of a machine with an accelerator is modelled, or a GPU, whose time
/// is measured.
enum class backend_kind : std::uint8_t { cpu, cuda };

struct session_options {
  backend_kind backend = backend_kind::cpu;
  std::filesystem::path model = std::filesystem::path{BUDDY_SOURCE_DIR} / "models" / "reference";
  std::string hardware = "rtx4090-pcie4";
  std::string shape = "deepseek-v2-lite";  ///< "reference" where a GPU runs the model
  std::uint32_t record_bits = 16;          ///< 16: experts as the file has them; 4: rounded to 4 bits, and charged so
  std::string profile;  ///< file; empty: the one beside the model if there is one, else calibrate here
  evaluation_options evaluation{};
};

/// Loads once, runs many policies. On the CPU, `run` may be called from several threads at once; on a GPU, the runs
/// would take each other's time.
class session {
 public:
  /// @throws buddy::config_error when a file, a name or a size is not possible, or there is no such backend here
  explicit session(session_options const& options);
  session(session const&) = delete;
  session& operator=(session const&) = delete;
  ~session() = default;

  /// Makes the profile ready when one of the policies needs it; call it before the first `run`.
  /// @throws buddy::config_error when one of them cannot be computed
  void prepare(std::vector<policy_settings> const& policies);

  /// What the user should know of these before they run, each once. @pre prepared
  [[nodiscard]] std::vector<std::string> warnings(std::vector<policy_settings> const& policies) const;

  /// @param recorder  writes down the routing; may be null
  /// @param drawn     is told what takes which modelled time, on the CPU; may be null
  [[nodiscard]] run_result run(policy_settings const& settings, buddy::trace_recorder* recorder = nullptr,
                               timeline* drawn = nullptr) const;

  /// The same on other sequences. @param exact  logits of the exact model on them
  [[nodiscard]] run_result run_on(policy_settings const& settings, std::vector<sequence> const& set,
                                  evaluation_logits const& exact, buddy::trace_recorder* recorder = nullptr,
                                  timeline* drawn = nullptr) const;

  /// Loss of a token over the expected losses of its slots, where it is most: measured on the calibration text under
  /// the policy's own budget, unless the settings say it. @pre prepared, and the settings promise something
  [[nodiscard]] double link_of(policy_settings const& settings) const;

  /// The same with every slot's true loss known beforehand, and a budget such that `kl_bits` a token are lost on this
  /// set within a few percent: what a decision by expected loss could reach. @pre needs_losses(settings)
  [[nodiscard]] run_result run_oracle(policy_settings const& settings, std::vector<sequence> const& set,
                                      evaluation_logits const& exact, double kl_bits) const;

  [[nodiscard]] session_options const& options() const noexcept { return options_; }
  [[nodiscard]] weights const& model() const noexcept { return model_; }
  /// Sizes of the model with the record size that is charged.
  [[nodiscard]] buddy::model_shape charged_model() const noexcept;
  /// Bits per byte of the exact model on the calibration text: what a promise in percent is a share of. @pre prepared
  [[nodiscard]] double calibration_bits() const noexcept { return reference_.bits_per_byte; }

 private:
  /// What comes of decoding, wherever that happens.
  struct outcome {
    evaluation_logits logits;
    clock_totals time;
    std::optional<measured_time> measured;
    std::optional<guard_report> guard;
  };

  [[nodiscard]] outcome decode(policy_settings const& settings, composed_policy& composed, router_rows rows,
                               std::vector<sequence> const& set, loss_setup const* losses,
                               buddy::trace_recorder* recorder, timeline* drawn = nullptr) const;
  /// The settings with a plan of the bytes where they ask for one. @pre prepared
  [[nodiscard]] policy_settings planned(policy_settings const& settings) const;
  [[nodiscard]] policy_settings with_budget(policy_settings settings, loss_setup const* losses) const;
  [[nodiscard]] std::optional<loss_setup> losses_for(policy_settings const& settings) const;
  void prepare_losses(std::vector<policy_settings> const& policies);
  /// Kinds that policies ask for, and the profile beside the model does not have.
  [[nodiscard]] std::vector<std::string> missing_stand_ins(std::vector<policy_settings> const& policies) const;
  void fit_stand_ins(std::vector<std::string> names);
  [[nodiscard]] run_result oracle_with(policy_settings const& settings, std::vector<sequence> const& set,
                                       evaluation_logits const& exact, std::uint64_t target_ub) const;
  [[nodiscard]] run_result result_of(policy_settings const& settings, std::vector<sequence> const& set,
                                     evaluation_logits const& exact, harness_policy const& policy,
                                     outcome const& decoded) const;

  session_options options_;
  hardware machine_;
  weights model_;
  charged_shape shape_;
  std::vector<sequence> evaluation_;
  std::shared_ptr<device_model const> device_;  // null on the CPU; of `model_`, which must not move
  evaluation_logits exact_;
  std::optional<buddy::profile> profile_;
  std::vector<sequence> calibration_;                 // when a policy decides by expected loss
  exact_reference reference_;                         // on it
  std::vector<evaluation_logits> exact_calibration_;  // [1], or empty
  std::optional<buddy::routing_trace> plan_trace_;    // when a policy asks for a plan
};

/// Runs all rows, several at a time (on a GPU one after the other); the results are in the order of the rows whatever
/// the number of threads.
/// @param progress  told of each row that is done, one at a time
[[nodiscard]] std::vector<run_result> run_rows(
    session const& s, std::vector<policy_settings> const& rows, std::uint32_t n_threads,
    std::function<void(std::size_t done, run_result const&)> const& progress);

}  // namespace harness
