// SPDX-License-Identifier: Apache-2.0
// Caches of single experts as the papers write them down, for their reader, not for speed: one deque a queue, and what
// is evicted is decided, and everything is moved, in one go.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <set>

namespace naive {

using expert = std::uint32_t;
using queue = std::deque<expert>;  // oldest in front

inline bool holds(queue const& q, expert e) { return std::find(q.begin(), q.end(), e) != q.end(); }
inline void remove(queue& q, expert e) { q.erase(std::find(q.begin(), q.end(), e)); }

struct fifo {
  std::size_t slots;
  queue held{};

  bool ask(expert e) {
    if (holds(held, e)) return true;
    if (held.size() == slots) held.pop_front();
    held.push_back(e);
    return false;
  }
};

struct lru {
  std::size_t slots;
  queue held{};

  bool ask(expert e) {
    bool const hit = holds(held, e);
    if (hit) remove(held, e);
    if (held.size() == slots) held.pop_front();
    held.push_back(e);
    return hit;
  }
};

struct lfu {
  std::size_t slots;
  bool keeps_counts = false;
  queue held{};  // by last use
  std::map<expert, std::uint64_t> counts{};

  bool ask(expert e) {
    bool const hit = holds(held, e);
    if (hit) {
      remove(held, e);
    } else if (held.size() == slots) {
      auto const rarest =
          std::min_element(held.begin(), held.end(), [&](expert a, expert b) { return counts[a] < counts[b]; });
      if (!keeps_counts) counts.erase(*rarest);
      held.erase(rarest);
    }
    held.push_back(e);
    ++counts[e];
    return hit;
  }
};

struct lfru {
  struct use {
    std::uint64_t count{};
    std::uint64_t last{};
  };
  std::size_t slots;
  std::map<expert, use> held{};
  std::uint64_t clock = 0;

  bool ask(expert e) {
    bool const hit = held.count(e) != 0;
    if (!hit && held.size() == slots) {
      auto const worth = [&](use const& u) {
        return static_cast<long double>(u.count) / static_cast<long double>(clock - u.last + 1);
      };
      held.erase(std::min_element(held.begin(), held.end(),
                                  [&](auto const& a, auto const& b) { return worth(a.second) < worth(b.second); }));
    }
    ++held[e].count;
    held[e].last = ++clock;
    return hit;
  }
};

struct slru {
  std::size_t slots;
  queue probation{};
  queue safe{};

  bool ask(expert e) {
    bool const hit = holds(probation, e) || holds(safe, e);
    if (!hit) {
      if (probation.size() + safe.size() == slots) (probation.empty() ? safe : probation).pop_front();
      probation.push_back(e);
      return false;
    }
    remove(holds(safe, e) ? safe : probation, e);
    safe.push_back(e);
    if (safe.size() > slots * 8 / 10) {
      probation.push_back(safe.front());
      safe.pop_front();
    }
    return true;
  }
};

struct clock {
  std::size_t slots;
  queue held{};  // the hand stands in front
  std::set<expert> marked{};

  bool ask(expert e) {
    if (holds(held, e)) {
      marked.insert(e);
      return true;
    }
    if (held.size() == slots) {
      while (marked.erase(held.front()) != 0) {
        held.push_back(held.front());
        held.pop_front();
      }
      held.pop_front();
    }
    held.push_back(e);
    return false;
  }
};

struct sieve {
  std::size_t slots;
  queue held{};
  std::set<expert> visited{};
  std::size_t hand = 0;  // index into `held`; its size: behind the newest

  bool ask(expert e) {
    if (holds(held, e)) {
      visited.insert(e);
      return true;
    }
    if (held.size() == slots) {
      if (hand == held.size()) hand = 0;
      while (visited.erase(held[hand]) != 0) hand = hand + 1 == held.size() ? 0 : hand + 1;
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(hand));
      if (hand == held.size()) hand = 0;  // it was the newest: on from the oldest
    }
    held.push_back(e);
    return false;
  }
};

struct s3_fifo {
  std::size_t slots;
  queue small{};
  queue main{};
  queue ghosts{};
  std::map<expert, int> hits{};

  bool ask(expert e) {
    if (holds(small, e) || holds(main, e)) {
      hits[e] = std::min(3, hits[e] + 1);
      return true;
    }
    if (small.size() + main.size() == slots) evict();
    hits[e] = 0;
    bool const early = holds(ghosts, e);
    if (early) remove(ghosts, e);
    (early ? main : small).push_back(e);
    return false;
  }

 private:
  [[nodiscard]] std::size_t small_limit() const { return std::max<std::size_t>(1, slots / 10); }

  void evict() {
    if (small.size() >= small_limit() && evict_small()) return;
    evict_main();
  }
  bool evict_small() {
    while (!small.empty()) {
      expert const e = small.front();
      small.pop_front();
      if (hits[e] <= 1) {
        ghosts.push_back(e);
        if (ghosts.size() > slots - small_limit()) ghosts.pop_front();
        return true;
      }
      hits[e] = 0;
      main.push_back(e);
    }
    return false;
  }
  void evict_main() {
    while (hits[main.front()] != 0) {
      --hits[main.front()];
      main.push_back(main.front());
      main.pop_front();
    }
    main.pop_front();
  }
};

/// Figure 4 of the paper, but for what `eviction::arc` says it does otherwise: REPLACE comes first, without knowing who
/// enters, and the target is an integer.
struct arc {
  std::size_t slots;
  queue t1{}, t2{}, b1{}, b2{};
  std::size_t p = 0;

  bool ask(expert e) {
    if (holds(t1, e) || holds(t2, e)) {
      remove(holds(t1, e) ? t1 : t2, e);
      t2.push_back(e);
      return true;
    }
    if (t1.size() + t2.size() == slots) replace();
    enter(e);
    return false;
  }

 private:
  void replace() {
    bool const first = !t1.empty() && (t1.size() > p || t2.empty());
    (first ? b1 : b2).push_back((first ? t1 : t2).front());
    (first ? t1 : t2).pop_front();
  }
  void enter(expert e) {
    if (holds(b1, e)) {
      p = std::min(slots, p + (b1.size() >= b2.size() ? 1 : b2.size() / b1.size()));
      remove(b1, e);
      t2.push_back(e);
    } else if (holds(b2, e)) {
      std::size_t const step = b2.size() >= b1.size() ? 1 : b1.size() / b2.size();
      p = p > step ? p - step : 0;
      remove(b2, e);
      t2.push_back(e);
    } else {
      if (t1.size() + b1.size() == slots) {
        b1.pop_front();
      } else if (t1.size() + t2.size() + b1.size() + b2.size() == 2 * slots) {
        b2.pop_front();
      }
      t1.push_back(e);
    }
  }
};

}  // namespace naive
