# SPDX-License-Identifier: Apache-2.0
"""Measures a checkpoint or an exported model: text, tasks, and what the router does.

    python3 evaluate.py --corpus domains.json --model models/reference [--out result.json]

- bits per byte of each domain: windows of 256 bytes of its validation slice, every byte scored;
- the same with a random half of each layer's experts hidden from the router (a cache that never loads anything);
- exact match of each task: every byte of the answer, its newline included, is the most likely one;
- of the router, per layer: popularity entropy (uniform: log2 E = 6), the share of a token's experts that the token
  before it had too, the hit rate of an LRU of half the experts, and the least and most popular expert.
"""

import kernels  # first: it sets the environment

import argparse
import json
import math
from collections import OrderedDict
from pathlib import Path

import data
import numpy as np
import tasks
import torch
import torch.nn.functional as F
from export import load_model
from model import forward
from rng import stream

FOR_EVALUATION, FOR_HIDING = 4, 5
BATCH = 10
WARM = 64  # tokens at the start of a stream that fill the cache and are not counted


def run(parameters, config, sequences, hidden_experts=None):
    """(logits, tokens, experts) per batch of the byte strings; each begins a context of its own."""
    for first in range(0, len(sequences), BATCH):
        group = np.stack([np.frombuffer(s, np.uint8) for s in sequences[first:first + BATCH]])
        tokens, routings = torch.from_numpy(group.astype(np.int64)), []
        hidden = hidden_experts[:, first:first + BATCH] if hidden_experts is not None else None
        with torch.no_grad():
            logits, _ = forward(parameters, config, tokens[:, :-1], kernels.FusedOps, hidden, routings)
        yield logits, tokens, np.stack([ids.numpy() for _, ids, _ in routings], 1)


def windows(text, length, count):
    """`count` windows of length + 1 bytes that predict disjoint bytes, spread over the slice."""
    whole = (len(text) - 1) // length
    count = min(count, whole)
    return [text[i * whole // count * length:][:length + 1].tobytes() for i in range(count)]


def half_hidden(config, count):
    """bool [layers, count, experts]: a random half of each layer, drawn anew for each sequence."""
    mask = torch.zeros(config.layers, count, config.experts, dtype=torch.bool)
    for sequence in range(count):
        for layer in range(config.layers):
            rng = stream(FOR_HIDING, sequence, layer)
            order = sorted(range(config.experts), key=lambda _, rng=rng: rng.next())
            mask[layer, sequence, order[:config.experts // 2]] = True
    return mask


def bits_per_byte(parameters, config, sequences, hidden_experts=None):
    """(bits per byte, experts [tokens, layers, top_k])."""
    total, experts = 0.0, []
    for logits, tokens, ids in run(parameters, config, sequences, hidden_experts):
        total += F.cross_entropy(logits.reshape(-1, config.vocabulary), tokens[:, 1:].reshape(-1),
                                 reduction="sum").item()
        experts.append(ids)
    return total / math.log(2) / (len(sequences) * config.context), np.concatenate(experts)


def task_accuracy(parameters, config, task, count):
    """Share of exact answers among the problems of `count` sequences, and the number of problems."""
    drawn = [tasks.sequence(stream(FOR_EVALUATION, tasks.TASK_NAMES.index(task), i), config.context + 1, task)
             for i in range(count)]
    right = total = place = 0
    for logits, tokens, _ in run(parameters, config, [text for text, _, _ in drawn]):
        correct = (logits.argmax(-1) == tokens[:, 1:]).numpy()
        for row in correct:
            for begin, end in drawn[place][2]:
                right += row[begin - 1:end - 1].all()
                total += 1
            place += 1
    return right / total, total


def entropy(shares):
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())


def lru_hit_rate(stream_of_experts, capacity):
    """Experts in the order of tokens; the heaviest of a token counts as its most recent one."""
    cache, hits, total = OrderedDict(), 0, 0
    for position, experts in enumerate(stream_of_experts):
        if position >= WARM:
            hits += sum(expert in cache for expert in experts)
            total += len(experts)
        for expert in reversed(experts):
            cache[expert] = None
            cache.move_to_end(expert)
        while len(cache) > capacity:
            cache.popitem(last=False)
    return hits / total


def router_statistics(config, experts_of):
    """Per layer, from domain -> experts [tokens, layers, top_k]; overlap and hit rate are means over the domains."""
    result = {"popularity_entropy_bits": [], "overlap": [], "lru_hit_rate": [], "rarest": [], "busiest": []}
    for layer in range(config.layers):
        streams = [experts[:, layer] for experts in experts_of.values()]
        shares = np.mean([np.bincount(s.ravel(), minlength=config.experts) / s.size for s in streams], 0)
        result["popularity_entropy_bits"].append(entropy(shares))
        result["rarest"].append(float(shares.min() * config.experts))
        result["busiest"].append(float(shares.max() * config.experts))
        in_context = [s.reshape(-1, config.context, config.top_k) for s in streams]
        same = [(s[:, 1:, :, None] == s[:, :-1, None, :]).sum((2, 3)).mean() / config.top_k for s in in_context]
        result["overlap"].append(float(np.mean(same)))
        result["lru_hit_rate"].append(float(np.mean([lru_hit_rate(s.tolist(), config.experts // 2) for s in streams])))
    return result


def evaluate(parameters, config, corpus, n_windows, n_task_sequences):
    result = {"bits_per_byte": {}, "bits_per_byte_half_hidden": {}, "tasks": {}, "problems": {}}
    experts_of = {}
    for domain in corpus.domains:
        text = windows(corpus.validation[domain], config.context, n_windows)
        result["bits_per_byte"][domain], experts_of[domain] = bits_per_byte(parameters, config, text)
        hidden = half_hidden(config, len(text))
        result["bits_per_byte_half_hidden"][domain], _ = bits_per_byte(parameters, config, text, hidden)
    for kind in ("bits_per_byte", "bits_per_byte_half_hidden"):
        result[f"mean_{kind}"] = float(np.mean(list(result[kind].values())))
    for task in tasks.TASK_NAMES:
        result["tasks"][task], result["problems"][task] = task_accuracy(parameters, config, task, n_task_sequences)
    result["router"] = router_statistics(config, experts_of)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--model", required=True, help="checkpoint or exported folder")
    parser.add_argument("--windows", type=int, default=100, help="windows of 256 bytes per domain")
    parser.add_argument("--task-sequences", type=int, default=30, help="sequences of 256 bytes per task")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    parameters, config = load_model(arguments.model)
    result = evaluate(parameters, config, data.Corpus(arguments.corpus), arguments.windows, arguments.task_sequences)
    text = json.dumps(result, indent=1)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
