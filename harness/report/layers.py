# SPDX-License-Identifier: Apache-2.0
"""Tables of stacks of layers: layers.py LINES.jsonl SMALL.jsonl prints markdown, and keeps the fields it used."""

import json
import sys

KEEP = ("kind", "policy", "backend", "timing", "hardware", "shape", "routing", "cache_ratio", "batch", "seed", "n_tokens", "hit_rate",
        "share", "tokens_per_second", "ratio_to_all_resident", "ratio_to_on_demand", "stall_us_per_layer", "link_gbps",
        "link_share_of_peak")

HEAD = """# Stacks of layers, modelled

MoE layers of four public models on two machines, one token a step, half of the experts of each layer in fast memory, every mode on the same routing. *Modelled*: a
prediction of the cost model ([how](benchmarks.md)), made by `scripts/results-layers`; what a GPU makes of it is [not measured yet](results-gpu.md). The
routing is drawn so that an LRU hits as often as on recorded routing of the model, or as published. Stand-ins are random residents: this page is about
time, and says nothing of quality; so does `buddymoe`, whose gates read gate weights that a drawn trace makes up: falling ones, which they protect. Ratios are
medians of five rounds. A prefetch that is governed copies only in idle link time, of which a layer on demand leaves less than one record needs.
"""


def cell(ratio):
    return "-" if ratio is None else f"{ratio['median']:.2f}x"


def table(rows):
    lines = ["| mode | tokens/s | of all resident | over on demand | stall, us a layer | link, share of peak | hits | stand-ins | CPU | fetched | left out |",
             "|---|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        share = row["share"]
        parts = [f"{100 * share[name]:.1f} %" for name in ("own", "buddy", "host", "fetch", "drop")]
        lines.append(f"| `{row['policy']}` | {row['tokens_per_second']:.1f} | {cell(row['ratio_to_all_resident'])} "
                     f"| {cell(row['ratio_to_on_demand'])} | {row['stall_us_per_layer']:.1f} | {100 * row['link_share_of_peak']:.0f} % | "
                     + " | ".join(parts) + " |")
    return "\n".join(lines)


def rounded(value):
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {name: rounded(x) for name, x in value.items()}
    return value


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    with open(sys.argv[2], "w", encoding="utf-8") as small:
        for row in rows:
            small.write(json.dumps({name: rounded(row[name]) for name in KEEP}, separators=(",", ":")) + "\n")
    print(HEAD)
    for shape in dict.fromkeys(row["shape"] for row in rows):
        for machine in dict.fromkeys(row["hardware"] for row in rows):
            mine = [row for row in rows if row["shape"] == shape and row["hardware"] == machine]
            print(f"## {shape} on {machine}\n\n{table(mine)}\n")


if __name__ == "__main__":
    main()
