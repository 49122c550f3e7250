# SPDX-License-Identifier: Apache-2.0
"""splitmix64, the one random generator of data and tasks.

The C++ side of the harness has the same generator, so a seed gives the same problems there.
Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
"""

_MASK = (1 << 64) - 1


class Rng:
    """A 64-bit state and the draws that everything else is built from."""

    def __init__(self, state):
        self.state = state & _MASK

    def next(self):
        """The next 64 bits."""
        self.state = (self.state + 0x9E3779B97F4A7C15) & _MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def below(self, n):
        """An integer in [0, n), from the upper 32 bits of one draw."""
        return ((self.next() >> 32) * n) >> 32

    def chance(self, numerator, denominator):
        """True with probability numerator / denominator; one draw."""
        return self.below(denominator) < numerator

    def unit(self):
        """A float in [0, 1) with 32 random bits; one draw."""
        return (self.next() >> 32) / 4294967296.0


def stream(*keys):
    """An independent generator for each tuple of integers, such as (seed, step, worker)."""
    state = 0
    for key in keys:
        state = Rng(state ^ (key & _MASK)).next()
    return Rng(state)
