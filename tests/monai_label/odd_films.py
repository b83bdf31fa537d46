"""One film in the forms in which hospitals hold films, and the way from the plain film's pixels to each form's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from dicom_files import write_dicom
from PIL import Image

BORDER = ((40, 60), (30, 50))  # rows and columns of black around a collimated film


@dataclass(frozen=True)
class Form:
    """One way to hold a film.

    Attributes:
        name: of the file.
        store: its pixels from the plain film's: rows x columns, upright.
        save: writes stored pixels of 8 bits to a path.
        pose: what the server must say that it did.
        source: what it must say that it went by, for the pose, or else for values, spacing or field.
        flags: that must be raised.
        dice: least agreement with the plain film's mask; pixels that the form has lost or smoothed cost some.
    """

    name: str
    store: Callable[[np.ndarray], np.ndarray]
    save: Callable[[Path, np.ndarray], object]
    pose: str = "upright"
    source: str = "not stated"
    flags: tuple[str, ...] = ()
    dice: float = 0.99

    @property
    def id(self) -> str:
        """The film's name for MONAI Label."""
        return self.name.split(".")[0]

    def write(self, folder: Path, film: np.ndarray) -> None:
        self.save(folder / self.name, np.ascontiguousarray(self.store(film)))


def plain(film: np.ndarray) -> np.ndarray:
    return film


def png(path: Path, stored: np.ndarray) -> None:
    Image.fromarray(stored).save(path)


def jpeg_turned(path: Path, stored: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer turns it clockwise
    Image.fromarray(stored).save(path, quality=97, exif=exif)


def tiff_white_is_zero(path: Path, stored: np.ndarray) -> None:
    """16 bits, by hand: Pillow writes no other than BlackIsZero."""
    data = ((255 - stored).astype("<u2") * 257).tobytes()
    height, width = stored.shape
    tags = {256: width, 257: height, 258: 16, 259: 1, 262: 0, 273: 8, 277: 1, 278: height, 279: len(data)}
    entries = b"".join(
        np.array([tag, 4], "<u2").tobytes() + np.array([1, value], "<u4").tobytes() for tag, value in tags.items()
    )
    head = b"II*\0" + np.array([8 + len(data)], "<u4").tobytes()
    path.write_bytes(head + data + np.array([len(tags)], "<u2").tobytes() + entries + b"\0" * 4)


def nifti_upwards(path: Path, stored: np.ndarray) -> None:
    """As dcm2niix writes a film: rows run upwards, and the affine says so."""
    affine = np.diag([-0.3, 0.3, 1.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(stored.T[..., None].astype(np.int16), affine), path)


def dicom(**header) -> Callable[[Path, np.ndarray], object]:
    def save(path: Path, stored: np.ndarray) -> object:
        return write_dicom(path, stored.astype(np.uint16) << 4, BitsStored=12, **header)

    return save


def turned(film: np.ndarray) -> np.ndarray:
    return np.rot90(film)


FORMS = {
    form.id: form
    for form in (
        Form("plain.png", plain, png),
        Form("bmp.bmp", plain, png),
        Form("exif_6.jpg", turned, jpeg_turned, "turned clockwise", "Orientation"),
        Form("mirrored.dcm", np.fliplr, dicom(PatientOrientation=["R", "F"]), "mirrored", "PatientOrientation"),
        Form("turned.dcm", turned, dicom(PatientOrientation=["F", "R"]), "turned clockwise", "PatientOrientation"),
        Form("upwards.nii.gz", np.flipud, nifti_upwards, "turned upside down and mirrored", "affine"),
        Form("wide.dcm", lambda film: film[:, ::2], dicom(PixelSpacing=[0.2, 0.4]), source="PixelSpacing", dice=0.97),
        Form("width_0.dcm", plain, dicom(WindowCenter=2048, WindowWidth=0), source="window 1 cannot be meant"),
        Form("white_is_zero.tif", plain, tiff_white_is_zero, source="WhiteIsZero"),
        Form("upside_down.png", lambda film: film[::-1, ::-1], png, "turned by 180 degrees", "content",
             ("turned_by_content",)),
        Form("negative.png", lambda film: film, lambda path, stored: png(path, 255 - stored), source="content",
             flags=("inverted_by_content",)),
        Form("collimated.png", lambda film: np.pad(film, BORDER), png, source="surround", dice=0.97),
    )
}  # fmt: skip
