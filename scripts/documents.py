"""What people write and spreadsheets save: CSV, JSON and YAML, of which whatever is wrong is one `BundleError`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import yaml

from .errors import BundleError

# What a spreadsheet takes for a formula, or removes, at the start of a cell; the last one is what we put before them
COMMANDS = ("=", "+", "-", "@", "\t", "\r", "'")
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}  # what a spreadsheet may have put in place of commas


def text_cell(value: object) -> object:
    """A cell as it stands in a table: texts that a spreadsheet would run, such as a file named "=1+1.png", get an
    apostrophe in front, which makes them texts there. Numbers stay."""
    if not isinstance(value, str) or not value.startswith(COMMANDS):
        return value
    try:
        float(value)
        return value
    except ValueError:
        return "'" + value


def plain_cell(text: str) -> str:
    """Undo `text_cell`."""
    return text[1:] if text.startswith("'") and text[1:].startswith(COMMANDS) else text


class TableWriter(csv.DictWriter):
    """A `csv.DictWriter` whose texts no spreadsheet runs."""

    def writerow(self, row: Mapping[str, object]) -> object:
        return super().writerow({name: text_cell(value) for name, value in row.items()})

    def writerows(self, rows: Iterable[Mapping[str, object]]) -> None:
        for row in rows:
            self.writerow(row)


def read_text(path: str | Path) -> str:
    """The UTF-8 text at `path`, without a byte order mark."""
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise BundleError(f"{path}: is no UTF-8 text (byte {error.start}); save it as UTF-8") from error


def read_json(path: str | Path) -> object:
    """The content of a JSON file.

    Raises:
        BundleError: it cannot be read, or holds something else; names the place.
    """
    return _parsed(path, "JSON", json.loads, (ValueError,))


def read_yaml(path: str | Path) -> object:
    """The content of a YAML file of plain values.

    Raises:
        BundleError: it cannot be read, holds something else, or asks for Python objects.
    """
    # PyYAML's constructors raise ValueError for a date such as 2026-13-01, and others for what no type takes
    return _parsed(path, "YAML", yaml.safe_load, (yaml.YAMLError, ValueError, TypeError, KeyError, OverflowError))


def _parsed(path: str | Path, kind: str, parse: Callable[[str], object], faults: tuple[type[Exception], ...]) -> object:
    text = read_text(path)
    try:
        return parse(text)
    except RecursionError as error:
        raise BundleError(f"{path}: not valid {kind} (nested too deeply)") from error
    except faults as error:
        raise BundleError(f"{path}: not valid {kind} ({' '.join(str(error).split())})") from error


def read_table(path: str | Path, needed: Sequence[str], spaced: bool = False) -> list[tuple[int, dict[str, str]]]:
    """Rows of a CSV table with a head, each with the number of its last line. Empty lines are passed over.

    Args:
        path: UTF-8, with or without a byte order mark; commas separate.
        needed: columns that it must have.
        spaced: whether spaces may follow the commas.

    Raises:
        BundleError: it cannot be read, lacks a column or has one twice, or a line has more or fewer fields than the
            head.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True, skipinitialspace=spaced)
    rows = []
    try:
        head = next(reader, [])
        check_head(path, head, needed)
        for fields in reader:
            if fields and len(fields) != len(head):
                raise BundleError(
                    f"{path}, line {reader.line_num}: {len(fields)} fields, but the head has {len(head)}; "
                    "put a field that holds a comma in double quotes"
                )
            if fields:
                rows.append((reader.line_num, dict(zip(head, map(plain_cell, fields)))))
    except csv.Error as error:
        raise BundleError(f"{path}, line {reader.line_num}: not valid CSV ({error})") from error
    return rows


def check_head(path: str | Path, head: Sequence[str], needed: Sequence[str]) -> None:
    """Raise `BundleError` unless a table's head has each needed column, and none twice."""
    missing = [name for name in needed if name not in head]
    if missing:
        other = [words for mark, words in SEPARATORS.items() if mark in ",".join(head)]
        hint = f"; {other[0]} separate its columns, save it with commas" if other else ""
        found = f"it has {', '.join(head)}" if head else "it is empty"
        raise BundleError(f"{path}: no column {missing[0]!r}; needed are {', '.join(needed)}, {found}{hint}")
    twice = [name for name in head if head.count(name) > 1]
    if twice:
        raise BundleError(f"{path}: the column {twice[0]!r} stands more than once")
