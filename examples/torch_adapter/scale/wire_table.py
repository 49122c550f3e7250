# SPDX-License-Identifier: Apache-2.0
"""wire_table.py <torch_02_expert_parallel> <models/reference> <text>: bytes on the wire and modelled time against loss.

Runs the bundled model on four processes, "two hosts of two". Bytes and loss are measured; the time is modelled, for the
same shares of rows at the sizes of a larger model (hidden 2048 in bf16, 64 tokens a GPU, top-6)."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import torch

from link_model import Links

RANKS, TOKENS = 4, int(os.environ.get("TOKENS", "240"))
SETTINGS = [
    ("exact", []),
    ("replicas of the 8 hottest", ["--replicas", "8"]),
    *((f"stand-ins below a share of {s}", ["--max-share-network", s]) for s in ("0.05", "0.1", "0.15", "0.2", "1")),
    ("the same, .15, kappa .3", ["--max-share-network", "0.15", "--kappa", "0.3"]),
    ("the same, .15, also next door", ["--max-share-network", "0.15", "--max-share-host", "0.15"]),
    ("the same, .15, and 8 replicas", ["--max-share-network", "0.15", "--replicas", "8"]),
]


def run(program, model, text, options, ranks=RANKS, per_host=2):
    """(reports, logits [ranks * tokens, vocab]) of one setting."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        commands = [
            [program, model, text, folder / "rendezvous", str(r), str(ranks), "--tokens", str(TOKENS)]
            + ["--ranks-per-host", str(per_host), "--logits", folder / f"logits.{r}", *options]
            for r in range(ranks)
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        running = [subprocess.Popen(c, stdout=subprocess.PIPE, text=True, env=environment) for c in commands]
        reports = [json.loads(p.communicate(timeout=600)[0]) for p in running]
        raw = b"".join((folder / f"logits.{r}").read_bytes() for r in range(ranks))
    return reports, torch.frombuffer(bytearray(raw), dtype=torch.float32).view(ranks * TOKENS, -1)


def mean(reports, name):
    return sum(r[name] for r in reports) / len(reports)


def modelled_us(reports, links=Links(), tokens=64, top_k=6, row=2 * 2048):
    """Dispatch and combine of one layer for the shares of rows that were measured."""
    rows = tokens * top_k
    return 2 * links.exchange_us(rows * mean(reports, "host") * row, rows * mean(reports, "network") * row, 0.0, 1, 2)


def loss(exact, logits):
    """Mean KL against the exact run, in nats."""
    exact, logs = (t.double().log_softmax(-1) for t in (exact, logits))
    return (exact.exp() * (exact - logs)).sum(-1).mean()


def shrinking_hosts(program, model, text):
    """The same budget where a host holds fewer and fewer experts."""
    print("| experts on a host, of 64 | slots to the network, exact | replaced | KL, nats | KL per replaced slot |")
    print("|---|---|---|---|---|")
    for ranks, per_host in ((4, 2), (4, 1), (8, 1)):
        reports, exact = run(program, model, text, [], ranks, per_host)
        fewer, logits = run(program, model, text, ["--max-share-network", "0.15"], ranks, per_host)
        kl, replaced = loss(exact, logits), mean(fewer, "replaced")
        print(
            f"| {64 * per_host // ranks} | {mean(reports, 'network'):.1%} | {replaced:.1%} | {kl:.4f} | {kl / replaced:.3f} |",
            flush=True,
        )


def main(program, model, text):
    print("| setting | slots to the network | next door | replaced | bytes a token, network + host | exchanges of a layer, us | bits per byte | KL, nats |")
    print("|---|---|---|---|---|---|---|---|")
    exact = None
    for name, options in SETTINGS:
        reports, logits = run(program, model, text, options)
        exact = logits if exact is None else exact
        print(
            f"| {name} | {mean(reports, 'network'):.1%} | {mean(reports, 'host'):.1%} | {mean(reports, 'replaced'):.1%} "
            f"| {mean(reports, 'network_bytes'):.0f} + {mean(reports, 'host_bytes'):.0f} | {modelled_us(reports):.1f} "
            f"| {mean(reports, 'bits'):.4f} | {loss(exact, logits):.4f} |",
            flush=True,
        )
    print()
    shrinking_hosts(program, model, text)


if __name__ == "__main__":
    main(*sys.argv[1:4])
