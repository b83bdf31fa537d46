"""The artefact in place of the network."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..errors import BundleError
from ..files import sha256
from ..stages import load_weights
from .manifest import read_manifest

BACKENDS = ("onnxruntime", "openvino")


class RuntimeSAM(nn.Module):
    """Encoder and decoder graphs on ONNX Runtime or OpenVINO, called like `SAM`: on the CPU, for inference only.

    Args:
        encoder, decoder: ONNX files.
        backend: "onnxruntime" or "openvino".
        threads: 0 takes all cores.

    Raises:
        BundleError: unknown backend, missing file or package.
    """

    def __init__(
        self, encoder: str | Path, decoder: str | Path, backend: str = "onnxruntime", threads: int = 0
    ) -> None:
        super().__init__()
        if backend not in BACKENDS:
            raise BundleError(f"unknown backend {backend!r}; known: torch, {', '.join(BACKENDS)}")
        open_graph = _onnxruntime if backend == "onnxruntime" else _openvino
        self.encoder, self.image_size = open_graph(encoder, threads)
        self.decoder, _ = open_graph(decoder, threads)

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        """Embed images B x 1 x S x S."""
        return torch.from_numpy(self.encoder({"image": _array(image)}))

    def decode(self, embedding: torch.Tensor, boxes: torch.Tensor | None = None) -> torch.Tensor:
        """Decode embeddings with boxes N x 4 (None: the whole image); one embedding serves any number of boxes."""
        if boxes is None:
            boxes = torch.tensor([[0.0, 0.0, self.image_size, self.image_size]]).expand(len(embedding), 4)
        if len(embedding) == 1:
            return torch.from_numpy(self.decoder({"embedding": _array(embedding), "boxes": _array(boxes)}))
        if len(embedding) != len(boxes):
            raise ValueError(f"{len(embedding)} embeddings need as many x 4 boxes, got {tuple(boxes.shape)}")
        pairs = zip(embedding.split(1), boxes.split(1))
        return torch.cat([self.decode(one, box) for one, box in pairs])

    def forward(self, image: torch.Tensor, boxes: torch.Tensor | None = None) -> torch.Tensor:
        """Image B x 1 x S x S in [0, 1], boxes B x 4 or None -> logits B x C x S x S."""
        return self.decode(self.encode(image), boxes).to(image.device)


def load_network(network: nn.Module, weights: str | Path, backend: str, artefact: str | Path) -> nn.Module:
    """The network that inference runs on.

    Args:
        network: for the backend torch.
        weights: its checkpoint.
        backend: "torch", "onnxruntime" or "openvino".
        artefact: manifest of the graphs for the other backends; they lie beside it.

    Raises:
        BundleError: unknown backend, weights that do not fit, or an artefact of other weights or another image size.
    """
    if backend == "torch":
        return load_weights(network, weights)
    if backend not in BACKENDS:
        raise BundleError(f"unknown backend {backend!r}; known: torch, {', '.join(BACKENDS)}")
    graphs = ("encoder_int8.onnx", "decoder_int8.onnx")
    manifest = read_manifest(artefact, graphs)
    if Path(weights).is_file() and sha256(weights) != manifest["weights"]["sha256"]:
        raise BundleError(f"{artefact}: was exported from other weights than {weights}; export again")
    folder = Path(artefact).parent
    runtime = RuntimeSAM(*(folder / name for name in graphs), backend)
    if runtime.image_size != network.image_size:
        raise BundleError(f"{artefact}: takes {runtime.image_size} px, but image_size is {network.image_size}")
    return runtime


def in_torch(network: nn.Module, backend: str) -> nn.Module:
    """`network`, of which there is no artefact: any backend but torch is refused."""
    if backend != "torch":
        raise BundleError(f"this network runs in torch alone, there are no graphs of it for {backend!r}")
    return network


def _array(tensor: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.as_subclass(torch.Tensor).detach().cpu().numpy(), dtype=np.float32)


def _onnxruntime(path: str | Path, threads: int) -> tuple[Callable, int]:
    _check_graph(path)
    try:
        import onnxruntime
    except ImportError as error:
        raise BundleError("the backend onnxruntime needs the package onnxruntime: pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that spin after a call, in case another follows, take the cores from the transforms around the network.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda feed: session.run(None, feed)[0], session.get_inputs()[0].shape[-1]


def _check_graph(path: str | Path) -> None:
    if not Path(path).is_file():
        raise BundleError(f"{path}: no such graph; make it with `python -m monai.bundle run export`")


@cache
def _openvino_core() -> object:
    # One for the whole process: OpenVINO's CPU plugin gives the thread a signal stack of its own and frees it when the
    # core goes, where Python's handlers then still run: the next signal would end the process.
    try:
        import openvino
    except ImportError as error:
        raise BundleError("the backend openvino needs the package openvino: pip install openvino==2026.4.1") from error
    return openvino.Core()


def _openvino(path: str | Path, threads: int) -> tuple[Callable, int]:
    _check_graph(path)
    core = _openvino_core()
    settings = {"INFERENCE_NUM_THREADS": threads} if threads else {}
    model = core.read_model(str(path))
    compiled = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY", **settings})
    side = model.inputs[0].partial_shape[-1].get_length()
    return lambda feed: np.array(compiled(feed)[0]), side
