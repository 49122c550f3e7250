# SPDX-License-Identifier: Apache-2.0
"""buddy in a Python model: a patch for MoE blocks with the members gate, experts, top_k and norm_topk_prob, as the
Qwen3-MoE and OLMoE blocks of transformers have them while their experts are a list of modules."""
import torch
from torch import nn
from torch.nn import functional as F

# The values of torch.ops.buddy.resolve's third result.
OWN, BUDDY, SURROGATE, LOW_PRECISION, HOST, FETCH, DROP = range(7)


def load_operators(library):
    torch.ops.load_library(str(library))


class BuddyMoe(nn.Module):
    """Stands where `block` stood. Experts outside `residents` are replaced, fetched or left out, as `rules` say
    (the keywords of torch.ops.buddy.resolve). Fetching is the caller's: here every expert lies in `block.experts`."""

    def __init__(self, block, residents, **rules):
        super().__init__()
        self.block, self.rules = block, rules
        self.register_buffer("slot_of", torch.full((len(block.experts),), -1, dtype=torch.int32))
        self.register_buffer("expert_in", torch.tensor(list(residents)))
        self.slot_of[self.expert_in] = torch.arange(len(self.expert_in), dtype=torch.int32)
        self.counts = torch.zeros(7, dtype=torch.long)

    @torch.no_grad()
    def forward(self, hidden):
        x = hidden.reshape(-1, hidden.shape[-1])
        scores = F.softmax(self.block.gate(x), -1, dtype=torch.float)
        weights, ids = scores.topk(self.block.top_k, -1)
        if self.block.norm_topk_prob:
            weights = weights / weights.sum(-1, keepdim=True)
        slots, weights, how = torch.ops.buddy.resolve(ids, weights, scores, self.slot_of, **self.rules)
        self.counts += torch.bincount(how.flatten().long(), minlength=7)
        experts = torch.where(slots >= 0, self.expert_in[slots.clamp_min(0).long()], ids)
        experts = experts.masked_fill(how == DROP, -1)
        out = torch.zeros_like(x)
        for e in experts.unique().tolist():
            if e >= 0:
                rows, place = (experts == e).nonzero(as_tuple=True)
                y = self.block.experts[e](x[rows]) * weights[rows, place, None].to(x.dtype)
                out.index_add_(0, rows, y)
        return out.view_as(hidden), ids


def patch(model, residents_of_layer, **rules):
    """Replaces the MoE block of every layer of `model.model.layers`. @returns the new blocks"""
    blocks = []
    for number, layer in enumerate(model.model.layers):
        if hasattr(layer.mlp, "experts"):
            layer.mlp = BuddyMoe(layer.mlp, residents_of_layer(number), **rules)
            blocks.append(layer.mlp)
    return blocks
