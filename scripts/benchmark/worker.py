"""The process behind one variant: makes it, then calls it as often as each line on its standard input says."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose
from PIL import Image

from ..data import DiskCachedDataset, load_datalist
from ..errors import BundleError
from ..phantoms import generate_phantom, write_phantoms
from ..quantization import integer_network
from ..runtime import RuntimeSAM
from ..sam import build_sam
from ..sam.modeling import Attention
from ..stages import load_weights
from .steps import build_step


def load(spec: Mapping[str, object]) -> Callable[[torch.Tensor], torch.Tensor]:
    """A finished network: images in, logits out, with the whole-image prompt.

    Args:
        spec: "variant" (sam, torch, compiled, torchao, integers, onnxruntime, openvino), and what it needs:
            "architecture", "image_size", "window_size", "files" (checkpoint, or encoder and decoder graph), "policy",
            "threads". "sam" is torch with segment-anything's own attention.
    """
    variant = spec["variant"]
    if variant in ("onnxruntime", "openvino"):
        return RuntimeSAM(*spec["files"], backend=variant, threads=spec["threads"])
    network = build_sam(spec["architecture"], spec["image_size"], window_size=spec.get("window_size")).eval()
    if variant == "sam":
        for block in network.image_encoder.blocks:
            block.attn.__class__ = Attention
    if variant == "integers":
        network = integer_network(network, spec["policy"])
    if spec.get("files"):
        load_weights(network, spec["files"][0])
    if variant == "torchao":
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

        quantize_(network, Int8DynamicActivationInt8WeightConfig())
    return torch.compile(network) if variant == "compiled" else network


def film_to_mask(network: Callable, spec: Mapping[str, object], folder: str) -> Callable[[], None]:
    """The call from a film on disk to its mask on disk, with the transforms of inference.yaml.

    Args:
        network: from `load`.
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

    def call() -> None:
        item = before({"image": str(film)})
        after(dict(item, pred=network(item["image"][None])[0]))

    return call


def inference(spec: Mapping[str, object], folder: str) -> Callable[[], object]:
    """Images in memory to logits, or with "film_size" a film on disk to its mask on disk."""
    network = load(spec)
    if spec.get("film_size"):
        return film_to_mask(network, spec, folder)
    image = torch.rand(spec["batch"], 1, spec["image_size"], spec["image_size"])
    return lambda: network(image)


def data(spec: Mapping[str, object], folder: str) -> Callable[[], None]:
    """Films on disk through the transforms of train.yaml: all of them ("cold"), or those behind the cache.

    The cache is in memory ("cached") or on disk ("disk", filled before; the system may hold its files in memory).

    Args:
        spec: "variant", "film_size", side of the PNG files in pixels, and "batch", films a call.
        folder: for the films.
    """
    write_phantoms(folder, spec["batch"], size=spec["film_size"], seed=7)
    parser = ConfigParser()
    parser.read_config("configs/train.yaml")
    parser.update({"image_size": spec["image_size"], "dataset_dir": folder})
    first, second = (
        Compose(parser.get_parsed_content(f"train::{kind}_transforms")) for kind in ("deterministic", "random")
    )
    items = load_datalist(folder)
    if spec["variant"] == "cold":
        return lambda: [second(first(item)) for item in items]
    if spec["variant"] == "disk":
        transform = Compose([*first.transforms, *second.transforms])
        dataset = DiskCachedDataset(items, transform, Path(folder) / "cache")
        return lambda: [dataset[index] for index in range(len(items))]
    if spec["variant"] != "cached":
        raise BundleError(f"benchmark: unknown variant {spec['variant']!r}; known: cold, cached, disk")
    cached = [first(item) for item in items]
    return lambda: [second(deepcopy(item)) for item in cached]


def training(spec: Mapping[str, object], folder: str) -> Callable[[], None]:
    """One step of an optimiser."""
    return build_step(spec)


TASKS = {"inference": inference, "training": training, "data": data}


def peak_memory() -> float:
    """Largest memory of this process in MiB: on the GPU if it used one, else resident; NaN without /proc."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
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
    task = spec["task"]
    with torch.inference_mode(task == "inference"), TemporaryDirectory() as folder:
        started = time.perf_counter()
        call = TASKS[task](spec, folder)
        call()
        answer(load_s=time.perf_counter() - started)
        for line in sys.stdin:
            if int(line) == 0:
                break
            seconds = []
            for _ in range(int(line)):
                started = time.perf_counter()
                call()
                seconds.append(time.perf_counter() - started)
            answer(seconds=seconds)
    answer(peak_mib=peak_memory())


if __name__ == "__main__":
    main()
