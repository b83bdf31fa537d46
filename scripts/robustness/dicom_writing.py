"""DICOM films, written tag by tag (PS3.3 C.7.6.3, C.8.11.3, C.11.1, C.11.2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CR = "1.2.840.10008.5.1.4.1.1.1"
DX_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.1"
DX_FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def stored(image: np.ndarray, bits: int = 12) -> np.ndarray:
    """Grays in [0, 1] as whole numbers of `bits` bits, uint16 (uint8 up to 8 bits)."""
    return np.round(np.clip(image, 0, 1) * (2**bits - 1)).astype(np.uint8 if bits <= 8 else np.uint16)


def header(sop_class: str = CR) -> Dataset:
    """Patient, study, series and equipment of a chest film."""
    film = Dataset()
    film.SpecificCharacterSet = "ISO_IR 100"
    film.SOPClassUID = sop_class
    film.SOPInstanceUID, film.StudyInstanceUID, film.SeriesInstanceUID = (generate_uid() for _ in range(3))
    film.StudyDate, film.StudyTime = "20240229", "101112"
    film.Modality = {CR: "CR", SECONDARY_CAPTURE: "OT"}.get(sop_class, "DX")
    film.Manufacturer, film.BodyPartExamined = "NOBODY", "CHEST"
    film.PatientName, film.PatientID, film.PatientBirthDate, film.PatientSex = "Doe^Jane", "4711", "", "O"
    film.StudyID, film.SeriesNumber, film.InstanceNumber = "1", 1, 1
    film.AccessionNumber, film.ReferringPhysicianName = "", ""
    if sop_class in (DX_FOR_PRESENTATION, DX_FOR_PROCESSING):
        intent = "FOR PROCESSING" if sop_class == DX_FOR_PROCESSING else "FOR PRESENTATION"
        film.PresentationIntentType = intent
    return film


def write_dicom(
    path: Path,
    pixels: np.ndarray,
    tags: Mapping[object, object] | None = None,
    *,
    bits: int = 12,
    photometric: str = "MONOCHROME2",
    sop_class: str = CR,
    syntax: str = ExplicitVRLittleEndian,
) -> Path:
    """Write one film; returns the path with its suffix.

    Args:
        path: without suffix.
        pixels: rows x columns as they are stored, 8 or 16 bits a word, or rows x columns x 3.
        tags: by keyword, instead of what follows from the other arguments, None for none; or (group, element) with VR
            and value.
        bits: BitsStored; HighBit is one less.
        syntax: transfer syntax, an uncompressed one or RLE.
    """
    film = header(sop_class)
    film.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    film.PhotometricInterpretation = photometric
    if pixels.ndim == 3:
        film.PlanarConfiguration = 0
    film.Rows, film.Columns = pixels.shape[:2]
    film.BitsAllocated = pixels.dtype.itemsize * 8
    film.BitsStored, film.HighBit = bits, bits - 1
    film.PixelRepresentation = int(pixels.dtype.kind == "i")
    syntax = pydicom.uid.UID(syntax)
    with pydicom.config.disable_value_validation():  # hospitals hold values that the standard forbids
        for name, value in (tags or {}).items():
            if isinstance(name, tuple):
                film.add_new(name, *value)
            elif value is not None:
                setattr(film, name, value)
        order = "<" if syntax.is_little_endian else ">"
        words = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
        film.add_new(0x7FE00010, "OW", words + b"\0" * (len(words) % 2))
        film.file_meta = FileMetaDataset()
        film.file_meta.MediaStorageSOPClassUID, film.file_meta.MediaStorageSOPInstanceUID = (
            film.SOPClassUID,
            film.SOPInstanceUID,
        )
        film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax.is_compressed else syntax
        if syntax.is_compressed and syntax.is_encapsulated:
            film.compress(syntax, encoding_plugin="pydicom")  # gdcm ends the process on some widths
        path = path.with_name(f"{path.name}.dcm")
        film.save_as(path, enforce_file_format=True)
    return path


def lut(entries: np.ndarray, first: int, bits: int, packed: bool = False, descriptor: str = "US", **extra) -> Dataset:
    """An item of a VOI or Modality LUT sequence (C.11.1.1.1 and C.11.2.1.1).

    Args:
        entries: up to 65536 values.
        first: stored value that the first entry is for.
        bits: what the descriptor says of the entries.
        packed: two 8-bit entries a word, else one a word.
        descriptor: VR of the descriptor, which decides how a negative first value is written.
        extra: further elements of the item.
    """
    item = Dataset()
    count = 0 if len(entries) == 65536 else len(entries)
    item.add_new(0x00283002, descriptor, [count, first % 65536 if descriptor == "US" else first, bits])
    if packed:
        data = np.asarray(entries, np.uint8).tobytes()
        item.add_new(0x00283006, "OW", data + b"\0" * (len(data) % 2))
    elif descriptor == "SS" or len(entries) > 32767:  # more would not fit an explicit US
        item.add_new(0x00283006, "OW", np.asarray(entries, "<u2").tobytes())
    else:
        item.add_new(0x00283006, "US", [int(entry) for entry in entries])
    for name, value in extra.items():
        setattr(item, name, value)
    return item
