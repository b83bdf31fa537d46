"""Entries of the disk cache: tensors and plain values in a file with a checksum."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor

from ..errors import BundleError
from ..files import replacing

MAGIC = b"entry 1\n"
HEAD = len(MAGIC) + 4  # and the CRC-32 of what follows


class Damaged(Exception):
    """The file is not what was written."""


def write_entry(path: Path, content: dict[str, object]) -> dict[str, object]:
    """Write tensors with their metadata, and plain values, in one piece; return what `read_entry` will.

    Raises:
        BundleError: the file cannot be written.
        TypeError: a value is neither tensor, array, number, text nor a container of these.
    """
    buffer = io.BytesIO()
    content = packed(content)
    torch.save(content, buffer)
    body = buffer.getbuffer()
    try:
        with replacing(path) as partial:
            with partial.open("wb") as file:
                file.write(MAGIC + zlib.crc32(body).to_bytes(4, "big"))
                file.write(body)
    except OSError as error:
        raise BundleError(f"{path.parent}: cannot be written to ({error.strerror}); name another cache_dir") from error
    return unpacked(content)


def read_entry(path: Path) -> dict[str, object]:
    """What `write_entry` wrote, of the same types.

    Raises:
        FileNotFoundError: there is no such entry.
        Damaged: it was cut off or altered.
    """
    raw = path.read_bytes()
    body = memoryview(raw)[HEAD:]
    if raw[: len(MAGIC)] != MAGIC or zlib.crc32(body).to_bytes(4, "big") != raw[len(MAGIC) : HEAD]:
        raise Damaged(path)
    return unpacked(torch.load(io.BytesIO(body), weights_only=True))


def packed(value: object) -> object:
    """`value` in types that torch loads without running code: arrays and metadata become marked tuples."""
    if isinstance(value, MetaTensor):
        plain, rest = value.as_tensor().contiguous(), (value.meta, value.applied_operations)
        return ("film", plain, *map(packed, rest))
    if isinstance(value, torch.Tensor):
        return value.contiguous()
    if isinstance(value, (np.ndarray, np.generic)):
        return ("array", torch.as_tensor(np.ascontiguousarray(value)).reshape(np.shape(value)))
    if isinstance(value, dict):
        return {packed(key): packed(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, *map(packed, value))
    if isinstance(value, str):
        return str(value)  # MONAI's names of traces are enumerations
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise TypeError(f"cannot be cached on disk: {type(value).__name__}")


def unpacked(value: object) -> object:
    """The inverse of `packed`."""
    if isinstance(value, dict):
        return {key: unpacked(entry) for key, entry in value.items()}
    if not isinstance(value, tuple):
        return value
    kind, *content = value
    if kind == "film":
        plain, meta, operations = content
        return MetaTensor(plain, meta=unpacked(meta), applied_operations=unpacked(operations))
    if kind == "array":
        return content[0].numpy()
    return {"list": list, "tuple": tuple}[kind](map(unpacked, content))
