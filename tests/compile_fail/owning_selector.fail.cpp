// expect-error: device_portable
// A kernel gets its chooser by value: one that owns memory cannot go there.
#include <buddy/buddy.hpp>

#include <vector>

struct owning {
  static constexpr std::string_view name = "owning";
  std::vector<int> table;
  buddy::stand_in select(buddy::token_view const&, buddy::view<buddy::slot_id const>, buddy::expert_set const&,
                         std::uint32_t) const noexcept;
};
using composed =
    buddy::policy<buddy::slot_cache<buddy::eviction::lru>, buddy::prediction::none, buddy::sensitivity::always, owning>;
