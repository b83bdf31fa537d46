"""What the processes of a distributed evaluation tell each other."""

from __future__ import annotations

from typing import TypeVar

from torch import distributed

T = TypeVar("T")


def from_all(value: T) -> list[T]:
    """`value` of every process, in the order of their ranks; of this one alone where there is no other."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return [value]
    values: list[T | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values
