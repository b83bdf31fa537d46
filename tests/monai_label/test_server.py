"""A real MONAI Label server with this bundle, over HTTP: `make test-label` runs these in MONAI Label's environment."""

from __future__ import annotations

import gzip
import io
import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import requests
import torch
from dicom_files import write_dicom
from monai_label.odd_films import FORMS
from monai_label.serving import HEIGHT, NAME, ROOT, WIDTH, Server, dice, phantom
from PIL import Image


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> dict[str, Path]:
    """One phantom as every kind of file."""
    folder = tmp_path_factory.mktemp("films")
    gray, _ = phantom(0)
    Image.fromarray(gray).save(folder / "png8.png")
    Image.fromarray(gray.astype(np.uint16) * 257).save(folder / "png16.png")
    Image.fromarray(np.repeat(gray[..., None], 3, axis=2)).save(folder / "rgb.png")
    Image.fromarray(gray).save(folder / "jpeg.jpg", quality=95)
    affine = np.diag([-0.2, -0.3, 1.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(gray.T[..., None].astype(np.int16), affine), folder / "nifti.nii.gz")
    write_dicom(folder / "film.dcm", gray, PixelSpacing=[0.2, 0.2], ImagerPixelSpacing=[0.2, 0.2])
    write_dicom(folder / "inverse.dcm", 255 - gray, "MONOCHROME1")
    return {path.name.split(".")[0]: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def server(tmp_path_factory, films):
    folder = tmp_path_factory.mktemp("server")
    (folder / "studies").mkdir()
    for name in ("png8", "png16", "rgb", "jpeg", "nifti"):
        shutil.copy(films[name], folder / "studies")
    started = Server(folder)
    yield started
    started.stop()


# Segmentation


def test_the_model_is_listed_with_its_label(server):
    model = server.info["models"][NAME]
    assert model["type"] == "segmentation" and model["dimension"] == 2
    assert model["labels"] == {"lungs": 1}
    assert NAME in server.info["trainers"] and NAME in server.info["scoring"]


@pytest.mark.parametrize("name", ["png8", "png16", "rgb", "jpeg", "nifti"])
def test_films_of_the_datastore_are_segmented(server, name):
    found = server.mask(name)
    assert found.shape == (HEIGHT, WIDTH) and set(np.unique(found)) == {0, 1}
    assert dice(found, phantom(0)[1]) > 0.7


@pytest.mark.parametrize("name", ["film", "inverse"])
def test_uploaded_dicom_is_segmented(server, films, name):
    found = server.mask(upload=films[name])
    assert found.shape == (HEIGHT, WIDTH)
    assert dice(found, server.mask("png8")) > 0.99


def test_the_mask_of_a_nifti_film_lies_where_the_film_does(server, films):
    answer = server.infer("nifti")
    mask = nibabel.Nifti1Image.from_bytes(gzip.decompress(answer.content))
    np.testing.assert_allclose(mask.affine, nibabel.load(films["nifti"]).affine, atol=1e-5)


def test_the_answer_says_how_sure_the_network_is(server):
    result = server.infer("png8", output="json").json()
    assert 0.5 < result["expected_dice"] <= 1 and isinstance(result["flags"], list)
    assert result["label_names"] == {"lungs": 1}


# Prompts


@pytest.mark.parametrize("name", ["box", "roi"])
def test_a_box_changes_the_mask(server, name):
    whole = server.mask("png8")
    columns = np.nonzero(whole.any(axis=0))[0]
    middle = int(columns.mean())
    boxed = server.mask("png8", **{name: [int(columns[0]), 0, middle, HEIGHT]})
    assert boxed.shape == whole.shape and np.any(boxed != whole)
    np.testing.assert_array_equal(server.mask("png8"), whole)  # the prompt of one request stays with it


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([0, 0, WIDTH + 1, 50], f"reaches out of the image of {WIDTH} x {HEIGHT} pixels"),
        ([-1, 0, 20, 50], "reaches out of the image"),
        ([50, 10, 50, 90], "x1 must be greater than x0"),
        ([10, 90, 50, 20], "y1 greater than y0"),
        (["a", 0, 20, 50], "expected four numbers"),
        ([0, 0, 20], "expected four numbers"),
        ("0,0,20,50", "expected four numbers"),
        ([0, 0, float("nan"), 50], "expected four numbers"),
    ],
)
def test_a_wrong_box_is_answered_with_400_and_the_reason(server, box, message):
    answer = server.infer("png8", box=box)
    assert answer.status_code == 400
    assert message in answer.json()["detail"]
    assert server.infer("png8", output="json").status_code == 200


