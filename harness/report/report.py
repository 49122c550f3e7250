#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pictures of results and profile in one HTML page that needs nothing else.

    report.py --in results.jsonl [--profile profile.safetensors] --out report.html [--plots FOLDER]

Needs matplotlib (Debian: python3-matplotlib). Bad input: one line on stderr, exit status 2, no file written.
"""

import argparse
import base64
import html
import io
import os
import sys

sys.dont_write_bytecode = True  # leave the source folder as it is

from results import BadInput, loss_percent, number_at, read_profile, read_results

def svg_of(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", dpi=110, bbox_inches="tight", metadata={"Date": None})
    return buffer.getvalue()


def cell(row, digits, *path):
    value = number_at(row, *path)
    return "" if value is None else f"{value:.{digits}f}"


def timing(rows):
    """How the times of these rows came to be."""
    return " or ".join(sorted({row.get("timing", "modelled") for row in rows}))


def table(rows):
    columns = (
        ("policy", lambda r: html.escape(r["policy"])),
        ("cache ratio", lambda r: f"{r['cache_ratio']:g}"),
        (f"tokens/s ({timing(rows)})", lambda r: cell(r, 1, "tokens_per_second")),
        (f"stall share ({timing(rows)})", lambda r: cell(r, 3, "stall_share")),
        ("hit rate", lambda r: cell(r, 3, "hit_rate")),
        ("bits/byte", lambda r: cell(r, 4, "quality", "bits_per_byte")),
        ("lost, %", lambda r: "" if loss_percent(r) is None else f"{loss_percent(r):+.2f}"),
        ("KL, nats", lambda r: cell(r, 4, "quality", "kl_nats")),
        ("top-1", lambda r: cell(r, 4, "quality", "top1_agreement")),
        ("tasks", lambda r: cell(r, 4, "quality", "task_accuracy_mean")),
    )
    head = "".join(f"<th>{name}</th>" for name, _ in columns)
    body = "".join("<tr>" + "".join(f"<td>{value(row)}</td>" for _, value in columns) + "</tr>\n" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"


STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
img{max-width:100%}table{border-collapse:collapse;font-size:13px}td,th{padding:2px 9px;text-align:right}
td:first-child,th:first-child{text-align:left}tr:nth-child(even){background:#f3f5f7}"""


def page(rows, pictures):
    first = rows[0]
    named = [name for name in ("model", "hardware", "shape", "n_tokens", "seed") if name in first]
    facts = ", ".join(f"{name} {html.escape(str(first[name]))}" for name in named)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>buddy-harness</title>',
        f"<style>{STYLE}</style></head><body><h1>Speed against quality of expert policies</h1>",
        f"<p>{facts}. All times are {timing(rows)}; quality is measured against the exact model.</p>",
        table(rows),
    ]
    for _, heading, image in pictures:
        data = base64.b64encode(image).decode("ascii")
        parts.append(f'<h2>{heading}</h2><img alt="{heading}" src="data:image/svg+xml;base64,{data}">')
    return "\n".join(parts) + "\n</body></html>\n"


def write(path, data):
    """The file appears whole or not at all; a link stays, a pipe or a device is no file."""
    path = os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise BadInput(f"{path}: cannot be written: is not a regular file")
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError as error:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise BadInput(f"{path}: {error.strerror}") from error


def main():
    parser = argparse.ArgumentParser(prog="report.py", description=__doc__.splitlines()[0])
    parser.add_argument("--in", dest="results", required=True, help="JSON lines of runs")
    parser.add_argument("--profile", help="profile of the model, for the heat maps")
    parser.add_argument("--out", required=True, help="the page to write")
    parser.add_argument("--plots", help="folder for one SVG file a picture")
    arguments = parser.parse_args()
    rows = read_results(arguments.results)
    profile = read_profile(arguments.profile) if arguments.profile else None
    from pictures import draw  # needs matplotlib, the rest does not

    pictures = [(name, heading, svg_of(figure)) for name, heading, figure in draw(rows, profile)]
    if arguments.plots:
        os.makedirs(arguments.plots, exist_ok=True)
        for name, _, image in pictures:
            write(os.path.join(arguments.plots, f"{name}.svg"), image)
    write(arguments.out, page(rows, pictures).encode("utf-8"))
    try:
        print(f"{arguments.out}: {len(rows)} runs, {len(pictures)} pictures", flush=True)
    except OSError:
        print("buddy-harness: standard output cannot be written", file=sys.stderr)
        os._exit(1)  # or Python tries to flush again, and fails again


if __name__ == "__main__":
    try:
        main()
    except BadInput as bad:
        print(f"buddy-harness: {bad}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as missing:
        system = "/usr/bin/python3"  # what apt-get installs belongs to this one, which need not be the first in PATH
        if os.path.exists(system) and not os.path.samefile(sys.executable, system):
            os.execv(system, [system, *sys.argv])
        print(f"buddy-harness: report needs {missing.name} (Debian: python3-matplotlib)", file=sys.stderr)
        sys.exit(2)
