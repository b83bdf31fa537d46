"""Augmentation: what lies over films as hospitals have them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform

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
            self.change_item(d, key, self.generator())
        return d

    def change_item(self, d: dict[Hashable, torch.Tensor], key: Hashable, rng: np.random.Generator) -> None:
        """Put the changed film in the place of `d[key]`, and whatever else has to change with it."""
        d[key] = like(d[key], self.change(pixels(d[key])[0], rng)[None])

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


class RandTubesd(RandFilmd):
    """Lines, tubes, electrodes and pacemakers over the patient, as dense as in phantoms."""

    def change(self, film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        height, width = film_extent(film)
        zoom = rng.uniform(0.85, 1.15, 2) * np.array([width, height]) / len(film)
        shift = np.array([width, height]) / len(film) / 2 - zoom / 2 + rng.normal(0, 0.04, 2)
        canvas = Canvas(len(film), np.column_stack([np.diag(zoom), shift]))
        draw = devices if rng.random() < 0.5 else catheters
        return 1 - (1 - film) * np.exp(-rng.uniform(0.6, 2.5) * draw(canvas, rng))


class RandMarkersd(RandFilmd):
    """Burnt-in and lead text, side letters, dates, arrows and rulers, see `add_markers`."""

    def change(self, film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return add_markers(film, rng)


class RandDustd(RandFilmd):
    """Specks, hairs, scratches and straight lines across the film, see `add_dust`."""

    def change(self, film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return add_dust(film, rng)
