"""Outlines of the chest in normalised film coordinates: u to the right, v downwards, both 0..1, midline at u = 0.5.

The patient faces the viewer, so the right lung is on the left of the film. All numbers are proportions of a typical
postero-anterior film; `Anatomy` varies them from patient to patient.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.interpolate import CubicSpline

RIGHT_LUNG = [
    (0.405, 0.11), (0.31, 0.16), (0.23, 0.28), (0.175, 0.46), (0.145, 0.63), (0.135, 0.775), (0.145, 0.80),
    (0.175, 0.755), (0.25, 0.70), (0.33, 0.685), (0.40, 0.71), (0.435, 0.745), (0.43, 0.65), (0.435, 0.55),
    (0.44, 0.45), (0.455, 0.35), (0.462, 0.25), (0.455, 0.155),
]  # fmt: skip
LEFT_LUNG = [
    (0.595, 0.11), (0.69, 0.16), (0.77, 0.28), (0.825, 0.46), (0.855, 0.63), (0.865, 0.79), (0.855, 0.815),
    (0.825, 0.775), (0.77, 0.735), (0.70, 0.72), (0.64, 0.74), (0.60, 0.76), (0.585, 0.62), (0.572, 0.50),
    (0.562, 0.40), (0.575, 0.32), (0.556, 0.25), (0.545, 0.155),
]  # fmt: skip
HEART = [
    (0.475, 0.43), (0.445, 0.52), (0.428, 0.62), (0.44, 0.72), (0.50, 0.765), (0.60, 0.775), (0.665, 0.745),
    (0.68, 0.69), (0.65, 0.61), (0.605, 0.53), (0.57, 0.46), (0.53, 0.41),
]  # fmt: skip
# Half of the trunk, mirrored; the first points are the neck, the last leave the film at the bottom.
BODY = [
    (0.065, -0.1), (0.075, 0.0), (0.11, 0.055), (0.23, 0.075), (0.36, 0.085), (0.46, 0.12), (0.53, 0.22), (0.56, 0.40),
    (0.47, 0.36), (0.425, 0.42), (0.41, 0.55), (0.41, 0.70), (0.43, 0.86), (0.45, 1.15),
]  # fmt: skip
CLAVICLE = [(0.028, 0.175), (0.09, 0.165), (0.17, 0.135), (0.25, 0.125), (0.33, 0.10)]
SCAPULA = [(0.30, 0.11), (0.37, 0.13), (0.40, 0.20), (0.37, 0.33), (0.335, 0.44), (0.31, 0.33), (0.285, 0.20)]
HUMERUS = [(0.40, 0.115), (0.425, 0.18), (0.475, 0.32), (0.53, 0.47)]
RIB_PAIRS = 10


def closed_curve(points: np.ndarray, samples: int = 96) -> np.ndarray:
    """Smooth closed curve through N x 2 points, parametrised by chord length."""
    ring = np.vstack([points, points[:1]])
    steps = np.sqrt(np.linalg.norm(np.diff(ring, axis=0), axis=1))  # centripetal: no overshoot at sharp angles
    knots = np.concatenate([[0], np.cumsum(steps)])
    return CubicSpline(knots, ring, bc_type="periodic")(np.linspace(0, knots[-1], samples, endpoint=False))


def open_curve(points: np.ndarray, samples: int = 24) -> np.ndarray:
    """Smooth curve through N x 2 points."""
    return CubicSpline(np.linspace(0, 1, len(points)), points)(np.linspace(0, 1, samples))


@dataclass
class Anatomy:
    """Curves of one patient, each N x 2 in normalised coordinates before framing.

    Attributes:
        body, right_lung, left_lung, heart, trachea, abdomen: closed outlines; lungs still overlap the heart.
        spine: left and right edge of the column as one closed outline.
        vertebrae: closed outlines of the vertebral bodies.
        clavicles, scapulae, humeri: right then left; clavicles and humeri are centre lines.
        posterior_ribs, anterior_ribs: centre lines.
        bone_width: width of a rib.
    """

    body: np.ndarray
    right_lung: np.ndarray
    left_lung: np.ndarray
    heart: np.ndarray
    trachea: np.ndarray
    abdomen: np.ndarray
    spine: np.ndarray
    vertebrae: list[np.ndarray]
    clavicles: list[np.ndarray]
    scapulae: list[np.ndarray]
    humeri: list[np.ndarray] = field(default_factory=list)
    posterior_ribs: list[np.ndarray] = field(default_factory=list)
    anterior_ribs: list[np.ndarray] = field(default_factory=list)
    bone_width: float = 0.02


def mirrored(points: np.ndarray) -> np.ndarray:
    """Points given as distance from the midline, on the patient's right (left of the film)."""
    return np.column_stack([0.5 - points[:, 0], points[:, 1]])


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """A patient of random build."""
    width = rng.uniform(0.88, 1.12)
    fat = rng.uniform(0.0, 1.0) ** 2
    inspiration = rng.normal(0, 0.035)
    heart_size = rng.uniform(0.86, 1.12) if rng.random() < 0.75 else rng.uniform(1.12, 1.45)

    def build(points: list, jitter: float = 0.0) -> np.ndarray:
        shaped = np.array(points, dtype=float)
        shaped += rng.normal(0, jitter, shaped.shape) if jitter else 0
        shaped[:, 0] = 0.5 + (shaped[:, 0] - 0.5) * width
        # Deep inspiration stretches everything below the clavicles downwards.
        shaped[:, 1] += inspiration * np.clip((shaped[:, 1] - 0.2) / 0.55, 0, 1.2)
        return shaped

    right, left = build(RIGHT_LUNG, 0.006), build(LEFT_LUNG, 0.006)
    turned = np.clip(rng.normal(0, 0.04), -0.1, 0.1)  # a patient turned about the long axis shows one lung narrower
    right[:, 0] = 0.5 + (right[:, 0] - 0.5) * (1 - turned)
    left[:, 0] = 0.5 + (left[:, 0] - 0.5) * (1 + turned)
    for lung, dome in ((right, slice(7, 11)), (left, slice(7, 11))):
        lung[dome, 1] += rng.normal(0, 0.018) + np.array([0, 1, 1, 0]) * rng.normal(0, 0.014)
        if rng.random() < 0.12:  # one lung small: raised diaphragm
            lung[4:12, 1] -= rng.uniform(0.03, 0.10)
    heart = build(HEART, 0.004)
    centre = np.array([0.52, heart[:, 1].max() - 0.12])
    heart = centre + (heart - centre) * heart_size * rng.uniform(0.94, 1.06, 2)

    half = np.array(BODY)
    half[2:, 0] = half[2:, 0] * width + fat * 0.07 * np.clip(half[2:, 1] * 3, 0, 1)
    body = np.vstack([np.column_stack([0.5 + half[:, 0], half[:, 1]]), mirrored(half)[::-1]])

    bend = rng.normal(0, 0.006) if rng.random() < 0.8 else rng.normal(0, 0.02)
    levels = np.linspace(-0.05, 1.1, 24)
    column = 0.5 + bend * np.sin(levels * np.pi * rng.uniform(0.8, 1.6) + rng.uniform(0, 3))
    spread = np.linspace(0.030, 0.046, len(levels)) * rng.uniform(0.9, 1.15)
    spine = np.vstack([np.column_stack([column - spread, levels]), np.column_stack([column + spread, levels])[::-1]])
    vertebrae = []
    pitch = (levels[1] - levels[0]) * 0.5
    for u, v, w in zip(column, levels, spread):
        height = pitch * 0.78
        vertebrae.append(np.array([(u - w, v - height), (u + w, v - height), (u + w, v + height), (u - w, v + height)]))

    shift = rng.normal(0, 0.008)
    windpipe = 0.018 * rng.uniform(0.8, 1.25)
    trachea = np.array([(-1, -0.05), (1, -0.05), (1.0, 0.2), (1.1, 0.36), (-0.9, 0.37), (-1.0, 0.2)])
    trachea = np.column_stack([0.497 + shift * 0.5 + trachea[:, 0] * windpipe, trachea[:, 1]])

    domes = np.vstack([right[6:12], [(0.5, max(right[11, 1], left[11, 1]) + 0.01)], left[6:12][::-1]])
    abdomen = np.vstack([domes, [(left[6, 0] + 0.03, 1.2), (right[6, 0] - 0.03, 1.2)]])

    anatomy = Anatomy(
        body=closed_curve(body, 160),
        right_lung=closed_curve(right),
        left_lung=closed_curve(left),
        heart=closed_curve(heart),
        trachea=trachea,
        abdomen=abdomen,
        spine=spine,
        vertebrae=vertebrae,
        clavicles=[],
        scapulae=[],
        bone_width=0.022 * rng.uniform(0.8, 1.2),
    )
    lift, slope = rng.normal(0, 0.018), rng.normal(0, 0.02)
    for side in (-1, 1):
        clavicle = np.array(CLAVICLE) + rng.normal(0, 0.003, (len(CLAVICLE), 2))
        clavicle[:, 1] += lift + (slope + rng.normal(0, 0.01)) * clavicle[:, 0] / 0.3
        scapula = np.array(SCAPULA) + rng.normal(0, 0.008, (len(SCAPULA), 2))
        scapula[:, 0] += rng.uniform(-0.02, 0.06)
        anatomy.clavicles.append(open_curve(_beside(clavicle, side, width)))
        anatomy.scapulae.append(closed_curve(_beside(scapula, side, width), 48))
        humerus = np.array(HUMERUS) + rng.normal(0, 0.006, (len(HUMERUS), 2))
        anatomy.humeri.append(open_curve(_beside(humerus, side, width)))
    _add_ribs(anatomy, rng, (right, left), inspiration)
    return anatomy


