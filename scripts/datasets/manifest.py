"""The manifest of several data sets, and the lists beside it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from ..errors import BundleError
from ..files import replacing

COLUMNS = ("image", "mask", "id", "dataset", "patient", "part", "finding", "target", "group")


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file, none if there is no such file.

    Raises:
        BundleError: a line has more or fewer cells than the header.
    """
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    for line, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise BundleError(f"{path}, line {line}: has another number of cells than the header")
    return rows


def write_tables(tables: Mapping[Path, tuple[Sequence[Mapping[str, object]], Sequence[str]]]) -> None:
    """Write CSV files, path -> (rows, columns), with all further columns of the rows. The first one is replaced last.

    Raises:
        BundleError: the disk is full; the old ones are whole, since none is replaced before all are written.
    """
    with ExitStack() as stack:
        for path, (rows, columns) in tables.items():
            names = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
            partial = stack.enter_context(replacing(path))
            with partial.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, names, restval="")
                writer.writeheader()
                writer.writerows(rows)


def replaced(rows: Sequence[Mapping], dataset: str, new: Sequence[Mapping]) -> list[dict]:
    """Rows in which those of a data set are these, at the place where it was, or at the end."""
    first = next((i for i, row in enumerate(rows) if row.get("dataset") == dataset), len(rows))
    others = [[dict(row) for row in part if row.get("dataset") != dataset] for part in (rows[:first], rows[first:])]
    return [*others[0], *map(dict, new), *others[1]]
