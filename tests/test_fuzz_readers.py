"""The fuzz run, for some seconds; and that it sees what it looks for."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fuzz_readers import Kind, changed, fuzz, read_one

from scripts.errors import BundleError

ROOT = Path(__file__).resolve().parents[1]


def test_no_damaged_file_ends_in_anything_but_a_declared_error(tmp_path):
    command = [sys.executable, str(ROOT / "tests" / "fuzz_readers.py"), "--seconds", "10", "--seed", "3"]
    ended = subprocess.run([*command, "--keep", str(tmp_path)], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    assert int(ended.stdout.splitlines()[-1].split()[1]) > 100, "files, even on a slow machine"


def test_changes_are_the_same_for_the_same_seed_and_differ_otherwise():
    kind = Kind("a.txt", [bytes(range(200))], lambda path: None)
    drawn = [changed(kind, random.Random(seed)) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert sum(changed(kind, random.Random(seed)) != kind.contents[0] for seed in range(50)) > 45


def raises(error: Exception):
    def read(path):
        raise error

    return read


def caused(path):
    try:
        raise MemoryError
    except MemoryError as error:
        raise BundleError("too large") from error


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        (raises(KeyError("Rows")), "KeyError"),
        (raises(BundleError("")), "not one line"),
        (caused, "refused only after MemoryError"),
        (lambda path: time.sleep(0.3), "took 0.3 s"),
        (lambda path: bytearray(b"x" * 60_000_000), "MB"),
    ],
    ids=["error", "message", "memory", "hang", "size"],
)
def test_what_is_wrong_is_found_and_the_file_is_kept(tmp_path, monkeypatch, read, reason):
    monkeypatch.setattr("fuzz_readers.SECONDS", 0.2 if reason.startswith("took") else 60)  # a busy machine is slow
    monkeypatch.setattr("fuzz_readers.MEGABYTES", -1 if reason == "MB" else 1500)
    folder = tmp_path / "read"
    folder.mkdir()
    counts, findings = fuzz({"kind": Kind("a.txt", [b"content"], read)}, 0.05, 0, folder, tmp_path)
    assert findings and reason in findings[0].reason and counts["kind", "wrong"] == len(findings)
    assert (tmp_path / "0_0_a.txt").is_file() and not list(folder.iterdir())


def test_declared_errors_are_none(tmp_path):
    kind = Kind("a.txt", [b"content"], raises(BundleError("a.txt: damaged")))
    assert read_one(kind, b"content", tmp_path) == "refused"
