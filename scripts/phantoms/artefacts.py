"""What lies over a film besides anatomy: collimation, markers, devices and disease."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from .anatomy import open_curve
from .rendering import Canvas


def effusion(canvas: Canvas, lung: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The part of a lung mask hidden by fluid at its base: below a meniscus that rises towards the chest wall."""
    rows = np.flatnonzero(lung.any(axis=1))
    if len(rows) == 0:
        return np.zeros_like(lung)
    u, v = canvas.u, canvas.v
    height = rng.uniform(0.08, 0.40)
    values = v[lung]
    level = values.max() - height * np.ptp(values)
    rise = rng.uniform(0.05, 0.16) * np.clip((np.abs(u - 0.5) - 0.1) / 0.25, 0, 1.3) ** 2
    return lung & (v > level - rise)


def opacities(canvas: Canvas, lungs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Added attenuation of consolidations and nodules inside the lungs."""
    added = np.zeros(lungs.shape, dtype=np.float32)
    spots = np.argwhere(lungs)
    if len(spots) == 0:
        return added
    y, x = np.mgrid[: canvas.size, : canvas.size] / canvas.size
    for _ in range(rng.integers(1, 5)):
        row, column = spots[rng.integers(len(spots))] / canvas.size
        radius = rng.uniform(0.012, 0.03) if rng.random() < 0.5 else rng.uniform(0.03, 0.11)
        angle, ratio = rng.uniform(0, np.pi), rng.uniform(0.5, 1.0)
        a = (x - column) * np.cos(angle) + (y - row) * np.sin(angle)
        b = (y - row) * np.cos(angle) - (x - column) * np.sin(angle)
        bump = np.exp(-((a / radius) ** 2) - (b / (radius * ratio)) ** 2)
        added += rng.uniform(0.08, 0.32) * bump * (1 + 0.4 * canvas.clouds(rng, 24))
    return added * lungs


def devices(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Added attenuation of electrodes with leads, tubes and pacemakers."""
    curves, widths, plates = [], [], []
    kind = rng.integers(3)
    if kind == 0:
        for _ in range(rng.integers(2, 5)):
            end = np.array([rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.7)])
            curves.append(open_curve(np.array([(rng.uniform(0, 1), 1.1), (end + rng.uniform(0, 1, 2)) / 2, end]), 16))
            widths.append(0.004)
            angles = np.linspace(0, 2 * np.pi, 12)
            plates.append(end + 0.014 * np.column_stack([np.cos(angles), np.sin(angles)]))
    elif kind == 1:
        tip = rng.uniform(0.25, 0.5)
        curves.append(np.array([(0.5 + rng.normal(0, 0.01), -0.1), (0.497, tip)]))
        widths.append(0.008)
    else:
        centre = np.array([rng.choice([0.26, 0.74]), 0.22]) + rng.normal(0, 0.02, 2)
        angles = np.linspace(0, 2 * np.pi, 24)
        plates.append(centre + np.column_stack([0.05 * np.cos(angles), 0.04 * np.sin(angles)]))
        curves.append(open_curve(np.array([centre, (0.54, 0.28), (0.52, 0.5), (0.58, 0.68)]), 24))
        widths.append(0.005)
    return 0.5 * canvas.strokes(curves, widths) + 0.45 * canvas.coverage(plates)


def catheters(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Added attenuation of one to four lines, drains and feeding tubes, each along a course of its own."""
    courses = (
        [(0.5, -0.05), (0.495, 0.35), (0.51, 0.62), (0.57, 0.8), (0.6, 0.95)],  # feeding tube
        [(0.36, 0.02), (0.4, 0.12), (0.46, 0.2), (0.46, 0.36)],  # line through the neck's veins
        [(0.12, 0.3), (0.25, 0.17), (0.4, 0.16), (0.46, 0.25), (0.465, 0.42)],  # line through the arm
        [(0.08, 0.72), (0.2, 0.6), (0.28, 0.4), (0.3, 0.22)],  # drain of the chest
        [(-0.05, 0.55), (0.3, 0.62), (0.6, 0.5), (1.05, 0.58)],  # cable over the patient
    )
    curves, widths = [], []
    for _ in range(rng.integers(1, 5)):
        course = np.array(courses[rng.integers(len(courses))])
        course += rng.normal(0, 0.02, course.shape)
        if rng.random() < 0.4:
            course[:, 0] = 1 - course[:, 0]
        curves.append(open_curve(course, 32))
        widths.append(rng.uniform(0.003, 0.014))
    walls = canvas.strokes(curves, widths)
    if rng.random() < 0.5:  # a tube shows its walls, a cable is solid
        walls -= 0.6 * canvas.strokes(curves, [width * 0.5 for width in widths])
    return 0.5 * walls.clip(0)


def soft_tissue(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Added attenuation of breast shadows, brightest along their lower edge."""
    u, v = canvas.u, canvas.v
    added = np.zeros(u.shape, dtype=np.float32)
    drop, size = rng.uniform(0.62, 0.78), rng.uniform(0.10, 0.17)
    for side in (-1, 1):
        radius = np.sqrt(((u - 0.5 - side * 0.22) / size) ** 2 + ((v - drop + 0.06) / size) ** 2)
        added += np.clip(1.15 - radius, 0, 0.3) / 0.3 * np.clip(0.5 + (v - drop + 0.1) / 0.2, 0, 1)
    return rng.uniform(0.03, 0.14) * added


def stomach_bubble(canvas: Canvas, rng: np.random.Generator, dome: float) -> np.ndarray:
    """Attenuation removed by gas under the left diaphragm, whose dome is at v = `dome`."""
    u, v = canvas.u, canvas.v
    du, dv = rng.uniform(0.03, 0.07), rng.uniform(0.02, 0.05)
    radius = ((u - rng.uniform(0.62, 0.74)) / du) ** 2 + ((v - dome - dv - 0.03) / dv) ** 2
    return rng.uniform(0.10, 0.3) / (1 + np.exp(np.minimum(8 * (radius - 1), 50)))


def print_on_film(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Collimation borders, black corner labels and side markers, over S x S pixels in 0..1."""
    size = len(image)
    picture = Image.fromarray((image * 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    if rng.random() < 0.35:
        shade = int(rng.choice([0, 0, 0, 255]))
        for side in range(4):
            if rng.random() < 0.6:
                depth, slant = rng.uniform(0.005, 0.07) * size, rng.normal(0, 0.008) * size
                corners = [(-5, -size), (depth, -5), (depth + slant, size + 5), (-5, size * 2)]
                turned = {
                    0: corners,
                    1: [(y, x) for x, y in corners],
                    2: [(size - x, y) for x, y in corners],
                    3: [(y, size - x) for x, y in corners],
                }[side]
                draw.polygon(turned, fill=shade)
    if rng.random() < 0.25:
        for left in (rng.uniform(0, 0.12), rng.uniform(0.68, 0.9)):
            if rng.random() < 0.7:
                box = [left * size, -1, (left + rng.uniform(0.1, 0.2)) * size, rng.uniform(0.03, 0.07) * size]
                draw.rectangle(box, fill=0)
    if rng.random() < 0.5:
        corner = (rng.uniform(0.03, 0.2) * size, rng.uniform(0.03, 0.15) * size)
        if rng.random() < 0.5:
            corner = (size * 0.97 - corner[0], corner[1])
        draw.text(corner, str(rng.choice(["L", "R", "PA", "AP", "12"])), fill=int(rng.choice([0, 235, 255])))
    return np.asarray(picture, dtype=np.float32) / 255
