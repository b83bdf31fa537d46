"""The federation in NVFLARE's simulator: `make test-flare` runs these in an environment that has NVFLARE."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("nvflare", reason="NVFLARE is not installed here: run `make test-flare`")

ROOT = Path(__file__).resolve().parents[2]

from scripts.phantoms import write_detectors  # noqa: E402
from scripts.sam.weights import read_weights, save_weights  # noqa: E402

SITES = ("digital", "film")
SMALL = {"image_size": 64, "target_rank": 8, "rounds": 2, "qat_rounds": 2, "local_epochs": 1}


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory) -> Path:
    """Two data sets of 12 phantoms."""
    folder = tmp_path_factory.mktemp("hospitals")
    write_detectors(folder, 12, size=64, seed=700)
    return folder


def run(entry: str, hospitals: Path, output_dir: Path, **settings: object) -> subprocess.CompletedProcess:
    """The command that a user types; one thread, since sums of several come in another order."""
    command = [sys.executable, "-m", "monai.bundle", "run", entry, "--config_file", "configs/federated.yaml"]
    settings = {"dataset_dir": hospitals, "output_dir": output_dir, **SMALL, **settings}
    for name, value in settings.items():
        command += [f"--{name}", str(value)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)


def test_simulator_ends_with_the_weights_of_the_federation_in_one_process(hospitals, tmp_path):
    """Both stages, each site in a process of its own under NVFLARE: bit by bit what `run federated` gives."""
    for entry, settings in (("flare", {}), ("federated", {"compare": False})):
        done = run(entry, hospitals, tmp_path, **settings)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for name in ("stage1.pt", "model.pt"):
        flare, alone = (read_weights(tmp_path / kind / "models" / name) for kind in ("flare", "federated"))
        assert flare.keys() == alone.keys()
        assert [key for key in alone if not torch.equal(flare[key], alone[key])] == [], name
    patterns = [(tmp_path / kind / "models" / "rank_pattern.json").read_text() for kind in ("flare", "federated")]
    assert patterns[0] == patterns[1]
    server = read_weights(tmp_path / "flare" / "models" / "stage1.pt")
    for site in SITES:
        own = read_weights(tmp_path / "flare" / site / "stage1.pt")
        assert own.keys() == server.keys() and all(torch.equal(own[key], server[key]) for key in server), site


def test_site_with_another_base_ends_the_job_in_one_line(hospitals, tmp_path):
    other = read_weights(ROOT / "models" / "sam_vit_ti_phantom.pt")
    other["image_encoder.pos_embed"] += 1e-3
    save_weights({"model": other}, tmp_path / "other.pt")
    sites = {site: {"datasets": [site]} for site in SITES}
    sites["film"]["base_weights"] = str(tmp_path / "other.pt")
    done = run("flare", hospitals, tmp_path / "out", sites=sites)
    assert done.returncode == 1
    workspace = tmp_path / "out" / "flare" / "workspace_stage1"
    assert done.stderr.splitlines()[-1].startswith(f"error: {workspace}: stage 1 failed")
    assert "the server has another frozen base" in done.stdout + done.stderr
