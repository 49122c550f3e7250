# SPDX-License-Identifier: Apache-2.0
"""Tables and a plot of replays: policies.py LINES.jsonl PLOT.svg TRACE... prints markdown.

Hit rates are of decoded tokens. Every row of a table has the same bytes, and the bounds stand below the policies."""

import hashlib
import json
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

BOUNDS = ("random", "static", "belady")


def key(row):
    return row["trace"], row["config"]["pool"]


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def table(rows):
    """Policies down, capacities across."""
    slots = sorted({row["slots"] for row in rows})
    ratio = {row["slots"]: row["cache_ratio"] for row in rows}
    lines = ["| eviction | " + " | ".join(f"{ratio[s]:.3f} ({s})" for s in slots) + " |", "|---|" + "---|" * len(slots)]
    names = list(dict.fromkeys(row["config"]["eviction"] for row in rows))
    at = {(row["config"]["eviction"], row["slots"]): row for row in rows}
    for name in names:
        cells = [f"{100 * at[name, s]['hit_rate']:.1f}" for s in slots]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for bound in BOUNDS:
        cells = [f"*{100 * at[names[0], s]['bounds'][bound]:.1f}*" for s in slots]
        lines.append(f"| *{bound}* | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(rows, path):
    """One panel a trace and pool: every policy a thin line, the bounds thick."""
    keys = list(dict.fromkeys(map(key, rows)))
    columns = min(2, len(keys))
    height = -(-len(keys) // columns)
    figure, panels = plt.subplots(height, columns, figsize=(5 * columns, 3.4 * height), squeeze=False, sharey=True)
    for axis, which in zip(panels.flat, keys):
        mine = [row for row in rows if key(row) == which]
        for name in dict.fromkeys(row["config"]["eviction"] for row in mine):
            line = sorted((row["cache_ratio"], 100 * row["hit_rate"]) for row in mine if row["config"]["eviction"] == name)
            axis.plot(*zip(*line), linewidth=0.9, marker=".", markersize=3, label=name)
        for bound, style in zip(BOUNDS, (":", "--", "-")):
            line = sorted({(row["cache_ratio"], 100 * row["bounds"][bound]) for row in mine})
            axis.plot(*zip(*line), style, color="black", linewidth=1.8, label=bound + " (bound)")
        axis.set_title(f"{which[0].removesuffix('.safetensors')}, {which[1]}", fontsize=9)
        axis.set_xlabel("cache ratio")
        axis.set_ylabel("hit rate, %")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncol=5, frameon=False, fontsize=7)
    figure.tight_layout(rect=(0, 0.1, 1, 1))
    figure.savefig(path, metadata={"Date": None})


def main():
    lines, picture, traces = sys.argv[1], sys.argv[2], sys.argv[3:]
    with open(lines, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    print("## Traces\n\n| trace | model | decoded tokens | first-ever look-ups | SHA-256 |\n|---|---|---|---|---|")
    for trace in traces:
        name = trace.rsplit("/", 1)[-1]
        row = next(row for row in rows if row["trace"] == name)
        share = row["compulsory_misses"] / row["lookups"]
        print(f"| {name} | {row['model']} | {row['n_tokens']} | {100 * share:.1f} % | `{sha256(trace)}` |")
    print("\n![Hit rate against cache ratio](results/policies/hit-rates.svg)\n")
    for which in dict.fromkeys(map(key, rows)):
        print(f"## {which[0].removesuffix('.safetensors')}, {which[1]} pools\n")
        print(table([row for row in rows if key(row) == which]) + "\n")
    plot(rows, picture)


if __name__ == "__main__":
    main()
