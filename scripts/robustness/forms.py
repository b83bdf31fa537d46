"""What a form is: one way in which a hospital or its software holds a film."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import BundleError
from .geometry import Film

GROUPS = ("plain", "values", "pose", "pixels", "field", "looking")


@dataclass(frozen=True)
class Variant:
    """A film in one form, on disk.

    Attributes:
        path: of the file.
        film: what it shows; its mask is the true one. Axis 0 are the file's rows, or the first axis of a NIfTI array.
        detail: what was drawn for this film, for people.
    """

    path: Path
    film: Film
    detail: str


Draw = Callable[[Film, np.random.Generator, Path], Variant]


@dataclass(frozen=True)
class Form:
    """One way of storing a film.

    Attributes:
        name: in file names and tables.
        group: one of `GROUPS`.
        described: whether the file says what it is; else only looking at the picture can tell.
        draw: takes a plain film, a random generator (every film gets another variant) and the path of the file to
            write, without suffix.
    """

    name: str
    group: str
    described: bool
    draw: Draw

    def write(self, film: Film, seed: int, name: str, folder: Path) -> Variant:
        """Write `film` as folder/`name` with the suffix of the form; the same arguments give the same picture."""
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode()), zlib.crc32(name.encode())])
        folder.mkdir(parents=True, exist_ok=True)
        return self.draw(film, rng, folder / name)


class Registry(dict):
    """Forms by name, in the order in which they were added."""

    def form(self, name: str, group: str, described: bool = True) -> Callable[[Draw], Draw]:
        """Decorator that adds a form."""

        def add(draw: Draw) -> Draw:
            self.add(name, group, draw, described)
            return draw

        return add

    def add(self, name: str, group: str, draw: Draw, described: bool = True) -> None:
        if group not in GROUPS or name in self:
            raise ValueError(f"form {name!r} of {group!r}: stands twice, or no such group")
        self[name] = Form(name, group, described, draw)

    def choose(self, names: Iterable[str] | None) -> list[Form]:
        """The forms of these names or groups, after "plain"; None for all.

        Raises:
            BundleError: no form or group has one of the names.
        """
        if names is None:
            return list(self.values())
        wanted = ["plain", *names]
        for name in wanted:
            if name not in self and name not in GROUPS:
                raise BundleError(
                    f"forms: none is called {name!r}; groups: {', '.join(GROUPS)}; forms: {', '.join(self)}"
                )
        return [form for form in self.values() if form.name in wanted or form.group in wanted]


FORMS = Registry()
