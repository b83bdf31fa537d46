"""Runs the commands of README.md and other pages as they stand there: ``python tests/docs_check.py [PAGE ...]``.

Each page gets a fresh clone of what is committed. Every command of its ``sh`` blocks runs in the clone's root, in
order; what a page calls FOLDER or DIR lies there under that name, so that no command is changed. A comment in the line
above a block says why it does not run here:

    <!-- docs-check: skip, needs a GPU -->     never
    <!-- docs-check: slow, run by make test --> with --all alone
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/segmenting_films.md")
BLOCK = re.compile(
    r"(?:^<!-- docs-check: (?P<kind>\S+?), (?P<reason>.+?) -->\n)?^```sh\n(?P<body>.*?)^```", re.M | re.S
)
MARK = re.compile(r"^.*docs-check:.*$", re.M)
# A word in capitals, alone or as the start of a path: something that the reader has and calls otherwise
PLACEHOLDER = re.compile(r"(?<![\w$./'-])[A-Z]+(?![\w=.-])")
# Each command has a shell of its own
LOST = re.compile(r"(cd|export|source|\.)\s")


class PageError(ValueError):
    """A page that cannot be checked; the message names it and what to do."""


@dataclass(frozen=True)
class Command:
    """A command as it stands, `\\` and line ends included; `kind` is run, skip or slow."""

    text: str
    kind: str
    reason: str


def read_commands(markdown: str, page: str) -> list[Command]:
    """The commands of all ``sh`` blocks of a page, in order.

    Raises:
        PageError: a docs-check comment that says something else, or has no block below it.
    """
    blocks = list(BLOCK.finditer(markdown))
    used = sum(block["kind"] in ("skip", "slow") for block in blocks)
    marks = MARK.findall(markdown)
    if len(marks) != used:
        raise PageError(
            f"{page}: {len(marks)} docs-check comments, {used} of them understood; write <!-- docs-check: skip, REASON"
            " --> or <!-- docs-check: slow, REASON --> in the line above a ```sh block"
        )
    commands = []
    for block in blocks:
        for text in re.findall(r"(?:.*\\\n)*.+", block["body"]):
            if not text.lstrip().startswith("#"):
                commands.append(Command(text, block["kind"] or "run", block["reason"] or ""))
    return commands


def make_films(folder: Path) -> None:
    """FOLDER: films as PNG, JPEG and DICOM, one of them in a subfolder."""
    import numpy as np
    from dicom_files import write_dicom
    from PIL import Image

    from scripts.phantoms import generate_phantom

    (folder / "ward").mkdir(parents=True)
    pictures = [generate_phantom(seed, 384).image for seed in range(4_000_000, 4_000_004)]
    gray = [(picture * 255).round().astype(np.uint8) for picture in pictures]
    Image.fromarray(gray[0]).save(folder / "first.png")
    Image.fromarray(gray[1]).save(folder / "ward" / "second.png")
    Image.fromarray(gray[2]).save(folder / "third.jpg")
    detector = ((1 - pictures[3]) * 4095).round().astype(np.uint16)
    write_dicom(folder / "fourth.dcm", detector, "MONOCHROME1", BitsStored=12, PixelSpacing=[0.9, 0.9])


def make_pairs(folder: Path) -> None:
    """DIR: films with masks in images/ and masks/, and nothing else, as the pages describe it."""
    from scripts.phantoms import write_phantoms

    # The fewest of which two are for validation, one for each of two processes
    write_phantoms(folder, 9, seed=4_100_000)
    for name in ("manifest.csv", "phantoms.json"):
        (folder / name).unlink()


def make_sam_checkpoint(file: Path) -> None:
    """An official ViT-B checkpoint in keys and shapes, with random weights."""
    import torch
    from conftest import official

    from scripts.sam import ARCHITECTURES

    torch.save(official(1024, ARCHITECTURES["vit_b"]).state_dict(), file)


# What the pages take from the reader, by the name that they give it; OUT comes into being when it is written to
GIVEN: dict[str, Callable[[Path], None]] = {
    "FOLDER": make_films,
    "DIR": make_pairs,
    "PHANTOMS": make_pairs,
    "SAM": make_sam_checkpoint,
    "sam_vit_b_01ec64.pth": make_sam_checkpoint,
    "OUT": lambda path: None,
}


def names_needed(commands: list[Command], page: str) -> list[str]:
    """What has to lie in the clone for these commands.

    Raises:
        PageError: a placeholder that nothing is known for, or a command that would change the shell of the next one.
    """
    needed = []
    for command in commands:
        unknown = [name for name in PLACEHOLDER.findall(command.text) if name not in GIVEN]
        if unknown:
            raise PageError(f"{page}: nothing stands for {unknown[0]} in `{command.text}`; add it to GIVEN, or skip")
        if LOST.match(command.text):
            raise PageError(f"{page}: `{command.text}` is lost on the next command; join the two with &&, or skip")
        needed += [name for name in GIVEN if re.search(rf"(?<![\w/.]){re.escape(name)}(?!\w)", command.text)]
    return list(dict.fromkeys(needed))


def environment(python: Path) -> dict[str, str]:
    """This process's environment, with `python` and its tools in front and nothing of this checkout on its path."""
    variables = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    variables["PATH"] = f"{python.parent}{os.pathsep}{variables['PATH']}"
    variables["VIRTUAL_ENV"] = str(python.parent.parent)
    return variables


