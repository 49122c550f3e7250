# SPDX-License-Identifier: Apache-2.0
"""Synthetic tasks with one exact answer: a prompt, then the answer with its newline.

They give the small model abilities that are either there or not, so the damage of an expert substitution shows as
exact-match accuracy and not only as bits per byte. `fact` is knowledge that can sit only in weights.

    name    prompt                  answer    what it needs
    add     47+85=                  132       pairs of numbers below 100 that training contains
    sort    sort dab=               abd       3 to 6 letters in order
    rev     rev abc=                cba       3 to 8 letters backwards
    copy    copy abcd=              abcd      4 to 12 letters again
    brk     close ([{               }])       the brackets that are still open (the prompt ends in a blank)
    kv      get a1 b2 c3?b=         2         recall from the prompt, 3 to 6 pairs
    fact    fact xyz=               qw        a fixed table of 512 keys
    succ    succ abc=               bcd       the next letter of each of 3 to 6
    addnew  as add, but only pairs that training never contains

Calling convention, for a generator in another language: problem i of a task is the i-th problem drawn from
`problem_rng(task, seed)`, whose state starts at (index of the task in TASK_NAMES) * 2^32 + seed. "letter" is one
draw below(26), a = 0. Each function states its order of draws.

    python3 tasks.py            prints the first 10 problems of each task for seed 1 (tests/data/tasks.golden.txt)
"""

from rng import Rng

TASK_NAMES = ("add", "sort", "rev", "copy", "brk", "kv", "fact", "succ", "addnew")
# How often each of the first eight is drawn in training, in 1/93. addnew is never drawn.
TRAINING_SHARES = (25, 12, 10, 6, 10, 8, 16, 6)

_FACTS_SEED = 20240607
_HELD_OUT_SEED = 7919
_OPENING = "([{<"
_CLOSING = ")]}>"


def _letter(index):
    return chr(ord("a") + index)


def _word(rng, length):
    return "".join(_letter(rng.below(26)) for _ in range(length))


def _fact_table():
    """512 (key, value) pairs in the order they were drawn.

    From Rng(20240607), until 512 keys are known: three letters of the key, two letters of the value. A key that is
    already known keeps its first value, the new draw is dropped.
    """
    rng = Rng(_FACTS_SEED)
    table = {}
    while len(table) < 512:
        key = _word(rng, 3)
        value = _word(rng, 2)
        table.setdefault(key, value)
    return list(table.items())


FACTS = _fact_table()


def is_held_out(a, b):
    """Whether training never contains a + b: one pair in ten, by a draw that knows nothing of the sum.

    Rng(7919 + 100 a + b).below(10) == 0
    """
    return Rng(_HELD_OUT_SEED + 100 * a + b).below(10) == 0


def _addition(rng, held_out):
    while True:
        a = rng.below(100)
        b = rng.below(100)
        if is_held_out(a, b) == held_out:
            return f"{a:02d}+{b:02d}=", f"{a + b:03d}\n"


def add(rng):
    """Draws a = below(100), b = below(100), both again while the pair is held out."""
    return _addition(rng, False)


def addnew(rng):
    """Draws a = below(100), b = below(100), both again while the pair is not held out."""
    return _addition(rng, True)


def sort(rng):
    """Draws the length 3 + below(4), then the letters."""
    word = _word(rng, 3 + rng.below(4))
    return f"sort {word}=", "".join(sorted(word)) + "\n"


def rev(rng):
    """Draws the length 3 + below(6), then the letters."""
    word = _word(rng, 3 + rng.below(6))
    return f"rev {word}=", word[::-1] + "\n"


def copy(rng):
    """Draws the length 4 + below(9), then the letters."""
    word = _word(rng, 4 + rng.below(9))
    return f"copy {word}=", word + "\n"


def brk(rng):
    """Draws n = 4 + below(11), then n brackets.

    For each bracket: if any is open, chance(2, 5) decides whether the innermost is closed (no further draw);
    otherwise, and if none is open, below(4) opens one of ([{<. If none is open at the end, below(4) opens one more.
    """
    n = 4 + rng.below(11)
    still_open = []
    text = ""
    for _ in range(n):
        if still_open and rng.chance(2, 5):
            text += _CLOSING[still_open.pop()]
        else:
            still_open.append(rng.below(4))
            text += _OPENING[still_open[-1]]
    if not still_open:
        still_open.append(rng.below(4))
        text += _OPENING[still_open[-1]]
    return f"close {text} ", "".join(_CLOSING[kind] for kind in reversed(still_open)) + "\n"


def kv(rng):
    """Draws n = 3 + below(4), n different letters, n digits below(10), and which = below(n).

    The letters are the first n of a Fisher-Yates shuffle of a..z: for i < n, swap places i and i + below(26 - i).
    """
    n = 3 + rng.below(4)
    letters = [_letter(i) for i in range(26)]
    for i in range(n):
        j = i + rng.below(26 - i)
        letters[i], letters[j] = letters[j], letters[i]
    digits = [str(rng.below(10)) for _ in range(n)]
    which = rng.below(n)
    pairs = " ".join(letters[i] + digits[i] for i in range(n))
    return f"get {pairs}?{letters[which]}=", digits[which] + "\n"


def fact(rng):
    """Draws below(512), the place in FACTS."""
    key, value = FACTS[rng.below(512)]
    return f"fact {key}=", value + "\n"


def succ(rng):
    """Draws n = 3 + below(4), then n times below(25), so that z is never asked for."""
    places = [rng.below(25) for _ in range(3 + rng.below(4))]
    return "succ " + "".join(map(_letter, places)) + "=", "".join(_letter(i + 1) for i in places) + "\n"


GENERATORS = dict(zip(TASK_NAMES, (add, sort, rev, copy, brk, kv, fact, succ, addnew)))


def problem_rng(task, seed):
    """The generator that all problems of (task, seed) are drawn from, one after the other."""
    return Rng((TASK_NAMES.index(task) << 32) + seed)


def draw_training_task(rng):
    """The name of a task, by TRAINING_SHARES: one draw below(93)."""
    left = rng.below(sum(TRAINING_SHARES))
    for name, share in zip(TASK_NAMES, TRAINING_SHARES):
        if left < share:
            return name
        left -= share
    raise AssertionError("the shares cover every draw")


def sequence(rng, length, task=None):
    """Problems in a row, cut to `length` bytes.

    With `task` all problems are of that task. Without, chance(1, 2) decides whether one drawn task fills the whole
    sequence; otherwise the task is drawn anew before each problem.
    @return (bytes, flags of the answer bytes, [(begin, end)] of each answer that is complete)
    """
    only = task
    if only is None and rng.chance(1, 2):
        only = draw_training_task(rng)
    text, is_answer, answers = b"", [], []
    while len(text) < length:
        prompt, answer = GENERATORS[only or draw_training_task(rng)](rng)
        begin = len(text) + len(prompt)
        end = begin + len(answer)
        text += (prompt + answer).encode("ascii")
        is_answer += [False] * len(prompt) + [True] * len(answer)
        if end <= length:
            answers.append((begin, end))
    return text[:length], is_answer[:length], answers


def main():
    for name in TASK_NAMES:
        rng = problem_rng(name, 1)
        for _ in range(10):
            prompt, answer = GENERATORS[name](rng)
            print(name, prompt, answer.replace("\n", "\\n"), sep="\t")


if __name__ == "__main__":
    main()
