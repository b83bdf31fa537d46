"""The exposed field within drawn surrounds: found where it is, and nowhere else."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from scripts.films.canonical import canonical
from scripts.films.exposed_field import find_field
from scripts.films.field import Field
from scripts.films.film import StoredFilm
from scripts.phantoms import generate_phantom

SIDE = 320
BROAD = (0, 9, 14, 28)  # seeds of phantoms that fill the film
GRAYS = {"black": 0.0, "gray": 0.45, "white": 1.0}


def chest(seed: int, height: int = 240, width: int = 220, uneven: float = 0.2) -> np.ndarray:
    """H x W film in [0, 1] without a surround of its own: the inner part of a phantom with broad shoulders, with soft
    tissue that is nowhere of one gray."""
    image = generate_phantom(BROAD[seed], 256).image[16:240, 16:240].astype(np.float32)
    image = (image - image.min()) / np.ptp(image)
    cloud = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=image.shape), 6)
    image = image + uneven * cloud / np.abs(cloud).max()
    values = np.asarray(Image.fromarray(image.astype(np.float32)).resize((width, height)))
    return ((values - values.min()) / np.ptp(values)).astype(np.float32) * 0.84 + 0.08


def on_canvas(film: np.ndarray, gray: float, angle: float = 0.0, x: float = 0.5, y: float = 0.5) -> tuple:
    """`film` turned clockwise by `angle` degrees, its centre at (x, y) of a square canvas of `gray`; and its field."""
    height, width = film.shape
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    centre = np.array([x, y]) * SIDE
    corner = centre - np.array([width * cosine - height * sine, width * sine + height * cosine]) / 2
    # Pillow asks for the film's place of each pixel of the canvas
    inverse = np.array([[cosine, sine], [-sine, cosine]])
    shift = -inverse @ corner
    matrix = (*inverse[0], shift[0], *inverse[1], shift[1])
    picture = Image.fromarray(film).transform(
        (SIDE, SIDE), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=gray
    )
    return np.asarray(picture), Field(float(corner[0]), float(corner[1]), width, height, angle)


def corners(field: Field) -> np.ndarray:
    """4 x 2, from the upper left clockwise."""
    a = np.radians(field.angle)
    across, down = np.array([np.cos(a), np.sin(a)]) * field.width, np.array([-np.sin(a), np.cos(a)]) * field.height
    origin = np.array([field.x, field.y])
    return np.array([origin, origin + across, origin + across + down, origin + down])


def inside(field: Field | None, side: int = SIDE) -> np.ndarray:
    """Which pixels of a square picture belong to a field; None is all of it."""
    if field is None:
        return np.ones((side, side), bool)
    rows, columns = np.mgrid[:side, :side] + 0.5
    a = np.radians(field.angle)
    x, y = columns - field.x, rows - field.y
    along, down = x * np.cos(a) + y * np.sin(a), y * np.cos(a) - x * np.sin(a)
    return (0 <= along) & (along <= field.width) & (0 <= down) & (down <= field.height)


def assert_close(found: Field | None, true: Field, pixels: float) -> None:
    assert found is not None
    away = np.abs(corners(found) - corners(true)).max()
    assert away <= pixels, f"{away:.1f} pixels away: {found}"


# Surrounds


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("gray", GRAYS.values(), ids=GRAYS)
def test_upright_film_in_a_surround_of_one_gray_is_found(gray, seed):
    picture, true = on_canvas(chest(seed), gray, x=0.47, y=0.52)
    # In pixels that are looked at; parts of the film are as gray as the gray one
    assert_close(find_field(picture), true, (4 if gray == GRAYS["gray"] else 2) * SIDE / 128)


@pytest.mark.parametrize("angle", [-15, -8, -3, 3, 8, 15])
@pytest.mark.parametrize("gray", [0.0, 1.0], ids=["black", "white"])
def test_turned_film_is_found_with_its_angle(gray, angle):
    for seed in range(3):
        picture, true = on_canvas(chest(seed), gray, angle)
        found = find_field(picture)
        assert_close(found, true, 4 * SIDE / 128)
        assert abs(found.angle - angle) <= 1


@pytest.mark.parametrize("sides", [sides for sides in product((0, 1), repeat=4) if any(sides)])
def test_shutters_on_any_sides_are_found(sides):
    """Left, right, top, bottom."""
    film = chest(1, SIDE, SIDE).copy()
    edges = np.array([0, SIDE, 0, SIDE])
    for number, there in enumerate(sides):
        if there:
            edges[number] += (40 if number % 2 == 0 else -40) + 4 * number
    left, right, top, bottom = edges
    picture = np.zeros_like(film)
    picture[top:bottom, left:right] = film[top:bottom, left:right]
    assert_close(find_field(picture), Field(left, top, right - left, bottom - top), 2 * SIDE / 128)


def test_round_field_is_found_by_its_rectangle():
    film = chest(2, SIDE, SIDE)
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    picture = np.where(np.hypot(columns - 160, rows - 160) <= 130, film, 0).astype(np.float32)
    assert_close(find_field(picture), Field(30, 30, 260, 260), 3 * SIDE / 128)


def test_black_border_on_a_light_box_is_two_surrounds():
    picture, _ = on_canvas(np.pad(chest(0, 180, 160), 24), 1.0)
    _, true = on_canvas(chest(0, 180, 160), 0.0)
    assert_close(find_field(picture), true, 3 * SIDE / 128)


def test_unevenly_lit_light_box_is_one_surround():
    picture, true = on_canvas(chest(3), np.nan, 4)
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    light = (1.0 + 0.12 * columns + 0.08 * rows).astype(np.float32)
    assert_close(find_field(np.where(np.isfinite(picture), picture, light)), true, 4 * SIDE / 128)


def test_letters_in_the_surround_stay_outside():
    picture, true = on_canvas(chest(1), 0.0)
    picture = picture.copy()
    picture[10:22, 6:16] = picture[290:300, 280:300] = 1.0
    assert_close(find_field(picture), true, 2 * SIDE / 128)


def test_noise_and_any_range_of_values_change_nothing():
    picture, true = on_canvas(chest(1), 0.0)
    noisy = picture + np.random.default_rng(0).normal(0, 0.01, picture.shape).astype(np.float32)
    for values in (noisy, noisy * 4095 - 1024, (noisy * 65535).clip(0)):
        assert_close(find_field(values), true, 2 * SIDE / 128)


def test_large_film_is_found_at_its_size():
    picture, true = on_canvas(chest(1), 0.0)
    large = np.kron(picture, np.ones((6, 6), np.float32))
    assert_close(find_field(large), true.scaled(6, 6), 2 * 6 * SIDE / 128)


@pytest.mark.parametrize("gray", [0.0, 1.0], ids=["black", "white"])
def test_an_abdomen_of_one_gray_is_no_surround(gray):
    """Underexposed below the diaphragm: white from side to side."""
    for seed in range(len(BROAD)):
        film = chest(seed, uneven=0.0)
        picture, true = on_canvas(film, gray)
        assert_close(find_field(picture), true, 3 * SIDE / 128)


def test_a_bright_object_in_a_dull_film_does_not_hide_the_frame_around_the_film():
    """What lies within a surround may itself look like a surround; the outer one stays found."""
    picture = np.full((112, 232), 255, np.float32)
    picture[16:96, 16:216] = 10
    picture[40:60, 60:100] = 200
    found = find_field(picture)
    assert found is not None and inside_rectangle(found, 16, 16, 216, 96)


def inside_rectangle(found: Field, x0: float, y0: float, x1: float, y1: float) -> bool:
    """Whether a field is the rectangle to three pixels."""
    edges = np.array([found.x, found.y, found.x + found.width, found.y + found.height])
    return np.abs(edges - (x0, y0, x1, y1)).max() <= 3


# No surround


@pytest.mark.parametrize("size", [96, 256, 700])
@pytest.mark.parametrize("seed", range(len(BROAD)))
def test_plain_film_has_no_field(seed, size):
    assert find_field(chest(seed, size, size)) is None


@pytest.mark.parametrize(
    "picture",
    [
        np.full((200, 200), 7.0),
        np.zeros((8, 300)),
        np.random.default_rng(0).random((200, 160)),
        np.linspace(0, 1, 200 * 160).reshape(200, 160),
        np.pad(np.random.default_rng(0).random((20, 20)) + 1, 150),
    ],
    ids=["one gray", "a line", "noise", "a slope", "hardly any film"],
)
def test_what_is_no_film_in_a_surround_is_left_alone(picture):
    assert find_field(picture.astype(np.float32)) is None


def test_thin_edge_of_a_digitiser_is_left():
    picture = chest(1, SIDE, SIDE).copy()
    picture[:, -3:] = 1.0
    assert find_field(picture) is None


# What is cut off


@pytest.mark.parametrize("gray", GRAYS.values(), ids=GRAYS)
@pytest.mark.parametrize("angle", [0, 6, -11])
def test_only_surround_is_cut_off(gray, angle):
    """Of the film its edge at most."""
    for seed in range(len(BROAD)):
        picture, true = on_canvas(chest(seed), gray, angle)
        kept = inside(find_field(picture))
        most = 0.07 if gray == GRAYS["gray"] else 0.03  # parts of the film are as gray
        assert (inside(true) & ~kept).sum() / inside(true).sum() < most


@pytest.mark.parametrize("size", [96, 256])
def test_what_is_cut_off_of_phantoms_with_surrounds_of_their_own_is_no_lung(size):
    """Black, white and gray shutters, letters, air beside the body."""
    found = 0
    for seed in range(40):
        phantom = generate_phantom(seed, size)
        field = find_field(phantom.image)
        lungs = np.isin(phantom.labels, (1, 2)) & (phantom.image > 0)  # what a shutter covers is lost already
        assert (lungs & ~inside(field, size)).sum() <= 0.002 * lungs.sum(), f"phantom {seed}: {field}"
        found += field is not None
    assert found > 10


def test_the_canonical_film_is_the_film_without_its_surround():
    film = chest(1)
    picture, true = on_canvas(film, 1.0, 7)
    values, record = canonical(StoredFilm(picture))
    assert record.sources["field"] == "surround"
    assert np.abs(np.array(values.shape) - film.shape).max() <= 4 * SIDE / 128
    resized = np.asarray(Image.fromarray(values).resize(film.shape[::-1]))
    assert np.corrcoef(resized[10:-10, 10:-10].ravel(), film[10:-10, 10:-10].ravel())[0, 1] > 0.97
