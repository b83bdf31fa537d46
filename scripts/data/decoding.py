"""Pixels of a DICOM file, decoded so that a damaged one costs no more than its own film."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

SECONDS = 60  # for one film; GDCM takes under one
# Decoders that refuse damaged data instead of ending the process, by transfer syntax (DICOM PS3.5, A.4). What is
# compressed and not listed is GDCM's alone: JPEG Lossless, and JPEG Extended of 12 bits.
DECODERS = {
    "1.2.840.10008.1.2.4.50": "pillow",  # JPEG Baseline
    "1.2.840.10008.1.2.4.80": "pyjpegls",  # JPEG-LS, lossless and not
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pillow",  # JPEG 2000, lossless and not
    "1.2.840.10008.1.2.4.91": "pillow",
    "1.2.840.10008.1.2.5": "pydicom",  # RLE
}


def stored_pixels(dataset, path: str | Path) -> np.ndarray:
    """Decoded values of one film: H x W, or H x W x 3.

    Args:
        dataset: that passed `check_film`, read from `path`.

    Raises:
        Exception: damaged pixels.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_compressed or syntax.is_deflated:
        return dataset.pixel_array
    if syntax in DECODERS and hasattr(dataset, "pixel_array_options"):  # pydicom 3
        dataset.pixel_array_options(decoding_plugin=DECODERS[syntax])
        try:
            return dataset.pixel_array
        except Exception:  # a variant that this decoder does not know, or damage: GDCM will tell
            pass
    return GDCM.decode(path)


class OtherProcess:
    """`gdcm_process`, started when it is first needed, and again after it was ended by a file.

    Every process has its own: a data loader's workers do not share the one of the process that they are forked from.
    """

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None
        self.owner = 0  # process that started it
        self.lock = threading.Lock()

    def decode(self, path: str | Path) -> np.ndarray:
        """Stored values of the file at `path`.

        Raises:
            ValueError: they cannot be decoded, took too long, or the decoder crashed on them.
        """
        if self.owner != os.getpid():
            self.process, self.lock = None, threading.Lock()
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
            finally:
                clock.cancel()
            if head is None:
                raise ValueError(f"the decoder ended on it ({process.wait()}) or took longer than {SECONDS} s")
        if "error" in head:
            raise ValueError(head["error"])
        return np.load(io.BytesIO(content), allow_pickle=False)

    def start(self) -> None:
        script = Path(__file__).with_name("gdcm_process.py")
        self.owner = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )


GDCM = OtherProcess()
