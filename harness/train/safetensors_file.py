# SPDX-License-Identifier: Apache-2.0
"""Reads and writes safetensors files with nothing but NumPy.

Format: 8 bytes little-endian length of the header, the header (JSON, padded with blanks), the tensors without gaps.
Source: https://huggingface.co/docs/safetensors, "Format".
"""

import json
import os

import numpy as np

_NAMES = {"F32": np.float32, "F16": np.float16, "I32": np.int32, "U16": np.uint16}
_ALIGNMENT = 64  # of the first tensor, so that a mapped file serves aligned loads


def _name_of(dtype):
    return next(name for name, known in _NAMES.items() if dtype == known)


def write(path, tensors):
    """Writes name -> array in the order given, to a temporary file that is then renamed to `path`."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": _name_of(array.dtype), "shape": list(array.shape),
                        "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    temporary = f"{path}.tmp"
    with open(temporary, "wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for array in tensors.values():
            file.write(np.ascontiguousarray(array).tobytes())
    os.replace(temporary, path)


def read(path):
    """Name -> array (read-only views of the file's bytes)."""
    with open(path, "rb") as file:
        content = file.read()
    begin = 8 + int.from_bytes(content[:8], "little")
    tensors = {}
    for name, entry in json.loads(content[8:begin]).items():
        if name == "__metadata__":
            continue
        first, last = entry["data_offsets"]
        array = np.frombuffer(content[begin + first:begin + last], _NAMES[entry["dtype"]])
        tensors[name] = array.reshape(entry["shape"])
    return tensors
