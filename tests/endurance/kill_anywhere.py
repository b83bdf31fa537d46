"""kill -9 at many moments of a training run, resuming after each, against the run that nobody disturbed.

    python tests/endurance/kill_anywhere.py --kills 20

A run is killed four times: in each stage while a checkpoint is being written, and at a random moment after one. After
each, every checkpoint on disk must load; at the end stage1.pt, model.pt, rank_pattern.json and split.json must be those
of the undisturbed run, bit by bit. Then the next run, until there are enough kills.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from scripts.files import write_json  # noqa: E402
from scripts.phantoms import write_phantoms  # noqa: E402

SETTINGS = {
    "image_size": 64,
    "window_size": 4,
    "rank": 6,
    "target_rank": 3,
    "epochs": 5,
    "qat_epochs": 4,
    "batch_size": 4,
    "calibration_batches": 2,
    "base_weights": ROOT / "models" / "sam_vit_ti_phantom.pt",
}
STAGES = ("stage1", "stage2")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}  # the network is too small for more


def command(data: Path, folder: Path) -> list[str]:
    """The training of both stages as a user types it."""
    settings = {**SETTINGS, "dataset_dir": data, "model_dir": folder / "models", "output_dir": folder / "eval"}
    typed = [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", "configs/train.yaml"]
    return [*typed, "--resume", "True", *(item for key, value in settings.items() for item in (f"--{key}", str(value)))]


def partials(folder: Path) -> list[Path]:
    """Files that are half written."""
    return [path for place in ("models", *(f"eval/{s}" for s in STAGES)) for path in (folder / place).glob("*.partial")]


def check_whole(folder: Path) -> None:
    """Every checkpoint under its final name loads."""
    for path in (*(folder / "models").glob("*.pt"), *(folder / "eval").glob("*/last.pt")):
        torch.load(path, weights_only=True, map_location="cpu")


def kill(data: Path, folder: Path, stage: str, writing: bool, delay_s: float) -> str:
    """Resume until `stage` writes a checkpoint, or has written one and `delay_s` more, then kill.

    Returns:
        What was being written when it died, or "".
    """
    last = folder / "eval" / stage / "last.pt"
    before = last.stat().st_mtime_ns if last.is_file() else None
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command(data, folder), cwd=ROOT, env=ENVIRONMENT, **silent)
    try:
        while process.poll() is None:
            half = any(f"{name}.pt." in path.name for name in ("last", "stage1", "model") for path in partials(folder))
            if half if writing and last.parent.is_dir() else last.is_file() and last.stat().st_mtime_ns != before:
                break
            time.sleep(0.0005)
        else:
            raise SystemExit(f"the run ended with status {process.returncode} before it could be killed in {stage}")
        time.sleep(0 if writing else delay_s)
    finally:
        process.kill()
        process.wait()
    return ", ".join(path.name.split(".partial")[0].rsplit(".", 1)[0] for path in partials(folder))


def difference(first: Path, second: Path) -> list[str]:
    """What differs between the results of two runs."""
    found = []
    for name in ("stage1.pt", "model.pt"):
        one, two = (torch.load(folder / "models" / name, weights_only=True)["model"] for folder in (first, second))
        found += [f"{name}: {key}" for key in one.keys() | two.keys() if not torch.equal(one[key], two[key])]
    for name in ("rank_pattern.json", "split.json"):
        if (first / "models" / name).read_bytes() != (second / "models" / name).read_bytes():
            found.append(name)
    return found


def undisturbed(folder: Path) -> tuple[Path, Path]:
    """Phantoms, and a run on them from beginning to end: folders of both."""
    data, whole = folder / "data", folder / "whole"
    write_phantoms(data, 24, size=64, seed=500)
    subprocess.run(command(data, whole), cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True)
    return data, whole


def endure(folder: Path, data: Path, whole: Path, kills: int, seed: int = 0) -> Counter:
    """Kill runs `kills` times (a multiple of four), finish each, and compare it with the one in `whole`.

    Returns:
        How often they were killed where.

    Raises:
        SystemExit: a file was lost, or the results differ.
    """
    moments, counts = random.Random(seed), Counter()
    while (done := sum(counts.values())) < kills:
        cut = folder / f"cut_{done}"
        # Weights of an earlier run stand there: its split is not this run's
        write_json(cut / "models" / "split.json", {"train": ["another"], "validation": [], "test": []})
        for stage in STAGES:
            for writing in (True, False):
                half = kill(data, cut, stage, writing, moments.uniform(0, 1.0))
                check_whole(cut)
                counts[f"{stage}, writing {half}" if half else stage] += 1
                print(f"kill {sum(counts.values())}: {stage}{f', writing {half}' if half else ''}", flush=True)
        subprocess.run(command(data, cut), cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True)
        if left := partials(cut):
            raise SystemExit(f"left beside: {left}")
        if found := difference(whole, cut):
            raise SystemExit(f"differs: {found[:5]}")
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = endure(Path(folder), *undisturbed(Path(folder)), options.kills, options.seed)
    print("results equal the undisturbed run bit by bit; kills: " + "; ".join(f"{k} x {n}" for k, n in counts.items()))


if __name__ == "__main__":
    main()
