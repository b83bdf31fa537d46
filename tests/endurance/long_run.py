"""Memory over a long run: stage-2 iterations, and films segmented.

    python tests/endurance/long_run.py --iterations 2000

Prints the resident memory after a tenth of the calls and at the end. The growth between the two must stay below
`--limit` MiB: what a leak of a few kB a call would add.
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

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from scripts.benchmark.steps import build_step  # noqa: E402
from scripts.benchmark.worker import inference  # noqa: E402

STEP = {
    "variant": "fake_quantized",
    "architecture": "vit_ti",
    "image_size": 64,
    "window_size": 4,
    "batch": 2,
    "targets": {"image_encoder.blocks.*.attn.qkv": ["q", "k", "v"], "image_encoder.blocks.*.mlp.lin1": ["up"]},
    "rank": 4,
    "alpha": 8,
    "policy": str(ROOT / "configs" / "policies" / "full.yaml"),
    "device": "cpu",
}
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


def growth(call: Callable[[], object], times: int) -> tuple[float, float]:
    """Resident MiB after a tenth of `times` calls, and after all."""
    early = 0.0
    for number in range(1, times + 1):
        call()
        if number == max(1, times // 10):
            early = resident_mib()
    return early, resident_mib()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=2000)
    parser.add_argument("--limit", type=float, default=32.0)
    options = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        calls = {"stage-2 iterations": lambda: build_step(STEP)}
        for name, runtime in RUNTIMES.items():
            calls[f"films in {name}"] = lambda runtime=runtime: inference({**FILM, **runtime}, folder)
        failed = False
        for name, build in calls.items():
            call = build()
            with torch.inference_mode(name != "stage-2 iterations"):
                early, late = growth(call, options.iterations)
            failed |= late - early > options.limit
            print(f"{options.iterations} {name}: {early:.1f} MiB -> {late:.1f} MiB", flush=True)
    if failed:
        raise SystemExit(f"memory grew by more than {options.limit} MiB")


if __name__ == "__main__":
    main()
