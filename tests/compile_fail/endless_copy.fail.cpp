// expect-error: has_wait
// SPDX-License-Identifier: Apache-2.0
#include <buddy/concepts/transfer_engine.hpp>

struct incomplete {
  static constexpr std::string_view name = "incomplete";
  buddy::ticket submit(buddy::expert_copy const&) noexcept;
  bool done(buddy::ticket) const noexcept;
  bool cancel(buddy::ticket) noexcept;
};
template <buddy::transfer_engine Engine>
void drive(Engine&);
void host(incomplete& engine) { drive(engine); }
