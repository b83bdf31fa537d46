"""How a picture lies, said by DICOM (PS3.3 C.7.6.1.1.1) and EXIF (2.32, tag 274)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from .dicom_writing import stored, write_dicom
from .forms import FORMS, Variant
from .geometry import POSES, Film
from .raster_writing import bytes_of, write_jpeg, write_png, write_tiff

# EXIF: where the 0th row and the 0th column of the file are on the upright picture
EXIF = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}
OPPOSITE = {"L": "R", "R": "L", "H": "F", "F": "H"}


def directions(film: Film) -> tuple[str, str]:
    """Where the patient's body goes along a row and along a column of the stored picture: L, R, H or F each."""

    def letter(step: np.ndarray) -> str:
        down, right = step[:2]
        return ("F" if down > 0 else "H") if abs(down) > abs(right) else ("L" if right > 0 else "R")

    return letter(film.to_plain[:, 1]), letter(film.to_plain[:, 0])


def pose_of(letters: str) -> tuple[bool, bool, bool]:
    """The pose whose `directions` are the two `letters`."""
    probe = Film.plain(np.zeros((4, 4)), np.zeros((4, 4)))
    return next(pose for pose in POSES if directions(probe.turned(pose)) == tuple(letters))


def random_pose(rng: np.random.Generator) -> tuple[bool, bool, bool]:
    """Any pose but the upright one."""
    return POSES[int(rng.integers(1, len(POSES)))]


def oriented(letters: str, film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """PatientOrientation, one letter a direction."""
    turned = film.turned(pose_of(letters))
    return Variant(write_dicom(path, stored(turned.image), {"PatientOrientation": list(letters)}), turned, letters)


for letters in ("LF", "RF", "LH", "RH", "FL", "FR", "HL", "HR"):
    FORMS.add(f"orientation_{letters}", "pose", partial(oriented, letters))


@FORMS.form("orientation_two_letters", "pose")
def orientation_two_letters(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Directions between two axes, or three: the first letter is the main one."""
    turned = film.turned(POSES[int(rng.integers(len(POSES)))])
    row, column = directions(turned)
    if rng.random() < 0.5:  # turned a little one way or the other
        values = [row + column, column + OPPOSITE[row]]
    else:
        values = [row + OPPOSITE[column], column + row]
    kind = int(rng.integers(3))
    if kind == 1:
        values[0] = row + str(rng.choice(["A", "P"]))
    elif kind == 2:
        values = [value + str(rng.choice(["A", "P"])) for value in values]
    return Variant(write_dicom(path, stored(turned.image), {"PatientOrientation": values}), turned, "\\".join(values))


@FORMS.form("orientation_odd_text", "pose")
def orientation_odd_text(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Small letters, and spaces around them."""
    turned = film.turned(random_pose(rng))
    row, column = directions(turned)
    kind = int(rng.integers(3))
    values = [[row.lower(), column.lower()], [f" {row} ", f"{column} "], [f"{row.lower()} ", f" {column}"]][kind]
    tags = {(0x0020, 0x0020): ("CS", values)}
    return Variant(write_dicom(path, stored(turned.image), tags), turned, repr("\\".join(values)))


def exif_pose(orientation: int) -> tuple[bool, bool, bool]:
    """How a picture is stored whose EXIF Orientation is this."""
    row, column = EXIF[orientation]
    transposed = row in ("left", "right")
    return transposed, row in ("bottom", "right"), column in ("bottom", "right")


def exif(container: str, orientation: int, film: Film, rng: np.random.Generator, path: Path) -> Variant:
    turned = film.turned(exif_pose(orientation))
    if container == "jpeg":
        quality = int(rng.integers(75, 96))
        written = write_jpeg(path, bytes_of(turned.image), orientation, quality)
        return Variant(written, turned, f"Orientation {orientation}, quality {quality}")
    if container == "png":
        return Variant(write_png(path, bytes_of(turned.image), orientation), turned, f"Orientation {orientation}")
    bits, order = int(rng.choice([8, 16])), str(rng.choice(["<", ">"]))
    written = write_tiff(path, stored(turned.image, bits), {"Orientation": orientation}, order)
    return Variant(written, turned, f"Orientation {orientation}, {bits} bits {order}")


for container in ("jpeg", "png", "tiff"):
    for orientation in range(2, 9):
        FORMS.add(f"exif_{container}_{orientation}", "pose", partial(exif, container, orientation))
