"""The picture of a film, and the matrix between its pixels and the file's."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.films.canonical import canonical
from scripts.films.field import Field
from scripts.films.film import StoredFilm
from scripts.films.picture import film_picture
from scripts.films.pose import Pose

HEIGHT, WIDTH = 120, 200
POSES = [Pose.numbered(number) for number in range(8)]


def ramp(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A gray that tells where in the file it comes from: no two directions look alike."""
    return 3.0 * x + 7.0 * y


def slanted(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    y, x = np.mgrid[:height, :width] + 0.5
    return ramp(x, y).astype(np.float32)


@pytest.mark.parametrize("longest_side", [2048, 90])
@pytest.mark.parametrize("aspect", [1.0, 2.0, 0.4])
@pytest.mark.parametrize("pose", POSES, ids=lambda pose: str(pose.number))
def test_the_matrix_leads_from_the_picture_to_the_file(pose, aspect, longest_side):
    film = StoredFilm(slanted(), pose=pose, aspect=aspect)
    values, record = canonical(film)
    shown = film_picture(film, values, record, longest_side)
    height, width = shown.pixels.shape
    y, x = np.mgrid[:height, :width] + 0.5
    columns, rows, _ = np.tensordot(shown.to_file, np.stack([x, y, np.ones_like(x)]), axes=1)
    low, high = np.percentile(values, (0.5, 99.5))
    expected = ((ramp(columns, rows) - low) / (high - low)).clip(0, 1) * 255
    inner = (slice(4, -4), slice(4, -4))  # interpolation knows nothing beyond the edge
    assert np.abs(shown.pixels - expected)[inner].max() <= 2


@pytest.mark.parametrize("aspect", [1.0, 2.0])
@pytest.mark.parametrize("pose", POSES, ids=lambda pose: str(pose.number))
def test_corners_of_the_picture_are_corners_of_the_file(pose, aspect):
    film = StoredFilm(slanted(), pose=pose, aspect=aspect)
    shown = film_picture(film, *canonical(film), 64)
    height, width = shown.pixels.shape
    corners = np.array([(0, 0, 1), (width, 0, 1), (width, height, 1), (0, height, 1)]) @ shown.to_file.T
    assert {tuple(corner) for corner in corners[:, :2].round(6)} == {(0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT)}


def test_a_stated_field_lies_in_the_picture_where_it_lies_in_the_file():
    collimation = Field(30, 20, 120, 80).corners
    film = StoredFilm(slanted(), pose=Pose(True, flip_columns=True), collimation=collimation, aspect=2.0)
    values, record = canonical(film)
    shown = film_picture(film, values, record, 64)
    back = np.column_stack([shown.field, np.ones(4)]) @ shown.to_file.T
    assert {tuple(corner) for corner in back[:, :2].round(3)} == {tuple(corner) for corner in collimation}


def test_grays_are_those_of_the_field_and_not_of_its_surround():
    stored = np.full((HEIGHT, WIDTH), 4000, dtype=np.float32)  # a bright plate around the film
    stored[20:100, 30:150] = 100 + slanted(80, 120) / 10
    film = StoredFilm(stored, collimation=Field(30, 20, 120, 80).corners)
    shown = film_picture(film, *canonical(film), 2048)
    inside = shown.pixels[20:100, 30:150]
    assert inside.min() == 0 and inside.max() == 255 and 80 < np.median(inside) < 180
    assert (shown.pixels[:20] == 255).all()


def test_a_film_of_one_gray_and_a_film_of_one_pixel_have_a_picture():
    for values in (np.full((16, 16), 5.0, dtype=np.float32), np.ones((1, 1), dtype=np.float32)):
        film = StoredFilm(values)
        shown = film_picture(film, *canonical(film), 2048)
        assert shown.pixels.shape == values.shape and shown.field is None
