"""Augmentation: black, white or gray around films and over their edges."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import torch
from monai.config import KeysCollection
from PIL import Image

from ..errors import BundleError
from .film_artefacts import RandFilmd, film_extent, like, pixels


class RandSurroundd(RandFilmd):
    """Black, white or gray around or over the edges of a film: a light box, a larger detector, shutters.

    Either the whole film is shrunk on a canvas, turned in most cases, and its label with it, or shutters, straight or
    slightly turned, cover strips along one to four sides, under which nothing is lung: the label is cleared there.

    Args:
        keys: one 1 x S x S float32 film in [0, 1], letterboxed; so is the result.
        prob: probability of a change.
        label_key: C x S x S masks of the film; a missing one is no error.
        shutters: probability that a change is shutters.
        scale: range of the side of a shrunk film as a share of the canvas.
        turn: largest angle of a shrunk film in degrees.
        depth: largest depth of a shutter, in the middle of its side, as a share of the film.
        slant: largest angle of a shutter against its side in degrees.

    Raises:
        BundleError: a share or an angle is out of range; names it.
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float,
        label_key: str = "label",
        shutters: float = 0.5,
        scale: tuple[float, float] = (0.65, 0.96),
        turn: float = 15.0,
        depth: float = 0.08,
        slant: float = 3.0,
    ) -> None:
        super().__init__(keys, prob)
        if not 0 < scale[0] <= scale[1] <= 1:
            raise BundleError(f"scale of a film in its surround must be a range within 0..1, got {scale}")
        if not 0 <= depth < 0.5:
            raise BundleError(f"depth of a shutter must be at least 0 and less than 0.5, got {depth}")
        if not (0 <= turn <= 45 and 0 <= slant <= 45):
            raise BundleError(f"turn and slant must lie in 0..45 degrees, got {turn} and {slant}")
        self.label_key = label_key
        self.shutters = shutters
        self.scale = tuple(scale)
        self.turn = turn
        self.depth = depth
        self.slant = slant

    def change_item(self, d: dict[Hashable, torch.Tensor], key: Hashable, rng: np.random.Generator) -> None:
        film = pixels(d[key])[0]
        height, width = film_extent(film)
        label = pixels(d[self.label_key]) if self.label_key in d else film[None][:0]
        place = self.covered if rng.random() < self.shutters else self.shrunk
        film, label = place(film[:height, :width], label[:, :height, :width], film.shape, rng)
        d[key] = like(d[key], film[None])
        if self.label_key in d:
            d[self.label_key] = like(d[self.label_key], label)

    def shrunk(
        self, film: np.ndarray, label: np.ndarray, frame: tuple[int, int], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """H x W film and C x H x W label on a canvas of the film's shape or `frame`'s; both as large as `frame`."""
        shape = film.shape if rng.random() < 0.7 else frame
        side, canvas = np.array(film.shape[::-1]), np.array(shape[::-1])
        scale = rng.uniform(*self.scale)
        angle = np.deg2rad(rng.uniform(-self.turn, self.turn)) if rng.random() < 0.6 else 0.0
        room = (canvas - scale * side) / 2
        # Canvas -> film, in columns and rows from the upper left corner of each
        matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / scale
        affine = np.column_stack([matrix, side / 2 - matrix @ (canvas / 2 + rng.uniform(-room, room))])
        film, *layers = (resampled(layer, affine, shape) for layer in (film, *label))
        inside = (scale * depth_within(affine, side, shape) + 0.5).clip(0, 1)
        low, high = (0.0, 1.0) if rng.random() < 0.5 else (rng.uniform(0, 0.15), rng.uniform(0.85, 1))
        flat = surround(shape, rng)
        film = flat + inside * (low + (high - low) * film - flat)
        return padded(film.clip(0, 1), frame), padded(np.array(layers).reshape(len(label), *shape), frame)

    def covered(
        self, film: np.ndarray, label: np.ndarray, frame: tuple[int, int], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """H x W film and C x H x W label with shutters over one to four sides, both as large as `frame`."""
        field = np.ones(film.shape, np.float32)
        for quarter in rng.permutation(4)[: rng.integers(1, 5)]:
            turned = np.rot90(field, quarter)  # a view: the shutter comes from its upper side
            height, width = turned.shape
            depth = rng.uniform(0, self.depth) * height
            slope = np.tan(np.deg2rad(rng.uniform(-self.slant, self.slant))) if rng.random() < 0.5 else 0.0
            edge = depth + slope * (np.arange(width) + 0.5 - width / 2)
            turned *= (np.arange(1, height + 1)[:, None] - edge).clip(0, 1)
        flat = surround(film.shape, rng)
        return padded((flat + field * (film - flat)).clip(0, 1), frame), padded(label * field, frame)


def resampled(layer: np.ndarray, affine: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """H x W layer moved onto a canvas of `shape` by a 2 x 3 map from canvas to layer; zero outside the layer."""
    image = Image.fromarray(np.ascontiguousarray(layer, dtype=np.float32))
    coefficients = affine.ravel().tolist()
    return np.asarray(image.transform(shape[::-1], Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR))


def depth_within(affine: np.ndarray, side: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """How far each pixel of a canvas lies within a film of width and height `side`, in pixels of the film."""
    columns, rows = np.arange(shape[1], dtype=np.float32) + 0.5, np.arange(shape[0], dtype=np.float32)[:, None] + 0.5
    (a, b, c), (d, e, f) = affine.astype(np.float32)
    x, y = a * columns + (b * rows + c), d * columns + (e * rows + f)
    half = (side / 2).astype(np.float32)
    return np.minimum(half[0] - abs(x - half[0]), half[1] - abs(y - half[1]))


def padded(layers: np.ndarray, frame: tuple[int, int]) -> np.ndarray:
    """... x H x W layers with zeros below and to the right up to `frame`, as letterboxing leaves them."""
    whole = np.zeros((*layers.shape[:-2], *frame), np.float32)
    whole[..., : layers.shape[-2], : layers.shape[-1]] = layers
    return whole


def surround(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Black, white or gray in about 0..1, of H x W `shape`; some of it lit unevenly, some with slight noise."""
    height, width = shape
    flat = np.full(shape, rng.choice([0.0, 1.0, rng.uniform(0.02, 0.98)], p=[0.35, 0.35, 0.3]), np.float32)
    if rng.random() < 0.4:
        rows, columns = np.linspace(-1, 1, height), np.linspace(-1, 1, width)
        fall = rng.uniform(-0.08, 0.08, 4)
        flat += (fall[0] * rows + fall[1] * rows**2)[:, None].astype(np.float32)
        flat += (fall[2] * columns + fall[3] * columns**2)[None].astype(np.float32)
    if rng.random() < 0.4:
        strip = np.float32(rng.uniform(0.002, 0.02)) * rng.standard_normal((64, width), np.float32)
        flat += strip[rng.integers(0, 64, height)]  # rows return, which nobody sees: a whole film of noise takes long
    return flat
