"""What each form costs: Dice against the film's true mask, beside that of the plain film."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from PIL import Image

from ..documents import TableWriter, read_json, read_table
from ..errors import BundleError
from ..files import TEXT, replacing, write_json
from .geometry import carried
from .progress import announced
from .tables import markdown, summarize
from .writing import PLACES, TABLE

NEEDED = ("id", "dataset", "form", "group", "described", "detail", "file", "truth", *PLACES)
COLUMNS = (
    "id",
    "dataset",
    "form",
    "group",
    "described",
    "detail",
    "dice_plain",
    "dice",
    "lost",
    "agreement",
    "status",
    "flags",
    "message",
)


def dice(found: np.ndarray, true: np.ndarray) -> float:
    """2 |A and B| / (|A| + |B|) of two boolean arrays; 1 where both are empty."""
    total = int(found.sum()) + int(true.sum())
    return 2 * int((found & true).sum()) / total if total else 1.0


def read_mask(folder: Path, file: str) -> np.ndarray | None:
    """The mask of a film in the file's own pixel order, whatever format it is in; None if there is none."""
    name = file.removesuffix(".nii.gz") if file.endswith(".nii.gz") else file[: len(file) - len(Path(file).suffix)]
    raster, volume = folder / f"{name}_mask.png", folder / f"{name}_mask.nii.gz"
    if raster.is_file():
        with Image.open(raster) as image:
            return np.asarray(image) > 0
    if volume.is_file():
        import nibabel

        array = np.asanyarray(nibabel.load(volume).dataobj)
        return array.reshape(array.shape[:2]) > 0 if array.size == np.prod(array.shape[:2]) else array.max(axis=2) > 0
    return None


def read_truth(folder: Path, row: dict) -> np.ndarray:
    with Image.open(folder / "truth" / row["truth"]) as image:
        return np.asarray(image) > 0


def score(
    folder: str | Path,
    masks: str | Path | None = None,
    output_dir: str | Path | None = None,
    earlier: str | Path | None = None,
) -> dict:
    """Compare masks with the truth; write robustness.csv (a row a film and form), robustness.md and robustness.json.

    A film without a mask, or with one of another size, has Dice 0 and counts as refused. "agreement" is the Dice
    between the mask of a form and that of the plain film, carried into the form's frame: it asks for no truth.

    Args:
        folder: of `write`.
        masks: masks of its films and their results.csv, made by any version of the software; default: folder/masks.
        output_dir: for the tables; default: `folder`.
        earlier: robustness.json of an earlier run, for columns beside.

    Returns:
        The content of robustness.json, see `summarize`.

    Raises:
        BundleError: the folder holds no forms, or the plain films have no masks.
    """
    folder = Path(folder)
    masks, output = Path(masks or folder / "masks"), Path(output_dir or folder)
    rows = [row for _, row in read_table(folder / TABLE, NEEDED)]
    answers = {row["file"]: row for _, row in read_table(masks / "results.csv", ("file", "status", "flags", "message"))}
    plain = {row["id"]: row for row in rows if row["form"] == "plain"}
    found = {name: read_mask(masks, row["file"]) for name, row in plain.items()}
    missing = [name for name, mask in found.items() if mask is None]
    if missing or not plain:
        raise BundleError(
            f"{masks}: no mask of the plain film {missing[0] if missing else ''}; segment the forms first"
        )
    best = {name: dice(found[name], read_truth(folder, row)) for name, row in plain.items()}
    scores = []
    for row in announced(rows, "forms: scoring", logging.getLogger("robustness")):
        scores.append(score_one(row, read_mask(masks, row["file"]), folder, found[row["id"]], best[row["id"]]))
        answer = answers.get(row["file"], {})
        scores[-1] |= {"flags": answer.get("flags", ""), "message": answer.get("message", "")}
    with replacing(output / "robustness.csv") as partial, partial.open("w", newline="", **TEXT) as file:
        writer = TableWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows({**row, **rounded(row)} for row in scores)
    summary = summarize(scores)
    write_json(output / "robustness.json", summary)
    tables = markdown(summary, None if earlier is None else read_json(earlier))
    with replacing(output / "robustness.md") as partial:
        partial.write_text(tables)
    print(tables, flush=True)
    return summary


def score_one(row: dict, mask: np.ndarray | None, folder: Path, plain: np.ndarray, best: float) -> dict:
    """The scores of one file.

    Args:
        row: of forms.csv.
        mask: of the file, or None.
        plain: mask of the plain film.
        best: its Dice.
    """
    truth = read_truth(folder, row)
    to_plain = np.array([float(row[name]) for name in PLACES]).reshape(2, 3)
    status = "refused" if mask is None else "done" if mask.shape == truth.shape else f"shape {mask.shape}"
    done = status == "done"
    reached = dice(mask, truth) if done else 0.0
    expected = carried(plain, to_plain, truth.shape)
    agreement = dice(mask, expected) if done else 0.0
    return {
        **row,
        "dice_plain": best,
        "dice": reached,
        "lost": best - reached,
        "agreement": agreement,
        "status": status,
    }


def rounded(row: dict) -> dict[str, str]:
    return {name: f"{row[name]:.5f}" for name in ("dice_plain", "dice", "lost", "agreement")}
