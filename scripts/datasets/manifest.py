"""The manifest of several data sets, and the lists beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from ..documents import TableWriter, read_table
from ..errors import BundleError
from ..files import replacing
from ..films.suffixes import image_stem

COLUMNS = ("image", "mask", "id", "dataset", "patient", "part", "finding", "target", "group")


def read_rows(path: Path, needed: Sequence[str] = ()) -> list[dict[str, str]]:
    """Rows of a table, none if there is no such file.

    Raises:
        BundleError: see `read_table`.
    """
    return [row for _, row in read_table(path, needed)] if path.exists() else []


def read_manifest(path: Path) -> list[dict[str, str]]:
    """Rows of a manifest, each with an id, as `load_datalist` names what has none; none if there is no such file.

    Raises:
        BundleError: see `read_table`; or a row without image or mask.
    """
    rows = []
    for line, row in read_table(path, ("image", "mask")) if path.exists() else ():
        if not row["image"] or not row["mask"]:
            raise BundleError(f"{path}, line {line}: image and mask must both be given")
        rows.append({**row, "id": row.get("id") or image_stem(row["image"])})
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
                writer = TableWriter(file, names, restval="")
                writer.writeheader()
                writer.writerows(rows)


def printable(text: object) -> str:
    """`text` as a table can hold it: names of files may have bytes that are no UTF-8, which become `\\xf6` and so on.

    As they are they would make a table that neither spreadsheets nor `read_table` take.
    """
    return str(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def replaced(rows: Sequence[Mapping], dataset: str, new: Sequence[Mapping]) -> list[dict]:
    """Rows in which those of a data set are these, at the place where it was, or at the end."""
    first = next((i for i, row in enumerate(rows) if row.get("dataset") == dataset), len(rows))
    others = [[dict(row) for row in part if row.get("dataset") != dataset] for part in (rows[:first], rows[first:])]
    return [*others[0], *map(dict, new), *others[1]]
