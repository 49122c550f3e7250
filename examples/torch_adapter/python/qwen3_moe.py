# SPDX-License-Identifier: Apache-2.0
"""A Qwen3-MoE decoder of plain torch modules, for models/reference; its MoE block has the members that transformers'
Qwen3MoeSparseMoeBlock and OlmoeSparseMoeBlock have: gate, experts, top_k, norm_topk_prob."""
import json
import pathlib

import torch
from torch import nn
from torch.nn import functional as F

import safetensors_file


class RmsNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size))
        self.eps = eps

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


class Mlp(nn.Module):
    def __init__(self, hidden, width):
        super().__init__()
        self.gate_proj = nn.Linear(hidden, width, bias=False)
        self.up_proj = nn.Linear(hidden, width, bias=False)
        self.down_proj = nn.Linear(width, hidden, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class SparseMoeBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.top_k, self.norm_topk_prob = c["num_experts_per_tok"], c["norm_topk_prob"]
        self.gate = nn.Linear(c["hidden_size"], c["num_experts"], bias=False)
        self.experts = nn.ModuleList(
            [Mlp(c["hidden_size"], c["moe_intermediate_size"]) for _ in range(c["num_experts"])]
        )

    def forward(self, hidden):
        x = hidden.reshape(-1, hidden.shape[-1])
        weights, ids = F.softmax(self.gate(x), -1, dtype=torch.float).topk(self.top_k, -1)
        if self.norm_topk_prob:
            weights = weights / weights.sum(-1, keepdim=True)
        out = torch.zeros_like(x)
        for e in ids.unique().tolist():
            rows, place = (ids == e).nonzero(as_tuple=True)
            out.index_add_(0, rows, self.experts[e](x[rows]) * weights[rows, place, None])
        return out.view_as(hidden), ids


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        hidden, self.head = c["hidden_size"], c["head_dim"]
        self.heads, self.groups = c["num_attention_heads"], c["num_key_value_heads"]
        self.q_proj = nn.Linear(hidden, self.heads * self.head, bias=False)
        self.k_proj = nn.Linear(hidden, self.groups * self.head, bias=False)
        self.v_proj = nn.Linear(hidden, self.groups * self.head, bias=False)
        self.o_proj = nn.Linear(self.heads * self.head, hidden, bias=False)
        self.q_norm, self.k_norm = (RmsNorm(self.head, c["rms_norm_eps"]) for _ in range(2))
        self.theta = c["rope_theta"]

    def rotate(self, x):  # [heads, tokens, head]
        half = self.head // 2
        angle = torch.outer(torch.arange(x.shape[1]), self.theta ** -(torch.arange(half) / half))
        a, b = x[..., :half], x[..., half:]
        return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)

    def forward(self, x):  # [tokens, hidden]
        split = lambda y, n: y.view(-1, n, self.head).transpose(0, 1)
        q = self.rotate(self.q_norm(split(self.q_proj(x), self.heads)))
        k = self.rotate(self.k_norm(split(self.k_proj(x), self.groups)))
        v = split(self.v_proj(x), self.groups)
        k, v = (y.repeat_interleave(self.heads // self.groups, 0) for y in (k, v))
        future = torch.ones(len(x), len(x), dtype=torch.bool).triu(1)
        scores = (q @ k.transpose(1, 2) / self.head**0.5).masked_fill(future, float("-inf"))
        return self.o_proj((scores.softmax(-1) @ v).transpose(0, 1).reshape(len(x), -1))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.input_layernorm = RmsNorm(c["hidden_size"], c["rms_norm_eps"])
        self.self_attn = Attention(c)
        self.post_attention_layernorm = RmsNorm(c["hidden_size"], c["rms_norm_eps"])
        self.mlp = SparseMoeBlock(c)

    def forward(self, x):
        x = x + self.self_attn(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x))[0]


class Decoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList([Layer(c) for _ in range(c["num_hidden_layers"])])
        self.norm = RmsNorm(c["hidden_size"], c["rms_norm_eps"])


class Model(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.model = Decoder(c)
        self.lm_head = nn.Linear(c["hidden_size"], c["vocab_size"], bias=False)

    def forward(self, tokens):  # [tokens]: one sequence
        x = self.model.embed_tokens(tokens)
        for layer in self.model.layers:
            x = layer(x)
        return self.lm_head(self.model.norm(x))


def load(folder):
    folder = pathlib.Path(folder)
    model = Model(json.loads((folder / "config.json").read_text()))
    weights = safetensors_file.load(folder / "model.safetensors")
    model.load_state_dict({name: t.to(torch.float32) for name, t in weights.items()})
    return model.eval()
