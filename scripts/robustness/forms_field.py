"""Films of which only a part was exposed (PS3.3 C.7.6.11, C.8.7.3)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from .dicom_writing import stored, write_dicom
from .forms import FORMS, Variant
from .forms_pose import directions, exif_pose, random_pose
from .forms_windows import TOP
from .geometry import Film
from .raster_writing import bytes_of, write_jpeg, write_png
from .surrounds import canvas, circle, extent, shutters, some_sides, surround, trimmed, within

ANGLES = (2.0, 15.0)


def slanted(rng: np.random.Generator) -> float:
    """Degrees, to either side."""
    return float(rng.uniform(*ANGLES) * rng.choice([-1, 1]))


def kept(film: Film, rng: np.random.Generator, path: Path, detail: str) -> Variant:
    """Write a film as any common file."""
    kind = int(rng.integers(4))
    if kind == 0:
        return Variant(write_png(path, bytes_of(film.image)), film, f"PNG, {detail}")
    if kind == 1:
        return Variant(write_jpeg(path, bytes_of(film.image), quality=90), film, f"JPEG, {detail}")
    pixels, photometric = stored(film.image), "MONOCHROME2"
    if kind == 3:
        pixels, photometric = TOP - pixels, "MONOCHROME1"
    return Variant(write_dicom(path, pixels, photometric=photometric), film, f"{photometric}, {detail}")


def collimated(kind: str, how: str, film: Film, rng: np.random.Generator) -> tuple[Film, str]:
    """A surround of one kind.

    Args:
        how: "upright" (one to four sides), "turned" (film and field together), "shutters" (they alone), "circle".
    """
    sides = some_sides(rng)
    angle = 0.0 if how in ("upright", "circle") else slanted(rng)
    if how == "circle":
        shown, depth = film, circle(film, rng)
    elif how == "shutters":
        shown, depth = film, shutters(film, angle, sides, rng)
    else:
        shown, depth = canvas(trimmed(film, sides, rng), angle, sides, rng)
    names = "".join(letter for letter, side in zip("tblr", sides) if side) if how != "circle" else "all"
    return within(shown, depth, surround(kind, depth, rng), rng), f"{kind} {how} {angle:.0f} degrees, sides {names}"


def write_collimated(kind: str, how: str, film: Film, rng: np.random.Generator, path: Path) -> Variant:
    shown, detail = collimated(kind, how, film, rng)
    return kept(shown, rng, path, detail)


for kind in ("black", "white", "gray"):
    for how in ("upright", "turned", "shutters"):
        FORMS.add(f"field_{kind}_{how}", "field", partial(write_collimated, kind, how))
for kind in ("black", "white"):
    FORMS.add(f"field_{kind}_circle", "field", partial(write_collimated, kind, "circle"))


@FORMS.form("field_several", "field")
def several(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Collimated, and then blanked further out, perhaps at another angle."""
    first, second = rng.permutation(["black", "white", "gray"])[:2]
    inner, detail = collimated(str(first), str(rng.choice(["upright", "shutters"])), film, rng)
    outer, more = collimated(str(second), str(rng.choice(["upright", "turned"])), inner, rng)
    return kept(outer, rng, path, f"{detail}; {more}")


def shutter_tags(prefix: str, film: Film, rng: np.random.Generator) -> tuple[dict[str, object], str]:
    """Display shutter or collimator around the lungs, in rows and columns counted from 1."""
    height, width = film.image.shape
    top, bottom, left, right = extent(film.mask)
    space = rng.uniform(0.02, 0.06) * min(height, width)
    ends = [max(1, round(top - space)), min(height, round(bottom + space))]
    sides = [max(1, round(left - space)), min(width, round(right + space))]
    shape = str(rng.choice(["RECTANGULAR", "CIRCULAR", "POLYGONAL"]))
    tags: dict[str, object] = {f"{prefix}Shape": shape}
    if shape == "RECTANGULAR":
        tags[f"{prefix}UpperHorizontalEdge"], tags[f"{prefix}LowerHorizontalEdge"] = ends
        tags[f"{prefix}LeftVerticalEdge"], tags[f"{prefix}RightVerticalEdge"] = sides
    elif shape == "CIRCULAR":
        tags[f"CenterOfCircular{prefix}"] = [round(sum(ends) / 2), round(sum(sides) / 2)]
        tags[f"RadiusOfCircular{prefix}"] = round(np.hypot(ends[1] - ends[0], sides[1] - sides[0]) / 2)
    else:
        corners = [(ends[0], sides[0]), (ends[0], sides[1]), (ends[1], sides[1]), (ends[1], sides[0])]
        tags[f"VerticesOfThePolygonal{prefix}"] = [value for corner in corners for value in corner]
    return tags, shape


def tagged(prefix: str, film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """The header says where the field ends; the picture goes on beyond it."""
    tags, shape = shutter_tags(prefix, film, rng)
    if prefix == "Shutter":
        tags["ShutterPresentationValue"] = int(rng.choice([0, 65535]))
    return Variant(write_dicom(path, stored(film.image), tags), film, shape)


FORMS.add("shutter_tags", "field", partial(tagged, "Shutter"))
FORMS.add("collimator_tags", "field", partial(tagged, "Collimator"))


@FORMS.form("shutter_tags_wrong", "field")
def shutter_tags_wrong(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """A shutter that cannot be meant: of no area, swapped, or of a larger detector."""
    height, width = film.image.shape
    edges = [(0, 0, 0, 0), (height, 1, width, 1), (3 * height, 4 * height, 3 * width, 4 * width)][rng.integers(3)]
    prefix = str(rng.choice(["Shutter", "Collimator"]))
    names = ("UpperHorizontalEdge", "LowerHorizontalEdge", "LeftVerticalEdge", "RightVerticalEdge")
    tags = {f"{prefix}Shape": "RECTANGULAR", **{f"{prefix}{name}": edge for name, edge in zip(names, edges)}}
    return Variant(write_dicom(path, stored(film.image), tags), film, f"{prefix} {edges}")


@FORMS.form("pose_field_monochrome1", "field")
def pose_field_monochrome1(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Turned, collimated and MONOCHROME1 at once, all of it said or to be seen."""
    kind, how = str(rng.choice(["black", "white"])), str(rng.choice(["upright", "turned", "shutters"]))
    shown, detail = collimated(kind, how, film, rng)
    turned = shown.turned(random_pose(rng))
    tags = {"PatientOrientation": list(directions(turned))}
    written = write_dicom(path, TOP - stored(turned.image), tags, photometric="MONOCHROME1")
    return Variant(written, turned, f"{'/'.join(directions(turned))}, {detail}")


@FORMS.form("exif_and_field", "field")
def exif_and_field(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """A turned JPEG of a collimated film."""
    shown, detail = collimated(str(rng.choice(["black", "white"])), str(rng.choice(["upright", "turned"])), film, rng)
    orientation = int(rng.integers(2, 9))
    turned = shown.turned(exif_pose(orientation))
    return Variant(write_jpeg(path, bytes_of(turned.image), orientation), turned, f"{orientation}, {detail}")
