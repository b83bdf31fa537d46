"""One phantom from one seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .anatomy import Anatomy, draw_anatomy
from .artefacts import devices, effusion, opacities, print_on_film, soft_tissue, stomach_bubble
from .rendering import Canvas, attenuation, film

SIZES = (64, 1024)


@dataclass(frozen=True)
class Phantom:
    """A chest-radiograph phantom.

    Attributes:
        image: S x S float32 in [0, 1]; bone bright, air dark.
        labels: S x S uint8; 0 background, 1 right lung (left of the film), 2 left lung, 3 heart.
        organs: name -> S x S booleans, which may overlap and may be empty where an organ lies outside the film.
        finding: normal, effusion, opacity or device.
        seed: that makes it.
    """

    image: np.ndarray
    labels: np.ndarray
    organs: dict[str, np.ndarray]
    finding: str
    seed: int


def film_frame(rng: np.random.Generator) -> np.ndarray:
    """2 x 3 affine map from patient to film: zoom, tilt, off-centre positioning."""
    zoom = rng.uniform(0.82, 1.18)
    angle = np.deg2rad(np.clip(rng.normal(0, 2.5), -8, 8))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn * zoom * rng.uniform(0.95, 1.05, 2)[None]
    centre = np.array([0.5, 0.48])
    return np.column_stack([linear, 0.5 + rng.normal(0, 0.025, 2) - linear @ centre])


def generate_phantom(seed: int, size: int = 256) -> Phantom:
    """Draw the phantom of `seed`.

    The same seed and size give the same arrays, bit by bit; the same seed at another size is the same patient on
    another detector (the noise differs).

    Args:
        seed: not negative.
        size: side S in pixels, 64 to 1024.
    """
    if not SIZES[0] <= size <= SIZES[1]:
        raise ValueError(f"phantom size must lie in {SIZES[0]}..{SIZES[1]}, got {size}")
    # One stream for the patient, one for each step that draws pixel noise: geometry must not depend on the size.
    patient, layers, exposure = (np.random.default_rng([seed, stream]) for stream in range(3))
    anatomy = draw_anatomy(patient)
    canvas = Canvas(size, film_frame(patient))
    finding = str(patient.choice(["normal", "effusion", "opacity", "device"], p=[0.5, 0.15, 0.22, 0.13]))

    heart = canvas.mask(anatomy.heart)
    right = canvas.mask(anatomy.right_lung) & ~heart
    left = canvas.mask(anatomy.left_lung) & ~heart & ~right
    total_lungs = right | left
    fluid = np.zeros_like(right)
    if finding == "effusion":
        fluid = effusion(canvas, left if patient.random() < 0.5 else right, patient)
        right, left = right & ~fluid, left & ~fluid
    total = attenuation(canvas, anatomy, right | left, heart, layers)
    total += film_additions(canvas, anatomy, right | left, finding, patient)
    image = print_on_film(film(canvas, total, exposure), patient)
    labels = np.where(heart, 3, np.where(left, 2, np.where(right, 1, 0))).astype(np.uint8)
    organs = organ_masks(canvas, anatomy, right, left, heart, total_lungs)
    return Phantom(image.astype(np.float32), labels, organs, finding, seed)


def film_additions(
    canvas: Canvas, anatomy: Anatomy, lungs: np.ndarray, finding: str, rng: np.random.Generator
) -> np.ndarray:
    """Attenuation beyond the regular layers: soft tissue, gas, disease, devices."""
    added = np.zeros(lungs.shape, dtype=np.float32)
    if rng.random() < 0.4:
        added += soft_tissue(canvas, rng)
    if rng.random() < 0.5:
        lower_edge = anatomy.left_lung[anatomy.left_lung[:, 1] > 0.6]
        added -= stomach_bubble(canvas, rng, float(lower_edge[:, 1].min()) + 0.08)
    if finding == "opacity":
        added += opacities(canvas, lungs, rng)
    if finding == "device":
        added += devices(canvas, rng)
    return added


def organ_masks(
    canvas: Canvas, anatomy: Anatomy, right: np.ndarray, left: np.ndarray, heart: np.ndarray, lungs: np.ndarray
) -> dict[str, np.ndarray]:
    """Masks for promptable training; `lungs` is what the lungs would fill without fluid."""
    body = canvas.mask(anatomy.body)
    abdomen = canvas.mask(anatomy.abdomen) & ~lungs & ~heart & body
    columns = np.arange(canvas.size)
    first = np.where(right.any(1), np.where(right, columns, -1).max(1), canvas.size)
    last = np.where(left.any(1), np.where(left, columns, canvas.size).min(1), -1)
    between = (columns[None] > first[:, None]) & (columns[None] < last[:, None])
    organs = {
        "right_lung": right,
        "left_lung": left,
        "lungs": right | left,
        "heart": heart,
        "mediastinum": (between | heart) & ~right & ~left & ~abdomen,
        "body": body,
        "abdomen": abdomen,
        "spine": canvas.mask(anatomy.spine),
        "trachea": canvas.mask(anatomy.trachea),
        "right_clavicle": canvas.strokes(anatomy.clavicles[:1], [0.021]) > 0.5,
        "left_clavicle": canvas.strokes(anatomy.clavicles[1:], [0.021]) > 0.5,
        "right_scapula": canvas.mask(anatomy.scapulae[0]) & body,
        "left_scapula": canvas.mask(anatomy.scapulae[1]) & body,
    }
    for side, offset in (("right", 0), ("left", len(anatomy.posterior_ribs) // 2)):
        rib = anatomy.posterior_ribs[offset + 4]
        organs[f"{side}_rib"] = canvas.strokes([rib], [anatomy.bone_width]) > 0.5
    return organs
