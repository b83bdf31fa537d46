"""The artefact against the network it was made of, in real integer kernels."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from conftest import NARROW, QKV, randomize

from scripts.adapters import adapt, adapted_layers
from scripts.errors import BundleError, CheckpointMismatch
from scripts.export import agreement, export_artefact, export_graphs, integer_nodes
from scripts.export.artefact import check_kernels
from scripts.quantization import (
    FakeQuantizedLayer,
    IntegerLayer,
    Precision,
    calibrate,
    integer_layers,
    integer_network,
    prepare,
    to_integer,
)
from scripts.runtime import RuntimeSAM, in_torch, load_network
from scripts.sam import build_sam, save_weights

POLICIES = {
    "paper": [
        {"modules": "image_encoder.blocks.*.attn.qkv", "precision": "fp32"},
        {"modules": "prompt_encoder.*", "precision": "fp32"},
        {"modules": "image_encoder.patch_embed.proj", "weight": 7, "input": 8, "output": 8},
        {"modules": "image_encoder.neck.*", "weight": 7, "input": 8, "output": 8},
        {"modules": "mask_decoder.output_upscaling.*", "weight": 7},
        {"modules": "mask_decoder.iou_prediction_head.*", "weight": 7},
        {"modules": "*", "weight": 7, "input": 8},
    ]
}
POLICIES["full"] = POLICIES["paper"][1:]
SIDE = 64


def network(policy: str, classes: int = 1):
    """Adapted, calibrated, every parameter random."""
    torch.manual_seed(0)
    base = randomize(build_sam(NARROW, SIDE, out_channels=classes))
    adapted = adapt(base, QKV, rank=2, alpha=4)
    for layer in adapted_layers(adapted).values():
        torch.nn.init.normal_(layer.adapter_lambda)
    quantized = prepare(adapted, POLICIES[policy]).eval()
    calibrate(quantized, [torch.rand(4, 1, SIDE, SIDE)], quantized, 1, percentile=None)
    return quantized


@pytest.fixture(scope="module", params=list(POLICIES))
def exported(request, tmp_path_factory):
    """Policy, fake-quantized network, integer network, and the folder of its graphs."""
    folder = tmp_path_factory.mktemp(request.param)
    fake = network(request.param)
    integer = to_integer(fake)
    export_graphs(integer, folder / "encoder_int8.onnx", folder / "decoder_int8.onnx")
    return request.param, fake, integer, folder


# Integers in torch


@pytest.mark.parametrize("policy", list(POLICIES))
def test_integer_network_equals_the_fake_quantized_one(policy):
    fake = network(policy)
    image, boxes = torch.rand(2, 1, SIDE, SIDE), torch.tensor([[0.0, 0.0, 64.0, 64.0], [8.0, 9.0, 50.0, 40.0]])
    with torch.no_grad():
        torch.testing.assert_close(to_integer(fake)(image, boxes), fake(image, boxes), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("policy", list(POLICIES))
def test_file_holds_integers_and_loads_into_the_network_of_inference(policy, tmp_path):
    fake = network(policy)
    integer = to_integer(fake)
    save_weights({"model": integer.state_dict()}, tmp_path / "model.pt")
    loaded = load_network(
        integer_network(build_sam(NARROW, SIDE), POLICIES[policy]), tmp_path / "model.pt", "torch", ""
    ).eval()
    image = torch.rand(2, 1, SIDE, SIDE)
    with torch.no_grad():
        assert torch.equal(loaded(image), integer(image))
    layers = integer_layers(loaded)
    assert all(layer.weight.dtype == torch.int8 and layer.weight.abs().max() <= 64 for layer in layers.values())
    assert any(layer.weight.abs().max() > 32 for layer in layers.values())
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_integers_of_other_bits_are_refused():
    integer = to_integer(network("full"))
    policy = [dict(rule, weight=6) if rule.get("weight") else rule for rule in POLICIES["full"]]
    with pytest.raises(CheckpointMismatch, match="weight_bits 7 for 6"):
        integer_network(build_sam(NARROW, SIDE), policy).load_state_dict(integer.state_dict())


def test_weights_and_bias_by_hand():
    linear = torch.nn.Linear(2, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[0.63, -0.1], [2.0, 1.1]]))
        linear.bias.copy_(torch.tensor([0.5, -1.0]))
    fake = FakeQuantizedLayer(linear, Precision(7, 8))
    calibrate(fake, [torch.tensor([[0.0, 2.55]])], fake, 1, percentile=None)
    integer = IntegerLayer.of(fake)
    assert integer.weight.tolist() == [[63, -10], [63, 35]]  # steps of 0.63 / 63 and 2 / 63
    torch.testing.assert_close(integer.weight_scale, torch.tensor([0.01, 2 / 63]))
    torch.testing.assert_close(integer.input_scale, torch.tensor([0.01]))
    assert integer.bias.tolist() == [5000, round(-1 / (0.01 * 2 / 63))]


# The graphs


def test_every_quantized_layer_runs_in_an_integer_kernel(exported):
    policy, _, integer, folder = exported
    kernels = {part: integer_nodes(folder / f"{part}_int8.onnx") for part in ("encoder", "decoder")}
    check_kernels(integer, kernels)
    blocks, per_block = 2, {"paper": 3, "full": 4}[policy]  # proj, lin1, lin2 and, under full, qkv
    assert sum(kernels["encoder"]["integer"].values()) == blocks * per_block + 3  # patch embedding and the neck
    assert kernels["encoder"]["integer"]["QLinearConv"] == 3
    assert not set(kernels["encoder"]["float"]) & {"Conv", "FusedConv"}


def test_layer_that_runs_in_floating_point_is_found(exported):
    _, _, integer, folder = exported
    kernels = {part: integer_nodes(folder / f"{part}_int8.onnx") for part in ("encoder", "decoder")}
    name = next(iter(kernels["encoder"]["integer"]))
    kernels["encoder"]["integer"][name] -= 1
    with pytest.raises(BundleError, match="encoder: .* layers are quantized, but ONNX Runtime runs only"):
        check_kernels(integer, kernels)


def test_weights_stand_in_the_file_as_integers(exported):
    _, _, integer, folder = exported
    graph = onnx.load(folder / "encoder_int8.onnx").graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    held = [node for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in kinds]
    encoder = [name for name in integer_layers(integer) if name.startswith("image_encoder")]
    assert sum(kinds[node.input[0]] == onnx.TensorProto.INT8 for node in held) == len(encoder)
    with_bias = [name for name in encoder if integer_layers(integer)[name].bias is not None]
    assert sum(kinds[node.input[0]] == onnx.TensorProto.INT32 for node in held) == len(with_bias)


def test_graphs_tell_nothing_of_the_machine_that_exported_them(exported):
    *_, folder = exported
    for part in ("encoder", "decoder"):
        content = (folder / f"{part}_int8.onnx").read_bytes()
        assert b"site-packages" not in content and b"stack_trace" not in content


def test_graphs_compute_what_the_network_does(exported):
    _, fake, integer, folder = exported
    runtime = RuntimeSAM(folder / "encoder_int8.onnx", folder / "decoder_int8.onnx")
    image, boxes = torch.rand(3, 1, SIDE, SIDE), torch.tensor([[0.0, 0.0, 64.0, 64.0], [8.0, 9.0, 50.0, 40.0]])
    with torch.no_grad():
        embedding = integer.encode(image)
        assert (runtime.encode(image) - embedding).abs().mean() < 0.02 * embedding.std()
        for count in (1, 2):
            expected = integer.decode(embedding[:1], boxes[:count])
            assert (runtime.decode(embedding[:1], boxes[:count]) - expected).abs().mean() < 0.03 * expected.std()
        whole = fake(image)
        assert (runtime(image) - whole).abs().mean() < 0.05 * whole.std()
    with pytest.raises(ValueError, match="3 embeddings"):
        runtime.decode(embedding, boxes)


def test_openvino_runs_the_same_files(exported):
    pytest.importorskip("openvino", reason="the backend openvino is optional")
    _, _, integer, folder = exported
    runtime = RuntimeSAM(folder / "encoder_int8.onnx", folder / "decoder_int8.onnx", "openvino")
    image = torch.rand(2, 1, SIDE, SIDE)
    with torch.no_grad():
        expected = integer(image)
    assert (runtime(image) - expected).abs().mean() < 0.1 * expected.std()


def test_signals_are_survived_after_openvino_networks_are_gone(exported):
    pytest.importorskip("openvino", reason="the backend openvino is optional")
    script = """
