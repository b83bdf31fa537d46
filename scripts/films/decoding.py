"""Pixels of a DICOM file, decoded so that a damaged one costs no more than its own film."""

from __future__ import annotations

import io
import json
import os
import re
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

SECONDS = 60  # for one film; the largest takes six
RLE = "1.2.840.10008.1.2.5"
# Decoders that refuse damaged data instead of ending the process, by transfer syntax (DICOM PS3.5, A.4). What is
# compressed and not listed is GDCM's alone: JPEG Lossless, and JPEG Extended of 12 bits.
DECODERS = {
    "1.2.840.10008.1.2.4.50": "pillow",  # JPEG Baseline
    "1.2.840.10008.1.2.4.80": "pyjpegls",  # JPEG-LS, lossless and not
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pillow",  # JPEG 2000, lossless and not
    "1.2.840.10008.1.2.4.91": "pillow",
    RLE: "pydicom",
}
# Markers that a JPEG frame may start with (ISO 10918-1, table B.1), and that of JPEG-LS
ITEM, END_OF_ITEMS = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"  # tags in compressed pixel data (DICOM PS3.5, A.4)
START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}


def stored_pixels(dataset, path: str | Path) -> np.ndarray:
    """Decoded values of one film: H x W, or H x W x 3.

    Args:
        dataset: that passed `check_film`, read from `path`.

    Raises:
        Exception: damaged pixels, or a compressed frame of another size than the header says.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if hasattr(dataset, "pixel_array_options"):  # pydicom 3 clears the upper bits, where a value may sit
        dataset.pixel_array_options(correct_unused_bits=False)
    if not syntax.is_compressed or syntax.is_deflated:
        return dataset.pixel_array
    check_items(dataset.PixelData)
    if syntax != RLE:  # whose frames state no size, and whose pixels may look like one that does
        check_frame(dataset)
    if syntax in DECODERS and hasattr(dataset, "pixel_array_options"):
        dataset.pixel_array_options(decoding_plugin=DECODERS[syntax], correct_unused_bits=False)
        try:
            return dataset.pixel_array
        except Exception:  # a variant that this decoder does not know, or damage: GDCM will tell
            pass
    return GDCM.decode(path)


def check_items(content: bytes) -> None:
    """Raise `ValueError` unless compressed pixel data are items one after the other.

    GDCM takes the memory that the length of an item claims.
    """
    place = 0
    while place + 8 <= len(content) and content[place : place + 4] != END_OF_ITEMS:
        length = int.from_bytes(content[place + 4 : place + 8], "little")
        if content[place : place + 4] != ITEM or length > len(content) - place - 8:
            raise ValueError(f"its compressed pixel data are damaged at byte {place}")
        place += 8 + length


def check_frame(dataset) -> None:
    """Raise `ValueError` if the compressed frame of `dataset` says another size than its header.

    A decoder takes the memory for what the frame says.
    """
    size, said = frame_size(dataset.PixelData), (int(dataset.Rows), int(dataset.Columns))
    if size is not None and size != said:
        raise ValueError(
            f"its compressed frame has {size[0]} x {size[1]} pixels, its header says {said[0]} x {said[1]}"
        )


def frame_size(content: bytes) -> tuple[int, int] | None:
    """Rows and columns that the first JPEG, JPEG-LS or JPEG 2000 frame in `content` states, or None."""
    # SOC and SIZ of JPEG 2000 (ISO 15444-1, A.5.1), or SOI of the others (ISO 10918-1, B.1); data may look alike
    begin = re.search(rb"\xff\x4f\xff\x51|\xff\xd8(?=\xff)", content)
    if begin is None:
        return None
    if begin[0][1] == 0x4F:
        if len(content) < begin.end() + 20:
            return None
        right, bottom, left, top = struct.unpack_from(">4I", content, begin.end() + 4)
        return bottom - top, right - left
    place = begin.end()
    while place + 9 <= len(content) and content[place] == 0xFF:
        marker, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4], "big")
        if marker == 0xFF:  # fills up
            place += 1
        elif marker in START_OF_FRAME:
            rows, columns = struct.unpack_from(">2H", content, place + 5)
            return (rows, columns) if rows else None  # 0: stated later
        else:
            place += 2 + length
    return None


class OtherProcess:
    """`gdcm_process`, started when it is first needed, and again after it was ended by a file.

    Threads take turns. Every process has its own: a data loader's workers do not share the one of the process that they
    are forked from, see `own_in_forks`.
    """

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None
        self.lock = threading.Lock()

    def decode(self, path: str | Path) -> np.ndarray:
        """Stored values of the file at `path`.

        Raises:
            ValueError: they cannot be decoded, took too long, or the decoder crashed on them.
        """
        with self.lock:
            if self.process is None or self.process.poll() is not None:
                self.start()
            process = self.process
            clock = threading.Timer(SECONDS, process.kill)
            clock.start()
            try:
                process.stdin.write(json.dumps(str(path)).encode() + b"\n")
                process.stdin.flush()
                head = json.loads(process.stdout.readline() or b"null")
                content = process.stdout.read(head["bytes"]) if head and "bytes" in head else b""
            except BrokenPipeError:
                head = None
            except BaseException:  # what is left of the reply would be taken for the next film's
                process.kill()
                process.wait()
                raise
            finally:
                clock.cancel()
            if head is None:
                raise ValueError(f"the decoder ended on it ({process.wait()}) or took longer than {SECONDS} s")
        if "error" in head:
            raise ValueError(head["error"])
        return np.load(io.BytesIO(content), allow_pickle=False)

    def start(self) -> None:
        script = Path(__file__).with_name("gdcm_process.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def forget(self) -> None:
        """Leave the process to the one that this was forked from; called with the lock held."""
        self.process = None
        self.lock.release()

    def own_in_forks(self) -> None:
        """Let processes that are forked from now on start their own.

        A fork waits for the film that is being decoded: half a request in a buffer would be sent twice.
        """
        if hasattr(os, "register_at_fork"):  # Windows has no fork
            os.register_at_fork(before=self.lock.acquire, after_in_parent=self.lock.release, after_in_child=self.forget)


GDCM = OtherProcess()
GDCM.own_in_forks()
