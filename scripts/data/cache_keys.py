"""Names of cached results: a digest of all that they depend on."""

from __future__ import annotations

import dis
import hashlib
import inspect
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from operator import attrgetter
from pathlib import Path
from types import BuiltinMethodType, CellType, CodeType, FunctionType, MethodDescriptorType, MethodType, ModuleType

import numpy as np
import torch
from monai.bundle.reference_resolver import ReferenceResolver

# What reads and changes pixels below our own code
LIBRARIES = ("torch", "monai", "numpy", "scipy", "pillow", "pydicom", "pyjpegls", "python-gdcm", "nibabel")
# Global name under which an expression of a config finds all that the config has made so far
REFERENCES = ReferenceResolver._vars


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
    """Digest of transforms: classes with all their settings, the code that they run, versions of libraries.

    Raises:
        TypeError: a setting whose content cannot be seen; names the transform.
    """
    rooms = (Path(__file__).parent, Path(__file__).parents[1] / "films")
    own = sorted(code(str(path)) for room in rooms for path in room.glob("*.py"))
    steps = []
    for transform in transforms:
        try:
            steps.append(described(transform))
        except TypeError as error:
            raise TypeError(f"{type(transform).__name__}: {error}") from error
    return digest([steps, own, versions()])


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

    What a module holds under its name becomes the name and the digest of the source file; other functions (lambdas, and
    those made by a function) become their code with all values that it sees.

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
        array = np.ascontiguousarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
        return [str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
    if isinstance(value, (os.PathLike, torch.device, torch.dtype, np.dtype, bytes, complex, range, type(...))):
        return str(value)
    if isinstance(value, slice):
        return ["slice", described([value.start, value.stop, value.step], above)]
    if isinstance(value, partial):
        return ["partial", *(described(entry, above) for entry in (value.func, value.args, value.keywords))]
    if isinstance(value, (type, ModuleType)) or held_by_its_module(value):
        return named(value)
    if isinstance(value, MethodType):
        return ["method", described(value.__self__, above), described(value.__func__, above)]
    if isinstance(value, (BuiltinMethodType, MethodDescriptorType)):
        owner = value.__self__ if isinstance(value, BuiltinMethodType) else value.__objclass__
        return ["method", described(owner, above), value.__qualname__]
    if isinstance(value, FunctionType):
        closure = [cell.cell_contents for cell in value.__closure__ or () if cell != CellType()]
        contents = value.__code__, value.__defaults__, value.__kwdefaults__, closure, globals_of(value)
        return ["function", *(described(entry, above) for entry in contents)]
    if isinstance(value, CodeType):
        return ["code", value.co_code.hex(), *(described(getattr(value, part), above) for part in CODE_PARTS)]
    if hasattr(value, "__dict__"):
        return [named(type(value)), described(vars(value), above)]
    raise TypeError(f"a value of type {type(value).__qualname__} cannot be part of a cache's name")


LOADS = ("LOAD_GLOBAL", "LOAD_NAME")
# What Python runs of a function beside its instructions; not where it stands in which file
CODE_PARTS = (
    "co_consts",
    "co_names",
    "co_varnames",
    "co_freevars",
    "co_cellvars",
    "co_flags",
    "co_argcount",
    "co_posonlyargcount",
    "co_kwonlyargcount",
)


def globals_of(function: FunctionType) -> dict[str, object]:
    """What a function, and those in it, find by name outside of themselves; builtins are Python's."""
    codes = list(codes_in(function.__code__))
    names = {step.argval for part in codes for step in dis.get_instructions(part) if step.opname in LOADS}
    found = {name: function.__globals__[name] for name in names if name in function.__globals__}
    if REFERENCES in found:
        keys = {constant for part in codes for constant in part.co_consts if isinstance(constant, str)}
        found[REFERENCES] = {key: value for key, value in found[REFERENCES].items() if key in keys}
    return found


def codes_in(outer: CodeType) -> Iterator[CodeType]:
    """The code of a function and of all functions in it."""
    yield outer
    for constant in outer.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_in(constant)


def held_by_its_module(value: object) -> bool:
    """Whether the name of a function leads to it, and to a source file if it has Python's code."""
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    if isinstance(value, FunctionType) and source_file(module) is None:  # typed in
        return False
    try:
        return attrgetter(qualified_name(value))(module) is value
    except (AttributeError, TypeError):
        return False


def named(value: object) -> list[str]:
    """Name of a module, or of a class or function in one, and digest of its source file, "" if compiled or typed in."""
    if isinstance(value, ModuleType):
        module, name = value, value.__name__
    else:
        module, name = sys.modules.get(value.__module__), f"{value.__module__}.{qualified_name(value)}"
    source = source_file(module)
    return [name, code(source) if source else ""]


def qualified_name(value: object) -> str:
    """Name in its module; NumPy's functions have the plain one alone."""
    return getattr(value, "__qualname__", None) or value.__name__


def source_file(module: ModuleType | None) -> str | None:
    """File of Python that a module is read from."""
    try:
        return inspect.getsourcefile(module)
    except TypeError:
        return None
