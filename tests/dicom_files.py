"""DICOM films as hospitals make them, written with pydicom."""

from __future__ import annotations

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

HEIGHT, WIDTH = 7, 11


def picture(high: int = 255, dtype=np.uint8, shape: tuple[int, ...] = (HEIGHT, WIDTH)) -> np.ndarray:
    """Rows x columns: no symmetry, no repeated line."""
    return np.random.default_rng(0).integers(0, high + 1, shape).astype(dtype)


def dicom_film(array: np.ndarray, photometric: str = "MONOCHROME2", **extra) -> pydicom.Dataset:
    """Uncompressed CR; `array` is rows x columns, frames x rows x columns, or rows x columns x 3 for RGB."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    dataset.Modality = "CR"
    dataset.PatientName, dataset.PatientID = "Doe^Jane", "4711"
    dataset.PhotometricInterpretation = photometric
    colour = photometric in ("RGB", "YBR_FULL", "YBR_FULL_422")
    dataset.SamplesPerPixel = 3 if colour else 1
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = array.shape[:2] if colour else array.shape[-2:]
    if array.ndim == 3 and not colour:
        dataset.NumberOfFrames = len(array)
    bits = array.dtype.itemsize * 8
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = int(np.issubdtype(array.dtype, np.signedinteger))
    for name, value in extra.items():
        setattr(dataset, name, value)
    if "BitsStored" in extra:
        dataset.HighBit = dataset.BitsStored - 1
    dataset.add_new(0x7FE00010, "OW", array.tobytes() + b"\0" * (array.nbytes % 2))
    return dataset


def write_dicom(path, array: np.ndarray, photometric: str = "MONOCHROME2", **extra):
    """`dicom_film` as a file; returns `path`."""
    film = dicom_film(array, photometric, **extra)
    if int(pydicom.__version__.split(".")[0]) >= 3:
        film.save_as(path, enforce_file_format=True)
    else:  # what MONAI Label brings
        film.is_little_endian, film.is_implicit_VR = True, False
        film.save_as(path, write_like_original=False)
    return path
