"""From outlines to attenuation to film: the layers superimpose as X-rays do."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from .anatomy import Anatomy

SUPERSAMPLING = 2


class Canvas:
    """Draws framed outlines at S x S, antialiased by supersampling.

    Args:
        size: side S in pixels.
        frame: 2 x 3 affine map from normalised patient to normalised film coordinates.

    Attributes:
        u, v: S x S normalised patient coordinates of every pixel.
    """

    def __init__(self, size: int, frame: np.ndarray) -> None:
        self.size = size
        self.frame = frame
        self.fine = size * SUPERSAMPLING
        self.scale = float(np.sqrt(abs(np.linalg.det(frame[:, :2]))))
        centres = (np.arange(size) + 0.5) / size
        film = np.stack(np.meshgrid(centres, centres), -1)
        patient = ((film - frame[:, 2]) @ np.linalg.inv(frame[:, :2]).T).astype(np.float32)
        self.u, self.v = patient[..., 0], patient[..., 1]

    def points(self, curve: np.ndarray) -> list[tuple[float, float]]:
        framed = (curve @ self.frame[:, :2].T + self.frame[:, 2]) * self.fine
        return [tuple(point) for point in framed]

    def coverage(self, outlines: Iterable[np.ndarray]) -> np.ndarray:
        """S x S coverage in 0..1 of closed outlines."""
        image = Image.new("L", (self.fine, self.fine))
        draw = ImageDraw.Draw(image)
        for outline in outlines:
            draw.polygon(self.points(outline), fill=255)
        return self._reduce(image)

    def strokes(self, curves: Iterable[np.ndarray], widths: Iterable[float]) -> np.ndarray:
        """S x S coverage in 0..1 of curves of the given widths (normalised units)."""
        image = Image.new("L", (self.fine, self.fine))
        draw = ImageDraw.Draw(image)
        for curve, width in zip(curves, widths):
            draw.line(self.points(curve), fill=255, width=max(1, round(width * self.scale * self.fine)), joint="curve")
        return self._reduce(image)

    def mask(self, outline: np.ndarray) -> np.ndarray:
        """S x S boolean mask of a closed outline."""
        return self.coverage([outline]) > 0.5

    def blur(self, image: np.ndarray, sigma: float) -> np.ndarray:
        """Gaussian blur with `sigma` in normalised units."""
        return gaussian_filter(image, sigma * self.scale * self.size, truncate=2.5)

    def smooth(self, image: np.ndarray, sigma: float) -> np.ndarray:
        """A wide Gaussian blur, computed on a coarse grid for speed."""
        step = max(1, self.size // 64)
        coarse = image[: self.size // step * step, : self.size // step * step]
        coarse = coarse.reshape(self.size // step, step, self.size // step, step).mean((1, 3))
        return self.enlarge(gaussian_filter(coarse, sigma * self.scale * len(coarse), truncate=2.5))

    def enlarge(self, coarse: np.ndarray) -> np.ndarray:
        """Bilinear enlargement to S x S."""
        image = Image.fromarray(coarse.astype(np.float32))
        return np.asarray(image.resize((self.size, self.size), Image.Resampling.BICUBIC))

    def clouds(self, rng: np.random.Generator, cells: int) -> np.ndarray:
        """Smooth random field of about `cells` bumps along a side, mean 0, deviation about 1."""
        return self.enlarge(rng.standard_normal((cells, cells)))

    def _reduce(self, image: Image.Image) -> np.ndarray:
        return np.asarray(image.reduce(SUPERSAMPLING), dtype=np.float32) / 255


def vessel_tree(rng: np.random.Generator, hilum: np.ndarray, side: int) -> tuple[list[np.ndarray], list[float]]:
    """Branching vessels from a hilum outwards: curves and widths, both in normalised units."""
    curves, widths = [], []
    stems = [(hilum, angle, 0.011, 0) for angle in rng.uniform(-1.35, 1.45, rng.integers(6, 10))]
    while stems:
        start, angle, width, generation = stems.pop()
        length = rng.uniform(0.06, 0.13) * 0.86**generation
        direction = np.array([side * np.cos(angle), np.sin(angle)])
        bow = np.array([-direction[1], direction[0]]) * rng.normal(0, 0.12) * length
        end = start + direction * length
        t = np.linspace(0, 1, 6)[:, None]  # quadratic Bezier curve
        curves.append((1 - t) ** 2 * start + 2 * t * (1 - t) * ((start + end) / 2 + bow) + t**2 * end)
        widths.append(width)
        if generation < 4:
            for _ in range(rng.integers(1, 3)):
                stems.append((end, angle + rng.normal(0, 0.45), width * rng.uniform(0.55, 0.8), generation + 1))
    return curves, widths


def attenuation(
    canvas: Canvas, anatomy: Anatomy, lungs: np.ndarray, heart: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """S x S attenuation of the patient in arbitrary units (air 0, body about 1, bone on top).

    Args:
        lungs, heart: S x S masks, disjoint.
    """
    body = canvas.coverage([anatomy.body])
    thickness = 0.45 * canvas.blur(body, 0.008) + 0.55 * canvas.smooth(body, 0.05) * body
    aeration = rng.uniform(0.32, 0.66)
    air = canvas.blur(lungs.astype(np.float32), rng.uniform(0.002, 0.007))
    depth = canvas.smooth(lungs.astype(np.float32), 0.045)
    total = thickness - aeration * air * (0.55 + 0.45 * depth)
    # Some lung lies behind heart and diaphragm, which keeps their edges from looking cut out.
    total += rng.uniform(0.02, 0.16) * canvas.blur(heart.astype(np.float32), 0.006)
    total += rng.uniform(0.08, 0.26) * canvas.blur(canvas.coverage([anatomy.abdomen]) * (1 - air), 0.006)

    spine = canvas.coverage([anatomy.spine])
    bodies = canvas.coverage(anatomy.vertebrae)
    total += rng.uniform(0.06, 0.18) * canvas.blur(0.6 * spine + 0.4 * bodies, 0.004)
    total -= rng.uniform(0.06, 0.16) * canvas.blur(canvas.coverage([anatomy.trachea]), 0.005) * (1 - air)

    strength = rng.uniform(0.08, 0.24)
    width = anatomy.bone_width
    for ribs, share in ((anatomy.posterior_ribs, 1.0), (anatomy.anterior_ribs, rng.uniform(0.35, 0.8))):
        outer = canvas.strokes(ribs, [width] * len(ribs))
        inner = canvas.strokes(ribs, [width * 0.55] * len(ribs))
        total += strength * share * canvas.blur(outer - 0.35 * inner, 0.0028) * body
    clavicles = canvas.strokes(anatomy.clavicles, [0.021, 0.021])
    total += rng.uniform(0.10, 0.20) * canvas.blur(clavicles, 0.003)
    total += rng.uniform(0.02, 0.09) * canvas.blur(canvas.coverage(anatomy.scapulae), 0.004) * body

    vessels = np.zeros_like(total)
    for lung, side in ((anatomy.right_lung, -1), (anatomy.left_lung, 1)):
        hilum = np.array([0.5 + side * 0.085, lung[:, 1].min() + 0.33]) + rng.normal(0, 0.01, 2)
        vessels += canvas.strokes(*vessel_tree(rng, hilum, side))
        blob = np.exp(-(((canvas.u - hilum[0]) / 0.045) ** 2) - ((canvas.v - hilum[1]) / 0.09) ** 2)
        vessels += rng.uniform(0.5, 1.2) * blob
    total += rng.uniform(0.08, 0.20) * canvas.blur(vessels, 0.0025) * air
    # Small vessels and interstitium below the resolution of the tree, denser towards the hila and the bases.
    markings = np.abs(canvas.clouds(rng, 64)) * rng.uniform(0.01, 0.05) * air
    texture = canvas.clouds(rng, 48) * 0.016 + canvas.clouds(rng, 14) * 0.02 + canvas.clouds(rng, 5) * 0.02
    total += markings
    return total + texture * body


def film(canvas: Canvas, total: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scatter, film response and noise: attenuation -> S x S image in 0..1, bone bright."""
    haze = rng.uniform(0.0, 0.35)
    total = (1 - haze) * total + haze * canvas.smooth(total, 0.12)
    low, high = np.percentile(total, 2), np.percentile(total, 99.5)
    x = (total - low) / max(high - low, 1e-3)
    gain, centre = rng.uniform(2.0, 7.0), rng.uniform(0.35, 0.7)
    image = 1 / (1 + np.exp(-gain * (x - centre)))
    image = (image - image.min()) / np.ptp(image)
    image = image ** rng.uniform(0.6, 1.7)
    noise = rng.standard_normal(image.shape).astype(np.float32) * rng.uniform(0.002, 0.022) * np.sqrt(0.25 + image)
    # Detectors and printers blur the noise a little as well.
    image = gaussian_filter(image + noise, rng.uniform(0.25, 0.9) * canvas.size / 256)
    black, white = rng.uniform(0, 0.12), rng.uniform(0.85, 1.0)
    return np.clip(black + (white - black) * image, 0, 1)
