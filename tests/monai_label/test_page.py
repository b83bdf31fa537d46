"""The page for single films, in headless Chromium, against a real server."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from monai_label.odd_films import FORMS
from monai_label.serving import ROOT, dice
from PIL import Image

PAGE = ROOT / "scripts" / "label" / "page.html"
SHOWN = ["collimated", "exif_6", "mirrored", "negative", "plain", "turned", "upwards", "wide"]
BOX = [30, 20, 200, 225]  # in pixels of the picture


@pytest.fixture(scope="module")
def visit(odd_server, tmp_path_factory) -> tuple[Path, dict[str, dict]]:
    """Folder of what the page showed, and what it said, by film."""
    if not shutil.which("node") or not (ROOT / "docs" / "demo" / "node_modules" / "playwright-core").is_dir():
        pytest.skip("needs Node.js and the packages of docs/demo: run `npm ci` there")
    folder = tmp_path_factory.mktemp("page")
    jobs = [{"name": name, "box": BOX if name in ("mirrored", "turned") else None} for name in SHOWN]
    command = ["node", str(Path(__file__).with_name("page.mjs")), str(PAGE), odd_server.url, str(folder)]
    done = subprocess.run([*command, json.dumps(jobs)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder, {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}


def red(canvas: Path) -> np.ndarray:
    """Where a canvas is painted as mask."""
    colours = np.asarray(Image.open(canvas).convert("RGB")).astype(int)
    return colours[..., 0] > colours[..., 2] + 30


@pytest.mark.parametrize("name", ["exif_6", "negative", "plain", "upwards", "wide"])
def test_the_page_paints_the_plain_film_s_mask_on_the_upright_film(visit, odd_server, name):
    folder, _ = visit
    expected = odd_server.mask("plain") > 0
    painted = red(folder / f"{name}.png")
    assert painted.shape == expected.shape
    assert dice(painted, expected) >= 0.97


@pytest.mark.parametrize("name", ["mirrored", "turned"])
def test_a_dragged_box_reaches_the_server_in_the_file_s_own_pixels(visit, odd_server, name):
    folder, said = visit
    boxed = np.zeros(odd_server.mask("plain").shape, dtype=bool)
    boxed[BOX[1] : BOX[3], BOX[0] : BOX[2]] = True
    stored = FORMS[name].store(boxed)
    x0, y0, x1, y1 = said[name]["params"]["box"]
    sent = np.zeros_like(stored)
    sent[y0:y1, x0:x1] = True
    assert dice(sent, stored) >= 0.97  # the mouse goes in pixels of the screen
    expected = odd_server.mask("plain", box=BOX) > 0
    assert dice(red(folder / f"{name}.png"), expected) >= 0.95  # the box's line is drawn over the mask


@pytest.mark.parametrize("name", SHOWN)
def test_the_page_says_what_was_done_and_without_complaints(visit, name):
    _, said = visit
    assert FORMS[name].pose in said[name]["said"] and FORMS[name].source in said[name]["said"]
    assert all(flag in said[name]["said"] for flag in FORMS[name].flags)
    assert said[name]["complaints"] == []


@pytest.mark.parametrize("name", SHOWN)
def test_what_the_page_saves_lies_in_the_file_s_own_pixels(visit, odd_server, name):
    _, said = visit
    expected = odd_server.mask(name, **({"box": said[name]["params"]["box"]} if "box" in said[name]["params"] else {}))
    np.testing.assert_array_equal(odd_server.saved_label(name), expected)
