"""Decodes DICOM files for `decoding`: a process of its own, since GDCM ends the process on some damaged ones.

A path a line as JSON comes in; a line {"bytes": N} and N bytes of a NumPy file go out, or a line {"error": message}.
Run as a file, so that nothing of the package is imported.
"""

from __future__ import annotations

import io
import json
import os
import sys

import numpy as np
import pydicom
from pydicom.uid import JPEGExtended12Bit

try:
    import resource
except ImportError:  # Windows
    resource = None

MEMORY = 4 << 30  # bytes; a film of the largest size takes less than half of it


def decode(path: str) -> np.ndarray:
    """Stored values: H x W, H x W x 3, or with frames before."""
    dataset = pydicom.dcmread(path, force=True)
    if dataset.file_meta.TransferSyntaxUID != JPEGExtended12Bit or int(dataset.BitsStored) == 8:
        return dataset.pixel_array
    # pydicom hands these to no decoder, although GDCM's has 12 bits
    import gdcm  # not above: loaded before NumPy, it damages the heap

    reader = gdcm.ImageReader()
    reader.SetFileName(os.fsencode(path).decode("utf-8", "surrogateescape"))
    if not reader.Read():
        raise ValueError("JPEG Extended of 12 bits that GDCM cannot decode")
    values = reader.GetImage().GetBuffer().encode("utf-8", "surrogateescape")
    return np.frombuffer(values, "<u2").reshape(int(dataset.Rows), int(dataset.Columns))


def main() -> None:
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for line in sys.stdin.buffer:
        try:
            array = io.BytesIO()
            np.save(array, decode(json.loads(line)), allow_pickle=False)
            head, content = {"bytes": array.tell()}, array.getvalue()
        except Exception as error:  # as many kinds as there are damages
            head, content = {"error": str(error) or type(error).__name__}, b""
        sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + content)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
