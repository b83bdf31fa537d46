"""A real MONAI Label server with this bundle, what a client asks of it, and phantoms to ask about."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import requests
from PIL import Image

from scripts.label.server import NAME
from scripts.phantoms import generate_phantom

ROOT = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT = 300, 240


def phantom(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Film and lung mask as 8-bit arrays of HEIGHT x WIDTH: not square, so that a swap of axes shows."""
    drawn = generate_phantom(seed, WIDTH)
    film = (drawn.image * 255).round().astype(np.uint8)
    return film[:HEIGHT], np.isin(drawn.labels, (1, 2)).astype(np.uint8)[:HEIGHT]


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.logical_and(a, b).sum() / (np.count_nonzero(a) + np.count_nonzero(b))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Server:
    """A server on `studies`, or on a DICOMweb server at `remote`, and what a client asks of it."""

    def __init__(self, folder: Path, stock: bool = False, remote: str = "") -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.studies, self.app, self.log = folder / "studies", folder / "app", folder / "server.log"
        self.studies.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "scripts.label.server", "--studies", remote or str(self.studies)]
        command += ["--app", str(self.app), "--port", str(self.port), *(["--stock"] if stock else [])]
        settings = {"MONAI_LABEL_AUTO_UPDATE_SCORING": "false"}  # scoring when a test asks for it
        settings["MONAI_LABEL_DICOMWEB_CACHE_PATH"] = str(folder / "cache")
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
        return requests.post(f"{self.url}{path}", timeout=1800, **options)

    def infer(self, image: str = "", upload: Path | None = None, output: str = "image", **params) -> requests.Response:
        files = {"file": (upload.name, upload.read_bytes())} if upload else None
        form = {"params": json.dumps(params)} if params else None
        return self.post(f"/infer/{NAME}?image={image}&output={output}", files=files, data=form)

    def wait_for(self, image: str) -> None:
        """Wait until the server has seen a file that was put into its folder."""
        for _ in range(100):
            if image in requests.get(f"{self.url}/datastore/?output=all", timeout=60).json()["objects"]:
                return
            time.sleep(0.2)
        raise RuntimeError(f"{image} is not listed")

    def picture(self, image: str) -> tuple[np.ndarray, dict]:
        """The picture of a film, and what is said of it."""
        path = f"/infer/film_picture?image={image}"
        shown, said = self.post(f"{path}&output=image"), self.post(f"{path}&output=json")
        assert shown.status_code == said.status_code == 200, said.text
        return np.asarray(Image.open(io.BytesIO(shown.content))), said.json()

    def label(self, image: str, mask: np.ndarray) -> None:
        """Save a mask as the final label of a film."""
        stream = io.BytesIO()
        Image.fromarray(mask).save(stream, format="PNG")
        answer = requests.put(
            f"{self.url}/datastore/label?image={image}&tag=final",
            files={"label": ("label.png", stream.getvalue())},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text

    def saved_label(self, image: str) -> np.ndarray:
        """The final label of a film."""
        answer = requests.get(f"{self.url}/datastore/label?label={image}&tag=final", timeout=60)
        return np.asarray(Image.open(io.BytesIO(answer.content)))

    def mask(self, *args, **options) -> np.ndarray:
        """The mask of an answer, as rows x columns."""
        answer = self.infer(*args, **options)
        assert answer.status_code == 200, answer.text
        if answer.content[:4] == b"\x89PNG":
            return np.asarray(Image.open(io.BytesIO(answer.content)))
        volume = nibabel.Nifti1Image.from_bytes(gzip.decompress(answer.content))
        assert volume.ndim == 3 and volume.shape[2] == 1
        return np.asarray(volume.dataobj)[..., 0].T
