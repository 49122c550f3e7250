// expect-error: has_select
// The hot path must not throw, and the compiler says so.
#include <buddy/buddy.hpp>

struct throwing {
  static constexpr std::string_view name = "throwing";
  buddy::stand_in select(buddy::token_view const&, buddy::view<buddy::slot_id const>, buddy::expert_set const&,
                         std::uint32_t) const;
};
using composed = buddy::policy<buddy::slot_cache<buddy::eviction::lru>, buddy::prediction::none,
                               buddy::sensitivity::always, throwing>;
