"""What no tag says, or a tag says wrongly: only the picture tells."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from .dicom_writing import stored, write_dicom
from .forms import FORMS, Variant
from .forms_field import collimated
from .geometry import LYING, MIRRORED, UPSIDE_DOWN, Film
from .lettering import letters
from .raster_writing import bytes_of, write_jpeg, write_png
from .surrounds import canvas, smooth_light, within

TURNS = (UPSIDE_DOWN, *LYING)


def silent(container: str, film: Film, rng: np.random.Generator, path: Path, image: np.ndarray, detail: str) -> Variant:
    """`image` of `film` in a file that says nothing about it."""
    if container == "png":
        written = write_png(path, bytes_of(image))
    elif container == "jpeg":
        written = write_jpeg(path, bytes_of(image), quality=int(rng.integers(75, 96)))
    else:
        written = write_dicom(path, stored(image))
    return Variant(written, film, detail)


def negative(container: str, film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Bone dark, as a printer or a converter leaves it."""
    return silent(container, film, rng, path, 1 - film.image, "")


def posed(
    container: str, pose: tuple[bool, bool, bool] | None, film: Film, rng: np.random.Generator, path: Path
) -> Variant:
    """Turned by 90 or 180 degrees, or mirrored; None draws one of the turns."""
    pose = pose or TURNS[int(rng.integers(len(TURNS)))]
    turned = film.turned(pose)
    return silent(container, turned, rng, path, turned.image, str(pose))


for container in ("png", "jpeg", "dicom"):
    FORMS.add(f"negative_{container}", "looking", partial(negative, container), described=False)
FORMS.add("upside_down", "looking", partial(posed, "png", UPSIDE_DOWN), described=False)
FORMS.add("lying_right", "looking", partial(posed, "png", LYING[0]), described=False)
FORMS.add("lying_left", "looking", partial(posed, "png", LYING[1]), described=False)
FORMS.add("mirrored", "looking", partial(posed, "png", MIRRORED), described=False)
FORMS.add("dicom_turned", "looking", partial(posed, "dicom", None), described=False)
FORMS.add("jpeg_turned", "looking", partial(posed, "jpeg", None), described=False)


@FORMS.form("negative_turned", "looking", described=False)
def negative_turned(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """A negative that lies on its side or on its head."""
    pose = TURNS[int(rng.integers(len(TURNS)))]
    turned = film.turned(pose)
    return silent(str(rng.choice(["png", "dicom"])), turned, rng, path, 1 - turned.image, str(pose))


@FORMS.form("negative_collimated", "looking", described=False)
def negative_collimated(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """A negative with a surround that was not inverted with it, or was."""
    shown, detail = collimated(str(rng.choice(["black", "white"])), str(rng.choice(["upright", "turned"])), film, rng)
    return silent("png", shown, rng, path, 1 - shown.image, detail)


@FORMS.form("turned_collimated", "looking", described=False)
def turned_collimated(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Lying or upside down, with a surround."""
    shown, detail = collimated(str(rng.choice(["black", "white"])), str(rng.choice(["upright", "turned"])), film, rng)
    turned = shown.turned(TURNS[int(rng.integers(len(TURNS)))])
    return silent("png", turned, rng, path, turned.image, detail)


@FORMS.form("orientation_wrong", "looking", described=False)
def orientation_wrong(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """PatientOrientation says upright, though the film lies on its side."""
    pose = LYING[int(rng.integers(len(LYING)))]
    turned = film.turned(pose)
    return Variant(write_dicom(path, stored(turned.image), {"PatientOrientation": ["L", "F"]}), turned, str(pose))


def light_box(wall: bool, uneven: float, film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """A photograph of a film on a light box, in colour, turned by up to 15 degrees, perhaps with the dark wall around.

    Args:
        wall: whether the light box ends within the picture.
        uneven: how much its light varies.
    """
    angle = float(rng.uniform(-15, 15))
    shown, depth = canvas(film, angle, np.ones(4, bool), rng, (0.02, 0.2))
    light = smooth_light(depth.shape, rng, uneven)
    box = np.clip(rng.uniform(0.9, 1) * light, 0, 1)
    # The film takes its light from the box: its brightest places stay darker than the box
    seen = shown.with_image((0.03 + rng.uniform(0.75, 0.92) * shown.image) * light)
    seen = within(seen, depth, box, rng)
    if wall:
        height, width = depth.shape
        rows, columns = np.indices(depth.shape)
        edges = [side * rng.uniform(0.03, 0.12) for side in (height, height, width, width)]
        inside = np.minimum(
            np.minimum(rows - edges[0], height - 1 - edges[1] - rows),
            np.minimum(columns - edges[2], width - 1 - edges[3] - columns),
        )
        # The wall is behind the film, and hides nothing of it
        dark = np.clip(rng.uniform(0.02, 0.15) + 0.01 * rng.normal(size=depth.shape), 0, 1)
        share = np.clip(np.maximum(inside, depth) / 2 + 0.5, 0, 1)
        seen = seen.with_image(share * seen.image + (1 - share) * dark)
    tint = 1 - rng.uniform(0, 0.12, 3) * np.array([1, 0.5, 0])  # light boxes are bluish
    noisy = seen.image[..., None] * tint + rng.normal(scale=0.008, size=(*depth.shape, 3))
    written = write_jpeg(path, bytes_of(noisy), quality=int(rng.integers(75, 95)))
    return Variant(written, seen, f"{angle:.0f} degrees")


FORMS.add("light_box", "looking", partial(light_box, False, 0.0), described=False)
FORMS.add("light_box_uneven", "looking", partial(light_box, False, 0.1), described=False)
FORMS.add("light_box_wall", "looking", partial(light_box, True, 0.05), described=False)


@FORMS.form("burnt_in_text", "looking", described=False)
def burnt_in_text(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Letters in the corners, white, black, or white on a black ground."""
    text = letters(film.image.shape, rng)
    kind = int(rng.integers(3))
    image = film.image
    if kind == 2:
        from scipy import ndimage

        ground = ndimage.binary_closing(text > 0.3, iterations=max(3, len(image) // 60))
        image = np.where(ndimage.binary_dilation(ground, iterations=2), 0, image)
    image = image * (1 - text) + (0 if kind == 1 else 1) * text
    container = str(rng.choice(["png", "jpeg", "dicom"]))
    return silent(container, film, rng, path, image, ("white", "black", "white on black")[kind])