def check_page(page: str, root: Path, everything: bool = False, install: bool = False) -> list[str]:
    """Run a page's commands in a fresh clone of the repository at `root`; returns those that failed.

    Args:
        page: path below `root`; its committed version is read.
        everything: run slow blocks, too.
        install: run in an environment that the Makefile sets up in the clone, not in this one.

    Raises:
        PageError: the page is not committed, or cannot be checked.
    """
    failed = []
    with tempfile.TemporaryDirectory(prefix="docs_check_") as folder:
        clone = Path(folder) / root.name
        subprocess.run(["git", "clone", "--quiet", str(root), str(clone)], check=True)
        if not (clone / page).is_file():
            raise PageError(f"{page}: not in a fresh clone of {root}; commit it, and name it relative to there")
        commands = read_commands((clone / page).read_text(), page)
        kinds = ("run", "slow") if everything else ("run",)
        for name in names_needed([command for command in commands if command.kind in kinds], page):
            GIVEN[name](clone / name)
        python = Path(sys.executable)
        if install:
            subprocess.run(["make", ".venv/installed"], cwd=clone, check=True)
            python = clone / ".venv" / "bin" / "python"
        print(f"{page}: {len(commands)} commands", flush=True)
        for command in commands:
            if command.kind not in kinds:
                print(f"skipped          {command.text}\n                 ({command.reason})", flush=True)
                continue
            log = Path(folder) / "output.txt"
            start = time.monotonic()
            with log.open("wb") as output:
                status = subprocess.run(
                    ["bash", "-c", command.text],
                    cwd=clone,
                    env=environment(python),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                ).returncode
            verdict = "ok" if status == 0 else f"exit {status}"
            print(f"{verdict:<8}{time.monotonic() - start:6.0f} s  {command.text}", flush=True)
            if status:
                failed.append(command.text)
                print(log.read_text(errors="replace"), flush=True)
    return failed


def main() -> None:
    """Check the pages of the command line; the exit status is 1 if a command failed or a page cannot be checked."""
    parser = argparse.ArgumentParser(description="Run the commands of pages as they stand, in a fresh clone.")
    parser.add_argument("pages", nargs="*", default=PAGES, metavar="PAGE", help=f"default: {' '.join(PAGES)}")
    parser.add_argument("--all", action="store_true", help="run the blocks marked slow, too")
    parser.add_argument("--install", action="store_true", help="install into the clone, and run in that")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True)
    if changed.stdout:
        print("note: what is not committed is not checked", flush=True)
    try:
        failed = [text for page in arguments.pages for text in check_page(page, ROOT, arguments.all, arguments.install)]
    except PageError as error:
        sys.exit(f"error: {error}")
    if failed:
        sys.exit(f"error: {len(failed)} of the commands failed:\n" + "\n".join(failed))


if __name__ == "__main__":
    main()
