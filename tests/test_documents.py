"""Tables whose cells no spreadsheet runs, and which read back as what was written."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.documents import TableWriter, plain_cell, read_table, text_cell
from scripts.output import Results

ROOT = Path(__file__).parents[1]
STARTS = ("=", "+", "-", "@", "\t", "\r")  # what OWASP lists for CSV injection
RUN = [
    "=1+1.png",
    "+cmd.png",
    "-film.dcm",
    "@SUM(A1).png",
    "\tfilm.png",
    "\rfilm.png",
    '=HYPERLINK("http://x";"y")',
    "-",
    "--5",
    "=",
]


@pytest.mark.parametrize("text", RUN)
def test_what_a_spreadsheet_would_run_starts_with_an_apostrophe(text):
    assert text_cell(text) == "'" + text and plain_cell(text_cell(text)) == text


@pytest.mark.parametrize(
    "value", ["film.png", "", " =1", "a=b", "1-2", "-5", "+0.25", "-1e-3", "-inf", -5, 0.25, None, True]
)
def test_numbers_and_harmless_texts_stay(value):
    assert text_cell(value) == value and type(text_cell(value)) is type(value)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
def test_every_text_comes_back_and_none_is_run(text):
    cell = text_cell(text)
    assert plain_cell(cell) == text
    if cell.startswith(STARTS):
        float(cell)  # a number is no formula


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=5))
def test_a_table_reads_back_as_it_was_written(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("table") / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = TableWriter(file, ("a", "b"), quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows({"a": text, "b": number} for number, text in enumerate(texts))
    rows = [row for _, row in read_table(path, ("a", "b"))]
    assert [row["a"] for row in rows] == texts and [row["b"] for row in rows] == list(map(str, range(len(texts))))


def test_single_rows_are_guarded_too():
    file = io.StringIO()
    TableWriter(file, ("a",)).writerow({"a": "=A1"})
    assert file.getvalue() == "'=A1\r\n"


def test_results_of_a_film_with_such_a_name_are_found_again(tmp_path):
    table = Results(tmp_path / "results.csv", tmp_path / "films", ("lungs",))
    table.add({"file": "=1+1.png", "status": "done", "written": "=1+1_mask.png", "flags": ""})
    table.failed(str(tmp_path / "films" / "@x.png"), "-broken")
    table._file.close()
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert [cell for row in rows for cell in row if cell.startswith(STARTS)] == []
    again = Results(tmp_path / "results.csv", tmp_path / "films", ("lungs",), resume=True)
    films = [{"image": str(tmp_path / "films" / name)} for name in ("=1+1.png", "@x.png")]
    assert again.pending(films) == films[1:]


def test_no_table_of_the_project_is_written_past_the_guard():
    """csv.writer and csv.DictWriter write cells as they are, which suits rows of finished tables alone."""
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted((ROOT / "scripts").rglob("*.py"))
        for line in path.read_text().splitlines()
        if re.search(r"csv\.(writer|DictWriter)\(|\.to_csv\(", line) and "csv.writer(merged)" not in line
    ]
    assert found == []
