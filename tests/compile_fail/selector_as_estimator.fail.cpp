// expect-error: has_replaceable
// A chooser of stand-ins where the policy wants the one who judges tokens.
#include <buddy/buddy.hpp>

using composed = buddy::policy<buddy::slot_cache<buddy::eviction::lru>, buddy::prediction::none, buddy::selection::none,
                               buddy::selection::none>;
