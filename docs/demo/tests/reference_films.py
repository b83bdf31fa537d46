"""Films in every form that hospitals hold them, and what Python makes of each: the contract of both languages."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import numpy as np

from scripts.films.canonical import canonical
from scripts.films.film import StoredFilm
from scripts.films.looking import Classifier, picture_of
from scripts.films.reading import read_film
from scripts.films.record import Record
from scripts.phantoms import generate_phantom

READ_BY_THE_PAGE = (".png", ".jpg", ".dcm")
EVERY = 23  # pixels of a film, of which one is compared; prime to its width
SMALL, LARGE = 256, 400  # sides in pixels of phantoms
# Phantoms that are only read and framed: more draws of what is decided by looking at pixels
MORE_OF = ("field", "looking")


def packed(array: np.ndarray, every: int = 1) -> dict[str, object]:
    """An array as JSON: its shape and, row by row, one in `every` of its values, base64 of float32."""
    values = np.ascontiguousarray(array.ravel()[::every], dtype="<f4")
    return {"shape": list(array.shape), "values": base64.b64encode(values.tobytes()).decode()}


def write_forms(films: Path, more: Path) -> list[Path]:
    """One phantom in each form as films/form_NAME.*, and others in those of `MORE_OF` as more/NAME_SEED.*."""
    from scripts.robustness import FORMS
    from scripts.robustness.geometry import Film

    written = []
    for seed, size, groups, target in (
        (6_200_000, SMALL, None, films),
        (6_200_001, LARGE, MORE_OF, more),
        (6_200_002, LARGE, MORE_OF, more),
    ):
        phantom = generate_phantom(seed, size)
        film = Film.plain(phantom.image, np.isin(phantom.labels, (1, 2)))
        for form in FORMS.values():
            if groups is not None and form.group not in groups:
                continue
            path = form.write(film, seed, "film", more / "written").path
            if path.suffix in READ_BY_THE_PAGE:
                name = f"form_{form.name}" if groups is None else f"{form.name}_{seed}"
                written.append(path.rename(target / f"{name}{path.suffix}"))
    shutil.rmtree(more / "written")
    return written


def film_step(path: Path, root: Path, classifier: Classifier) -> dict[str, object]:
    """What a file says, the canonical film, how it came about, and what the classifier sees in it."""
    film = read_film(path)
    picture, record = canonical(film, classifier)
    believed, plain = canonical(film)
    return {
        "file": path.relative_to(root).as_posix(),
        # No browser, no JPEG: there the canonical film is made from Python's grays
        "values": packed(film.values, 1 if path.suffix == ".jpg" else EVERY),
        "stated": stated(film),
        "picture": packed(picture, EVERY),
        "record": record_step(record),
        "believed": record_step(plain),
        "seen": packed(picture_of(believed)),
        "logits": classifier.logits(picture_of(believed)).tolist(),
    }


def stated(film: StoredFilm) -> dict[str, object]:
    return {
        "valuesSource": film.values_source,
        "polarityKnown": bool(film.polarity_known),
        "pose": None if film.pose is None else film.pose.number,
        "poseSource": film.pose_source,
        "spacing": film.spacing,
        "spacingSource": film.spacing_source,
        "aspect": film.aspect,
        "aspectSource": film.aspect_source,
        "collimation": None if film.collimation is None else film.collimation.tolist(),
        "collimationSource": film.collimation_source,
    }


def record_step(record: Record) -> dict[str, object]:
    """A record, and what becomes of `scattered` probabilities in its canonical frame in the file's."""
    field = record.field
    return {
        "pose": record.pose.number,
        "rows": record.rows,
        "columns": record.columns,
        "field": None if field is None else [field.x, field.y, field.width, field.height, field.angle],
        "inverted": bool(record.inverted),
        "flags": list(record.flags),
        "described": record.described(),
        "size": list(record.shape[::-1]),
        "restored": packed(record.restore(scattered(*record.shape)), EVERY),
    }


def scattered(height: int, width: int) -> np.ndarray:
    """Numbers in [0, 1) that are the same in every language: multiples of the golden ratio."""
    numbers = np.arange(height * width, dtype=np.uint64) * np.uint64(2654435761) % np.uint64(1 << 32)
    return (numbers >> np.uint64(8)).astype(np.float32).reshape(height, width) / np.float32(1 << 24)
