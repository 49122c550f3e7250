# SPDX-License-Identifier: Apache-2.0
"""scale_out.py [--markdown]: expert parallelism on 8 to 512 GPUs, with and without stand-ins that are nearer.

The tables of docs/scale-out.md. A model on paper with a simulated load: routing is drawn from a popularity law, and the
GPU with most bytes ends the exchange. Nothing here was run on GPUs."""
import argparse
import bisect
import itertools
import random
from dataclasses import dataclass, replace

from link_model import Links


@dataclass(frozen=True)
class Model:
    """Sizes like DeepSeek-V3's; one decode step."""

    experts: int = 256
    top_k: int = 8
    layers: int = 58
    hidden: int = 7168
    dispatch_bytes: int = 1  # of a number on the way out (8 bits), and
    combine_bytes: int = 2  # on the way back (bf16)
    expert_bytes: int = 3 * 7168 * 2048  # 8-bit weights
    attention_us: float = 60.0  # the rest of a layer; stated, not derived
    memory_gbps: float = 3000.0  # reads the experts of a GPU once a step
    skew: float = 0.25  # popularity of the n-th expert: (n + 1)^-skew


@dataclass(frozen=True)
class Load:
    """Rows of one layer: the mean over GPUs, and the GPU that has most."""

    host: float
    network: float
    most_host: float
    most_network: float
    far: float  # share of the network's rows that cross the upper switches
    distinct: float  # experts that the busiest GPU reads


def owners(model, gpus):
    """[experts] the GPUs that hold each: with more GPUs than experts, several hold the same one."""
    if gpus <= model.experts:
        return [[e * gpus // model.experts] for e in range(model.experts)]
    return [[g for g in range(gpus) if g * model.experts // gpus == e] for e in range(model.experts)]


def draw(model, rng, cumulative):
    chosen = set()
    while len(chosen) < model.top_k:
        chosen.add(bisect.bisect_left(cumulative, rng.random() * cumulative[-1]))
    return chosen


def simulate(model, links, gpus, tokens, per_host, replaced, seed=1):
    """Routes a layer's batch. `replaced`: share of the slots bound for the network that somebody on the host serves."""
    rng = random.Random(seed)
    order = list(range(model.experts))
    rng.shuffle(order)
    popularity = [0.0] * model.experts
    for n, e in enumerate(order):
        popularity[e] = (n + 1.0) ** -model.skew
    cumulative = list(itertools.accumulate(popularity))
    held_by = owners(model, gpus)
    host_in, network_in, host_out, network_out = ([0] * gpus for _ in range(4))
    read = [set() for _ in range(gpus)]
    far = 0
    for gpu in range(gpus):
        for _ in range(tokens):
            for e in draw(model, rng, cumulative):
                holders = held_by[e]
                near = [h for h in holders if h // per_host == gpu // per_host]
                to = gpu if gpu in near else (near or holders)[gpu % len(near or holders)]
                if to // per_host != gpu // per_host and rng.random() < replaced:
                    to = gpu // per_host * per_host + rng.randrange(min(per_host, gpus))
                    e = None
                if e is not None:
                    read[to].add(e)
                if to == gpu:
                    continue
                if to // per_host == gpu // per_host:
                    host_in[to] += 1
                    host_out[gpu] += 1
                else:
                    network_in[to] += 1
                    network_out[gpu] += 1
                    leaf = per_host * links.hosts_of_a_leaf
                    far += to // leaf != gpu // leaf
    total = sum(network_in)
    return Load(
        sum(host_in) / gpus,
        total / gpus,
        max(map(max, zip(host_in, host_out))),
        max(map(max, zip(network_in, network_out))),
        far / total if total else 0.0,
        max(len(r) for r in read),
    )


def layer_us(model, links, gpus, per_host, load):
    """(both exchanges, experts) of one layer."""
    peers = (min(per_host, gpus) - 1, gpus - per_host if gpus > per_host else 0)
    exchange = 0.0
    for width in (model.dispatch_bytes, model.combine_bytes):
        row = model.hidden * width
        exchange += links.exchange_us(load.most_host * row, load.most_network * row, load.far, *peers)
    return exchange, load.distinct * model.expert_bytes / model.memory_gbps / 1e3


def step_ms(model, parts, overlap):
    """Two half batches hide the exchange behind the computation of the other half, as far as it goes."""
    exchange, experts = parts
    compute = model.attention_us + experts
    return model.layers * (max(exchange, compute) if overlap else exchange + compute) / 1e3


def rows(model, links, sizes, tokens, per_host, replaced):
    for gpus in sizes:
        exact = simulate(model, links, gpus, tokens, per_host, 0.0)
        fewer = simulate(model, links, gpus, tokens, per_host, replaced)
        yield gpus, exact, fewer, layer_us(model, links, gpus, per_host, exact), layer_us(model, links, gpus, per_host, fewer)


def table(title, model, links, tokens, per_host=8, replaced=0.3, sizes=(8, 16, 32, 64, 128, 256, 512)):
    print(f"\n{title}\n")
    print("| GPUs | experts on a host | rows to the network, mean / most | exchanges of a layer, us | with stand-ins | step in turn | overlapped |")
    print("|---|---|---|---|---|---|---|")
    for gpus, exact, fewer, before, after in rows(model, links, sizes, tokens, per_host, replaced):
        pool = min(model.experts, max(1, model.experts * per_host // gpus))
        gains = [step_ms(model, before, o) / step_ms(model, after, o) for o in (False, True)]
        print(
            f"| {gpus} | {pool} | {exact.network:.0f} / {exact.most_network} | {before[0]:.0f} | {after[0]:.0f} "
            f"| {gains[0]:.2f}x | {gains[1]:.2f}x |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replaced", type=float, default=0.3, help="share of the slots bound for the network")
    parser.add_argument("--quick", action="store_true", help="up to 64 GPUs: a test")
    args = parser.parse_args()
    sizes = (8, 16, 64) if args.quick else (8, 16, 32, 64, 128, 256, 512)
    model, links = Model(), Links()
    percent = f"{args.replaced:.0%} of the network's slots replaced"
    table(f"Decode, 32 tokens a GPU; {percent}", model, links, 32, replaced=args.replaced, sizes=sizes)
    table(f"Decode, 128 tokens a GPU; {percent}", model, links, 128, replaced=args.replaced, sizes=sizes)
    table(f"The same with a tapered upper level (1/4)", model, replace(links, taper=0.25), 128, replaced=args.replaced, sizes=sizes)
    table(f"The same on 100 Gb/s a GPU", model, replace(links, network_gbps=11.0), 128, replaced=args.replaced, sizes=sizes)
    check(model, links)


def check(model, links):
    """Numbers that can be said without the program."""
    alone = simulate(model, links, 8, 16, 8, 0.0)
    assert alone.network == 0 and abs(alone.host - 16 * 8 * 7 / 8) < 6, alone
    two = simulate(model, links, 16, 64, 8, 0.0)
    assert abs(two.network - 64 * 8 / 2) < 20, two  # half of the experts are on the other host
    all_replaced = simulate(model, links, 16, 16, 8, 1.0)
    assert all_replaced.network == 0
    assert links.exchange_us(0, 45e3, network_peers=1) == 12.0 + 1.0 + 0.1  # 45 kB at 45 GB/s


if __name__ == "__main__":
    main()
