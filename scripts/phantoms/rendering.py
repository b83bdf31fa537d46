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
        centres = ((np.arange(size) + 0.5) / size).astype(np.float32)
        x, y = (centres - frame[0, 2])[None], (centres - frame[1, 2])[:, None]
        inverse = np.linalg.inv(frame[:, :2])
        self.u, self.v = ((row[0] * x + row[1] * y).astype(np.float32) for row in inverse)

    def points(self, curve: np.ndarray) -> np.ndarray:
        """N x 2 pixels of the supersampled film."""
        return (curve @ self.frame[:, :2].T + self.frame[:, 2]) * self.fine

    def coverage(self, outlines: Iterable[np.ndarray]) -> np.ndarray:
        """S x S coverage in 0..1 of closed outlines."""
        image = Image.new("L", (self.fine, self.fine))
        draw = ImageDraw.Draw(image)
        for outline in outlines:
            draw.polygon(self.points(outline).ravel().tolist(), fill=255)
        return self._reduce(image)

    def strokes(self, curves: Iterable[np.ndarray], widths: Iterable[float], taper: float = 1.0) -> np.ndarray:
        """S x S coverage in 0..1 of curves of the given widths (normalised units).

        Args:
            taper: width at the end of a curve as a share of that at its start.
        """
        image = Image.new("L", (self.fine, self.fine))
        draw = ImageDraw.Draw(image)
        pixels = self.scale * self.fine
        ramps: dict[int, np.ndarray] = {}
        for curve, width in zip(curves, widths):
            # A ribbon is one polygon; ImageDraw.line would draw every joint of a curve as a pie slice.
            centre = self.points(curve)
            along = np.empty_like(centre)
            along[1:-1] = centre[2:] - centre[:-2]
            along[0], along[-1] = centre[1] - centre[0], centre[-1] - centre[-2]
            along /= np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-6)[:, None]
            if len(centre) not in ramps:
                ramps[len(centre)] = np.linspace(0.5 * pixels, 0.5 * pixels * taper, len(centre))[:, None]
            half = np.maximum(0.5, width * ramps[len(centre)])
            across = np.column_stack([-along[:, 1], along[:, 0]]) * half
            draw.polygon(np.concatenate([centre + across, (centre - across)[::-1]]).ravel().tolist(), fill=255)
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
    t = np.linspace(0, 1, 5)[:, None]
    while stems:
        start, angle, width, generation = stems.pop()
        length = rng.uniform(0.045, 0.11) * 0.86**generation
        direction = np.array([side * np.cos(angle), np.sin(angle)])
        bow = np.array([-direction[1], direction[0]]) * rng.normal(0, 0.18) * length
        end = start + direction * length
        # Quadratic Bezier curve.
        curves.append((1 - t) ** 2 * start + 2 * t * (1 - t) * ((start + end) / 2 + bow) + t**2 * end)
        widths.append(width)
        if generation < 4:
            for _ in range(rng.integers(1, 3)):
                stems.append((end, angle + rng.normal(0, 0.45), width * rng.uniform(0.55, 0.8), generation + 1))
    return curves, widths


