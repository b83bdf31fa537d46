"""Encoder and decoder as ONNX graphs."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import onnx
import onnxruntime
import torch
from torch import nn

from ..files import replacing
from ..sam import SAM

OPSET = 21

# What ONNX Runtime's CPU provider runs on integers; all else between QuantizeLinear and DequantizeLinear is float.
INTEGER_KERNELS = ("QGemm", "QLinearConv", "QLinearMatMul", "MatMulIntegerToFloat", "ConvInteger", "MatMulInteger")
FLOAT_KERNELS = ("Gemm", "FusedGemm", "MatMul", "FusedMatMul", "Conv", "FusedConv", "ConvTranspose")


class Encoder(nn.Module):
    """`SAM.encode` as a network of its own."""

    def __init__(self, network: SAM) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.network.encode(image)


class Decoder(nn.Module):
    """`SAM.decode` of one embedding and any number of boxes."""

    def __init__(self, network: SAM) -> None:
        super().__init__()
        self.network = network

    def forward(self, embedding: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        return self.network.decode(embedding, boxes)


def export_graphs(network: SAM, encoder_path: str | Path, decoder_path: str | Path, channels: int = 1) -> None:
    """Write encoder (image B x 1 x S x S -> embedding) and decoder (embedding of one image, boxes N x 4 -> logits).

    B and N are free.

    Args:
        network: floating point, or of integer layers; on the CPU.
        encoder_path, decoder_path: files to write.
        channels: of the images, 1 or 3.
    """
    network = network.eval()
    side = network.image_size
    image = torch.rand(2, channels, side, side)
    boxes = torch.tensor([[0.0, 0.0, side, side], [1.0, 1.0, side / 2, side / 2], [2.0, 3.0, side / 3, side / 2]])
    with torch.no_grad():
        embedding = network.encode(image)[:1]
    write_graph(Encoder(network), (image,), encoder_path, ["image"], "embedding", ({0: torch.export.Dim.DYNAMIC},))
    shapes = (None, {0: torch.export.Dim.DYNAMIC})
    write_graph(Decoder(network), (embedding, boxes), decoder_path, ["embedding", "boxes"], "logits", shapes)


def write_graph(module: nn.Module, inputs: tuple, path: str | Path, names: list[str], output: str, shapes) -> None:
    """Export one graph, check it, and write it in one piece."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # the exporter's notes on its own internals
        for name in ("torch.onnx", "onnx_ir", "onnxscript"):
            logging.getLogger(name).setLevel(logging.ERROR)
        program = torch.onnx.export(
            module.eval(),
            inputs,
            input_names=names,
            output_names=[output],
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        draft = Path(folder) / "graph.onnx"
        program.save(str(draft), external_data=False)
        model = onnx.load(str(draft))
    strip(model)
    onnx.checker.check_model(model)
    with replacing(path) as partial:
        partial.write_bytes(model.SerializeToString())


def strip(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes about its own run: stack traces with paths of the machine that exported."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


def integer_nodes(path: str | Path) -> dict[str, object]:
    """Which kernels ONNX Runtime's default optimisation leaves in the graph at `path`.

    Returns:
        "integer" and "float": kernel -> number of nodes that multiply weights or activations; "quantize" and
        "dequantize": number of those nodes that remain.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        counts = Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)
    return {
        "integer": {kernel: counts[kernel] for kernel in INTEGER_KERNELS if counts[kernel]},
        "float": {kernel: counts[kernel] for kernel in FLOAT_KERNELS if counts[kernel]},
        "quantize": counts["QuantizeLinear"],
        "dequantize": counts["DequantizeLinear"],
    }
