"""Memory over many images: the training loader and the evaluator on a data list of 50,000.

    python tests/endurance/many_images.py --images 50000

The files are links to a few phantoms, so that paths, items and rows are as many as those of a large collection. Prints
resident memory (with worker processes) as it goes, after a tenth of the images and at the end.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from scripts.phantoms import write_phantoms  # noqa: E402
from scripts.quantization import calibrate, prepare, to_integer  # noqa: E402
from scripts.sam import build_sam, save_weights  # noqa: E402

SIDE = 64
FILES = 50


def write_list(folder: Path, images: int) -> None:
    """A manifest of `images` films that are links to `FILES` phantoms, five a patient."""
    write_phantoms(folder / "phantoms", FILES, size=SIDE, seed=500)
    for kind in ("images", "masks"):
        (folder / kind).mkdir()
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "mask", "id", "dataset", "patient"])
        for i in range(images):
            name = f"film_{i:06d}"
            for kind in ("images", "masks"):
                os.link(folder / "phantoms" / kind / f"phantom_{i % FILES:05d}.png", folder / kind / f"{name}.png")
            writer.writerow([f"images/{name}.png", f"masks/{name}.png", name, "many", f"patient_{i // 5:06d}"])


def resident_mib() -> float:
    """Memory of this process and its children; what they share is counted once (proportional set size).

    Code of libraries is left out: how much of it counts here depends on what else runs on the machine.
    """
    process = psutil.Process()
    total = 0
    for member in (process, *process.children(recursive=True)):
        try:
            lines = Path(f"/proc/{member.pid}/smaps_rollup").read_text().splitlines()
        except OSError:  # a worker that has just ended
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))
    return total / 1024


class Watch:
    """Notes memory after a tenth of `count` images, and the largest after that."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.seen = 0
        self.early = self.late = self.checked = 0.0

    def add(self, images: int) -> None:
        self.seen += images
        if self.seen - self.checked >= self.count // 50:
            self.checked = self.seen
            if self.seen <= self.count // 10:
                self.early = resident_mib()
            else:
                self.late = max(self.late, resident_mib())
            print(f"{self.seen} images: {self.late or self.early:.0f} MiB", flush=True)

    def report(self, name: str, seconds: float) -> None:
        print(
            f"{name}: {self.seen} images in {seconds:.0f} s, {self.early:.0f} MiB after a tenth, "
            f"{self.late:.0f} MiB at most after that",
            flush=True,
        )


def workflow(name: str, kind: str, folder: Path, **overrides) -> ConfigWorkflow:
    made = ConfigWorkflow(
        config_file=str(ROOT / "configs" / name),
        workflow_type=kind,
        logging_file=False,
        meta_file=str(ROOT / "configs" / "metadata.json"),
        bundle_root=str(ROOT),
        dataset_dir=str(folder / "data"),
        output_dir=str(folder / "eval"),
        image_size=SIDE,
        window_size=4,
        **overrides,
    )
    made.initialize()
    return made


def load(folder: Path, num_workers: int) -> Watch:
    """One epoch of the training loader of train.yaml, with augmentation, without the network."""
    training = workflow(
        "train.yaml",
        "train",
        folder,
        num_workers=num_workers,
        fractions={"train": 0.98, "validation": 0.02, "test": 0.0},
        cache_gb=0.1,
    )
    loader = training.parser.get_parsed_content("train::dataloader")
    watch = Watch(len(loader.dataset))
    for batch in loader:
        watch.add(len(batch["image"]))
    return watch


def write_model(path: Path) -> None:
    """An untrained network of integers for images of `SIDE` pixels."""
    network = prepare(build_sam("vit_ti", SIDE, window_size=4), ROOT / "configs" / "policies" / "paper.yaml")
    calibrate(network, [torch.rand(1, 1, SIDE, SIDE)], network, 1)
    save_weights({"model": to_integer(network).state_dict()}, path)


def evaluate(folder: Path, num_workers: int, images: int) -> Watch:
    """evaluate.yaml on all images, to tables, overlays and report."""
    write_model(folder / "model.pt")
    evaluation = workflow(
        "evaluate.yaml",
        "infer",
        folder,
        num_workers=num_workers,
        split_record="none.json",
        model_weights=str(folder / "model.pt"),
    )
    watch = Watch(images)
    evaluator = evaluation.parser.get_parsed_content("evaluator")
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda _: watch.add(1))
    evaluator.run()
    return watch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--num_workers", type=int, default=2)
    parser.add_argument("--limit", type=float, default=200.0, help="MiB that memory may grow after a tenth")
    parser.add_argument("--only", choices=("loader", "evaluation"), help="one of the two alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_list(folder / "data", options.images)
        failed = False
        runs = {
            "loader": lambda: load(folder, options.num_workers),
            "evaluation": lambda: evaluate(folder, options.num_workers, options.images),
        }
        for name in [options.only] if options.only else runs:
            started = time.monotonic()
            watch = runs[name]()
            watch.report(name, time.monotonic() - started)
            failed |= watch.late - watch.early > options.limit
    if failed:
        raise SystemExit(f"memory grew by more than {options.limit} MiB")


if __name__ == "__main__":
    main()
