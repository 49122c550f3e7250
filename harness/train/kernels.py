# SPDX-License-Identifier: Apache-2.0
"""Builds kernels.c once, and offers it as FusedOps (see model.PlainOps) and as the optimiser's two functions."""

import ctypes
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

import environment  # noqa: F401  (must come before torch)
import torch

_SOURCES = [Path(__file__).with_name(name) for name in ("kernels.c", "kernels_small.c")]
_FLAGS = ["-O3", "-march=native", "-mprefer-vector-width=512", "-ffast-math", "-Wall", "-Wextra", "-shared", "-fPIC"]


def _cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "buddy-train"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _processor():
    """Names the machine type, because -march=native builds must not be shared between types."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as info:
        return "".join(sorted({line for line in info if line.startswith(("model name", "flags"))}))


def build():
    """Compiles the kernels into the user's cache unless they are there; returns the path of the library."""
    key = "".join(source.read_text() for source in _SOURCES) + " ".join(_FLAGS) + _processor()
    library = _cache_folder() / f"kernels-{hashlib.sha256(key.encode()).hexdigest()[:16]}.so"
    if not library.exists():
        handle, temporary = tempfile.mkstemp(dir=library.parent, suffix=".so")
        os.close(handle)
        subprocess.run(["gcc", *_FLAGS, *map(str, _SOURCES), "-o", temporary, "-lopenblas", "-lm"], check=True)
        os.replace(temporary, library)
    return library


_lib = ctypes.CDLL(str(build()))
_lib.sum_of_squares.restype = ctypes.c_double


def _pointer(tensor):
    assert tensor.is_contiguous()
    return ctypes.c_void_p(tensor.data_ptr())


def _call(function, *arguments):
    """Calls a kernel: tensors become pointers, floats C floats, integers C ints."""
    converted = []
    for value in arguments:
        if isinstance(value, torch.Tensor):
            converted.append(_pointer(value))
        elif isinstance(value, float):
            converted.append(ctypes.c_float(value))
        else:
            converted.append(value)
    return function(*converted)


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, epsilon):
        x = x.contiguous()
        rows, width = x.numel() // x.shape[-1], x.shape[-1]
        y, inverse = torch.empty_like(x), torch.empty(rows)
        _call(_lib.rms_norm_forward, rows, width, epsilon, x, weight, y, inverse)
        ctx.save_for_backward(x, weight, inverse)
        return y

    @staticmethod
    def backward(ctx, d_y):
        x, weight, inverse = ctx.saved_tensors
        rows, width = x.numel() // x.shape[-1], x.shape[-1]
        d_x, d_weight = torch.empty_like(x), torch.zeros_like(weight)
        _call(_lib.rms_norm_backward, rows, width, x, weight, inverse, d_y.contiguous(), d_x, d_weight)
        return d_x, d_weight, None


class _Rope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, cosine, sine):
        x = x.contiguous()
        y = torch.empty_like(x)
        _call(_lib.rotate, *x.shape, x, cosine, sine, 1.0, y)
        ctx.save_for_backward(cosine, sine)
        return y

    @staticmethod
    def backward(ctx, d_y):
        d_y = d_y.contiguous()
        d_x = torch.empty_like(d_y)
        _call(_lib.rotate, *d_y.shape, d_y, *ctx.saved_tensors, -1.0, d_x)
        return d_x, None, None


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v):
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        batch, length, heads, size = q.shape
        probabilities, out = torch.empty(batch, heads, length, length), torch.empty_like(q)
        _call(_lib.attention_forward, batch, length, heads, k.shape[2], size, q, k, v, probabilities, out)
        ctx.save_for_backward(q, k, v, probabilities)
        return out

    @staticmethod
    def backward(ctx, d_out):
        q, k, v, probabilities = ctx.saved_tensors
        batch, length, heads, size = q.shape
        d_q, d_k, d_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        _call(_lib.attention_backward, batch, length, heads, k.shape[2], size, q, k, v, probabilities,
              d_out.contiguous(), d_q, d_k, d_v)
        return d_q, d_k, d_v


class _Experts(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weights, ids, gate_up, down):
        x, weights, ids = x.contiguous(), weights.contiguous(), ids.contiguous()
        n_tokens, width = x.shape
        top_k, (n_experts, twice_hidden, _) = ids.shape[1], gate_up.shape
        begin = torch.empty(n_experts + 1, dtype=torch.int32)
        token_of, place_of = torch.empty(2, n_tokens * top_k, dtype=torch.int32)
        placed = torch.empty(n_tokens * top_k)
        _call(_lib.sort_by_expert, n_tokens, top_k, n_experts, ids, weights, begin, token_of, place_of, placed)
        ctx.sizes = (n_tokens, n_experts, width, twice_hidden // 2)
        hidden, out = torch.empty(n_tokens * top_k, twice_hidden), torch.empty(n_tokens, width)
        _call(_lib.experts_forward, *ctx.sizes, begin, token_of, x, placed, gate_up, down, hidden, out)
        ctx.save_for_backward(place_of.view_as(ids), begin, token_of, x, placed, gate_up, down, hidden)
        return out

    @staticmethod
    def backward(ctx, d_out):
        place_of, *saved = ctx.saved_tensors
        _, _, x, placed, gate_up, down, _ = saved
        d_x, d_placed = torch.empty_like(x), torch.empty_like(placed)
        d_gate_up, d_down = torch.zeros_like(gate_up), torch.zeros_like(down)
        _call(_lib.experts_backward, *ctx.sizes, *saved, d_out.contiguous(), d_x, d_placed, d_gate_up, d_down)
        return d_x, d_placed[place_of.long()], None, d_gate_up, d_down


class FusedOps:
    """The same operations as model.PlainOps, by the kernels."""

    rms_norm = _RmsNorm.apply
    rope = _Rope.apply
    attention = _Attention.apply
    experts = _Experts.apply


def sum_of_squares(a, b):
    """Sum of (a + b)^2 over two vectors of one length."""
    return _call(_lib.sum_of_squares, ctypes.c_size_t(a.numel()), a, b)


def adamw(p, grad_a, grad_b, scale, m, v, rate, decay, step, betas=(0.9, 0.98), epsilon=1e-8):
    """One AdamW step in place, for the gradient scale * (grad_a + grad_b); step counts from 1."""
    _call(_lib.adamw, ctypes.c_size_t(p.numel()), p, grad_a, grad_b, scale, m, v, rate, decay, *betas,
          1 / (1 - betas[0] ** step), 1 / (1 - betas[1] ** step), epsilon)
