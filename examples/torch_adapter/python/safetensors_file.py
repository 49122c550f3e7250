# SPDX-License-Identifier: Apache-2.0
"""Reads a safetensors file with nothing but torch."""
import json
import mmap
import struct

import torch

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I32": torch.int32, "U8": torch.uint8}


def load(path):
    """All tensors whose dtype torch has; U16 comes as int32."""
    with open(path, "rb") as file:
        data = bytearray(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        first, last = (8 + length + offset for offset in entry["data_offsets"])
        if entry["dtype"] == "U16":
            flat = torch.frombuffer(data[first:last], dtype=torch.int16).to(torch.int32) & 0xFFFF
        elif entry["dtype"] in DTYPES:
            flat = torch.frombuffer(data[first:last], dtype=DTYPES[entry["dtype"]])
        else:
            continue
        tensors[name] = flat.view(entry["shape"])
    return tensors
