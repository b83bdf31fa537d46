"""The benchmark measures what it says, in processes of their own."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from scripts.adapters import AdaLoRALinear, adapted_layers
from scripts.benchmark import Benchmark, interleave
from scripts.benchmark.rounds import _figures
from scripts.benchmark.steps import VARIANTS, build_step
from scripts.errors import BundleError
from scripts.sam import build_sam

ROOT = Path(__file__).parents[1]
SMALL = {"task": "inference", "architecture": "vit_ti", "image_size": 64, "batch": 1}
POLICIES = {"full": ROOT / "configs" / "policies" / "full.yaml"}


def test_variants_are_measured_in_turns_against_their_peer(tmp_path, capsys):
    group = {
        "name": "small",
        "architecture": "vit_ti",
        "image_size": 64,
        "peer": "eager",
        "variants": [
            {"name": "eager", "variant": "torch"},
            {"name": "eager, four times the pixels", "variant": "torch", "image_size": 128},
            {"name": "integers", "variant": "integers", "graph": "full"},
            {"name": "artefact", "variant": "onnxruntime", "graph": "full", "batch": 2},
        ],
    }
    Benchmark([group], POLICIES, tmp_path, rounds=3, calls=4, threads=1, bundle_root=ROOT).run()
    content = json.loads((tmp_path / "benchmark.json").read_text())
    figures = {entry["name"]: entry for entry in content["results"][0]["figures"]}
    assert figures["eager"]["ratio"] == 1.0
    for entry in figures.values():
        assert entry["median_ms"] > 0 and entry["ratio"] > 0 and entry["peak_mib"] > 50 and entry["load_s"] > 0
        assert entry["p95_ms"] is None  # of 12 calls it would be the largest
    (graphs,) = (tmp_path / "graphs").glob("vit_ti_64_dividing_full_*")
    size = sum((graphs / f"{part}.onnx").stat().st_size for part in ("encoder", "decoder")) / 1e6
    assert figures["artefact"]["megabytes"] == pytest.approx(size)
    assert figures["integers"]["megabytes"] == pytest.approx((graphs / "model.pt").stat().st_size / 1e6)
    assert figures["eager"]["megabytes"] is None and figures["artefact"]["batch"] == 2
    text = (tmp_path / "benchmark.md").read_text()
    assert (
        "| eager | 1.00 x |" in text
        and "1 threads" in text
        and text.split("\n\n", 1)[1].strip() in capsys.readouterr().out
    )


def test_ratio_is_the_median_over_rounds_of_the_peers_time_by_its_own():
    worker = SimpleNamespace(spec={"name": "own"}, load_s=1.0)
    seconds = {"peer": [[2.0, 2.0, 9.0], [3.0], [8.0]], "own": [[1.0, 1.0, 7.0], [6.0], [2.0]]}  # 2, 0.5 and 4 times
    figures = _figures(worker, 100.0, seconds, "peer")
    assert figures.ratio == 2.0 and figures.median_ms == 2000.0


def test_graphs_are_made_anew_for_another_policy(tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text("- {modules: '*', weight: 7, input: 8}")
    benchmark = Benchmark([], {"mine": policy}, tmp_path, 3, 1, 1, ROOT)
    first = benchmark.version("mine")
    assert benchmark.version("mine") == first != benchmark.version("fp32")
    policy.write_text("- {modules: '*', weight: 4, input: 8}")
    assert benchmark.version("mine") != first


def test_film_to_mask_takes_longer_than_the_network_alone(tmp_path):
    specs = [
        {**SMALL, "name": name, "variant": "torch", "film_size": film}
        for name, film in (("network", None), ("film", 512))
    ]
    figures = {entry.name: entry for entry in interleave(specs, "network", 3, 7, 1, ROOT)}
    assert figures["film"].ratio < 1 and figures["film"].p95_ms >= figures["film"].median_ms


@pytest.mark.parametrize(
    ("rounds", "calls", "peer", "message"),
    [(2, 1, "a", "at least 3 rounds"), (3, 0, "a", "at least 3 rounds"), (3, 1, "b", "peer 'b' is none of a")],
)
def test_figures_that_would_say_nothing_are_refused(rounds, calls, peer, message):
    with pytest.raises(BundleError, match=message):
        interleave([{"name": "a", "variant": "torch"}], peer, rounds, calls, 1, ROOT)


def test_variant_that_fails_is_named_with_its_reason(tmp_path):
    spec = {**SMALL, "name": "broken", "variant": "torch", "image_size": 65}
    with pytest.raises(BundleError, match="broken stopped: .*multiple of 16, got 65"):
        interleave([spec], "broken", 3, 1, 1, ROOT)


def test_unknown_policy_is_named(tmp_path):
    variant = {"name": "x", "variant": "onnxruntime", "graph": "half"}
    group = {"name": "g", "architecture": "vit_ti", "image_size": 64, "peer": "x", "variants": [variant]}
    with pytest.raises(BundleError, match="unknown policy 'half'; known: fp32, full"):
        Benchmark([group], POLICIES, tmp_path, 3, 1, 1, ROOT).run()


TARGETS = {"image_encoder.blocks.*.attn.qkv": ["q", "k", "v"], "image_encoder.blocks.*.mlp.lin1": ["up"]}
TRAINING = {"architecture": "vit_ti", "image_size": 64, "batch": 2, "targets": TARGETS, "rank": 4, "alpha": 8}
TRAINING |= {"policy": str(POLICIES["full"]), "device": "cpu"}


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_a_step_trains_what_it_says(variant, monkeypatch):
    if variant == "brevitas":
        pytest.importorskip("brevitas", reason="brevitas is an optional peer")
    torch.manual_seed(0)
    networks = []
    build = VARIANTS[variant]
    monkeypatch.setitem(VARIANTS, variant, lambda base, spec: networks.append(build(base, spec)) or networks[-1])
    call = build_step({**TRAINING, "variant": variant})
    network = networks[0].network
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    for _ in range(2):  # adapters start with a singular value of 0, which shields P and Q from the first gradient
        call()
    changed = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    assert changed and changed <= {name for name, p in network.named_parameters() if p.requires_grad}
    assert any("mask_decoder" in name for name in changed)
    assert any("image_encoder" in name for name in changed) == (variant != "decoder")


def test_dense_increment_is_the_same_function():
    spec = {**TRAINING, "variant": "dense"}
    torch.manual_seed(0)
    network = VARIANTS["dense"](build_sam("vit_ti", 64), spec).network.eval()
    for layer in adapted_layers(network).values():
        layer.adapter_lambda.data.normal_()
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        dense = network(image)
        for layer in adapted_layers(network).values():
            layer.__class__ = AdaLoRALinear
        torch.testing.assert_close(network(image), dense, atol=1e-4, rtol=1e-4)


def test_training_and_data_are_measured(tmp_path):
    groups = [
        {**TRAINING, "name": "steps", "task": "training", "policy": "full", "peer": "ours", "variants": []},
        {
            "name": "films",
            "task": "data",
            "image_size": 64,
            "film_size": 96,
            "batch": 2,
            "peer": "cold",
            "variants": [],
        },
    ]
    groups[0]["variants"] = [{"name": "ours", "variant": "adalora"}, {"name": "decoder", "variant": "decoder"}]
    groups[1]["variants"] = [{"name": name, "variant": name} for name in ("cold", "cached", "disk")]
    Benchmark(groups, POLICIES, tmp_path, rounds=3, calls=2, threads=1, bundle_root=ROOT).run()
    steps, films = (
        {entry["name"]: entry for entry in result["figures"]}
        for result in json.loads((tmp_path / "benchmark.json").read_text())["results"]
    )
    assert set(steps) == {"ours", "decoder"} and set(films) == {"cold", "cached", "disk"}
    assert steps["ours"]["ratio"] == films["cold"]["ratio"] == 1.0 and steps["ours"]["batch"] == 2
    assert all(entry["ratio"] > 0 and entry["median_ms"] > 0 for entry in (*steps.values(), *films.values()))
