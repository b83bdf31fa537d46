"""Films in odd forms, over HTTP: masks, pictures and what is said of them."""

from __future__ import annotations

import gzip
from functools import cache

import nibabel
import numpy as np
import pytest
from monai_label.odd_films import FORMS
from monai_label.serving import Server, dice
from PIL import Image

ODD = [name for name in FORMS if name != "plain"]


@cache
def mask_of(server: Server, name: str) -> np.ndarray:
    """The mask of a film, asked for once."""
    return server.mask(name)


@cache
def picture_of(server: Server, name: str) -> tuple[np.ndarray, dict]:
    """The picture of a film and what is said of it, asked for once."""
    return server.picture(name)


def shown(values: np.ndarray, said: dict, shape: tuple[int, ...]) -> np.ndarray:
    """`values` in the file's pixels where a picture of `shape` shows them: the nearest, by the matrix of the answer."""
    x, y = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    columns, rows, _ = np.tensordot(np.array(said["to_file"]), np.stack([x, y, np.ones_like(x)]), axes=1)
    assert columns.min() > 0 and rows.min() > 0 and columns.max() < values.shape[1] and rows.max() < values.shape[0]
    return values[rows.astype(int), columns.astype(int)]


@pytest.mark.parametrize("name", ODD)
def test_the_mask_is_that_of_the_plain_film_in_the_file_s_own_pixels(odd_server, name):
    expected = FORMS[name].store(mask_of(odd_server, "plain"))
    found = mask_of(odd_server, name)
    assert found.shape == expected.shape
    assert dice(found, expected) >= FORMS[name].dice


@pytest.mark.parametrize("name", ODD)
def test_the_picture_shows_the_film_upright_and_its_matrix_leads_to_the_file(odd_server, name):
    plain, _ = picture_of(odd_server, "plain")
    picture, said = picture_of(odd_server, name)
    stored = FORMS[name].store(plain)
    assert said["size"] == [stored.shape[1], stored.shape[0]]
    assert picture.dtype == np.uint8
    difference = np.abs(shown(stored, said, picture.shape).astype(float) - picture)
    assert np.median(difference) <= 3 and difference.mean() <= 5
    if name != "collimated":  # of which the picture shows the surround, too
        assert picture.shape == plain.shape
        assert np.corrcoef(picture.ravel(), plain.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("name", list(FORMS))
def test_the_mask_lies_on_the_lungs_of_the_picture(odd_server, name):
    """Lungs are dark: the picture within the mask is darker than around it, by as much as in the plain film."""
    picture, said = picture_of(odd_server, name)
    mask = shown(mask_of(odd_server, name), said, picture.shape) > 0
    plain, said = picture_of(odd_server, "plain")
    truth = shown(mask_of(odd_server, "plain"), said, plain.shape) > 0
    assert abs(float(np.median(picture[mask])) - float(np.median(plain[truth]))) <= 6


@pytest.mark.parametrize("name", list(FORMS))
def test_answers_say_what_was_done(odd_server, name):
    form = FORMS[name]
    answer = odd_server.infer(name, output="json").json()
    _, said = picture_of(odd_server, name)
    for film in (answer["film"], said["film"]):
        assert set(film) == {"values", "pose", "spacing", "field"}
        assert film["pose"].startswith(f"{form.pose} (")
        assert any(form.source in text for text in film.values())
    assert said["flags"] == list(form.flags) and set(form.flags) <= set(answer["flags"])


def test_the_exposed_field_is_told_in_pixels_of_the_picture(odd_server):
    _, said = picture_of(odd_server, "collimated")
    size = np.array(FORMS["plain"].store(mask_of(odd_server, "plain")).shape[::-1])
    corners = np.array(said["field"])
    first, last = np.array([30, 40]), np.array([30, 40]) + size
    # Where the film's own edge is black, that goes with the surround
    assert np.abs(corners.min(axis=0) - first).max() <= 0.1 * size.max()
    assert np.abs(corners.max(axis=0) - last).max() <= 0.1 * size.max()
    for name in FORMS:
        _, said = picture_of(odd_server, name)
        assert (said["field"] is None) == (said["film"]["field"] == "whole")


def test_a_box_is_taken_in_the_file_s_own_pixels(odd_server):
    height, width = mask_of(odd_server, "plain").shape
    x0, y0, x1, y1 = box = [10, 20, width // 2, height - 5]
    expected = odd_server.mask("plain", box=box)
    assert np.any(expected != mask_of(odd_server, "plain"))
    # Turned counterclockwise: columns of the file are rows of the film, its rows the columns from the right
    found = odd_server.mask("exif_6", box=[y0, width - x1, y1, width - x0])
    assert dice(found, np.rot90(expected)) >= 0.99


def test_the_mask_of_a_nifti_film_lies_where_the_film_does(odd_server):
    mask = nibabel.Nifti1Image.from_bytes(gzip.decompress(odd_server.infer("upwards").content))
    film = nibabel.load(odd_server.studies / "upwards.nii.gz")
    np.testing.assert_allclose(mask.affine, film.affine, atol=1e-5)


def test_a_large_film_is_shown_smaller_with_a_matrix_that_knows(odd_server, tmp_path):
    gray = np.asarray(Image.open(odd_server.studies / "plain.png").resize((3000, 2400)))
    Image.fromarray(gray).save(odd_server.studies / "large.png")
    odd_server.wait_for("large")
    picture, said = odd_server.picture("large")
    (odd_server.studies / "large.png").unlink()
    assert picture.shape == (1638, 2048) and said["size"] == [3000, 2400]
    np.testing.assert_allclose(np.array(said["to_file"]) @ [2048, 1638, 1], [3000, 2400, 1])


def test_a_file_that_is_no_film_is_refused_with_its_reason(odd_server):
    (odd_server.studies / "text.png").write_text("no picture")
    odd_server.wait_for("text")
    answer = odd_server.post("/infer/film_picture?image=text&output=json")
    (odd_server.studies / "text.png").unlink()
    assert answer.status_code == 400 and "cannot be read as an image" in answer.json()["detail"]
