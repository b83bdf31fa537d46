"""Films whose pixels are moved, each with the way back to the film that it was made from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from scipy import ndimage

# (transposed, rows reversed, columns reversed): the eight ways in which a picture can lie
POSES = tuple(
    (transposed, rows, columns) for transposed in (False, True) for rows in (False, True) for columns in (False, True)
)
UPRIGHT = (False, False, False)
MIRRORED = (False, False, True)
UPSIDE_DOWN = (False, True, True)
LYING = ((True, False, True), (True, True, False))  # turned by 90 degrees, clockwise and counter-clockwise


@dataclass(frozen=True)
class Film:
    """A picture and its true mask.

    Attributes:
        image: H x W float in [0, 1], bone bright.
        mask: H x W booleans.
        to_plain: 3 x 3; takes (row, column, 1) of a pixel's centre to its place in the plain film.
    """

    image: np.ndarray
    mask: np.ndarray
    to_plain: np.ndarray

    @classmethod
    def plain(cls, image: np.ndarray, mask: np.ndarray) -> Film:
        """A film as it hangs on the light box: upright, the patient's right on the left."""
        return cls(np.asarray(image, np.float64), np.asarray(mask, bool), np.eye(3))

    def turned(self, pose: tuple[bool, bool, bool]) -> Film:
        """Transposed, then with reversed rows or columns."""
        transposed, rows, columns = pose
        height, width = self.image.shape[::-1] if transposed else self.image.shape
        back = np.eye(3)
        if rows:
            back = np.array([[-1, 0, height - 1], [0, 1, 0], [0, 0, 1]]) @ back
        if columns:
            back = np.array([[1, 0, 0], [0, -1, width - 1], [0, 0, 1]]) @ back
        if transposed:
            back = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]]) @ back

        def turn(array: np.ndarray) -> np.ndarray:
            array = array.T if transposed else array
            return np.ascontiguousarray(array[:: -1 if rows else 1, :: -1 if columns else 1])

        return Film(turn(self.image), turn(self.mask), self.to_plain @ back)

    def scaled(self, height: int, width: int) -> Film:
        """Resampled to height x width pixels, with smoothing where they become fewer."""
        image = Image.fromarray(self.image.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
        mask = Image.fromarray(self.mask.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
        rows, columns = self.image.shape[0] / height, self.image.shape[1] / width
        back = np.array([[rows, 0, rows / 2 - 0.5], [0, columns, columns / 2 - 0.5], [0, 0, 1]])
        return Film(np.clip(np.asarray(image, np.float64), 0, 1), np.asarray(mask) > 0.5, self.to_plain @ back)

    def cropped(self, top: int, bottom: int, left: int, right: int) -> Film:
        """Rows top..bottom and columns left..right."""
        part = np.s_[top:bottom, left:right]
        back = np.array([[1, 0, top], [0, 1, left], [0, 0, 1]])
        return Film(self.image[part], self.mask[part], self.to_plain @ back)

    def on_canvas(self, height: int, width: int, to_self: np.ndarray) -> tuple[Film, np.ndarray]:
        """Drawn on a canvas of height x width, continued at its edge, and how deep each pixel lies in the film.

        Args:
            to_self: 3 x 3; takes (row, column, 1) of the canvas to this film's.

        Returns:
            The canvas, and H x W distances in pixels to the nearest edge of the film, negative outside.
        """
        matrix, offset = to_self[:2, :2], to_self[:2, 2]
        shape = (height, width)
        # Cubic, since linear interpolation would blur what a turned detector sees sharp
        image = ndimage.affine_transform(self.image, matrix, offset, shape, order=3, mode="nearest")
        mask = ndimage.affine_transform(self.mask.astype(np.float64), matrix, offset, shape, order=1) > 0.5
        places = np.moveaxis(np.indices(shape), 0, -1) @ matrix.T + offset
        far = np.array(self.image.shape) - 0.5
        depth = np.minimum(places + 0.5, far - places).min(axis=-1)
        return Film(np.clip(image, 0, 1), mask, self.to_plain @ to_self), depth

    def with_image(self, image: np.ndarray) -> Film:
        """The same places with other grays."""
        return replace(self, image=np.clip(image, 0, 1))


def turn_about(angle: float, inner: tuple[float, float], outer: tuple[float, float]) -> np.ndarray:
    """3 x 3 map from a canvas to a film that lies on it turned by `angle` degrees, `inner` of the film at `outer`."""
    radians = np.deg2rad(angle)
    linear = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    return np.vstack([np.column_stack([linear, np.subtract(inner, linear @ np.asarray(outer))]), [0, 0, 1]])


def carried(mask: np.ndarray, to_plain: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A mask of the plain film in the frame of another one.

    Args:
        mask: H x W booleans of the plain film.
        to_plain: of the other film, see `Film`.
        shape: its height and width.
    """
    linear, offset = to_plain[:2, :2], to_plain[:2, 2]
    return ndimage.affine_transform(mask.astype(np.float64), linear, offset, shape, order=1) > 0.5