def test_a_broken_film_and_an_unknown_one_leave_the_server_up(server, tmp_path):
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"\0" * 128 + b"DICM" + b"rubbish")
    answer = server.infer(upload=broken)
    assert answer.status_code == 400 and "is no DICOM file" in answer.json()["detail"]
    assert server.infer("nobody").status_code >= 400
    assert server.infer("png8", output="json").status_code == 200


def test_weights_that_do_not_fit_are_refused_aloud(server):
    answer = server.infer("png8", model_filename="sam_vit_ti_phantom.pt")
    assert answer.status_code == 400
    assert "does not fit the network" in answer.json()["detail"]
    assert server.infer("png8", output="json").status_code == 200


# Active learning


def test_the_film_that_the_network_is_least_sure_of_comes_first(server):
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, format="PNG")
    files = {"file": ("noise.png", stream.getvalue())}
    assert requests.put(f"{server.url}/datastore/?image=noise", files=files, timeout=60).status_code == 200
    summary = server.post(f"/scoring/{NAME}?run_sync=true").json()
    assert summary["executed"] == summary["total"] == 6 and summary["failed"] == []
    assert server.post("/activelearning/least_confident", json={}).json()["id"] == "noise"
    again = server.post(f"/scoring/{NAME}?run_sync=true").json()
    assert again["skipped"] == 6 and again["executed"] == 0
    assert requests.delete(f"{server.url}/datastore/?id=noise", timeout=60).status_code == 200


# Training


def test_training_on_corrected_labels_changes_what_is_segmented(tmp_path):
    """The labels are the lower half of the lungs alone, which no weights would draw without having learned it.

    Each film has another form, and its label lies in that form's own pixels.
    """
    shipped = (ROOT / "models" / "model.pt").read_bytes()
    (tmp_path / "studies").mkdir()
    forms = [FORMS[name] for name in ("turned", "upwards", "exif_6", "mirrored", "wide", "plain")]
    for seed, form in enumerate(forms):
        form.write(tmp_path / "studies", phantom(seed)[0])
    server = Server(tmp_path, stock=True)
    try:
        before = server.mask("turned")
        for seed, form in enumerate(forms):
            lower = phantom(seed)[1].copy()
            lower[: HEIGHT // 2] = 0
            server.label(form.id, np.ascontiguousarray(form.store(lower)))
        target = server.saved_label("turned")
        assert requests.get(f"{server.url}/datastore/", timeout=60).json()["completed"] == 6
        request = {"max_epochs": 24, "device": "cpu", "val_split": 0.34, "run_id": "training", "multi_gpu": False}
        answer = server.post(f"/train/{NAME}?run_sync=true", json=request)
        assert answer.status_code == 200, server.log.read_text()[-4000:]
        after = server.mask("turned")
    finally:
        server.stop()
    assert dice(before, target) + 0.05 < dice(after, target)
    bundle = server.app / "model" / NAME
    split = json.loads((bundle / "models" / "split.json").read_text())
    assert len(split["train"]) == 4 and len(split["validation"]) == 2 and split["test"] == []
    trained = torch.load(bundle / "models" / "model.pt", weights_only=True)["model"]
    assert any(value.dtype == torch.int8 for value in trained.values())
    assert (ROOT / "models" / "model.pt").read_bytes() == shipped
