// SPDX-License-Identifier: Apache-2.0
// Every state of the publish model that can be reached, each looked at once.
#pragma once

#include "property/publish_model.hpp"

#include <cstddef>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace publish_model {

struct verdict {
  std::set<std::string> broken;  ///< every rule that is broken in some order
  std::size_t n_states = 0;
};

/// Looks at every state that can be reached by keeping the rules, or until `wanted` is broken.
inline verdict search(budget const& b, faults const& f, std::string const& wanted = "") {
  verdict v;
  std::vector<world> open{world(b, f)};
  std::set<std::string> seen{open.front().key()};
  while (!open.empty() && v.broken.count(wanted) == 0) {
    world const w = std::move(open.back());
    open.pop_back();
    for (world& next : w.successors()) {
      if (!next.broken().empty()) {
        v.broken.insert(next.broken());
      } else if (seen.insert(next.key()).second) {
        open.push_back(std::move(next));
      }
    }
  }
  v.n_states = seen.size();
  return v;
}

}  // namespace publish_model
