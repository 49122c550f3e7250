# SPDX-License-Identifier: Apache-2.0
"""Draws text for calibration and for checks from the corpus; the files stay outside of the repository.

    python3 calibration.py --corpus domains.json --out calibration.bin --kib 200
    python3 calibration.py --corpus domains.json --out validation.bin --kib 64 --validation

Sequences of 256 bytes in a row. Calibration: the training parts of all domains plus tasks, mixed as in training.
With --validation: the validation slices, all domains alike, no tasks.
"""

import environment  # noqa: F401  (must come before torch)

import argparse
import os

import data
import numpy as np
import tasks
from rng import stream

LENGTH = 256


def draw_calibration(corpus, count, seed):
    """Sequence i is a task with probability TASK_PERMILLE / 1000, else text; the domains come round by round."""
    rng = stream(data.FOR_CALIBRATION, seed)
    sequences = []
    while len(sequences) < count:
        for domain in corpus.draw_domains(rng, len(corpus.domains)):
            if rng.chance(data.TASK_PERMILLE, 1000):
                sequences.append(tasks.sequence(rng, LENGTH)[0])
            sequences.append(corpus.draw_text(rng, domain, LENGTH).tobytes())
    return sequences[:count]


def draw_validation(corpus, count):
    """The domains take turns; each gives windows that are spread evenly over its slice."""
    sequences = []
    for i in range(count):
        text = corpus.validation[corpus.domains[i % len(corpus.domains)]]
        place = i // len(corpus.domains) * len(corpus.domains) / count
        begin = int(place * (len(text) - LENGTH))
        sequences.append(text[begin:begin + LENGTH].tobytes())
    return sequences


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--kib", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validation", action="store_true")
    arguments = parser.parse_args()
    corpus, count = data.Corpus(arguments.corpus), arguments.kib * 1024 // LENGTH
    sequences = draw_validation(corpus, count) if arguments.validation else draw_calibration(corpus, count,
                                                                                            arguments.seed)
    temporary = arguments.out + ".tmp"
    np.frombuffer(b"".join(sequences), np.uint8).tofile(temporary)
    os.replace(temporary, arguments.out)


if __name__ == "__main__":
    main()
