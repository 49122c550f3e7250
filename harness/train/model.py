# SPDX-License-Identifier: Apache-2.0
"""The reference model: a small Mixture-of-Experts transformer of the Hugging Face layout `qwen3_moe`.

`forward` is written once. Its four heavy operations come from an object `ops`: PlainOps below is readable PyTorch and
the definition; kernels.FusedOps computes the same much faster, with its own derivatives (checked by gradcheck.py).

Shapes: B sequences of T bytes, N = B * T tokens, D hidden size, E experts, K of them per token, H expert hidden size.
"""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Config:
    vocabulary: int = 256
    width: int = 128
    layers: int = 4
    heads: int = 4
    groups: int = 2  # heads of keys and values
    head_size: int = 32
    experts: int = 64
    top_k: int = 6
    expert_hidden: int = 32
    context: int = 256
    epsilon: float = 1e-6
    rope_base: float = 10000.0

    def to_dict(self):
        return asdict(self)


def parameter_shapes(c):
    """Name -> shape of every parameter, in the order of the flat parameter vector."""
    shapes = {"embedding": (c.vocabulary, c.width), "head": (c.vocabulary, c.width), "final_norm": (c.width,)}
    for layer in range(c.layers):
        shapes.update({
            f"{layer}.attention_norm": (c.width,),
            f"{layer}.query": (c.heads * c.head_size, c.width),
            f"{layer}.key": (c.groups * c.head_size, c.width),
            f"{layer}.value": (c.groups * c.head_size, c.width),
            f"{layer}.output": (c.width, c.heads * c.head_size),
            f"{layer}.query_norm": (c.head_size,),
            f"{layer}.key_norm": (c.head_size,),
            f"{layer}.expert_norm": (c.width,),
            f"{layer}.router": (c.experts, c.width),
            f"{layer}.gate_up": (c.experts, 2 * c.expert_hidden, c.width),  # rows of gate, then rows of up
            f"{layer}.down": (c.experts, c.width, c.expert_hidden),
        })
    return shapes


def parameter_count(c):
    return sum(math.prod(shape) for shape in parameter_shapes(c).values())


def parameter_views(flat, c):
    """Name -> view into the flat vector: one vector makes the optimiser and the shared memory simple."""
    views, begin = {}, 0
    for name, shape in parameter_shapes(c).items():
        size = math.prod(shape)
        views[name] = flat[begin:begin + size].view(*shape)
        begin += size
    return views


def initialise(flat, c, seed):
    """Normal with deviation 1 / sqrt(fan in); smaller where a layer adds to the residual and where logits begin."""
    generator = torch.Generator().manual_seed(seed)
    for name, view in parameter_views(flat, c).items():
        kind = name.split(".")[-1]
        if view.dim() == 1:
            view.fill_(1.0)
            continue
        deviation = {"embedding": 0.1, "head": 0.02, "router": 0.02}.get(kind, 1 / math.sqrt(view.shape[-1]))
        if kind in ("output", "down"):
            deviation /= math.sqrt(2 * c.layers)
        view.normal_(0, deviation, generator=generator)


def rope_tables(c, length):
    """Cosine and sine [length, head_size / 2] of position / rope_base^(2 i / head_size)."""
    inverse = 1 / c.rope_base ** (torch.arange(0, c.head_size, 2).float() / c.head_size)
    angles = torch.arange(length).float()[:, None] * inverse[None]
    return angles.cos().contiguous(), angles.sin().contiguous()


class PlainOps:
    """The heavy operations, as PyTorch says them."""

    @staticmethod
    def rms_norm(x, weight, epsilon):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon) * weight

    @staticmethod
    def rope(x, cosine, sine):
        """Rotates the pairs (i, i + head_size / 2) of x [B, T, heads, head_size]."""
        first, second = x.chunk(2, -1)
        cosine, sine = cosine[:, None], sine[:, None]
        return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)

    @staticmethod
    def attention(q, k, v):
        """Causal; q [B, T, heads, size], k and v [B, T, groups, size]; each group serves heads / groups heads."""
        repeats = q.shape[2] // k.shape[2]
        k, v = k.repeat_interleave(repeats, 2), v.repeat_interleave(repeats, 2)
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.shape[-1])
        future = torch.ones(q.shape[1], q.shape[1], dtype=torch.bool).triu(1)
        probabilities = F.softmax(scores.masked_fill(future, -math.inf), -1)
        return torch.einsum("bhqk,bkhd->bqhd", probabilities, v)

    @staticmethod
    def experts(x, weights, ids, gate_up, down):
        """sum over k of weights[:, k] * down_e(silu(gate_e x) * up_e x) with e = ids[:, k]; x [N, D]."""
        out = torch.zeros_like(x)
        for expert in range(gate_up.shape[0]):
            token, place = (ids == expert).nonzero(as_tuple=True)
            gate, up = F.linear(x[token], gate_up[expert]).chunk(2, -1)
            y = F.linear(F.silu(gate) * up, down[expert])
            out = out.index_add(0, token, y * weights[token, place, None])
        return out


