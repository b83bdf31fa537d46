"""Ids below others in a merged config: which of those that somebody added nothing reads."""

from __future__ import annotations

import inspect
import pydoc
from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monai.bundle import ConfigParser


def normal(key: str) -> str:
    """An id with the separator that MONAI uses today."""
    return key.replace("#", "::")


@dataclass(frozen=True)
class Unread:
    """An id that nothing reads where it stands.

    Attributes:
        source: who wrote it, as `first_unread` was told.
        id: the whole of it.
        place: the nearest id above it that there is.
        name: the part of it that nothing reads there.
        names: those that are read there.
    """

    source: str
    id: str
    place: str
    name: str
    names: set[str]


def first_unread(layers: Sequence[tuple[str | None, Mapping[str, object]]]) -> Unread | None:
    """The first nested id that is new where it stands, and that nothing reads there.

    Args:
        layers: contents of configs, overlays on them and the command line in the order in which they are merged, each
            with who wrote it, or None for what is not checked.
    """
    checked = [key for source, content in layers if source is not None for key in content]
    if not any(key.startswith("+") or "::" in normal(key) for key in checked):
        return None
    from monai.bundle import ConfigParser
    from monai.bundle.utils import merge_kv

    config, new = ConfigParser({}), {}
    for source, content in layers:
        for key, value in deepcopy(dict(content)).items():
            key = normal(key)
            merged = key.startswith("+") and isinstance(value, Mapping)
            ids = [f"{key[1:]}::{name}" for name in value] if merged else [key.lstrip("+")]
            if source is not None:
                new |= {id: source for id in ids if "::" in id and id not in config}
            try:
                merge_kv(config, key, value)
            except (KeyError, IndexError, TypeError, ValueError):  # its place is not there: MONAI refuses it as well
                pass
    references = referred(config.get())
    for id, source in new.items():
        if any(f"{reference}::".startswith(f"{id}::") for reference in references):
            continue
        place, _, name = id.rpartition("::")
        while place not in config:
            place, _, name = place.rpartition("::")
        names = names_read(place, config, references, new)
        if names is not None and name not in names:
            return Unread(source, id, place, name, names)
    return None


def referred(config: object) -> set[str]:
    """The ids that a config refers to."""
    from monai.bundle import ConfigParser, ReferenceResolver

    found, seen, rest = set(), set(), [("", config)]
    while rest:
        place, value = rest.pop()
        if isinstance(value, (dict, list)) and id(value) not in seen:  # an anchor may stand in itself
            seen.add(id(value))
            rest += [(below, entry) for _, below, entry in ReferenceResolver.iter_subconfigs(place, value)]
        elif isinstance(value, str) and value.startswith(("$", "@", "%")):
            try:
                value = ConfigParser.resolve_relative_ids(place, value)
            except ValueError:  # leads out of the config
                continue
            found |= {value[1:]} if value.startswith("%") else set(ReferenceResolver.match_refs_pattern(value))
    return found


def names_read(place: str, config: ConfigParser, references: Collection[str], new: Collection[str]) -> set[str] | None:
    """Names that are read below an id; None if anything is, or nobody knows.

    Args:
        place: in `config`.
        references: see `referred`.
        new: ids that `config` has only because somebody typed them.
    """
    holder = config[place]
    if not isinstance(holder, Mapping):  # a value, or a list without that index
        return set()
    if "_target_" in holder:
        return arguments(holder["_target_"])
    parts = place.split("::")
    above = ["::".join(parts[: count + 1]) for count in range(len(parts))]
    whole = any(id in references or "_target_" in config[id] for id in above)
    if whole or not any(reference.startswith(f"{place}::") for reference in references):
        return None  # handed to something that knows what to do with all that it holds
    return {str(name) for name in holder if f"{place}::{name}" not in new}


def arguments(target: object) -> set[str] | None:
    """Names that a component of this `_target_` may hold; None if it takes any, or cannot be found."""
    from monai.bundle.config_item import ConfigComponent

    try:
        component = ConfigComponent({"_target_": target})
        taken = inspect.signature(pydoc.locate(component.resolve_module_name())).parameters.values()
    except (AttributeError, TypeError, ValueError, pydoc.ErrorDuringImport):
        return None
    if any(argument.kind is argument.VAR_KEYWORD for argument in taken):
        return None
    return {*ConfigComponent.non_arg_keys, "_debug_", *(argument.name for argument in taken)}
