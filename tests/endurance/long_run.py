"""Memory over a long run: stage 2 of train.yaml, with validation, checkpoints and logs, and films segmented.

    python tests/endurance/long_run.py --iterations 2000

Prints the resident memory after a tenth of the iterations or films and at the end. The growth between the two must stay
below `--limit` MiB: what a leak of a few kB at a time would add.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from scripts.benchmark.worker import inference  # noqa: E402
from scripts.phantoms import write_phantoms  # noqa: E402
from scripts.sam import save_weights  # noqa: E402

FILMS, BATCH = 100, 2  # of the training
FILM = {
    "architecture": "vit_ti",
    "image_size": 384,
    "window_size": None,
    "film_size": 512,
    "batch": 1,
    "threads": 2,
    "policy": str(ROOT / "configs" / "policies" / "paper.yaml"),
}
RUNTIMES = {
    "torch": {"variant": "integers", "files": [str(ROOT / "models" / "model.pt")]},
    **{
        name: {
            "variant": name,
            "files": [str(ROOT / "models" / f"{part}_int8.onnx") for part in ("encoder", "decoder")],
        }
        for name in ("onnxruntime", "openvino")
    },
}


def resident_mib() -> float:
    """Memory of this process in use, what the allocator holds back given to the system first."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


class Watch:
    """Notes resident memory in MiB after a tenth of `count` times, and after all."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.done = 0
        self.early = self.late = 0.0

    def add(self, *_: object) -> None:
        self.done += 1
        if self.done == max(1, self.count // 10):
            self.early = resident_mib()
        if self.done == self.count:
            self.late = resident_mib()


def train(watch: Watch, folder: Path) -> None:
    """Stage 2 for as many iterations as `watch` counts, on phantoms, from an untrained stage 1."""
    write_phantoms(folder / "data", FILMS, size=64, seed=500)
    workflow = ConfigWorkflow(
        config_file=str(ROOT / "configs" / "train.yaml"),
        workflow_type="train",
        logging_file=False,
        meta_file=str(ROOT / "configs" / "metadata.json"),
        bundle_root=str(ROOT),
        dataset_dir=str(folder / "data"),
        model_dir=str(folder / "models"),
        output_dir=str(folder / "eval"),
        base_weights=str(ROOT / "models" / "sam_vit_ti_phantom.pt"),
        fractions={"train": 0.8, "validation": 0.2, "test": 0.0},
        qat_epochs=-(-watch.count // (FILMS * 8 // 10 // BATCH)),
        qat_patience=watch.count,
        **{"image_size": 64, "window_size": 4, "rank": 4, "target_rank": 4, "batch_size": BATCH},
        policy=str(ROOT / "configs" / "policies" / "full.yaml"),
    )
    workflow.initialize()
    network = workflow.parser.get_parsed_content("network_def")
    save_weights({"model": network.state_dict()}, folder / "models" / "stage1.pt")
    trainer = workflow.parser.get_parsed_content("qat::trainer")
    trainer.add_event_handler(Events.ITERATION_COMPLETED, watch.add)
    trainer.run()


def segment(watch: Watch, runtime: dict, folder: Path) -> None:
    """Films from PNG to mask."""
    call = inference({**FILM, **runtime}, str(folder))
    with torch.inference_mode():
        for _ in range(watch.count):
            call()
            watch.add()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=2000)
    parser.add_argument("--limit", type=float, default=32.0)
    options = parser.parse_args()
    runs: dict[str, Callable[[Watch, Path], None]] = {"stage-2 iterations": train}
    for name, runtime in RUNTIMES.items():
        runs[f"films in {name}"] = lambda watch, folder, runtime=runtime: segment(watch, runtime, folder)
    failed = False
    for name, run in runs.items():
        watch = Watch(options.iterations)
        with tempfile.TemporaryDirectory() as folder:
            run(watch, Path(folder))
        failed |= watch.late - watch.early > options.limit
        print(f"{options.iterations} {name}: {watch.early:.1f} MiB -> {watch.late:.1f} MiB", flush=True)
    if failed:
        raise SystemExit(f"memory grew by more than {options.limit} MiB")


if __name__ == "__main__":
    main()
