// expect-error: has_select
// A judge of tokens where the policy wants the one who chooses stand-ins.
#include <buddy/buddy.hpp>

using composed = buddy::policy<buddy::slot_cache<buddy::eviction::lru>, buddy::prediction::none,
                               buddy::sensitivity::always, buddy::sensitivity::always>;