def route(x, router, top_k, hidden_experts=None):
    """Softmax over all experts, the top_k largest, their probabilities normalised to sum 1.

    @param hidden_experts [N, E] bool or None: experts that the router must not choose
    @return (weights [N, K] descending, ids [N, K], probabilities [N, E])
    """
    logits = F.linear(x, router)
    if hidden_experts is not None:
        logits = logits.masked_fill(hidden_experts, -1e9)
    probabilities = F.softmax(logits, -1)
    weights, ids = probabilities.topk(top_k, -1)
    return weights / weights.sum(-1, keepdim=True), ids, probabilities


def balance_loss(ids, probabilities):
    """E * sum_e f_e P_e: 1 when balanced. f_e is the share of assignments, P_e the mean probability.

    Source: Switch Transformer, arXiv:2101.03961, Eq. 4; f is divided by K so that it sums to 1.
    """
    n_experts = probabilities.shape[-1]
    share = torch.bincount(ids.reshape(-1), minlength=n_experts).float() / ids.numel()
    return n_experts * (share * probabilities.mean(0)).sum()


def attention_block(h, w, c, ops, tables):
    """What attention adds to the residual h [B, T, D]."""
    batch, length, _ = h.shape
    x = ops.rms_norm(h, w["attention_norm"], c.epsilon)

    def heads(kind, count):
        return F.linear(x, w[kind]).view(batch, length, count, c.head_size)

    q = ops.rope(ops.rms_norm(heads("query", c.heads), w["query_norm"], c.epsilon), *tables)
    k = ops.rope(ops.rms_norm(heads("key", c.groups), w["key_norm"], c.epsilon), *tables)
    mixed = ops.attention(q, k, heads("value", c.groups))
    return F.linear(mixed.reshape(batch, length, -1), w["output"])


def expert_block(h, w, c, ops, hidden_experts):
    """(what the experts add to the residual h, the routing); hidden_experts [B, E] bool or None."""
    x = ops.rms_norm(h, w["expert_norm"], c.epsilon).view(-1, c.width)
    if hidden_experts is not None:
        hidden_experts = hidden_experts.repeat_interleave(h.shape[1], 0)
    weights, ids, probabilities = route(x, w["router"], c.top_k, hidden_experts)
    return ops.experts(x, weights, ids, w["gate_up"], w["down"]).view_as(h), (weights, ids, probabilities)


def forward(p, c, tokens, ops=PlainOps, hidden_experts=None, routings=None):
    """Logits [B, T, vocabulary] and the mean balance loss of the layers.

    @param p               name -> parameter
    @param tokens          [B, T] int64
    @param hidden_experts  [layers, B, E] bool or None: experts hidden from the router for a whole sequence
    @param routings        list or None: gets (weights, ids, probabilities) of each layer
    """
    tables = rope_tables(c, tokens.shape[1])
    balance = 0.0
    h = F.embedding(tokens, p["embedding"])
    for layer in range(c.layers):
        prefix = f"{layer}."
        w = {name[len(prefix):]: value for name, value in p.items() if name.startswith(prefix)}
        h = h + attention_block(h, w, c, ops, tables)
        added, routing = expert_block(h, w, c, ops, None if hidden_experts is None else hidden_experts[layer])
        h = h + added
        balance = balance + balance_loss(routing[1], routing[2])
        if routings is not None:
            routings.append(tuple(part.detach() for part in routing))
    return F.linear(ops.rms_norm(h, p["final_norm"], c.epsilon), p["head"]), balance / c.layers
