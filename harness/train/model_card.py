# SPDX-License-Identifier: Apache-2.0
"""Writes the README.md of a bundled model from what training and evaluation measured.

    python3 model_card.py --run run/plain --out run/plain/model
    python3 model_card.py --run run/tolerant --plain run/plain --out run/tolerant/model

A run is the folder of train.py's loss.csv and of evaluate.py's result.json. With --plain the model is the one that was
fine-tuned from that run with expert dropout, and each text number stands beside the plain model's.
The card describes the bundled recipe and corpus: who changes them changes the words below too.
"""

import argparse
import csv
import json
from pathlib import Path
from statistics import mean

STEP_BYTES = 24 * 256
PLAIN_STEPS = (50, 100, 200, 400, 800, 1500, 2500, 3500, 4500, 5500, 6500, 7500)
TOLERANT_STEPS = (50, 100, 200, 400, 600, 800, 1000, 1200, 1400)

PLAIN_TITLE = """\
# reference-plain

A small Mixture-of-Experts language model over bytes, trained from scratch. It never saw a missing expert: the strict \
case for expert substitution.
Its sibling `models/reference` was fine-tuned from it to tolerate hidden experts.
"""

TOLERANT_TITLE = """\
# reference

The default model of the harness: `models/reference-plain`, fine-tuned with expert dropout so that it tolerates \
missing experts. Use the plain model to see what
substitution does to a model that was never prepared for it.
"""

WHAT = """\
## What it is

Hugging Face layout `qwen3_moe`, float16, 3,442,048 parameters, of which about 0.6 million work on each byte.

| | |
|---|---|
| vocabulary | 256: a token is a byte, no byte is special |
| hidden size, layers, context | 128, 4, 256 |
| attention | 4 heads of 32, 2 key/value heads, RMS norm on queries and keys, rotary positions (base 10,000, halves) |
| experts | 64 per layer, 6 per token, SwiGLU of hidden size 32, no shared expert |
| router | softmax over 64, the 6 largest, normalised to sum 1 |

`config.json` and `model.safetensors` are the model. `golden.safetensors` holds one sequence of 70 bytes with the \
logits, experts, weights and router probabilities that
plain PyTorch computes in float32 from the stored weights; the tests compare the C++ engine with it.
"""

PLAIN_RECIPE = """\
AdamW, learning rate 5e-3, 300 steps of warm-up, cosine to 3 %; balance loss 0.004; float32; {amount}."""
PLAIN_COMMAND = "python3 train.py --corpus domains.json --out run/plain --steps {steps}"

TOLERANT_RECIPE = """\
From `reference-plain`: {amount}, learning rate 1.5e-3, 100 steps of warm-up, cosine to 3 %. In 60 % of the sequences
each layer keeps a random 35 to 90 % of its experts, and the others are hidden from the router."""
TOLERANT_COMMAND = ("python3 train.py --corpus domains.json --out run/tolerant --init run/plain/checkpoint.pt "
                    "--steps {steps} --lr 1.5e-3 --warmup 100 --mask 60 --seed 1")

DATA = """\
## Data

25.4 MB in nine domains: prose in English, French, German and Spanish, and verse, all in the public domain; \
encyclopedic articles from the *validation* split of WikiText-2
(Wikipedia authors, through Merity et al. 2016; CC BY-SA 3.0); C, Python and markup of open-source projects under MIT, \
BSD-3-Clause, Apache-2.0, Zlib and CC0-1.0. Sizes and
weights: `harness/train/README.md`. The text itself is not distributed. About 13 % of the sequences are generated \
tasks. The last 5 % of each file, at most 60,000 bytes, were never
trained on; the numbers below are measured there.
"""

TEXT = """\
## Text

Windows of 256 bytes, every byte scored (so the mean context is 128 bytes), up to 100 windows per domain. "Half \
hidden": a random half of each layer's experts is hidden from
the router, which then chooses among the rest; as with a cache of half the experts that never loads any.
"""

MARKUP = """\
The slice of markup is JSON of one project whose other files are in the training part, hence its low value.
"""

TASKS = """\
## Tasks

Exact match: each byte of the answer and its newline is the most likely one. What each task is: \
`harness/train/tasks.py`. `addnew` asks for sums of pairs that training never
contains: a test of generalisation, not of memory.
"""

