# SPDX-License-Identifier: Apache-2.0
"""The text corpus, its validation slices, and the batches.

The corpus is described by a file such as

    {"verse": {"files": ["verse.txt.xz", "more.txt"], "weight": 1.0}, ...}

with paths relative to it; a file that ends in .xz is unpacked while reading. A batch is a function of
(seed, step, worker) alone, so that a run can be repeated, and resumed, without a trace.
"""

import json
import lzma
from pathlib import Path

import numpy as np
import tasks
import torch
from rng import stream

VALIDATION_SHARE = 20  # one part in 20 of each file, its end, ...
VALIDATION_CAP = 60_000  # ... but no more than this many bytes
SHORTEST_DOMAIN = 10_000  # bytes; less than this is learnt by heart, and its validation slice has no window
TASK_PERMILLE = 130  # share of the sequences that hold tasks
PROMPT_WEIGHT = 0.1  # weight of a prompt byte in the loss; an answer byte or a byte of text weighs 1

# What a random stream is for; the first key of every stream.
FOR_BATCH, FOR_MASK, FOR_CALIBRATION = 1, 2, 3


def read_file(path):
    with (lzma.open(path) if path.suffix == ".xz" else open(path, "rb")) as file:
        return file.read()


def split_validation(text):
    """(training part, validation part): the end of a file is never trained on."""
    size = min(len(text) // VALIDATION_SHARE, VALIDATION_CAP)
    return text[:len(text) - size], text[len(text) - size:]


class Corpus:
    """Training and validation bytes of each domain, as uint8 arrays."""

    def __init__(self, description):
        description = Path(description)
        self.training, self.validation, self.weights = {}, {}, {}
        for domain, entry in json.loads(description.read_text()).items():
            parts = [split_validation(read_file(description.parent / name)) for name in entry["files"]]
            self.training[domain] = np.frombuffer(b"".join(part[0] for part in parts), np.uint8)
            self.validation[domain] = np.frombuffer(b"".join(part[1] for part in parts), np.uint8)
            self.weights[domain] = entry.get("weight", 1.0)
            if len(self.training[domain]) < SHORTEST_DOMAIN:
                raise SystemExit(f"{description}: domain {domain} has fewer than {SHORTEST_DOMAIN} bytes to train on")
        self.domains = list(self.training)
        self._bounds = np.cumsum([self.weights[d] for d in self.domains]) / sum(self.weights.values())

    def draw_domains(self, rng, count):
        """`count` domains by systematic sampling: one draw shifts an even comb over the weights.

        So a batch of a dozen sequences holds nearly every domain, and no step sees one language alone.
        """
        shift = rng.unit()
        places = (np.arange(count) + shift) / count
        return [self.domains[i] for i in np.searchsorted(self._bounds, places, side="right")]

    def draw_text(self, rng, domain, length):
        text = self.training[domain]
        begin = rng.below(len(text) - length + 1)
        return text[begin:begin + length]


def batch(corpus, config, seed, step, worker, size):
    """One worker's share of a step: each sequence from one domain, the last ones from tasks.

    @return (bytes int64 [size, context + 1], loss weight of each predicted byte float32 [size, context],
             number of text sequences)
    """
    rng = stream(FOR_BATCH, seed, step, worker)
    length = config.context + 1
    sequences = np.empty((size, length), np.uint8)
    weights = np.ones((size, config.context), np.float32)
    n_tasks = size * TASK_PERMILLE // 1000 + rng.chance(size * TASK_PERMILLE % 1000, 1000)
    n_texts = size - n_tasks
    for i, domain in enumerate(corpus.draw_domains(rng, n_texts)):
        sequences[i] = corpus.draw_text(rng, domain, length)
    for i in range(n_texts, size):
        text, is_answer, _ = tasks.sequence(rng, length)
        sequences[i] = np.frombuffer(text, np.uint8)
        weights[i] = np.where(is_answer[1:], 1.0, PROMPT_WEIGHT)
    return torch.from_numpy(sequences.astype(np.int64)), torch.from_numpy(weights), n_texts


def expert_mask(config, seed, step, worker, size, percent):
    """Experts to hide from the router, bool [layers, size, experts], or None if nothing is to be hidden.

    In `percent` of the sequences each layer keeps a random set of 35 to 90 % of its experts: the model learns to
    choose well among those that happen to be there.
    """
    if percent == 0:
        return None
    rng = stream(FOR_MASK, seed, step, worker)
    mask = torch.zeros(config.layers, size, config.experts, dtype=torch.bool)
    for i in range(size):
        if not rng.chance(percent, 100):
            continue
        kept = int(config.experts * (0.35 + 0.55 * rng.unit()))
        for layer in range(config.layers):
            order = list(range(config.experts))
            for first in range(config.experts - 1, kept - 1, -1):
                other = rng.below(first + 1)
                order[first], order[other] = order[other], order[first]
            mask[layer, i, order[kept:]] = True
    return mask
