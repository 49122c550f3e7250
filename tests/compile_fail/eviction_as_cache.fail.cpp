// expect-error: has_residents
// The bare policy of a pool where the policy wants the pool itself.
#include <buddy/buddy.hpp>

using composed =
    buddy::policy<buddy::eviction::lru, buddy::prediction::none, buddy::sensitivity::always, buddy::selection::none>;
