"""Films of a data set, in every form, on disk."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..data import LoadRadiographd, load_datalist, select
from ..documents import TableWriter
from ..errors import BundleError
from ..files import TEXT, replacing
from ..phantoms import write_phantoms
from .forms import FORMS
from .geometry import Film
from .progress import announced

PLACES = tuple(f"{row}{column}" for row in ("row", "column") for column in ("_per_row", "_per_column", "_offset"))
COLUMNS = ("id", "dataset", "form", "group", "described", "detail", "file", "truth", *PLACES)
TABLE = "forms.csv"


def choose_films(
    dataset_dir: str | Path | None,
    output_dir: str | Path,
    count: int | None,
    part: str | None = "test",
    record: str | Path | None = None,
    datasets: Sequence[str] | None = None,
    seed: int = 0,
) -> list[dict]:
    """Films with masks, spread evenly over the data sets and over each of them.

    Args:
        dataset_dir: see `load_datalist`; None draws phantoms of 256 x 256 pixels into output_dir/phantoms.
        count: how many; None takes all.
        part, record: see `select`; phantoms belong to no part.
        datasets: see `load_datalist`.
        seed: of the first phantom.

    Raises:
        BundleError: there is no such folder, data set or part, or count is below 1.
    """
    if count is not None and count < 1:
        raise BundleError(f"films: expected at least 1, got {count}")
    if dataset_dir is None:
        dataset_dir, part = Path(output_dir) / "phantoms", None
        write_phantoms(dataset_dir, count or 12, seed=seed)
    items = select(load_datalist(dataset_dir, datasets), part, record)
    return items if count is None else spread(items, count)


def spread(items: Sequence[dict], count: int) -> list[dict]:
    """`count` of `items`: as many of each data set, or all where it has fewer, at even distances."""
    sets: dict[str, list[dict]] = defaultdict(list)
    for item in items:
        sets[item["dataset"]].append(item)
    chosen: list[dict] = []
    for number, group in enumerate(sorted(sets.values(), key=len)):
        share = min(len(group), -(-(count - len(chosen)) // (len(sets) - number)))
        chosen += [group[i * len(group) // share] for i in range(share)]
    return sorted(chosen, key=items.index)


def read_film(item: dict) -> Film:
    """Image and mask of a data item; the mask is whatever is labelled."""
    load = LoadRadiographd(keys="image")
    image, mask = (np.asarray(load.load_one(item[key]))[0].T.astype(np.float64) for key in ("image", "label"))
    low, high = image.min(), image.max()
    return Film.plain((image - low) / max(high - low, 1e-9), mask > 0)


def write(items: Sequence[dict], folder: str | Path, forms: Sequence[str] | None = None, seed: int = 0) -> list[dict]:
    """Write every film in every form: folder/films/FORM/ID.*, folder/truth/FORM/ID.png and folder/forms.csv.

    The true masks are 0 and 255 in the file's own pixel order; rows of the PNG are the first axis of a NIfTI array.

    Args:
        items: from `choose_films`.
        folder: may hold forms of the same films, which are written anew; other films there are an error.
        forms: names of forms or groups; None writes all. "plain" is always among them.
        seed: what is drawn follows from it, the form and the film's id alone.

    Returns:
        The rows of forms.csv. Its last six columns take (row, column) of the file to the plain film's.

    Raises:
        BundleError: no such form, or the folder holds other films.
    """
    folder, chosen = Path(folder), FORMS.choose(forms)
    rows = []
    names = {item["id"]: item["id"].replace("/", "_").replace("\\", "_") for item in items}
    check_folder(folder, {(form.name, name) for form in chosen for name in names.values()})
    for item in announced(items, "forms: writing film", logging.getLogger("robustness")):
        film, name = read_film(item), names[item["id"]]
        for form in chosen:
            variant = form.write(film, seed, name, folder / "films" / form.name)
            truth = folder / "truth" / form.name / f"{name}.png"
            truth.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(variant.film.mask.astype(np.uint8) * 255).save(truth)
            places = dict(zip(PLACES, map(repr, variant.film.to_plain[:2].ravel().tolist())))
            files = {"file": variant.path.relative_to(folder / "films"), "truth": truth.relative_to(folder / "truth")}
            kind = {"form": form.name, "group": form.group, "described": form.described, "detail": variant.detail}
            paths = {key: path.as_posix() for key, path in files.items()}
            rows.append({"id": item["id"], "dataset": item["dataset"], **kind, **paths, **places})
    with replacing(folder / TABLE) as partial, partial.open("w", newline="", **TEXT) as file:
        writer = TableWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return rows


def check_folder(folder: Path, expected: set[tuple[str, str]]) -> None:
    """Raise `BundleError` if folder/films holds a file that is none of the `expected` (form, name)."""
    for path in sorted((folder / "films").glob("*/*")):
        if (path.parent.name, path.name.split(".")[0]) not in {(form, name.split(".")[0]) for form, name in expected}:
            raise BundleError(f"{path}: is of another run; name an empty folder for the forms")
