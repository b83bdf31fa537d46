"""Augmentation: what surrounds and covers films as hospitals have them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform
from PIL import Image

from ..phantoms.artefacts import catheters, devices
from ..phantoms.overprints import add_dust, add_markers
from ..phantoms.rendering import Canvas


class RandFilmd(RandomizableTransform, MapTransform):
    """A random change of the gray values of films; labels stay. Subclasses say in `change` what happens.

    Args:
        keys: 1 x S x S float32 films in [0, 1], bone bright; so is the result.
        prob: probability of a change.
    """

    def __init__(self, keys: KeysCollection, prob: float) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = dict(data)
        self.randomize(None)
        if not self._do_transform:
            return d
        for key in self.key_iterator(d):
            d[key] = like(d[key], self.change(pixels(d[key])[0], self.generator())[None])
        return d

    def generator(self) -> np.random.Generator:
        """A stream of random numbers that follows from the transform's random state."""
        return np.random.default_rng(self.R.randint(2**31))

    def change(self, film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """S x S film -> the changed film; the array handed in may be a cached one and must stay as it is."""
        raise NotImplementedError


def pixels(image: torch.Tensor) -> np.ndarray:
    """C x S x S pixels of a tensor, not copied."""
    return (image.as_tensor() if isinstance(image, MetaTensor) else image).numpy()


def like(image: torch.Tensor, changed: np.ndarray) -> torch.Tensor:
    """`changed` as a float32 tensor with the meta data of `image`."""
    plain = torch.from_numpy(np.ascontiguousarray(changed, dtype=np.float32))
    return MetaTensor(plain, meta=image.meta) if isinstance(image, MetaTensor) else plain


def film_extent(film: np.ndarray) -> tuple[int, int]:
    """Rows and columns of an S x S picture that letterboxing has not padded with zeros at the bottom and right."""
    filled = film > 0
    rows, columns = filled.any(1), filled.any(0)
    if not rows.any():
        return film.shape
    return len(rows) - int(rows[::-1].argmax()), len(columns) - int(columns[::-1].argmax())


class RandSurroundd(RandFilmd):
    """Black, white or gray around or over the edges of a film: a light box, a larger detector, shutters.

    Either the whole film is shrunk and turned on a larger canvas, and its label with it, or shutters, straight or
    slightly turned, cover strips along one to four sides, under which nothing is lung: the label is cleared there.

    Args:
        keys, prob: as for `RandFilmd`.
        label_key: C x S x S masks of the film; a missing one is no error.
        shutters: probability that it is shutters.
        scale: range of the side of a shrunk film as a share of the canvas.
        turn: largest angle of a shrunk film in degrees.
        depth: largest depth of a shutter as a share of the side.
        slant: largest angle of a shutter against its side in degrees.
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
        self.label_key = label_key
        self.shutters = shutters
        self.scale = tuple(scale)
        self.turn = turn
        self.depth = depth
        self.slant = slant

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = dict(data)
        self.randomize(None)
        if not self._do_transform:
            return d
        rng = self.generator()
        shutters = rng.random() < self.shutters
        for key in self.key_iterator(d):
            film = pixels(d[key])[0]
            label = pixels(d[self.label_key]) if self.label_key in d else np.empty((0, *film.shape), np.float32)
            film, label = (self.cover if shutters else self.shrink)(film, label, rng)
            d[key] = like(d[key], film[None])
            if self.label_key in d:
                d[self.label_key] = like(d[self.label_key], label)
        return d

    def shrink(self, film: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """S x S film and C x S x S label on a canvas of the film's own shape."""
        shape = film.shape
        height, width = film_extent(film)
        scale = rng.uniform(*self.scale)
        angle = np.deg2rad(rng.uniform(-self.turn, self.turn)) if rng.random() < 0.6 else 0.0
        # Output pixel -> input pixel, about the centres
        centre = np.array([width, height]) / 2
        matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / scale
        room = (1 - scale) * centre
        shift = centre - matrix @ (centre + rng.uniform(-room, room))
        affine = np.column_stack([matrix, shift]).ravel().tolist()
        film, *layers = (resampled(layer, affine)[:height, :width] for layer in (film, *label))
        # Distance of each pixel from the nearest side of the film, in pixels of the canvas
        rows, columns = np.arange(height, dtype=np.float32)[:, None] + 0.5, np.arange(width, dtype=np.float32) + 0.5
        x, y = (
            (m[0] * columns + (m[1] * rows + c)) for m, c in zip(matrix.astype(np.float32), shift.astype(np.float32))
        )
        inside = np.minimum(width / 2 - abs(x - width / 2), height / 2 - abs(y - height / 2))
        inside = (inside * scale + 0.5).clip(0, 1)
        low, high = (0.0, 1.0) if rng.random() < 0.5 else (rng.uniform(0, 0.15), rng.uniform(0.85, 1))
        flat = surround((height, width), rng)
        canvas = np.zeros(shape, np.float32)
        canvas[:height, :width] = flat + inside * (low + (high - low) * film - flat)
        moved = np.zeros_like(label)
        for layer, target in zip(layers, moved):
            target[:height, :width] = layer
        return canvas.clip(0, 1), moved

    def cover(self, film: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """S x S film and C x S x S label with shutters over the film's sides."""
        height, width = film_extent(film)
        open_field = np.ones((height, width), np.float32)
        for side in rng.permutation(4)[: rng.integers(1, 5)]:
            # Rows or columns from this side, less the depth of the shutter where it lies
            across, along = (height, width) if side < 2 else (width, height)
            depth = rng.uniform(0.01, self.depth) * across
            slope = np.tan(np.deg2rad(rng.uniform(-self.slant, self.slant))) if rng.random() < 0.5 else 0.0
            limit = np.arange(along) - along / 2
            distance = np.arange(across)[:, None] - depth - slope * limit[None] + 0.5
            distance = distance.astype(np.float32).clip(0, 1)
            distance = distance if side < 2 else distance.T
            open_field *= {0: distance, 1: distance[::-1], 2: distance, 3: distance[:, ::-1]}[int(side)]
        covered, cleared = film.copy(), label.copy()
        covered[:height, :width] *= open_field
        covered[:height, :width] += surround((height, width), rng) * (1 - open_field)
        cleared[:, :height, :width] *= open_field
        return covered.clip(0, 1), cleared


def resampled(layer: np.ndarray, affine: list[float]) -> np.ndarray:
    """S x S layer under an affine map from output to input pixels (Pillow's convention), zero outside."""
    image = Image.fromarray(np.ascontiguousarray(layer, dtype=np.float32))
    return np.asarray(image.transform(image.size, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR))


def surround(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Black, white or gray, in half of the cases with noise or uneven light; height x width, about 0..1."""
    height, width = shape
    level = rng.choice([0.0, 1.0, rng.uniform(0.02, 0.98)], p=[0.35, 0.35, 0.3])
    flat = np.full(shape, level, np.float32)
    if rng.random() < 0.4:
        rows, columns = np.linspace(-1, 1, height), np.linspace(-1, 1, width)
        fall = rng.uniform(-0.08, 0.08, 4)
        flat += (fall[0] * rows + fall[1] * rows**2)[:, None].astype(np.float32)
        flat += (fall[2] * columns + fall[3] * columns**2)[None].astype(np.float32)
    if rng.random() < 0.4:
        strip = np.float32(rng.uniform(0.002, 0.02)) * rng.standard_normal((64, width), np.float32)
        flat += strip[rng.integers(0, 64, height)]  # rows repeat, unseen, since drawing each would take long
    return flat


class RandTubesd(RandFilmd):
    """Lines, tubes, electrodes and pacemakers over the patient, as dense as in phantoms."""

    def change(self, film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        height, width = film_extent(film)
        zoom = rng.uniform(0.85, 1.15, 2) * np.array([width, height]) / len(film)
        shift = np.array([width, height]) / len(film) / 2 - zoom / 2 + rng.normal(0, 0.04, 2)
        canvas = Canvas(len(film), np.column_stack([np.diag(zoom), shift]))
        draw = devices if rng.random() < 0.6 else catheters
        return 1 - (1 - film) * np.exp(-rng.uniform(0.6, 2.5) * draw(canvas, rng))


class RandMarkersd(RandFilmd):
    """Burnt-in and lead text, side letters, dates, arrows and rulers, see `add_markers`."""

    def change(self, film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return add_markers(film, rng)


class RandDustd(RandFilmd):
    """Specks, hairs, scratches and straight lines across the film, see `add_dust`."""

    def change(self, film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return add_dust(film, rng)