import gc, os, signal, sys
from scripts.runtime import RuntimeSAM
signal.signal(signal.SIGUSR1, lambda *_: None)
for _ in range(2):
    RuntimeSAM(sys.argv[1], sys.argv[2], "openvino")
    gc.collect()
os.kill(os.getpid(), signal.SIGUSR1)
print("survived")
"""
    graphs = [str(exported[-1] / f"{part}_int8.onnx") for part in ("encoder", "decoder")]
    command = [sys.executable, "-X", "faulthandler", "-c", script, *graphs]
    result = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "survived\n"), result.stderr


# The artefact


def test_artefact_is_described_and_checked_before_it_is_used(tmp_path):
    integer = to_integer(network("full"))
    save_weights({"model": integer.state_dict()}, tmp_path / "model.pt")
    (tmp_path / "policy.yaml").write_text("- {modules: '*', weight: 7, input: 8}\n")
    images = [{"id": f"i{i}", "dataset": "random", "image": torch.rand(1, SIDE, SIDE)} for i in range(3)]
    files = {"output_dir": tmp_path, "policy": tmp_path / "policy.yaml", "weights": tmp_path / "model.pt"}
    with pytest.raises(BundleError, match="agrees too little with the QAT model: mean_dice"):
        export_artefact(integer, build_sam(NARROW, SIDE), images, limits={"mean_dice": 1.1}, **files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pt", "policy.yaml"]
    manifest = export_artefact(integer, build_sam(NARROW, SIDE), images, limits={"mean_dice": 0.5}, **files)
    assert json.loads((tmp_path / "manifest.json").read_text()) == manifest
    assert manifest["agreement"]["n"] == 3 and manifest["agreement"]["datasets"] == {"random": 3}
    assert manifest["size_ratio"]["encoder"] > 1
    plain = RuntimeSAM(tmp_path / "encoder_fp32.onnx", tmp_path / "decoder_fp32.onnx")
    image = images[0]["image"][None]
    with torch.no_grad():
        expected = integer(image)
    assert (plain(image) - expected).abs().mean() < 0.5 * expected.std()  # the same weights, nothing rounded
    load_network(integer, "", "onnxruntime", tmp_path / "manifest.json")(image)
    with pytest.raises(BundleError, match="takes 64 px, but image_size is 128"):
        load_network(build_sam(NARROW, 2 * SIDE), "", "onnxruntime", tmp_path / "manifest.json")
    tampered = bytearray((tmp_path / "decoder_int8.onnx").read_bytes())
    tampered[-20] ^= 1
    (tmp_path / "decoder_int8.onnx").write_bytes(tampered)
    with pytest.raises(BundleError, match="decoder_int8.onnx: is not the file that manifest.json describes"):
        load_network(torch.nn.Identity(), "", "onnxruntime", tmp_path / "manifest.json")


@pytest.mark.parametrize(
    ("backend", "content", "message"),
    [
        ("tensorrt", None, "unknown backend 'tensorrt'; known: torch, onnxruntime, openvino"),
        ("onnxruntime", None, "manifest.json: no such manifest"),
        ("onnxruntime", "[]", "manifest.json: not a manifest"),
        ("onnxruntime", '{"files": {}, "weights": {"sha256": ""}}', "encoder_int8.onnx: no such graph"),
    ],
)
def test_artefact_that_cannot_be_run_is_refused_by_name(tmp_path, backend, content, message):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(BundleError, match=message):
        load_network(torch.nn.Identity(), "", backend, tmp_path / "manifest.json")


def test_agreement_by_hand():
    masks = {"same": torch.ones(1, 1, 2, 2), "half": torch.tensor([[[[1.0, 1.0], [-1.0, -1.0]]]])}
    other = {"same": masks["same"] + 0.5, "half": torch.tensor([[[[1.0, -1.0], [-1.0, -1.0]]]])}
    names = list(masks)
    images = [(name, torch.tensor(float(i))) for i, name in enumerate(names)]
    found = agreement(lambda i: masks[names[int(i)]], lambda i: other[names[int(i)]], images)
    assert found["n"] == 2 and found["worst_id"] == "half" and found["worst_dice"] == pytest.approx(2 / 3)
    assert found["mean_dice"] == pytest.approx(5 / 6) and found["largest_logit_error"] == 2.0
    assert found["mean_logit_error"] == pytest.approx(0.5)


def test_agreement_is_that_of_the_worst_class():
    first, second = torch.ones(2, 1, 2, 4, 4)
    first[0, 1, 1:] = -1  # keeps 4 pixels
    second[0, 1, 2:] = second[0, 1, 0, :3] = -1  # keeps 5, of which they share 1
    found = agreement(lambda _: first, lambda _: second, [("a", torch.zeros(1))])
    assert found["worst_dice"] == found["mean_dice"] == pytest.approx(2 / 9)


def test_activations_of_fewer_bits_are_clipped_in_the_graph_too(tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(8, 8))
    prepare(network, [{"modules": "*", "weight": 7, "input": 4}])
    calibrate(network, [torch.rand(16, 8)], network, 1)
    integer = to_integer(network.eval())
    x = 3 * torch.rand(4, 8) - 1  # beyond the calibrated range on both sides
    torch.onnx.export(integer, (x,), tmp_path / "net.onnx", dynamo=True, opset_version=21, verbose=False)
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    found = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(found), integer(x), atol=1e-5, rtol=1e-5)


def test_network_without_graphs_is_refused_for_other_backends():
    plain = torch.nn.Identity()
    assert in_torch(plain, "torch") is plain
    with pytest.raises(BundleError, match="no graphs of it for 'openvino'"):
        in_torch(plain, "openvino")
