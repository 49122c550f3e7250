# SPDX-License-Identifier: Apache-2.0
"""Checks the fused kernels against plain PyTorch: loss, and the gradient of every parameter.

    python3 gradcheck.py        prints the largest differences, exits with 1 if one is above the tolerance
"""

import sys

import kernels  # first: it sets the environment
import torch
import torch.nn.functional as F
from model import Config, PlainOps, forward, initialise, parameter_count, parameter_views

# float32 sums in another order differ by a few 1e-6; a wrong term differs by far more.
TOLERANCE = 5e-5


def loss_and_gradients(ops, config, flat, tokens, hidden_experts):
    leaves = {name: view.clone().requires_grad_(True) for name, view in parameter_views(flat, config).items()}
    logits, balance = forward(leaves, config, tokens[:, :-1], ops, hidden_experts)
    loss = F.cross_entropy(logits.reshape(-1, config.vocabulary), tokens[:, 1:].reshape(-1)) + 0.1 * balance
    loss.backward()
    return loss.item(), {name: leaf.grad for name, leaf in leaves.items()}


def largest_difference(config, hidden_experts):
    """Largest over the parameters of max |fused - plain| / max |plain|, and of the losses."""
    flat = torch.zeros(parameter_count(config))
    initialise(flat, config, 1)
    # Away from the start every norm weight and every router differs, so no term can hide behind a 1 or a tie.
    flat += 0.05 * torch.randn(flat.shape, generator=torch.Generator().manual_seed(2))
    tokens = torch.randint(0, 256, (3, 101), generator=torch.Generator().manual_seed(3))
    plain_loss, plain = loss_and_gradients(PlainOps, config, flat, tokens, hidden_experts)
    fused_loss, fused = loss_and_gradients(kernels.FusedOps, config, flat, tokens, hidden_experts)
    worst, where = abs(plain_loss - fused_loss) / plain_loss, "loss"
    for name, expected in plain.items():
        difference = ((fused[name] - expected).abs().max() / expected.abs().max()).item()
        if not difference <= worst:  # a NaN is the worst
            worst, where = difference, name
    return worst, where


def main():
    torch.set_num_threads(1)
    config = Config()
    hidden = torch.rand(config.layers, 3, config.experts, generator=torch.Generator().manual_seed(4)) < 0.4
    failed = False
    for label, mask in (("all experts", None), ("40 % of the experts hidden", hidden)):
        worst, where = largest_difference(config, mask)
        print(f"{label}: largest relative difference {worst:.2e} ({where})")
        failed = failed or not worst < TOLERANCE
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