LIMITS = """\
## Limits

A test bed for caching and substitution, not a language model to use: it writes plausible words and little sense. With \
four layers every expert counts, so substitution does more
damage here than larger models report. One seed; another seed or processor gives slightly different numbers.

## Licence

The weights are under the Apache License 2.0, like the rest of the project.
"""


class Run:
    """What one training run left behind."""

    def __init__(self, folder):
        with open(folder / "loss.csv", newline="") as file:
            self.loss = list(csv.DictReader(file))
        self.result = json.loads((folder / "result.json").read_text())
        self.steps = int(self.loss[-1]["step"])


def table(header, rows):
    """Markdown; ends with a line break."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(header), *lines[1:]]) + "\n"


def three(number):
    return f"{number:.3f}"


def training(run, tolerant):
    amount = f"{run.steps:,} steps of 24 sequences of 256 bytes ({run.steps * STEP_BYTES / 1e6:.1f} MB)"
    recipe = (TOLERANT_RECIPE if tolerant else PLAIN_RECIPE).format(amount=amount)
    command = (TOLERANT_COMMAND if tolerant else PLAIN_COMMAND).format(steps=run.steps)
    shown = {run.steps, *(TOLERANT_STEPS if tolerant else PLAIN_STEPS)}
    columns = ("text_bits_per_byte", "task_nats_per_answer_byte", "balance", "learning_rate")
    rows = [[f"{int(row['step']):,}", *(row[name] for name in columns)]
            for row in run.loss if int(row["step"]) in shown]
    header = ["step", "text, bits/byte", "tasks, nats per answer byte", "balance (1 = even)", "learning rate"]
    return (f"## Training\n\n{recipe}\n"
            "Two processes on two CPU cores. Scripts, corpus description and how to repeat: `harness/train`.\n\n"
            f"`{command}`\n\n{table(header, rows)}\n"
            f"Means over the 50 steps before, on training text{', hidden experts included' if tolerant else ''}.\n")


def text(run, plain):
    """Bits per byte of each domain; beside the plain model's unless `plain` is None."""
    kinds = ("bits_per_byte", "bits_per_byte_half_hidden")
    header = ["domain", "bits/byte", "half hidden"]
    if plain is not None:
        header += ["plain model", "plain model, half hidden"]
    others = [plain.result] if plain is not None else []
    rows = [[domain, *(three(result[kind][domain]) for result in (run.result, *others) for kind in kinds)]
            for domain in run.result["bits_per_byte"]]
    means = [f"**{three(run.result['mean_' + kind])}**" for kind in kinds]
    means += [three(result["mean_" + kind]) for result in others for kind in kinds]
    return f"{TEXT}\n{table(header, [*rows, ['**mean**', *means]])}\n{MARKUP}"


def tasks(run):
    rows = [[task, three(share), str(run.result["problems"][task])] for task, share in run.result["tasks"].items()]
    return f"{TASKS}\n{table(['task', 'exact match', 'problems'], rows)}"


def router(run):
    r = run.result["router"]
    header = ["layer", "popularity entropy (even: 6 bits)", "shared with the previous token (even: 0.094)",
              "LRU of 32 experts, hit rate (even: about 0.48)", "rarest, busiest expert (x mean)"]
    rows = [[str(layer), f"{entropy:.2f}", three(overlap), three(hits), f"{rarest:.2f}, {busiest:.2f}"]
            for layer, (entropy, overlap, hits, rarest, busiest) in enumerate(
                zip(r["popularity_entropy_bits"], r["overlap"], r["lru_hit_rate"], r["rarest"], r["busiest"]))]
    means = "| mean | | {} | {} | |\n".format(three(mean(r["overlap"])), three(mean(r["lru_hit_rate"])))
    return ("## Router\n\nOver the validation text; overlap and hit rate are means over the domains.\n\n"
            f"{table(header, rows)}{means}")


def card(run, plain):
    tolerant = plain is not None
    return "\n".join([TOLERANT_TITLE if tolerant else PLAIN_TITLE, WHAT, training(run, tolerant), DATA,
                      text(run, plain), tasks(run), router(run), LIMITS])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", required=True, type=Path, help="folder of loss.csv and result.json")
    parser.add_argument("--plain", type=Path, help="the same of the run that this one was fine-tuned from")
    parser.add_argument("--out", required=True, type=Path, help="folder of the exported model")
    arguments = parser.parse_args()
    plain = Run(arguments.plain) if arguments.plain else None
    (arguments.out / "README.md").write_text(card(Run(arguments.run), plain))


if __name__ == "__main__":
    main()
