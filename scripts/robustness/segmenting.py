"""Masks of all forms, made by the command that users run."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from ..errors import BundleError
from .progress import Announcer
from .writing import TABLE


def segment(folder: str | Path, bundle_root: str | Path, settings: Mapping[str, object] | None = None) -> Path:
    """Run configs/inference.yaml over folder/films in a process of its own; masks and results.csv go to folder/masks.

    Films that it refuses are rows of results.csv and no error here.

    Args:
        folder: of `write`.
        bundle_root: whose configs and models are used.
        settings: further settings of the command, such as {"backend": "onnxruntime"}.

    Raises:
        BundleError: the command ended without having tried every film; its last line is in the message.
    """
    folder, root = Path(folder).resolve(), Path(bundle_root).resolve()
    if not (folder / TABLE).is_file():
        raise BundleError(f"{folder}: holds no {TABLE}; write the forms first")
    masks = folder / "masks"
    masks.mkdir(parents=True, exist_ok=True)
    table, log = masks / "results.csv", masks / "log.txt"
    table.unlink(missing_ok=True)  # of an earlier run: it would count as this one's
    typed = {"bundle_root": root, "dataset_dir": folder / "films", "output_dir": masks, **(settings or {})}
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(root / "configs" / "inference.yaml")]
    for name, value in typed.items():
        command += [f"--{name}", value if isinstance(value, str) else json.dumps(value, default=str).strip('"')]
    total = sum(1 for path in (folder / "films").glob("*/*") if path.is_file())
    announcer = Announcer("forms: segmenting", total, logging.getLogger("robustness"))
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=root, stdout=output, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                time.sleep(0.5)
                announcer.reached(min(done_in(table), total - 1))
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if done_in(table) < total:
        lines = log.read_text(errors="replace").strip().splitlines() or ["it wrote nothing"]
        raise BundleError(f"{log}: {done_in(table)} of {total} films were segmented: {lines[-1]}")
    announcer.reached(total)
    return masks


def done_in(table: Path) -> int:
    """Rows that a growing results.csv holds."""
    try:
        return max(0, table.read_bytes().count(b"\n") - 1)
    except FileNotFoundError:
        return 0
