"""Two processes (gloo) against one: the same global batch gives the same training, and the same tables."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT

from scripts.phantoms import generate_phantom, write_phantoms
from scripts.quantization import integer_network
from scripts.sam import build_sam
from scripts.sam.weights import read_weights
from scripts.stages import load_weights

POLICY = ROOT / "configs" / "policies" / "paper.yaml"

SMALL = {
    "image_size": 64,
    "window_size": 4,
    "rank": 6,
    "target_rank": 3,
    "epochs": 3,
    "qat_epochs": 2,
    "calibration_batches": 2,
    "base_weights": ROOT / "models" / "sam_vit_ti_phantom.pt",
}


def bundle(run_id: str, files: list[str], processes: int, folder: Path, **overrides) -> None:
    """Run a config as a user types it, in one process or with torchrun."""
    launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}", "--standalone"] if processes > 1 else []
    command = [sys.executable, *launcher, "-m", "monai.bundle", "run", run_id, "--config_file", str(files)]
    command += [item for key, value in overrides.items() for item in (f"--{key}", str(value))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def train(processes: int, folder: Path, data: Path, batch_size: int, **overrides) -> None:
    recorder = folder / "recorder.yaml"
    recorder.parent.mkdir()
    recorder.write_text(
        "+train::handlers:\n- _target_: step_recorder.StepRecorder\n"
        f"  folder: {folder / 'steps'}\n  allocator: '@train::allocator'\n"
    )
    overlay = ["configs/multi_gpu.yaml"] if processes > 1 else []
    paths = {"dataset_dir": data, "model_dir": folder / "models", "output_dir": folder / "eval"}
    files = ["configs/train.yaml", *overlay, str(recorder)]
    bundle("training", files, processes, folder, batch_size=batch_size, **paths, **SMALL, **overrides)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, 31, size=64, seed=500)  # 22 to train on; 5 to validate, so that shares differ
    return folder


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory) -> dict[int, Path]:
    folders = {processes: tmp_path_factory.mktemp("runs") / str(processes) for processes in (1, 2)}
    for processes, folder in folders.items():
        train(processes, folder, data, batch_size=4 // processes)
    return folders


def steps(folder: Path, rank: int = 0) -> dict:
    return torch.load(folder / "steps" / f"{rank}.pt", weights_only=True)


def test_rank_masks_are_those_of_one_process_on_every_rank_at_every_step(runs):
    one, first, second = steps(runs[1])["masks"], steps(runs[2])["masks"], steps(runs[2], 1)["masks"]
    assert torch.equal(first, second)
    assert len(one) == len(first) and one[0].all() and one[-1].sum() == 3 * 36
    assert torch.equal(first, one)


def test_loss_of_each_step_is_that_of_one_process(runs):
    one, shares = steps(runs[1])["losses"], [steps(runs[2], rank)["losses"] for rank in range(2)]
    together = [sum(pair) / 2 for pair in zip(*shares)]
    assert together == pytest.approx(one, rel=2e-3)
    assert one[-1] < one[0]


def test_stage1_ends_with_the_weights_of_one_process(runs):
    one, two = (read_weights(runs[processes] / "models" / "stage1.pt") for processes in (1, 2))
    assert set(one) == set(two)
    for key, value in one.items():
        # Softmax does not see the bias of keys: its gradient is rounding noise, which Adam brings to full size
        if not key.endswith("k_proj.bias"):
            torch.testing.assert_close(value, two[key], rtol=1e-3, atol=1e-4, msg=lambda m, key=key: f"{key}: {m}")


def test_stage2_ends_with_the_integers_of_one_process(runs):
    weights = [runs[processes] / "models" / "model.pt" for processes in (1, 2)]
    one, two = map(read_weights, weights)
    integers = [key for key, value in one.items() if value.dtype == torch.int8]
    steps_apart = torch.cat([(one[key].int() - two[key].int()).abs().flatten() for key in integers])
    assert steps_apart.float().mean() < 0.05 and (steps_apart > 1).float().mean() < 1e-3  # near a half, rounded over
    networks = [
        load_weights(integer_network(build_sam("vit_ti", 64, window_size=4), POLICY), path).eval() for path in weights
    ]
    images = torch.stack([torch.from_numpy(generate_phantom(seed, 64).image) for seed in range(8)])[:, None]
    with torch.no_grad():
        first, second = (network(images) > 0 for network in networks)
    assert 2 * (first & second).sum() / (first.sum() + second.sum()) > 0.99


def test_curves_are_those_of_one_process(runs):
    """The loss is the mean of all shares, and each validation image counts once."""
    for stage in ("stage1", "stage2"):
        one, two = (json.loads((runs[n] / "eval" / stage / "curves.json").read_text()) for n in (1, 2))
        assert [row["loss"] for row in one] == pytest.approx([row["loss"] for row in two], rel=2e-3)
        assert [row["val_dice"] for row in one] == pytest.approx([row["val_dice"] for row in two], abs=2e-3)
        events = [len(list((runs[n] / "eval" / stage).glob("events.*"))) for n in (1, 2)]
        assert events[0] == events[1] > 0


def test_accumulation_and_recomputation_in_two_processes_train_what_a_large_batch_trains(runs, data, tmp_path):
    train(2, tmp_path / "run", data, batch_size=1, accumulation_steps=2, gradient_checkpointing=True)
    large, small = steps(runs[1]), steps(tmp_path / "run")
    ends = [i for i in range(len(small["masks"])) if (i % 11) % 2 or i % 11 == 10]  # 11 mini-batches, 6 steps an epoch
    assert torch.equal(small["masks"][ends], large["masks"])
    one, two = (read_weights(folder / "models" / "stage1.pt") for folder in (runs[1], tmp_path / "run"))
    for key, value in one.items():
        if not key.endswith("k_proj.bias"):
            # A sixth of one step: Adam scales up what rounding leaves of a gradient of nothing
            torch.testing.assert_close(value, two[key], rtol=1e-3, atol=5e-4, msg=lambda m, key=key: f"{key}: {m}")


def test_training_in_bfloat16_keeps_the_budget_and_nearly_the_losses(runs, data, tmp_path):
    train(1, tmp_path / "run", data, batch_size=4, precision="bfloat16")
    full, half = steps(runs[1]), steps(tmp_path / "run")
    assert half["losses"] != full["losses"] and half["losses"][0] == pytest.approx(full["losses"][0], rel=0.05)
    assert sum(half["losses"]) == pytest.approx(sum(full["losses"]), rel=0.1)
    assert torch.equal(full["masks"].sum(1), half["masks"].sum(1))
    assert (full["masks"][-1] & half["masks"][-1]).sum() > 0.8 * 3 * 36


def test_evaluation_by_two_processes_writes_the_table_of_one(runs, data, tmp_path):
    tables = []
    for processes in (1, 2):
        overlay = ["configs/multi_gpu_evaluation.yaml"] if processes > 1 else []
        out = tmp_path / str(processes)
        network = {key: SMALL[key] for key in ("image_size", "window_size")}
        paths = {"dataset_dir": data, "model_dir": runs[1] / "models", "output_dir": out}
        bundle(
            "evaluating",
            ["configs/evaluate.yaml", *overlay],
            processes,
            tmp_path,
            part="validation",
            **paths,
            **network,
        )
        with (out / "metrics.csv").open(newline="") as file:
            tables.append(list(csv.DictReader(file)))
        assert (out / "report.html").stat().st_size > 10_000 and (out / "overlays.png").is_file()
        assert {path.name for path in out.glob("*.csv")} == {"metrics.csv"}
    assert len(tables[0]) == 5 and [row["id"] for row in tables[0]] == [row["id"] for row in tables[1]]
    for first, second in zip(*tables):
        assert float(first["dice"]) == pytest.approx(float(second["dice"]), abs=1e-6)
    summaries = [json.loads((tmp_path / str(n) / "summary.json").read_text())["groups"] for n in (1, 2)]
    assert summaries[0][0]["n"] == summaries[1][0]["n"] == 5
