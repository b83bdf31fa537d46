"""A damaged DICOM file costs its own film, whatever it does to the decoder."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import gdcm
import numpy as np
import pydicom
import pytest
from bad_input_files import FILMS, gray
from dicom_files import write_dicom
from monai.data import Dataset
from pydicom.uid import JPEGLosslessSV1

from scripts.data import LoadRadiographd, TolerantLoader, decoding
from scripts.data.decoding import OtherProcess
from scripts.errors import BundleError


def load(path) -> np.ndarray:
    return LoadRadiographd("image")({"image": str(path)})["image"][0].numpy().T


def lossless(path, seed: int = 0) -> np.ndarray:
    """Write a film of 12 bits in JPEG Lossless, which GDCM alone decodes; its values."""
    array = gray(seed).astype(np.uint16) * 16 + 5
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(write_dicom(path, array, BitsStored=12)))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(path))
    assert writer.Write() and pydicom.dcmread(path).file_meta.TransferSyntaxUID == JPEGLosslessSV1
    return array


class Script(OtherProcess):
    """Runs `code` in place of the decoder."""

    def __init__(self, code: str) -> None:
        super().__init__()
        self.code = code

    def start(self) -> None:
        super().start()
        self.process.kill()
        self.process.wait()
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )


def test_jpeg_lossless_is_exact(tmp_path):
    array = lossless(tmp_path / "a.dcm")
    np.testing.assert_array_equal(load(tmp_path / "a.dcm"), array)


def test_12_bit_jpeg_is_what_was_compressed(tmp_path):
    FILMS["jpeg_of_12_bits"](tmp_path / "a.dcm")
    difference = np.abs(load(tmp_path / "a.dcm") - gray().astype(np.float32) * 16)
    assert difference.max() <= 16 and difference.mean() < 2, "of 4096 levels"


def test_a_decoder_that_was_ended_is_started_again(tmp_path):
    array = lossless(tmp_path / "a.dcm")
    for _ in range(2):
        np.testing.assert_array_equal(load(tmp_path / "a.dcm"), array)
        decoding.GDCM.process.kill()
        decoding.GDCM.process.wait()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os, sys; sys.stdin.readline(); os.abort()", r"the decoder ended on it \(-6\)"),
        ("import time; time.sleep(60)", r"took longer than 0.5 s"),
        ("", "the decoder ended on it"),
    ],
)
def test_a_crash_or_a_hang_is_an_error_of_that_film(tmp_path, monkeypatch, code, message):
    lossless(tmp_path / "a.dcm")
    monkeypatch.setattr(decoding, "GDCM", Script(code))
    monkeypatch.setattr(decoding, "SECONDS", 0.5 if "sleep" in code else 30)
    with pytest.raises(BundleError, match=f"a.dcm: cannot be read as an image .*{message}"):
        load(tmp_path / "a.dcm")


def test_threads_share_it_and_workers_have_their_own(tmp_path):
    arrays = {str(tmp_path / f"{seed}.dcm"): lossless(tmp_path / f"{seed}.dcm", seed) for seed in range(6)}
    with ThreadPoolExecutor(3) as pool:
        for array, loaded in zip(arrays.values(), pool.map(load, arrays)):
            np.testing.assert_array_equal(loaded, array)
    failed = []
    films = Dataset([{"image": path} for path in arrays], LoadRadiographd("image"))
    loader = TolerantLoader(films, lambda *failure: failed.append(failure), num_workers=2)
    for batch, array in zip(loader, arrays.values()):
        np.testing.assert_array_equal(batch["image"][0, 0].numpy().T, array)
    assert failed == []
