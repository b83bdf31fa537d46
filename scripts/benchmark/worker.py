"""The process behind one variant: loads it, then calls it as often as each line on its standard input says."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from monai.bundle import ConfigParser
from PIL import Image

from ..phantoms import generate_phantom
from ..quantization import integer_network
from ..runtime import RuntimeSAM
from ..sam import build_sam
from ..stages import load_weights


def build(spec: Mapping[str, object]) -> Callable[[torch.Tensor], torch.Tensor]:
    """The call that is measured: images in, logits out, with the whole-image prompt.

    Args:
        spec: "variant" (torch, compiled, torchao, integers, onnxruntime, openvino), and what it needs: "architecture",
            "image_size", "window_size", "files" (checkpoint, or encoder and decoder graph), "policy", "threads".
    """
    variant = spec["variant"]
    if variant in ("onnxruntime", "openvino"):
        return RuntimeSAM(*spec["files"], backend=variant, threads=spec["threads"])
    network = build_sam(spec["architecture"], spec["image_size"], window_size=spec.get("window_size")).eval()
    if variant == "integers":
        network = integer_network(network, spec["policy"])
    if spec.get("files"):
        load_weights(network, spec["files"][0])
    if variant == "torchao":
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

        quantize_(network, Int8DynamicActivationInt8WeightConfig())
    return torch.compile(network) if variant == "compiled" else network


def film_to_mask(network: Callable, spec: Mapping[str, object], folder: str) -> Callable[[torch.Tensor], None]:
    """The call from a film on disk to its mask on disk, with the transforms of inference.yaml.

    Args:
        network: from `build`.
        spec: "film_size", side of the PNG in pixels.
        folder: for film and mask.
    """
    film = Path(folder) / "film.png"
    pixels = generate_phantom(seed=1, size=spec["film_size"]).image
    Image.fromarray((pixels * 255).astype(np.uint8)).save(film)
    parser = ConfigParser()
    parser.read_config("configs/inference.yaml")
    parser.update({"image_size": spec["image_size"], "dataset_dir": folder, "output_dir": folder})
    before, after = (parser.get_parsed_content(name) for name in ("preprocessing", "postprocessing"))

    def call(_: torch.Tensor) -> None:
        item = before({"image": str(film)})
        after(dict(item, pred=network(item["image"][None])[0]))

    return call


def peak_memory() -> float:
    """Largest resident memory of this process in MiB; NaN where the system has no /proc."""
    status = Path("/proc/self/status")  # getrusage would count the parent's memory, which fork shares
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), float("nan"))


def main() -> None:
    # Answers alone go to the pipe; what libraries print goes where their warnings go
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**content: object) -> None:
        print(json.dumps(content), file=answers, flush=True)

    spec = json.loads(sys.argv[1])
    torch.set_num_threads(spec["threads"])
    torch.manual_seed(0)
    image = torch.rand(spec.get("batch", 1), 1, spec["image_size"], spec["image_size"])
    with torch.inference_mode(), TemporaryDirectory() as folder:
        started = time.perf_counter()
        call = build(spec)
        if spec.get("film_size"):
            call = film_to_mask(call, spec, folder)
        call(image)
        answer(load_s=time.perf_counter() - started)
        for line in sys.stdin:
            if int(line) == 0:
                break
            seconds = []
            for _ in range(int(line)):
                started = time.perf_counter()
                call(image)
                seconds.append(time.perf_counter() - started)
            answer(seconds=seconds)
    answer(peak_mib=peak_memory())


if __name__ == "__main__":
    main()