def skeleton(canvas: Canvas, anatomy: Anatomy, shown: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """S x S attenuation added by bone; `shown` (S x S) scales the ribs."""
    width = anatomy.bone_width
    strength = rng.uniform(0.07, 0.22)
    bones = np.zeros(shown.shape, dtype=np.float32)
    for ribs, share in ((anatomy.posterior_ribs, 1.0), (anatomy.anterior_ribs, rng.uniform(0.35, 0.8))):
        # The cortex is denser than the marrow: a bone is a tube with bright edges.
        outer = canvas.strokes(ribs, [width] * len(ribs))
        bones += strength * share * (outer - 0.35 * canvas.strokes(ribs, [width * 0.55] * len(ribs)))
    bones *= shown
    discs = 0.55 * canvas.coverage([anatomy.spine]) + 0.45 * canvas.coverage(anatomy.vertebrae)
    bones += rng.uniform(0.05, 0.19) * discs
    clavicles = canvas.strokes(anatomy.clavicles, [0.021, 0.021]) - 0.3 * canvas.strokes(anatomy.clavicles, [0.011] * 2)
    bones += rng.uniform(0.10, 0.20) * clavicles
    bones += rng.uniform(0.02, 0.09) * canvas.coverage(anatomy.scapulae)
    humeri = canvas.strokes(anatomy.humeri, [0.075] * 2, 0.5) - 0.4 * canvas.strokes(anatomy.humeri, [0.045] * 2, 0.5)
    bones += rng.uniform(0.03, 0.14) * humeri
    return canvas.blur(bones, 0.003)


def vessels(canvas: Canvas, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """S x S attenuation added by hila and vessels."""
    added = np.zeros(canvas.u.shape, dtype=np.float32)
    for lung, side in ((anatomy.right_lung, -1), (anatomy.left_lung, 1)):
        hilum = np.array([0.5 + side * 0.085, lung[:, 1].min() + 0.33]) + rng.normal(0, 0.01, 2)
        added += 0.75 * canvas.strokes(*vessel_tree(rng, hilum, side), 0.6)
        blob = np.exp(-(((canvas.u - hilum[0]) / 0.045) ** 2) - ((canvas.v - hilum[1]) / 0.09) ** 2)
        added += rng.uniform(0.5, 1.2) * blob
    return rng.uniform(0.06, 0.18) * canvas.blur(added, 0.0025)


def attenuation(
    canvas: Canvas, anatomy: Anatomy, lungs: np.ndarray, heart: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """S x S attenuation of the patient in arbitrary units (air 0, body about 1, bone on top).

    Args:
        lungs, heart: S x S masks, disjoint.
    """
    lungs, heart = lungs.astype(np.float32), heart.astype(np.float32)
    body = canvas.coverage([anatomy.body])
    thickness = 0.45 * canvas.blur(body, 0.008) + 0.55 * canvas.smooth(body, 0.05) * body
    # Neck and shoulders are thinner than the trunk.
    total = thickness * (1 + rng.uniform(0.0, 0.35) * (np.clip(canvas.v, 0, 1) - 0.6))
    air = canvas.blur(lungs, rng.uniform(0.002, 0.007))
    near = canvas.smooth(lungs, 0.025)
    depth = canvas.smooth(lungs, 0.045)
    total -= rng.uniform(0.32, 0.66) * air * (0.55 + 0.45 * depth)
    # The heart merges with the abdomen below; where lung is near, it stands out.
    heart = heart * (0.25 + 0.75 * np.clip(depth * 3, 0, 1))
    trachea = canvas.coverage([anatomy.trachea]) * (1 - lungs)
    total += canvas.blur(rng.uniform(0.02, 0.16) * heart - rng.uniform(0.06, 0.16) * trachea, 0.006)
    # Only the diaphragm is a sharp edge of the abdomen, and the lungs draw it.
    total += rng.uniform(0.06, 0.24) * canvas.smooth(canvas.coverage([anatomy.abdomen]), 0.03) * (1 - air)
    wall = near * (1 - air) * np.clip(np.abs(canvas.u - 0.5) / 0.12 - 1, 0, 1)
    total += rng.uniform(0.02, 0.22) * wall
    # Ribs fade where the film is dense anyway.
    total += skeleton(canvas, anatomy, 0.25 + 0.75 * np.clip(near * 1.6, 0, 1), rng) * body
    total += vessels(canvas, anatomy, rng) * air
    # Small vessels and interstitium below the resolution of the tree.
    markings = np.abs(canvas.clouds(rng, 64)) * rng.uniform(0.01, 0.05)
    total += (markings + canvas.clouds(rng, 128) * rng.uniform(0.0, 0.022)) * air
    texture = canvas.clouds(rng, 48) * 0.016 + canvas.clouds(rng, 14) * 0.02 + canvas.clouds(rng, 5) * 0.025
    return total + texture * body


def film(canvas: Canvas, total: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scatter, film response and noise: attenuation -> S x S image in 0..1, bone bright."""
    haze = rng.uniform(0.0, 0.35)
    total = (1 - haze) * total + haze * canvas.smooth(total, 0.12)
    low, high = np.percentile(total[::4, ::4], (2, 99.5))
    x = (total - low) / max(high - low, 1e-3)
    gain, centre = rng.uniform(2.0, 7.0), rng.uniform(0.35, 0.7)
    if rng.random() < 0.2:  # washed out: mediastinum and abdomen burn to white
        gain, centre = rng.uniform(6.0, 10.0), rng.uniform(0.35, 0.5)
    image = 1 / (1 + np.exp(-gain * (x - centre)))
    if rng.random() < 0.45:  # digital systems raise local contrast, which shows texture even in dense parts
        image = image + rng.uniform(0.3, 1.6) * (image - canvas.smooth(image, 0.04))
        image = np.clip(image, *np.percentile(image[::4, ::4], (0.2, 99.8)))
    image = (image - image.min()) / np.ptp(image)
    image = image ** rng.uniform(0.6, 1.7)
    noise = rng.standard_normal(image.shape).astype(np.float32) * rng.uniform(0.002, 0.022) * np.sqrt(0.25 + image)
    # Detectors and printers blur the noise a little as well.
    image = gaussian_filter(image + noise, rng.uniform(0.25, 0.9) * canvas.size / 256)
    black, white = rng.uniform(0, 0.12), rng.uniform(0.85, 1.0)
    return np.clip(black + (white - black) * image, 0, 1)
