"""kill -9 at many moments of a training run, resuming after each, against the run that nobody disturbed.

    python tests/endurance/kill_anywhere.py --kills 20

Every second kill waits for a file that is just being written. After each, every checkpoint on disk must load; at the
end stage1.pt, model.pt, rank_pattern.json and split.json must be those of the undisturbed run, bit by bit.
"""

from __future__ import annotations

import argparse
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


def command(data: Path, folder: Path) -> list[str]:
    """The training of both stages as a user types it."""
    settings = {**SETTINGS, "dataset_dir": data, "model_dir": folder / "models", "output_dir": folder / "eval"}
    typed = [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", "configs/train.yaml"]
    return [*typed, "--resume", "True", *(item for key, value in settings.items() for item in (f"--{key}", str(value)))]


def partials(folder: Path) -> list[Path]:
    """Files that are being written."""
    return [path for place in ("models", *(f"eval/{s}" for s in STAGES)) for path in (folder / place).glob("*.partial")]


def stage_of(folder: Path) -> str:
    """How far the run has come."""
    return next((stage for stage in reversed(STAGES) if (folder / "eval" / stage / "last.pt").is_file()), "start")


def check_whole(folder: Path) -> None:
    """Every checkpoint under its final name loads."""
    for path in (*(folder / "models").glob("*.pt"), *(folder / "eval").glob("*/last.pt")):
        torch.load(path, weights_only=True, map_location="cpu")


def killed(data: Path, folder: Path, writing: bool, delay_s: float) -> str | None:
    """Run until the next checkpoint (or, with `writing`, until a file is half written) and `delay_s` more, then kill.

    Returns:
        Where it was: stage, and "writing" if a file was left half written; None if the run ended before.
    """
    written = {path: path.stat().st_mtime_ns for path in (folder / "eval").glob("*/last.pt")}
    process = subprocess.Popen(command(data, folder), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            news = any(written.get(p) != p.stat().st_mtime_ns for p in (folder / "eval").glob("*/last.pt"))
            if partials(folder) if writing else news:
                break
            time.sleep(0.0005 if writing else 0.01)
        else:
            if process.returncode:
                raise SystemExit(f"the run failed by itself with status {process.returncode}")
            return None
        time.sleep(0 if writing else delay_s)
    finally:
        process.kill()
        process.wait()
    return f"{stage_of(folder)}{', writing' if partials(folder) else ''}"


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
    subprocess.run(command(data, whole), cwd=ROOT, check=True, capture_output=True)
    return data, whole


def endure(folder: Path, data: Path, whole: Path, kills: int, seed: int = 0) -> Counter:
    """Kill a run `kills` times, finish it, and compare it with the one in `whole`.

    Returns:
        How often it was killed where.

    Raises:
        SystemExit: a file was lost, or the results differ.
    """
    moments, counts, cut = random.Random(seed), Counter(), folder / "cut"
    while sum(counts.values()) < kills:
        place = killed(data, cut, writing=sum(counts.values()) % 2 == 0, delay_s=moments.uniform(0, 1.0))
        if place is None:  # the run is through: another one, until there are enough kills
            if found := difference(whole, cut):
                raise SystemExit(f"differs: {found[:5]}")
            cut = folder / f"cut_{sum(counts.values())}"
            continue
        counts[place] += 1
        check_whole(cut)
        print(f"kill {sum(counts.values())}: {place}", flush=True)
    subprocess.run(command(data, cut), cwd=ROOT, check=True, capture_output=True)
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
