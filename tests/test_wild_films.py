"""Films as hospitals have them, where ../shared/wild is there: the mask does not depend on how the film was stored."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from monai.bundle import ConfigWorkflow
from PIL import Image

ROOT = Path(__file__).parents[1]
WILD = ROOT.parent / "shared" / "wild"
FILMS = sorted((WILD / "films").glob("*.*")) if WILD.is_dir() else []
pytestmark = pytest.mark.skipif(not FILMS, reason="the films are not part of the repository")


def stem(path: Path) -> str:
    return path.name.split(".")[0]


@pytest.fixture(scope="module")
def segmented(tmp_path_factory) -> Path:
    """One run over the folder with the network and the settings that ship."""
    out = tmp_path_factory.mktemp("wild")
    workflow = ConfigWorkflow(
        config_file=str(ROOT / "configs" / "inference.yaml"),
        workflow_type="infer",
        logging_file=str(ROOT / "configs" / "logging.conf"),
        meta_file=str(ROOT / "configs" / "metadata.json"),
        bundle_root=str(ROOT),
        dataset_dir=str(WILD / "films"),
        output_dir=str(out),
        formats=["png", "overlay"],
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return out


def scores(out: Path, name: str) -> tuple[tuple, tuple, float]:
    """Sizes of the mask and of the true one, and their Dice."""
    found = np.asarray(Image.open(out / f"{name}_mask.png")) > 0
    true = np.asarray(Image.open(WILD / "masks" / f"{name}.png")) > 0
    if found.shape != true.shape:
        return found.shape, true.shape, 0.0
    return found.shape, true.shape, float(2 * (found & true).sum() / (found.sum() + true.sum()))


@pytest.mark.parametrize("path", FILMS, ids=stem)
def test_mask_is_that_of_the_plain_film_in_the_order_of_the_file(segmented, path):
    size, true_size, dice = scores(segmented, stem(path))
    plain = scores(segmented, "plain")[2]
    assert size == true_size
    assert plain > 0.95 and dice >= plain - 0.02, f"Dice {dice:.4f}, of the plain film {plain:.4f}"


def test_the_table_says_what_each_file_meant(segmented):
    with (segmented / "results.csv").open(newline="") as file:
        rows = {stem(Path(row["file"])): row for row in csv.DictReader(file)}
    assert {row["status"] for row in rows.values()} == {"done"} and len(rows) == len(FILMS)
    told = {
        ("exif_6", "pose"): "Orientation",
        ("for_processing", "values"): "FOR PROCESSING, LIN",
        ("lut_8_in_16", "values"): "VOI LUT 1",
        ("miniswhite_16", "values"): "WhiteIsZero",
        ("nifti_dcm2niix", "pose"): "affine",
        ("orientation_mirrored", "pose"): "PatientOrientation",
        ("spacing_wide", "spacing"): "PixelSpacing",
        ("width_0", "values"): "window 1 cannot be meant",
        ("window_off", "values"): "window 1 cannot be meant",
        ("plain", "field"): "whole",
    }
    assert {key: rows[key[0]][key[1]] for key, words in told.items() if words not in rows[key[0]][key[1]]} == {}
    assert rows["collimated"]["field"] != "whole"
    assert all((segmented / f"{name}_overlay.png").is_file() for name in rows)
