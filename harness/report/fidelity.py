# SPDX-License-Identifier: Apache-2.0
"""Two Markdown tables from result lines: what each stand-in loses when every miss is replaced, and how plans divide the
bytes.

    python3 fidelity.py TITLE stand-ins.jsonl plans.jsonl
"""

import json
import sys


def lines_of(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def name_of(line):
    config = line["config"]
    if line["policy"] != "stand_in":
        return line["policy"]
    if config["buddies"]:
        return "buddies, least squares"
    if not config["layer_stand_ins"]:
        return config["stand_ins"]
    layers = zip(config["layer_stand_ins"], config["layer_slots"])
    return "plan: " + "; ".join(f"{kind} + {slots} slots" for kind, slots in layers)


def kl(line):
    quality = line["quality"]
    low, high = quality["kl_nats_interval"]
    return f"{quality['kl_nats']:.5f} [{low:.5f}, {high:.5f}]"


def missed(line):
    share = line["share"]
    return f"{100 * (1 - share['own']):.1f}"


def row_of(free, equal):
    any_line = equal or free
    cells = [name_of(any_line)]
    for line in (free, equal):
        cells += [kl(line), missed(line)] if line else ["", ""]
    quality = any_line["quality"]
    cells.append(f"{quality['bits_per_byte_change']:+.4f}")
    cells.append(f"{100 * quality['task_accuracy_mean']:.1f}")
    return cells


def table(header, rows):
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def main():
    title, runs, plans = sys.argv[1:4]
    by_name = {}
    for line in lines_of(runs):
        kind = "free" if line["config"]["free_stand_ins"] else "equal"
        by_name.setdefault(name_of(line), {})[kind] = line
    exact = next(iter(by_name.values()))
    exact = (exact.get("equal") or exact["free"])["quality"]
    print(f"\n## {title}\n")
    print(f"Every miss replaced, nothing waited for, LRU, half of the experts' bytes; exact "
          f"{exact['bits_per_byte_exact']:.3f} bits a byte, tasks {100 * exact['task_accuracy_mean_exact']:.1f} %.\n")
    table(["stand-in", "KL, nats, bytes not charged [95 %]", "missed, %", "KL, nats, equal bytes [95 %]", "missed, %",
           "bits a byte", "tasks, %"],
          [row_of(entry.get("free"), entry.get("equal")) for entry in by_name.values()])
    print("\nPlans for the same bytes:\n")
    rows = []
    for plan in lines_of(plans):
        layers = "; ".join(f"{layer['stand_ins']} + {layer['slots']}" for layer in plan["layers"])
        rows.append([f"{100 * plan['fetched_target']:.0f}", f"{100 * plan['fetched_share']:.1f}", layers,
                     f"{plan['loss_bits']:.5f}", "exact" if plan["exact"] else "greedy"])
    table(["fetched at most, %", "fetched, %", "stand-ins + slots of each layer", "expected loss, bits", "split"], rows)


if __name__ == "__main__":
    main()
