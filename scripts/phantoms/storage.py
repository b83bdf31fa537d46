"""Phantoms as a data set on disk, and as a sheet to look at."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..documents import TableWriter
from ..errors import BundleError
from ..files import replacing, write_json
from .detectors import DETECTORS
from .generator import Phantom, generate_phantom

COLUMNS = ("dataset", "id", "patient", "image", "mask", "view", "finding", "heart_region", "licence")
OUTLINE_COLOURS = {1: (80, 200, 255), 2: (120, 255, 120), 3: (255, 110, 90)}


def write_phantoms(
    folder: str | Path, count: int, size: int = 256, seed: int = 0, classes: str = "lungs", detector: str = "digital"
) -> list[dict[str, str]]:
    """Write phantoms as PNG pairs with a manifest.

    Args:
        folder: gets `images/`, `masks/`, `manifest.csv` and `phantoms.json` (the recipe). If it holds the same set
            already, whole, nothing is written.
        count: number of phantoms, at least 1.
        size: side in pixels.
        seed: of the first phantom; the others follow.
        classes: "lungs" writes masks of 0 and 255, "organs" integer labels 0..3 (right lung, left lung, heart).
        detector: one of `DETECTORS`.

    Returns:
        The rows of the manifest.

    Raises:
        BundleError: count below 1, unknown classes or detector, or a folder that holds other images.
    """
    if count < 1:
        raise BundleError(f"the number of phantoms must be at least 1, got {count}")
    if classes not in ("lungs", "organs"):
        raise BundleError(f"phantom classes must be 'lungs' or 'organs', got {classes!r}")
    if detector not in DETECTORS:
        raise BundleError(f"phantom detector must be one of {', '.join(DETECTORS)}, got {detector!r}")
    folder = Path(folder)
    recipe = {"count": count, "size": size, "seed": seed, "classes": classes}
    if detector != "digital":  # the only one there was when older sets were written
        recipe["detector"] = detector
    record = folder / "phantoms.json"
    same = record.is_file() and json.loads(record.read_text()) == recipe
    if same:
        with (folder / "manifest.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        if all((folder / row[key]).is_file() for row in rows for key in ("image", "mask")):
            return rows
    if not same and folder.is_dir() and any(folder.rglob("*.png")):
        raise BundleError(f"{folder}: holds other images; name an empty folder for the phantoms")
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(count):
        phantom = generate_phantom(seed + i, size)
        name = f"phantom_{i:05d}"
        mask = phantom.labels if classes == "organs" else np.isin(phantom.labels, (1, 2)).astype(np.uint8) * 255
        image = DETECTORS[detector](phantom.image, np.random.default_rng([seed + i, 3]))
        Image.fromarray((image * 255).round().astype(np.uint8)).save(folder / "images" / f"{name}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
        files = (f"images/{name}.png", f"masks/{name}.png")
        rows.append(
            dict(zip(COLUMNS, ("phantom", name, name, *files, "PA", phantom.finding, "excluded", "Apache-2.0")))
        )
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = TableWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    write_json(record, recipe)  # last: it says that the set is complete
    return rows


def write_detectors(folder: str | Path, count: int, size: int = 256, seed: int = 0) -> None:
    """Write `count` phantoms for each detector, no patient twice, and one manifest with a data set for each.

    Args:
        folder: gets DETECTOR/ (see `write_phantoms`) and `manifest.csv`.
        count: phantoms of each detector.
        size: side in pixels.
        seed: of the first phantom; the others follow.
    """
    folder = Path(folder)
    rows = []
    for number, name in enumerate(DETECTORS):
        for row in write_phantoms(folder / name, count, size, seed + number * count, detector=name):
            own = {"dataset": name, "id": f"{name}_{row['id']}", "patient": f"{name}_{row['patient']}"}
            rows.append({**row, **own, **{key: f"{name}/{row[key]}" for key in ("image", "mask")}})
    with replacing(folder / "manifest.csv") as partial:
        with partial.open("w", newline="") as file:
            writer = TableWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


def contact_sheet(phantoms: Sequence[Phantom], path: str | Path, columns: int = 6) -> None:
    """Write one picture with every phantom above its outlined masks."""
    side = len(phantoms[0].image)
    lines = -(-len(phantoms) // columns)
    sheet = np.zeros((lines * 2 * side, min(columns, len(phantoms)) * side, 3), dtype=np.uint8)
    for i, phantom in enumerate(phantoms):
        top, left = i // columns * 2 * side, i % columns * side
        gray = np.repeat((phantom.image * 255).astype(np.uint8)[..., None], 3, axis=2)
        sheet[top : top + side, left : left + side] = gray
        for value, colour in OUTLINE_COLOURS.items():
            mask = phantom.labels == value
            inside = mask.copy()
            inside[1:-1, 1:-1] = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
            gray[mask & ~(inside & mask)] = colour
        sheet[top + side : top + 2 * side, left : left + side] = gray
    with replacing(path) as partial:
        Image.fromarray(sheet).save(partial, format="PNG")
