"""A real MONAI Label server with this bundle, over HTTP: `make test-label` runs these in MONAI Label's environment."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("monailabel", reason="MONAI Label is not installed here: run `make test-label`")
import requests  # noqa: E402  (of MONAI Label)
import torch  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from dicom_files import write_dicom  # noqa: E402

from scripts.label.server import NAME  # noqa: E402
from scripts.phantoms import generate_phantom  # noqa: E402

WIDTH, HEIGHT = 300, 240


def phantom(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Film and lung mask as 8-bit arrays of HEIGHT x WIDTH: not square, so that a swap of axes shows."""
    drawn = generate_phantom(seed, WIDTH)
    film = (drawn.image * 255).round().astype(np.uint8)
    return film[:HEIGHT], np.isin(drawn.labels, (1, 2)).astype(np.uint8)[:HEIGHT]


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.logical_and(a, b).sum() / (np.count_nonzero(a) + np.count_nonzero(b))


class Server:
    """A server on `studies` and what a client asks of it."""

    def __init__(self, folder: Path, stock: bool = False) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.studies, self.app, self.log = folder / "studies", folder / "app", folder / "server.log"
        self.studies.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "scripts.label.server", "--studies", str(self.studies), "--app", str(self.app)]
        command += ["--port", str(self.port), *(["--stock"] if stock else [])]
        settings = {"MONAI_LABEL_AUTO_UPDATE_SCORING": "false"}  # scoring when a test asks for it
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, **settings}, start_new_session=True
            )
        for _ in range(300):
            if self.process.poll() is not None:
                break
            try:
                self.info = requests.get(f"{self.url}/info/", timeout=5).json()
                return
            except requests.ConnectionError:
                time.sleep(1)
        self.stop()
        raise RuntimeError(f"the server does not answer:\n{self.log.read_text()[-4000:]}")

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(30)

    def post(self, path: str, **options) -> requests.Response:
        return requests.post(f"{self.url}{path}", timeout=600, **options)

    def infer(self, image: str = "", upload: Path | None = None, output: str = "image", **params) -> requests.Response:
        files = {"file": (upload.name, upload.read_bytes())} if upload else None
        form = {"params": json.dumps(params)} if params else None
        return self.post(f"/infer/{NAME}?image={image}&output={output}", files=files, data=form)

    def mask(self, *args, **options) -> np.ndarray:
        """The mask of an answer, as rows x columns."""
        answer = self.infer(*args, **options)
        assert answer.status_code == 200, answer.text
        if answer.content[:4] == b"\x89PNG":
            return np.asarray(Image.open(io.BytesIO(answer.content)))
        volume = nibabel.Nifti1Image.from_bytes(gzip.decompress(answer.content))
        assert volume.ndim == 3 and volume.shape[2] == 1
        return np.asarray(volume.dataobj)[..., 0].T


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
    write_dicom(folder / "film.dcm", gray, PixelSpacing=[0.3, 0.2], ImagerPixelSpacing=[0.3, 0.2])
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


def save_label(server: Server, image: str, mask: np.ndarray) -> None:
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, format="PNG")
    answer = requests.put(
        f"{server.url}/datastore/label?image={image}&tag=final",
        files={"label": ("label.png", stream.getvalue())},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text


def test_training_on_corrected_labels_changes_what_is_segmented(tmp_path):
    """The labels are the lower half of the lungs alone, which no weights would draw without having learned it."""
    shipped = (ROOT / "models" / "model.pt").read_bytes()
    (tmp_path / "studies").mkdir()
    for seed in range(6):
        Image.fromarray(phantom(seed)[0]).save(tmp_path / "studies" / f"film_{seed}.png")
    server = Server(tmp_path, stock=True)
    try:
        before = server.mask("film_0")
        for seed in range(6):
            lower = phantom(seed)[1].copy()
            lower[: HEIGHT // 2] = 0
            save_label(server, f"film_{seed}", lower)
        saved = requests.get(f"{server.url}/datastore/label?label=film_0&tag=final", timeout=60)
        target = np.asarray(Image.open(io.BytesIO(saved.content)))
        assert requests.get(f"{server.url}/datastore/", timeout=60).json()["completed"] == 6
        request = {"max_epochs": 24, "device": "cpu", "val_split": 0.34, "run_id": "training", "multi_gpu": False}
        answer = server.post(f"/train/{NAME}?run_sync=true", json=request)
        assert answer.status_code == 200, server.log.read_text()[-4000:]
        after = server.mask("film_0")
    finally:
        server.stop()
    assert dice(before, target) + 0.05 < dice(after, target)
    bundle = server.app / "model" / NAME
    split = json.loads((bundle / "models" / "split.json").read_text())
    assert len(split["train"]) == 4 and len(split["validation"]) == 2 and split["test"] == []
    trained = torch.load(bundle / "models" / "model.pt", weights_only=True)["model"]
    assert any(value.dtype == torch.int8 for value in trained.values())
    assert (ROOT / "models" / "model.pt").read_bytes() == shipped
