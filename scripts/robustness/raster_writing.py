"""PNG, JPEG, TIFF and NIfTI films, with the tags that say how they lie and what their values mean."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

ORIENTATION = 0x0112
# TIFF 6.0: number of the field, and what one value of each type is packed as
FIELDS = {
    "ImageWidth": 256,
    "ImageLength": 257,
    "BitsPerSample": 258,
    "Compression": 259,
    "PhotometricInterpretation": 262,
    "StripOffsets": 273,
    "Orientation": 274,
    "SamplesPerPixel": 277,
    "RowsPerStrip": 278,
    "StripByteCounts": 279,
    "MinSampleValue": 280,
    "MaxSampleValue": 281,
    "XResolution": 282,
    "YResolution": 283,
    "ResolutionUnit": 296,
    "ColorMap": 320,
    "SampleFormat": 339,
}
SHORT, LONG, RATIONAL = 3, 4, 5


def bytes_of(image: np.ndarray) -> np.ndarray:
    """Grays in [0, 1] as 8 bits."""
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def write_png(path: Path, pixels: np.ndarray, orientation: int | None = None, density=None) -> Path:
    """8 or 16 bit gray, or RGB; `orientation` goes to an eXIf chunk, `density` (x, y; per metre) to pHYs."""
    path = path.with_name(f"{path.name}.png")
    options: dict[str, object] = {"exif": exif(orientation)} if orientation else {}
    if density is not None:
        options["dpi"] = tuple(value * 0.0254 for value in density)
    Image.fromarray(pixels).save(path, **options)
    return path


def write_jpeg(path: Path, pixels: np.ndarray, orientation: int | None = None, quality: int = 92, density=None) -> Path:
    """8 bit gray or RGB; `orientation` goes to EXIF, `density` (x, y; per inch) to JFIF."""
    path = path.with_name(f"{path.name}.jpg")
    options: dict[str, object] = {"exif": exif(orientation)} if orientation else {}
    if density is not None:
        options["dpi"] = density
    Image.fromarray(pixels).save(path, quality=quality, **options)
    return path


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags.tobytes()


def write_tiff(
    path: Path, pixels: np.ndarray, fields: Mapping[str, object] | None = None, order: str = "<", strips: int = 1
) -> Path:
    """Uncompressed TIFF of rows x columns (x samples).

    Args:
        fields: by name, instead of what follows from the pixels; whole numbers, lists of them, or `Fraction`s.
        order: "<" little endian (II), ">" big endian (MM).
        strips: number of strips.
    """
    path = path.with_name(f"{path.name}.tif")
    height, width = pixels.shape[:2]
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    rows = -(-height // strips)
    data = [
        pixels[top : top + rows].astype(pixels.dtype.newbyteorder(order)).tobytes() for top in range(0, height, rows)
    ]
    starts = np.cumsum([8] + [len(strip) for strip in data])
    content: dict[str, object] = {
        "ImageWidth": width,
        "ImageLength": height,
        "BitsPerSample": [pixels.dtype.itemsize * 8] * samples,
        "Compression": 1,
        "PhotometricInterpretation": 2 if samples == 3 else 1,
        "StripOffsets": [int(start) for start in starts[:-1]],
        "SamplesPerPixel": samples,
        "RowsPerStrip": rows,
        "StripByteCounts": [len(strip) for strip in data],
        "SampleFormat": [{"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]] * samples,
        **(fields or {}),
    }
    place = int(starts[-1]) + int(starts[-1]) % 2
    entries = sorted((FIELDS[name], value if isinstance(value, list) else [value]) for name, value in content.items())
    beyond = place + 2 + 12 * len(entries) + 4
    table, extra = struct.pack(f"{order}H", len(entries)), b""
    for number, values in entries:
        if isinstance(values[0], Fraction):
            kind = RATIONAL
            packed = b"".join(struct.pack(f"{order}2I", v.numerator, v.denominator) for v in values)
        else:
            kind = LONG if number in (FIELDS["StripOffsets"], FIELDS["StripByteCounts"]) else SHORT
            packed = struct.pack(f"{order}{len(values)}{'HI'[kind == LONG]}", *values)
        if len(packed) > 4:
            table += struct.pack(f"{order}HHII", number, kind, len(values), beyond + len(extra))
            extra += packed + b"\0" * (len(packed) % 2)
        else:
            table += struct.pack(f"{order}HHI", number, kind, len(values)) + packed.ljust(4, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, place)
    body = b"".join(data)
    path.write_bytes(head + body + b"\0" * (len(body) % 2) + table + struct.pack(f"{order}I", 0) + extra)
    return path


def write_nifti(
    path: Path, array: np.ndarray, affine: np.ndarray | None, sform: int = 1, qform: int = 0, **fields
) -> Path:
    """A NIfTI file; `affine` takes voxels to RAS, None leaves it unsaid (both codes 0). `fields` are of the header."""
    import nibabel

    path = path.with_name(f"{path.name}.nii.gz")
    image = nibabel.Nifti1Image(array, affine)
    if affine is not None:
        image.set_qform(affine, qform)
        image.set_sform(affine, sform)
    for name, value in fields.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path
