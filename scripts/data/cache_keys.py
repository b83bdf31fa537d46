"""Names of cached results: a digest of all that they depend on."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Mapping, Sequence
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

# What reads and changes pixels below our own code
LIBRARIES = ("torch", "monai", "numpy", "scipy", "pillow", "pydicom", "python-gdcm", "nibabel")


def digest(content: object) -> str:
    """Hexadecimal digest of JSON content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:32]


def file_stamps(item: Mapping) -> dict[str, list[int]]:
    """Size in bytes and modification time in ns of each file that an item names.

    A file of the same size with the old time put back is taken for the old one.
    """
    stamps = {}
    for key, value in item.items():
        if isinstance(value, (str, os.PathLike)):
            try:
                state = os.stat(value)
            except (OSError, ValueError):  # a name or another text
                continue
            stamps[key] = [state.st_size, state.st_mtime_ns]
    return stamps


def recipe(transforms: Sequence[object]) -> str:
    """Digest of transforms: classes with all their settings, the code that they run, versions of libraries."""
    sources = {source for transform in transforms if (source := source_file(type(transform)))}
    sources |= {str(path) for path in Path(__file__).parent.glob("*.py")}
    return digest([described(list(transforms)), sorted(map(code, sources)), versions()])


def source_file(kind: type) -> str | None:
    """File that a class is defined in, None for one that was typed in."""
    try:
        return inspect.getsourcefile(kind)
    except (OSError, TypeError):
        return None


@cache
def code(path: str) -> str:
    """Digest of a source file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@cache
def versions() -> dict[str, str]:
    """Installed versions of `LIBRARIES`."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def described(value: object, above: tuple[int, ...] = ()) -> object:
    """`value` as JSON content that is the same in every process: objects become their class and their attributes.

    Raises:
        TypeError: a value whose content cannot be seen; a name by its memory address would differ in every run.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value if not isinstance(value, str) else str(value)
    if id(value) in above:
        return "above"  # a cycle
    above = (*above, id(value))
    if isinstance(value, Mapping):
        return {"map": sorted(([str(key), described(entry, above)] for key, entry in value.items()), key=str)}
    if isinstance(value, (list, tuple)):
        return [described(entry, above) for entry in value]
    if isinstance(value, (set, frozenset)):
        return {"set": sorted((described(entry, above) for entry in value), key=str)}
    if isinstance(value, (np.ndarray, np.generic, torch.Tensor)):
        array = np.ascontiguousarray(value)
        return [str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
    if isinstance(value, (os.PathLike, torch.device, torch.dtype, np.dtype, bytes)):
        return str(value)
    if isinstance(value, partial):
        return ["partial", *(described(entry, above) for entry in (value.func, value.args, value.keywords))]
    if callable(value) and hasattr(value, "__qualname__"):  # classes, functions, methods
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "__dict__"):
        kind = type(value)
        return [f"{kind.__module__}.{kind.__qualname__}", described(vars(value), above)]
    raise TypeError(f"{type(value).__name__} {value!r}: cannot be part of a cache's name")
