"""A damaged DICOM file costs its own film, whatever it does to the decoder."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import pytest
from bad_input_files import FILMS, gray, write_with_gdcm
from dicom_files import dicom_film
from monai.data import Dataset
from PIL import Image
from pydicom.uid import JPEGLosslessSV1, RLELossless

from scripts.data import LoadRadiographd, TolerantLoader
from scripts.errors import BundleError
from scripts.films import decoding
from scripts.films.decoding import OtherProcess, frame_size


def load(path) -> np.ndarray:
    return LoadRadiographd("image")({"image": str(path)})["image"][0].numpy().T


def lossless(path, seed: int = 0) -> np.ndarray:
    """Write a film of 12 bits in JPEG Lossless, which GDCM alone decodes; its values."""
    array = gray(seed).astype(np.uint16) * 16 + 5
    write_with_gdcm(path, array, "JPEGLosslessProcess14_1")
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == JPEGLosslessSV1
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


def test_threads_that_come_first_at_once_start_one(tmp_path, monkeypatch):
    arrays = {str(tmp_path / f"{seed}.dcm"): lossless(tmp_path / f"{seed}.dcm", seed) for seed in range(3)}
    started = []

    class Slow(OtherProcess):
        def start(self) -> None:
            started.append(self)
            time.sleep(0.3)
            super().start()

    monkeypatch.setattr(decoding, "GDCM", Slow())
    with ThreadPoolExecutor(3) as pool:
        for array, loaded in zip(arrays.values(), pool.map(load, arrays)):
            np.testing.assert_array_equal(loaded, array)
    assert len(started) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_in_the_middle_of_a_film_takes_nothing_of_it_along():
    answer = """import sys, time; sys.stdin.readline(); time.sleep(1); print('{"error": "answered"}')"""
    decoder = Script(answer)
    decoder.own_in_forks()
    with ThreadPoolExecutor(1) as pool:
        answered = pool.submit(decoder.decode, "a.dcm")
        while not decoder.lock.locked():
            time.sleep(0.01)
        child = os.fork()
        if child == 0:
            os._exit(0 if decoder.process is None and not decoder.lock.locked() else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with pytest.raises(ValueError, match="answered"):
            answered.result()


def test_a_reply_that_was_not_read_is_not_taken_for_the_next_films(tmp_path, monkeypatch):
    arrays = [lossless(tmp_path / f"{seed}.dcm", seed) for seed in range(2)]

    def fails(text):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(decoding.json, "loads", fails)
        with pytest.raises(MemoryError):
            decoding.GDCM.decode(tmp_path / "0.dcm")
    np.testing.assert_array_equal(load(tmp_path / "1.dcm"), arrays[1])


@pytest.mark.parametrize(
    "options",
    [{"format": "JPEG"}, {"format": "JPEG", "progressive": True}, {"format": "JPEG2000", "no_jp2": True}],
    ids=["JPEG", "progressive", "JPEG 2000"],
)
def test_the_size_of_a_frame_is_what_pillow_says(options):
    buffer = io.BytesIO()
    Image.fromarray(gray()[:50]).save(buffer, **options)
    assert frame_size(b"\xfe\xff\0\xe0" + buffer.getvalue()) == (50, 96)


def test_pixels_that_look_like_a_frame_of_another_size_are_left_alone(tmp_path):
    """Run-length coded, eight bytes that do not repeat stand as they are."""
    array = np.zeros((16, 32), np.uint8)
    array[3, :24] = np.frombuffer(b"\xff\x4f\xff\x51\0\x29\0\1" + bytes(range(1, 17)), np.uint8)
    film = dicom_film(array)
    film.compress(RLELossless)
    film.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert frame_size(film.PixelData) is not None, "it does look like one"
    np.testing.assert_array_equal(load(tmp_path / "a.dcm"), array)


def test_a_frame_that_states_no_size_has_none():
    assert [frame_size(content) for content in (b"", b"\xff\xd8\xff", b"\xff\x4f\xff\x51\0", b"no frame" * 9)] == [
        None
    ] * 4


@pytest.mark.skipif(not Path("/proc/self/limits").is_file(), reason="limits are read from /proc")
def test_the_decoder_has_a_bound_of_memory(tmp_path):
    lossless(tmp_path / "a.dcm")
    load(tmp_path / "a.dcm")
    limits = Path(f"/proc/{decoding.GDCM.process.pid}/limits").read_text()
    assert re.search(r"Max address space\s+(\d+)", limits)[1] == str(4 << 30)


@pytest.mark.parametrize("claim", [b"\xfe\xff\x00\xe0\xff\xff\xff\x6f", b"\xdc\xed\xa6\x8a\x00\x00\x00\x10"])
def test_items_that_claim_more_than_there_is_never_reach_gdcm(tmp_path, monkeypatch, claim):
    """It takes the memory that an item claims, gigabytes for a file of 1 kB."""
    path = tmp_path / "a.dcm"
    lossless(path)
    content = path.read_bytes()
    frame = content.rindex(b"\xfe\xff\x00\xe0")  # after the table of offsets, the one frame
    path.write_bytes(content[:frame] + claim + content[frame + 8 :])
    monkeypatch.setattr(decoding.GDCM, "decode", lambda path: pytest.fail("handed to GDCM"))
    with pytest.raises(BundleError, match="a.dcm: .*damaged at byte"):
        load(path)
