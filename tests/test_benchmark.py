"""The benchmark measures what it says, in processes of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.benchmark import InferenceBenchmark, interleave
from scripts.errors import BundleError

ROOT = Path(__file__).parents[1]
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
    InferenceBenchmark([group], POLICIES, tmp_path, rounds=3, calls=4, threads=1, bundle_root=ROOT).run()
    content = json.loads((tmp_path / "benchmark.json").read_text())
    figures = {entry["name"]: entry for entry in content["results"][0]["figures"]}
    assert figures["eager"]["ratio"] == 1.0
    assert figures["eager, four times the pixels"]["ratio"] < 0.9
    for entry in figures.values():
        assert entry["median_ms"] > 0 and entry["peak_mib"] > 50 and entry["load_s"] > 0
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


def test_graphs_are_made_anew_for_another_policy(tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text("- {modules: '*', weight: 7, input: 8}")
    benchmark = InferenceBenchmark([], {"mine": policy}, tmp_path, 3, 1, 1, ROOT)
    first = benchmark.version("mine")
    assert benchmark.version("mine") == first != benchmark.version("fp32")
    policy.write_text("- {modules: '*', weight: 4, input: 8}")
    assert benchmark.version("mine") != first


def test_film_to_mask_takes_longer_than_the_network_alone(tmp_path):
    specs = [
        {"name": name, "variant": "torch", "architecture": "vit_ti", "image_size": 64, "film_size": film}
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
    spec = {"name": "broken", "variant": "torch", "architecture": "vit_ti", "image_size": 65}
    with pytest.raises(BundleError, match="broken stopped: .*multiple of 16, got 65"):
        interleave([spec], "broken", 3, 1, 1, ROOT)


def test_unknown_policy_is_named(tmp_path):
    variant = {"name": "x", "variant": "onnxruntime", "graph": "half"}
    group = {"name": "g", "architecture": "vit_ti", "image_size": 64, "peer": "x", "variants": [variant]}
    with pytest.raises(BundleError, match="unknown policy 'half'; known: fp32, full"):
        InferenceBenchmark([group], POLICIES, tmp_path, 3, 1, 1, ROOT).run()
