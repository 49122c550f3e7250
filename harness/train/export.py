# SPDX-License-Identifier: Apache-2.0
"""Turns a checkpoint into a Hugging Face `qwen3_moe` folder, and reads such a folder back.

    python3 export.py run/plain/checkpoint.pt models/reference-plain

Writes config.json and model.safetensors (float16).
"""

import environment  # noqa: F401  (must come before torch)

import argparse
import json
import os
from pathlib import Path

import numpy as np
import safetensors_file
import torch
from model import Config, parameter_shapes, parameter_views

# Our parameter of a layer -> its Hugging Face name below model.layers.<n>.
_LAYER_NAMES = {
    "attention_norm": "input_layernorm",
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "output": "self_attn.o_proj",
    "query_norm": "self_attn.q_norm",
    "key_norm": "self_attn.k_norm",
    "expert_norm": "post_attention_layernorm",
    "router": "mlp.gate",
}
_OUTER_NAMES = {"embedding": "model.embed_tokens", "head": "lm_head", "final_norm": "model.norm"}


def config_to_json(c):
    """The keys that `transformers` knows for this architecture; a token is a byte, and no byte is special."""
    return {
        "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "torch_dtype": "float16",
        "vocab_size": c.vocabulary, "hidden_size": c.width, "num_hidden_layers": c.layers,
        "num_attention_heads": c.heads, "num_key_value_heads": c.groups, "head_dim": c.head_size,
        "num_experts": c.experts, "num_experts_per_tok": c.top_k, "moe_intermediate_size": c.expert_hidden,
        "intermediate_size": c.expert_hidden * c.top_k, "norm_topk_prob": True, "decoder_sparse_step": 1,
        "mlp_only_layers": [], "hidden_act": "silu", "rms_norm_eps": c.epsilon, "rope_theta": c.rope_base,
        "max_position_embeddings": c.context, "tie_word_embeddings": False, "attention_bias": False,
        "attention_dropout": 0.0, "use_sliding_window": False, "output_router_logits": False,
        "bos_token_id": None, "eos_token_id": None,
    }


def config_from_json(j):
    return Config(vocabulary=j["vocab_size"], width=j["hidden_size"], layers=j["num_hidden_layers"],
                  heads=j["num_attention_heads"], groups=j["num_key_value_heads"], head_size=j["head_dim"],
                  experts=j["num_experts"], top_k=j["num_experts_per_tok"], expert_hidden=j["moe_intermediate_size"],
                  context=j["max_position_embeddings"], epsilon=j["rms_norm_eps"], rope_base=j["rope_theta"])


def to_hugging_face(p, c):
    """Name -> float16 array; the fused gate_up of a layer becomes one gate and one up per expert."""
    half = {name: value.detach().numpy().astype(np.float16) for name, value in p.items()}
    out = {f"{theirs}.weight": half[ours] for ours, theirs in _OUTER_NAMES.items()}
    for layer in range(c.layers):
        prefix = f"model.layers.{layer}."
        for ours, theirs in _LAYER_NAMES.items():
            out[f"{prefix}{theirs}.weight"] = half[f"{layer}.{ours}"]
        for expert in range(c.experts):
            name = f"{prefix}mlp.experts.{expert}."
            out[f"{name}gate_proj.weight"] = half[f"{layer}.gate_up"][expert, :c.expert_hidden]
            out[f"{name}up_proj.weight"] = half[f"{layer}.gate_up"][expert, c.expert_hidden:]
            out[f"{name}down_proj.weight"] = half[f"{layer}.down"][expert]
    return out


def from_hugging_face(tensors, c):
    """The inverse of to_hugging_face: name -> float32 tensor."""
    def get(name):
        return torch.from_numpy(tensors[f"{name}.weight"].astype(np.float32))

    p = {ours: get(theirs) for ours, theirs in _OUTER_NAMES.items()}
    for layer in range(c.layers):
        prefix = f"model.layers.{layer}."
        p.update({f"{layer}.{ours}": get(prefix + theirs) for ours, theirs in _LAYER_NAMES.items()})
        names = [f"{prefix}mlp.experts.{expert}." for expert in range(c.experts)]
        p[f"{layer}.gate_up"] = torch.stack([torch.cat([get(n + "gate_proj"), get(n + "up_proj")]) for n in names])
        p[f"{layer}.down"] = torch.stack([get(n + "down_proj") for n in names])
    assert {name: tuple(value.shape) for name, value in p.items()} == parameter_shapes(c)
    return p


def load_model(path):
    """(parameters, Config) of a checkpoint file or of an exported folder."""
    path = Path(path)
    if path.is_dir():
        config = config_from_json(json.loads((path / "config.json").read_text()))
        return from_hugging_face(safetensors_file.read(path / "model.safetensors"), config), config
    saved = torch.load(path)
    config = Config(**saved["config"])
    return parameter_views(saved["parameters"], config), config


def export(checkpoint, folder):
    parameters, config = load_model(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    safetensors_file.write(folder / "model.safetensors", to_hugging_face(parameters, config))
    temporary = folder / "config.json.tmp"
    temporary.write_text(json.dumps(config_to_json(config), indent=2) + "\n")
    os.replace(temporary, folder / "config.json")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    export(arguments.checkpoint, arguments.folder)


if __name__ == "__main__":
    main()