def _beside(points: np.ndarray, side: int, width: float) -> np.ndarray:
    return np.column_stack([0.5 + side * points[:, 0] * width, points[:, 1]])


def _add_ribs(
    anatomy: Anatomy, rng: np.random.Generator, lungs: tuple[np.ndarray, np.ndarray], inspiration: float
) -> None:
    """Posterior ribs fall from the spine outwards; anterior ribs return inwards, lower and fainter.

    Both turn around at the outer edge of the lung, which is what draws the bright line of the chest wall.

    Args:
        lungs: control points of the right and left lung, the first six along the outer edge from the apex down.
    """
    pitch = rng.uniform(0.064, 0.074) + inspiration * 0.05
    top, droop = rng.uniform(0.065, 0.095), rng.uniform(0.7, 1.3)
    t = np.linspace(0, 1, 20)
    for side, lung in zip((-1, 1), lungs):
        levels = np.maximum.accumulate(lung[:6, 1])
        outer = np.abs(lung[:6, 0] - 0.5)
        for i in range(RIB_PAIRS):
            start = top + pitch * i + rng.normal(0, 0.002)
            fall = (0.065 + 0.015 * i) * droop
            reach = max(0.16, float(np.interp(start + fall, levels, outer))) + 0.008
            u = 0.04 + (reach - 0.04) * np.sin(t * np.pi / 2) ** 0.85
            v = start - 0.03 * np.sin(t * np.pi) ** 2 + fall * t**1.4
            anatomy.posterior_ribs.append(np.column_stack([0.5 + side * u, v]))
            if 1 <= i <= 7:
                inner = 0.10 + 0.015 * i
                u = reach - (reach - inner) * (1 - np.cos(t * np.pi / 2)) ** 0.8
                v = start + fall + (0.055 + 0.02 * i) * np.sin(t * np.pi / 2) * droop
                anatomy.anterior_ribs.append(np.column_stack([0.5 + side * u, v]))
