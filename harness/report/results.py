# SPDX-License-Identifier: Apache-2.0
"""Reads results and profiles for report.py; trusts neither."""

import json
import struct

MAX_HEADER = 100_000_000  # bytes, the safetensors rule


class BadInput(Exception):
    """What the user gave cannot be drawn."""


def number_at(row, *path):
    """The number at a path of keys, or None."""
    for key in path:
        row = row.get(key) if isinstance(row, dict) else None
    return row if isinstance(row, (int, float)) and not isinstance(row, bool) else None


def read_results(path):
    rows = []
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    rows.append(checked_row(json.loads(line), f"{path}:{number}"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: {error}") from error
    if not rows:
        raise BadInput(f"{path}: holds no result")
    return rows


def checked_row(row, place):
    if not isinstance(row, dict) or not isinstance(row.get("policy"), str):
        raise BadInput(f"{place}: a result must be an object with a policy")
    for key in ("cache_ratio", "tokens_per_second"):
        if number_at(row, key) is None:
            raise BadInput(f"{place}: {key} must be a number")
    return row


def read_tensor(file, path, header, name, begin):
    import numpy

    types = {"U32": "<u4", "U64": "<u8", "F32": "<f4"}
    entry = header.get(name)
    if entry is None:
        return None
    first, last = entry["data_offsets"]
    if entry["dtype"] not in types or not 0 <= first <= last:
        raise BadInput(f"{path}: tensor '{name}' cannot be read")
    file.seek(begin + first)
    return numpy.frombuffer(file.read(last - first), dtype=types[entry["dtype"]]).reshape(entry["shape"])


def read_profile(path):
    """The tables that are drawn; router_cosine may be None."""
    try:
        with open(path, "rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            if size > MAX_HEADER:
                raise BadInput(f"{path}: the header is too long")
            header = json.loads(file.read(size))
            names = ("activations", "coactivations", "router_cosine")
            tables = {name: read_tensor(file, path, header, name, 8 + size) for name in names}
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise BadInput(f"{path}: is not a profile ({error})") from error
    if tables["activations"] is None or tables["coactivations"] is None:
        raise BadInput(f"{path}: is not a profile")
    return tables


def loss_percent(row):
    """Bits per byte lost, in percent of what the exact model needs."""
    change = number_at(row, "quality", "bits_per_byte_change")
    exact = number_at(row, "quality", "bits_per_byte_exact")
    return 100 * change / exact if change is not None and exact else None
