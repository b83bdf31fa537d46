"""How a NIfTI film lies (nifti1.h: methods 1 to 3), with the body's axis along y or z."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from .forms import FORMS, Variant
from .geometry import POSES, Film
from .raster_writing import write_nifti

AXES = {"x": ("R", "L"), "y": ("A", "P"), "z": ("S", "I")}
AS_STORED = (True, False, False)  # first axis along the rows, rows downwards: what most people write


def affine_of(film: Film, vertical: str, spacing: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """4 x 4 from voxels to RAS (mm) of a film whose first two axes are the array's.

    Args:
        vertical: "z" (superior) or "y" (a film laid flat: anterior is up).
        spacing: of the first and the second axis in mm.
    """
    affine = np.zeros((4, 4))
    up = 1 if vertical == "y" else 2
    for axis in range(2):
        down, right = film.to_plain[:2, axis] / np.abs(film.to_plain[:2, axis]).max()
        affine[0, axis], affine[up, axis] = -right * spacing[axis], -down * spacing[axis]
    affine[3 - up, 2] = rng.choice([-1.0, 1.0])
    centre = affine[:3, :2] @ (np.array(film.image.shape) - 1) / 2
    affine[:3, 3] = -centre if rng.random() < 0.5 else rng.uniform(-200, 200, 3)
    affine[3, 3] = 1
    return affine


def voxels(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Grays in [0, 1] as some type of number, with two or three axes."""
    kind = int(rng.integers(4))
    array = [
        np.round(image * 255).astype(np.uint8),
        np.round(image * 4095).astype(np.int16),
        np.round(image * 3000 - 1000).astype(np.int16),
        (image * 4095).astype(np.float32),
    ][kind]
    return array[..., None] if rng.random() < 0.5 else array


def axis_letters(affine: np.ndarray) -> str:
    """Where the first two axes of an array go: two of R, L, A, P, S, I."""
    letters = ""
    for axis in range(2):
        along = int(np.abs(affine[:3, axis]).argmax())
        letters += AXES["xyz"[along]][0 if affine[along, axis] > 0 else 1]
    return letters


def posed(
    pose: tuple[bool, bool, bool], vertical: str, form: str, film: Film, rng: np.random.Generator, path: Path
) -> Variant:
    """An affine in sform, qform or both."""
    turned = film.turned(pose)
    side = float(rng.uniform(0.1, 1.5))
    affine = affine_of(turned, vertical, (side, side), rng)
    codes = {"sform": (1, 0), "qform": (0, 1), "both": (1, 1)}[form]
    array = voxels(turned.image, rng)
    detail = f"{axis_letters(affine)} {form} {array.dtype} {array.ndim}D"
    return Variant(write_nifti(path, array, affine, *codes), turned, detail)


def any_form(pose: tuple[bool, bool, bool], vertical: str, film: Film, rng: np.random.Generator, path: Path) -> Variant:
    return posed(pose, vertical, str(rng.choice(["sform", "both"])), film, rng, path)


def any_pose(form: str, film: Film, rng: np.random.Generator, path: Path) -> Variant:
    return posed(POSES[int(rng.integers(len(POSES)))], str(rng.choice(["y", "z"])), form, film, rng, path)


PROBE = Film.plain(np.zeros((4, 4)), np.zeros((4, 4)))
for vertical in ("z", "y"):
    for pose in POSES:
        letters = axis_letters(affine_of(PROBE.turned(pose), vertical, (1, 1), np.random.default_rng(0)))
        FORMS.add(f"nifti_{letters}", "pose", partial(any_form, pose, vertical))
FORMS.add("nifti_qform_only", "pose", partial(any_pose, "qform"))


@FORMS.form("nifti_silent", "pose", described=False)
def nifti_silent(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Both codes 0, as most people write a picture: first axis to the right, second downwards."""
    turned = film.turned(AS_STORED)
    return Variant(write_nifti(path, voxels(turned.image, rng), None), turned, "upright")


@FORMS.form("nifti_silent_turned", "looking", described=False)
def nifti_silent_turned(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Both codes 0, in any pose that is turned, not mirrored, on the screen."""
    pose = [(True, True, True), (False, False, True), (False, True, False)][rng.integers(3)]
    turned = film.turned(pose)
    return Variant(write_nifti(path, voxels(turned.image, rng), None), turned, str(pose))


@FORMS.form("nifti_dcm2niix", "pose", described=False)
def nifti_dcm2niix(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """As dcm2niix 1.0.20220720 writes a film of Secondary Capture, CR or DX: rows upwards, both codes 0."""
    turned = film.turned((True, False, True))
    rows = turned.image.shape[1]
    array = np.round(turned.image * 4095).astype(np.int16)[..., None]
    fields = {
        "pixdim": [1, 1, 1, 1, 0, 0, 0, 0],
        "srow_x": [1, 0, 0, 0],
        "srow_y": [0, 1, 0, 1 - rows],
        "srow_z": [0, 0, 1, 0],
        "qoffset_y": 1 - rows,
        "descrip": b"Time=0.000",
    }
    return Variant(write_nifti(path, array, None, **fields), turned, "rows upwards")


@FORMS.form("nifti_identity", "looking", described=False)
def nifti_identity(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """An identity affine that nobody thought about, on an upright picture: it says turned by 180 degrees."""
    turned = film.turned(AS_STORED)
    return Variant(write_nifti(path, voxels(turned.image, rng), np.eye(4), 2, 0), turned, "upright")
