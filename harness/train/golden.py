# SPDX-License-Identifier: Apache-2.0
"""Writes golden.safetensors into an exported model folder: what another implementation must compute.

    python3 golden.py models/reference-plain

Plain PyTorch in float32 on the stored float16 weights, one sequence of n bytes:

    tokens                int32    [n]
    logits                float32  [n, 256]
    experts               uint16   [n, layers, top_k]      by descending weight
    weights               float32  [n, layers, top_k]      sum to 1
    router_probabilities  float32  [n, layers, experts]    softmax over all experts
"""

import environment  # noqa: F401  (must come before torch)

import argparse
from pathlib import Path

import numpy as np
import safetensors_file
import torch
from export import load_model
from model import forward

TEXT = b"The keeper counted the lamps twice.\n47+05=052\nrev cab=bac\nfact kaz=eh\n"


def golden(parameters, config):
    tokens = torch.tensor(list(TEXT))[None]
    routings = []
    with torch.no_grad():
        logits, _ = forward(parameters, config, tokens, routings=routings)
    weights, experts, probabilities = (torch.stack(part, 1).numpy() for part in zip(*routings))
    return {
        "tokens": tokens[0].numpy().astype(np.int32),
        "logits": logits[0].numpy(),
        "experts": experts.astype(np.uint16),
        "weights": weights,
        "router_probabilities": probabilities,
    }


def smallest_margin(tensors):
    """Smallest gap between the last chosen and the first unchosen probability, relative to the former.

    An implementation with another order of sums may choose differently where this gap is near its rounding error.
    """
    ordered = -np.sort(-tensors["router_probabilities"], -1)
    top_k = tensors["experts"].shape[-1]
    return float((1 - ordered[..., top_k] / ordered[..., top_k - 1]).min())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    tensors = golden(*load_model(folder))
    safetensors_file.write(folder / "golden.safetensors", tensors)
    print(f"{len(TEXT)} bytes, smallest routing margin {smallest_margin(tensors):.2e}")


if __name__ == "__main__":
    main()
