# SPDX-License-Identifier: Apache-2.0
"""Turns result lines (JSON, one a run) into a Markdown table: markdown.py TITLE RESULTS.jsonl [CONFIG_KEY ...]

Each CONFIG_KEY names a setting that gets a column of its own. Speed is relative to the row `fetch` of the same cache
ratio when the file holds one, else it is in tokens per second.
"""

import sys

from results import BadInput, loss_percent, number_at, read_results

COLUMNS = (
    ("hit rate", "{:.1%}", ("hit_rate",)),
    ("buddy", "{:.1%}", ("share", "buddy")),
    ("fetch", "{:.1%}", ("share", "fetch")),
    ("drop", "{:.1%}", ("share", "drop")),
    ("bits/byte", "{:+.3f}", ("quality", "bits_per_byte_change")),
    ("± s.e.", "{:.3f}", ("quality", "standard_error", "bits_per_byte_change")),
    ("KL, nats", "{:.4f}", ("quality", "kl_nats")),
    ("top-1", "{:.1%}", ("quality", "top1_agreement")),
    ("tasks", "{:.1%}", ("quality", "task_accuracy_mean")),
)


def speed(row, rows):
    for other in rows:
        if other["policy"] == "fetch" and other["cache_ratio"] == row["cache_ratio"]:
            return f"{row['tokens_per_second'] / other['tokens_per_second']:.2f}x"
    return f"{row['tokens_per_second']:.1f} tok/s"


def cells(row, rows, keys):
    yield row["policy"]
    yield f"{row['cache_ratio']:g}"
    for key in keys:
        value = row.get("config", {}).get(key)
        yield "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    yield speed(row, rows)
    for _, form, path in COLUMNS:
        value = number_at(row, *path)
        yield "-" if value is None else form.format(value)
    loss = loss_percent(row)
    yield "-" if loss is None else f"{loss:+.1f} %"


def table(title, rows, keys):
    names = ["policy", "ratio", *keys, "speed, modelled", *(name for name, _, _ in COLUMNS), "loss"]
    lines = [f"## {title}", "", "| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(cells(row, rows, keys)) + " |" for row in rows]
    first = rows[0]
    lines += ["", f"Model `{first.get('model')}`, {first.get('n_tokens')} tokens a row, seed {first.get('seed')}; speed "
              f"modelled for {first.get('hardware')}, sizes of {first.get('shape')}.", ""]
    return "\n".join(lines)


def main():
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        print(table(sys.argv[1], read_results(sys.argv[2]), sys.argv[3:]))
    except BadInput as error:
        print(f"markdown.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
