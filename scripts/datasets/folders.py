"""Which films and masks a folder holds, by its layout."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import BundleError
from .layouts import Layout


@dataclass(frozen=True)
class Film:
    """One film of a data set.

    Attributes:
        id: of the film, unique in the manifest; also what its converted files are called.
        key: its name in the layout.
        patient: unique in the manifest.
        part, finding: empty where the layout does not say.
        image: file.
        masks: files, organ by organ; empty where a table holds the masks.
    """

    id: str
    key: str
    patient: str
    part: str
    finding: str
    image: Path
    masks: dict[str, Path]


@dataclass(frozen=True)
class Found:
    """What the folder `root` holds: films with masks, the table of masks if there is one, and (file, reason) of all
    else."""

    root: Path
    films: list[Film]
    table: Path | None
    left_out: list[tuple[Path, str]]


def find_films(
    layout: Layout, root: str | Path, organs: list[str] | None = None, keep_parts: bool = False, without: Iterable = ()
) -> Found:
    """Match every file below `root` with the patterns of `layout`.

    Args:
        layout: from `read_layout`.
        root: folder of the data set, or one above it.
        organs: see `Layout.organs`.
        keep_parts: films get the part that the layout states; else the split is free.
        without: files and folders that are no part of the data set.

    Raises:
        BundleError: no such folder, one that may not be read, or a pattern that matches nothing.
    """
    root = Path(root)
    if not root.is_dir():
        raise BundleError(f"{root}: no such folder; pass --source")
    paths = list(_files(root, {os.path.realpath(path) for path in without}))
    left_out: list[tuple[Path, str]] = []
    images, rest = _matched(layout.images, paths, root, "image", layout)
    masks: dict[str, dict[re.Match, Path]] = {}
    for organ, pattern in layout.organs(organs).items():
        masks[organ], rest = _matched(pattern, rest, root, f"mask ({organ})", layout)
    table = None
    if layout.mask_table is not None:
        tables, rest = _matched(layout.mask_table.pattern, rest, root, "table of masks", layout)
        if len(tables) > 1:
            raise BundleError(
                f"{root}: {len(tables)} tables of masks, {' and '.join(map(str, list(tables.values())[:2]))}"
            )
        table = next(iter(tables.values()))
    unused = [*layout.ignored, *layout.masks.values(), *layout.extra_masks.values()]
    left_out += [(path, "fits no pattern") for path in rest if not any(fits(path, root, known) for known in unused)]
    films = _paired(layout, images, masks, keep_parts, left_out)
    if not films:
        reason = f"; {left_out[0][0]}: {left_out[0][1]}" if left_out else ""
        raise BundleError(f"{root}: no film with its masks by the layout {layout.name}{reason}")
    return Found(root, films, table, left_out)


def fits(path: Path, root: Path, pattern: re.Pattern) -> re.Match | None:
    """The match of a pattern with the path below `root`, in POSIX form."""
    return pattern.fullmatch(path.relative_to(root).as_posix())


def _files(root: Path, without: set[str]) -> Iterator[Path]:
    """Files below `root` in a fixed order; what begins with a dot belongs to the system."""

    def refuse(error: OSError) -> None:
        raise BundleError(f"{error.filename}: cannot be read ({error.strerror})") from error

    def belongs(folder: str, name: str) -> bool:
        return not name.startswith(".") and os.path.realpath(os.path.join(folder, name)) not in without

    for folder, names, files in os.walk(root, onerror=refuse):
        names[:] = sorted(name for name in names if belongs(folder, name))
        yield from (Path(folder, name) for name in sorted(files) if belongs(folder, name))


def _matched(pattern: re.Pattern, paths: list[Path], root: Path, kind: str, layout: Layout):
    """Match -> file of those that fit, and the files that do not."""
    matches = [(fits(path, root, pattern), path) for path in paths]
    found = {match: path for match, path in matches if match}
    if not found:
        end = pattern.pattern.removeprefix("(?:.*/)?(?:")[:-1]
        raise BundleError(f"{root}: no {kind} of the layout {layout.name}; none of {len(paths)} files ends with {end}")
    return found, [path for match, path in matches if not match]


def _paired(layout: Layout, images: dict, masks: dict[str, dict], keep_parts: bool, left_out: list) -> list[Film]:
    """Films of which every mask is there; the others, and masks without film, go to `left_out`."""
    by_organ: dict[str, dict[tuple, Path]] = {}
    for organ, found in masks.items():
        by_organ[organ] = {}
        for match, path in found.items():
            key = tuple(sorted(match.groupdict().items()))
            first = by_organ[organ].setdefault(key, path)
            if first != path:
                left_out.append((path, f"second mask of one film, beside {first}"))
    films: list[Film] = []
    seen: dict[str, Path] = {}
    for match, path in images.items():
        names = match.groupdict()
        files, missing = {}, []
        for organ, found in by_organ.items():
            groups = next(iter(masks[organ])).groupdict()
            mask = found.pop(tuple(sorted((name, names[name]) for name in groups)), None)
            missing += [organ] if mask is None else []
            files[organ] = mask
        name = f"{layout.dataset}_{names['id']}"
        first = seen.setdefault(name, path)
        if first != path:
            left_out.append((path, f"second film of the name {names['id']}, beside {first}"))
        elif missing:
            left_out.append((path, f"no mask of {', '.join(missing)}"))
        else:
            patient = names.get("patient") or names["id"]
            part = layout.parts.get(names.get("part"), "") if keep_parts else ""
            finding = layout.findings.get(names.get("finding"), layout.finding)
            films.append(Film(name, names["id"], f"{layout.dataset}_{patient}", part, finding, path, files))
    left_out += [(path, "mask without film") for found in by_organ.values() for path in found.values()]
    return films
