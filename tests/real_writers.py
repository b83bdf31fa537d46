"""Forms whose files other people's programs write: dcmtk and dcm2niix, where they are installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from scripts.robustness.dicom_writing import stored, write_dicom
from scripts.robustness.forms import Form, Variant
from scripts.robustness.forms_pose import pose_of
from scripts.robustness.geometry import Film
from scripts.robustness.raster_writing import bytes_of, write_jpeg

TOP = 4095


def run(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True, timeout=60)


def source(path: Path) -> Path:
    """Where the file that a program starts from is put: outside of what is segmented."""
    folder = path.parents[2] / "sources" / path.parent.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder / path.name


def from_jpeg(tags: Sequence[str], letters: str, film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """img2dcm, and dcmodify where there are tags to set."""
    turned = film.turned(pose_of(letters))
    jpeg, written = write_jpeg(source(path), bytes_of(turned.image), quality=92), path.with_name(f"{path.name}.dcm")
    run("img2dcm", "-q", jpeg, written)
    for tag in tags:
        run("dcmodify", "-nb", "-i", tag, written)
    return Variant(written, turned, " ".join(tags))


def tall(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Pixels 1.5 times as high as wide, by the spacing on the detector."""
    flat = film.scaled(round(film.image.shape[0] / 1.5), film.image.shape[1])
    return from_jpeg((r"(0018,1164)=0.3\0.2",), "LF", flat, rng, path)


def converted(program: Sequence[str], inverted: bool, film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """A CR of 12 bits through a program that takes a file and writes another."""
    pixels, photometric = stored(film.image), "MONOCHROME2"
    if inverted:
        pixels, photometric = TOP - pixels, "MONOCHROME1"
    plain = write_dicom(source(path), pixels, photometric=photometric)
    written = path.with_name(f"{path.name}.dcm")
    run(*program, plain, written)
    return Variant(written, film, " ".join(program))


def decompressed(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """JPEG inside, taken out again."""
    jpeg = from_jpeg((), "LF", film, rng, source(path))
    written = path.with_name(f"{path.name}.dcm")
    run("dcmdjpeg", jpeg.path, written)
    return Variant(written, film, "")


def as_nifti(kind: str, film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """dcm2niix: rows upwards, both codes 0, and of the header only the spacing."""
    tags: dict[str, object] = {}
    pixels, photometric = stored(film.image), "MONOCHROME2"
    if kind == "wide":
        film = film.scaled(film.image.shape[0], round(film.image.shape[1] / 1.6))
        pixels, tags = stored(film.image), {"PixelSpacing": ["0.2", "0.32"]}
    elif kind == "monochrome1":
        pixels, photometric = TOP - pixels, "MONOCHROME1"
    folder = source(path).with_name(f"{path.name}_dicom")
    folder.mkdir(exist_ok=True)
    write_dicom(folder / "film", pixels, tags, photometric=photometric)
    run("dcm2niix", "-z", "y", "-b", "n", "-f", path.name, "-o", path.parent, folder)
    written = path.with_name(f"{path.name}.nii.gz")
    assert written.is_file(), sorted(path.parent.iterdir())
    return Variant(written, film.turned((True, False, True)), kind)


ORIENTATION, CENTRE, WIDTH = "(0020,0020)", "(0028,1050)", "(0028,1051)"
# Name -> programs, whether the file says what it is, and what draws it
WRITERS: dict[str, tuple[tuple[str, ...], bool, object]] = {
    "img2dcm": (("img2dcm",), True, partial(from_jpeg, (), "LF")),
    "dcmodify_mirrored": (("img2dcm", "dcmodify"), True, partial(from_jpeg, (rf"{ORIENTATION}=R\F",), "RF")),
    "dcmodify_lying": (("img2dcm", "dcmodify"), True, partial(from_jpeg, (rf"{ORIENTATION}=F\R",), "FR")),
    "dcmodify_width_0": (("img2dcm", "dcmodify"), True, partial(from_jpeg, (f"{CENTRE}=128", f"{WIDTH}=0"), "LF")),
    "dcmodify_tall": (("img2dcm", "dcmodify"), True, tall),
    "dcmcjpeg_lossless": (("dcmcjpeg",), True, partial(converted, ("dcmcjpeg", "+e1"), True)),
    "dcmcjpeg_extended": (("dcmcjpeg",), True, partial(converted, ("dcmcjpeg", "+ee", "+q", "95"), False)),
    "dcmcjpls": (("dcmcjpls",), True, partial(converted, ("dcmcjpls",), True)),
    "dcmcrle": (("dcmcrle",), True, partial(converted, ("dcmcrle",), True)),
    "dcmconv_big_endian": (("dcmconv",), True, partial(converted, ("dcmconv", "+tb"), False)),
    "dcmdjpeg": (("img2dcm", "dcmdjpeg"), True, decompressed),
    "dcm2niix": (("dcm2niix",), False, partial(as_nifti, "plain")),
    "dcm2niix_wide": (("dcm2niix",), False, partial(as_nifti, "wide")),
    "dcm2niix_monochrome1": (("dcm2niix",), False, partial(as_nifti, "monochrome1")),
}


def missing(name: str) -> list[str]:
    """The programs that a writer needs and that are not installed."""
    return [program for program in WRITERS[name][0] if shutil.which(program) is None]


def real_forms() -> list[Form]:
    """Forms of all writers that are installed."""
    return [Form(name, "values", said, draw) for name, (_, said, draw) in WRITERS.items() if not missing(name)]
