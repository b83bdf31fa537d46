"""The artefact: graphs, manifest, and the checks that it must pass."""

from __future__ import annotations

import logging
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import onnx
import onnxruntime
import torch
from torch import nn

from ..errors import BundleError
from ..files import sha256, write_json
from ..quantization import integer_layers
from ..runtime import RuntimeSAM
from .agreement import agreement
from .graphs import OPSET, export_graphs, integer_nodes

PARTS = ("encoder", "decoder")


def export_artefact(
    network: nn.Module,
    float_network: nn.Module,
    images: Iterable[Mapping],
    output_dir: str | Path,
    policy: str | Path,
    weights: str | Path,
    limits: Mapping[str, float],
) -> dict[str, object]:
    """Write the INT8 pair and an FP32 pair for comparison, check the INT8 pair, and describe it in a manifest.

    Files of an earlier artefact are replaced only after all checks.

    Args:
        network: of integer layers, loaded.
        float_network: of the same architecture in floating point; its weights are replaced by those of `network`.
        images: data items with "image" 1 x S x S, "id" and "dataset", to compare masks on.
        output_dir: gets encoder_int8.onnx, decoder_int8.onnx, encoder_fp32.onnx, decoder_fp32.onnx, manifest.json.
        policy: YAML file of the precision policy.
        weights: checkpoint that `network` was loaded from.
        limits: "mean_dice" and "worst_dice" that the artefact must reach on `images`.

    Raises:
        BundleError: a graph runs in floating point where the policy says integers, or the masks do not agree.
    """
    log = logging.getLogger("export")
    output = Path(output_dir)
    output.mkdir(parents=True, exist_ok=True)
    network = network.cpu().eval()
    with tempfile.TemporaryDirectory(dir=output, prefix=".export") as draft:
        files = {(part, kind): Path(draft) / f"{part}_{kind}.onnx" for kind in ("int8", "fp32") for part in PARTS}
        log.info("exporting the INT8 pair")
        export_graphs(network, *(files[part, "int8"] for part in PARTS))
        log.info("exporting the FP32 pair")
        export_graphs(dequantized(network, float_network), *(files[part, "fp32"] for part in PARTS))
        kernels = {part: integer_nodes(files[part, "int8"]) for part in PARTS}
        check_kernels(network, kernels)
        items = list(images)
        compared = [(item["id"], item["image"][None]) for item in items]
        found = agreement(network, RuntimeSAM(*(files[part, "int8"] for part in PARTS)), compared)
        found["datasets"] = dict(Counter(item["dataset"] for item in items))
        check_agreement(found, limits)
        side = network.image_size
        manifest = {
            "files": {path.name: {"sha256": sha256(path), "bytes": path.stat().st_size} for path in files.values()},
            "weights": {"name": Path(weights).name, "sha256": sha256(weights)},
            "policy": Path(policy).read_text(),
            "opset": OPSET,
            "versions": {"torch": torch.__version__, "onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__},
            "input": {
                "image": f"B x 1 x {side} x {side}, float32 in [0, 1], bone bright",
                "boxes": f"N x 4, float32 [x0, y0, x1, y1] in pixels of the input; [0, 0, {side}, {side}] is all of it",
            },
            "kernels": kernels,
            "size_ratio": {
                part: files[part, "fp32"].stat().st_size / files[part, "int8"].stat().st_size for part in PARTS
            },
            "agreement": found,
        }
        for path in files.values():
            os.replace(path, output / path.name)
    write_json(output / "manifest.json", manifest)
    print(format_manifest(manifest), flush=True)
    log.info("written: %s", output / "manifest.json")
    return manifest


def check_agreement(found: Mapping[str, object], limits: Mapping[str, float]) -> None:
    """Raise `BundleError` if masks agree less than `limits` ask for."""
    for key, least in limits.items():
        if found[key] < least:
            raise BundleError(
                f"the INT8 artefact agrees too little with the QAT model: {key} {found[key]:.4f}, at least {least} is "
                f"needed; worst image {found['worst_id']}"
            )


def format_manifest(manifest: Mapping[str, object]) -> str:
    """What the checks found, for people."""
    lines = [
        f"{name:<20}{entry['bytes'] / 1e6:8.2f} MB  {entry['sha256'][:16]}" for name, entry in manifest["files"].items()
    ]
    for part, counts in manifest["kernels"].items():
        kinds = [
            f"{kind} kernels: {', '.join(f'{name} {count}' for name, count in counts[kind].items()) or 'none'}"
            for kind in ("integer", "float")
        ]
        lines.append(f"{part}: {'; '.join(kinds)}; {manifest['size_ratio'][part]:.2f} times smaller than FP32")
    found = manifest["agreement"]
    images = ", ".join(f"{count} of {name}" for name, count in found["datasets"].items())
    lines.append(
        f"masks against the QAT model, {images}: mean Dice {found['mean_dice']:.5f}, worst "
        f"{found['worst_dice']:.5f} ({found['worst_id']}); logit error {found['mean_logit_error']:.4f}, largest "
        f"{found['largest_logit_error']:.3f}"
    )
    return "\n".join(lines)


def dequantized(network: nn.Module, float_network: nn.Module) -> nn.Module:
    """`float_network` with the weights that `network` holds as integers."""
    state, integers = network.state_dict(), integer_layers(network)
    plain = {key: value for key, value in state.items() if key in float_network.state_dict()}
    for name, layer in integers.items():
        plain[f"{name}.weight"] = layer.real_weight()
        if layer.bias is not None:
            plain[f"{name}.bias"] = layer.real_bias()
    float_network.load_state_dict(plain)
    return float_network.cpu().eval()


def check_kernels(network: nn.Module, kernels: Mapping[str, Mapping]) -> None:
    """Raise `BundleError` unless every layer whose input is quantized runs in an integer kernel."""
    unused = unused_layers(network)
    layers = {name: layer for name, layer in integer_layers(network).items() if name not in unused}
    in_encoder = [name for name in layers if name.startswith(("image_encoder.", "mask_decoder.detail.stem."))]
    in_decoder = [name for name in layers if name.startswith("mask_decoder.") and name not in in_encoder]
    for part, names in (("encoder", in_encoder), ("decoder", in_decoder)):
        expected = sum(layers[name].input_scale is not None for name in names)
        found = sum(kernels[part]["integer"].values())
        if found < expected:
            raise BundleError(
                f"{part}: {expected} layers are quantized, but ONNX Runtime runs only {found} in integer kernels "
                f"({kernels[part]['float']} in float)"
            )


def unused_layers(network: nn.Module) -> set[str]:
    """Names of the layers outside the graph of box prompts."""
    unused = {id(layer) for module in network.mask_decoder.unused_modules() for layer in module.modules()}
    return {name for name, module in network.named_modules() if id(module) in unused}
