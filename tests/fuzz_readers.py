"""Throws damaged files at every reader: ``python tests/fuzz_readers.py --seconds 60 --seed 0``.

Small valid files are changed (bits, cuts, splices, numbers in their length fields, texts) and read. Whatever comes of
it must be a result or a `BundleError` of one line, within 5 seconds and 1.5 GB. Files are read in a process of their
own, so that a crash of a decoder is seen as well. What fails is kept, and the exit status is 1. Of one seed, kinds and
version, the n-th file is always the same.
"""

from __future__ import annotations

import argparse
import faulthandler
import gzip
import io
import json
import logging
import multiprocessing
import random
import re
import resource
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import nibabel  # noqa: E402
import numpy as np  # noqa: E402
import pydicom  # noqa: E402
import torch  # noqa: E402
from bad_input_files import write_with_gdcm  # noqa: E402
from dicom_files import dicom_film  # noqa: E402
from PIL import Image  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402
from pydicom.uid import (  # noqa: E402
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from scripts.data import LoadRadiographd, load_datalist, select, with_boxes  # noqa: E402
from scripts.data.prompts import checked_box  # noqa: E402
from scripts.errors import BundleError  # noqa: E402
from scripts.files import sha256  # noqa: E402
from scripts.films.decoding import GDCM  # noqa: E402
from scripts.films.reading import read_size  # noqa: E402
from scripts.output import Results  # noqa: E402
from scripts.quantization.policy import PrecisionPolicy  # noqa: E402
from scripts.release import listed_files  # noqa: E402
from scripts.runtime import read_manifest  # noqa: E402
from scripts.sam.weights import read_weights  # noqa: E402
from scripts.settings import check_settings  # noqa: E402

SECONDS, MEGABYTES = 5.0, 1500
NUMBERS = (0, 1, 2, 3, 4, 7, 8, 16, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
WORDS = [
    *(
        b"0",
        b"-1",
        b"1e999",
        b"nan",
        b"null",
        b"true",
        b"",
        b'"',
        b"'",
        b",",
        b";",
        b"\n",
        b"\r",
        b"\0",
        b"\xff",
        b"{}",
    ),
    *(
        b"[]",
        b"[[[[",
        b"{",
        b"}",
        b": ",
        b"- ",
        b"&a ",
        b"*a",
        b"!!python/name:os.system ",
        b"!!binary ",
        b"2026-13-45",
    ),
    *(b"../../", b"\\", b"/", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"99999999999999999999", b"<<: ", b"? ", b"%"),
]


@dataclass(frozen=True)
class Kind:
    """A kind of file: its name on disk, valid contents, what reads it, and what makes a changed one plausible again."""

    name: str
    contents: list[bytes]
    read: Callable[[Path], object]
    repair: Callable[[bytes, random.Random], bytes] = lambda content, rng: content


# Changes


def flip(content: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 2, 8))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def cut(content: bytearray, rng: random.Random) -> None:
    del content[rng.randrange(len(content)) :]


def drop(content: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(content))
    del content[start : start + rng.choice((1, 2, 4, 64))]


def repeat(content: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(content))
    part = content[start : start + rng.choice((1, 4, 32, 256))]
    content[start:start] = part * rng.choice((1, 2, 50))


def number(content: bytearray, rng: random.Random) -> None:
    """A number in place of what may be a length, of any width and order of bytes; most of those lie at the start."""
    size = rng.choice((1, 2, 4, 8))
    place = rng.randrange(min(len(content), rng.choice((64, 512, 1 << 20))))
    value = rng.choice(NUMBERS) % (1 << 8 * size)
    content[place : place + size] = value.to_bytes(size, rng.choice(("little", "big")))


def word(content: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(content))
    content[place : place + rng.choice((0, 0, 1, 4))] = rng.choice(WORDS)


CHANGES = (flip, cut, drop, repeat, number, number, word)


def changed(kind: Kind, rng: random.Random) -> bytes:
    """One of the valid contents of `kind`, changed at one to four places, or spliced with another."""
    content = bytearray(rng.choice(kind.contents))
    if rng.random() < 0.1:
        other = rng.choice(kind.contents)
        content[rng.randrange(len(content)) :] = other[rng.randrange(len(other)) :]
    for _ in range(rng.choice((1, 1, 2, 4))):
        if content:
            rng.choice(CHANGES)(content, rng)
    return kind.repair(bytes(content), rng)


# Films


def image(path: Path) -> None:
    """The size of the header is that of the pixels, and these are numbers."""
    loaded = LoadRadiographd("image").load_one(str(path))
    if not bool(torch.isfinite(loaded.as_tensor()).all()):
        raise AssertionError("the pixels are no numbers")
    if tuple(loaded.shape[1:]) != tuple(read_size(path)):
        raise AssertionError(f"the header says {read_size(path)}, the pixels are {tuple(loaded.shape[1:])}")


def sized(path: Path) -> None:
    read_size(path)
    image(path)


def saved(array: np.ndarray, kind: str, mode: str | None = None, **options) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(buffer, kind, **options)
    return buffer.getvalue()


def with_checksums(content: bytes, rng: random.Random) -> bytes:
    """A PNG whose chunks have the checksums that belong to them: a decoder stops at a wrong one."""
    if rng.random() < 0.2:
        return content
    fixed, place = bytearray(content[:8]), 8
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        body = content[place + 4 : place + 8 + length]
        fixed += struct.pack(">I", length) + body + struct.pack(">I", zlib.crc32(body))
        place += 12 + length
    return bytes(fixed) + content[place:]


def zipped(content: bytes, rng: random.Random) -> bytes:
    return gzip.compress(content, 1) if rng.random() < 0.9 else content


def films(rng: np.random.Generator) -> dict[str, Kind]:
    small = rng.integers(0, 256, (24, 17), dtype=np.uint8)
    deep = rng.integers(0, 4096, (24, 17), dtype=np.uint16)
    real = rng.random((24, 17)).astype(np.float32)
    png = [saved(small, "PNG"), saved(deep, "PNG"), saved(small, "PNG", "RGBA"), saved(small, "PNG", "P")]
    png += [saved(small, "PNG", "1"), saved(small, "PNG", "LA"), saved(small, "PNG", pnginfo=None, dpi=(200, 200))]
    jpeg = [saved(small, "JPEG"), saved(small, "JPEG", "CMYK"), saved(small, "JPEG", "RGB", progressive=True)]
    tiff = [saved(small, "TIFF"), saved(deep, "TIFF"), saved(real, "TIFF"), saved(small, "TIFF", "RGB")]
    tiff += [saved(small, "TIFF", compression=name) for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")]
    tiff += [saved(small, "TIFF", "1", compression="group4")]
    bmp = [saved(small, "BMP"), saved(small, "BMP", "RGB"), saved(small, "BMP", "1")]
    nifti = []
    for array in (small, deep, real, real.astype(np.float64), small[..., None]):
        for kind in (nibabel.Nifti1Image, nibabel.Nifti2Image):
            volume = kind(array, np.diag([0.2, 0.3, 1, 1]))
            nifti.append(volume.to_bytes())
    return {
        "png": Kind("film.png", png, sized, with_checksums),
        "jpeg": Kind("film.jpg", jpeg, sized),
        "tiff": Kind("film.tif", tiff, sized),
        "bmp": Kind("film.bmp", bmp, sized),
        "nifti": Kind("film.nii", nifti, sized),
        "nifti.gz": Kind("film.nii.gz", nifti, sized, zipped),
        "dicom": Kind("film.dcm", dicoms(small, deep), sized),
    }


def dicoms(small: np.ndarray, deep: np.ndarray) -> list[bytes]:
    """Plain, implicit, deflated, compressed, with tables and windows, in colour, without preamble."""
    table = pydicom.Dataset()
    table.LUTDescriptor = [256, 0, 16]
    table.add_new("LUTData", "OW", np.arange(256, dtype=np.uint16).tobytes())
    spaced = {"PixelSpacing": [0.2, 0.1], "PatientOrientation": ["L", "F"], "ImagerPixelSpacing": [0.3, 0.3]}
    windowed = {"WindowCenter": [2000, 40], "WindowWidth": [1001, 400], "RescaleSlope": 2, "RescaleIntercept": -100}
    datasets = [
        dicom_film(small, **spaced),
        dicom_film(deep, "MONOCHROME1", BitsStored=12, PixelPaddingValue=0, PixelPaddingRangeLimit=9, **windowed),
        dicom_film(small, VOILUTSequence=[table]),
        dicom_film(np.repeat(small[..., None], 3, 2), "RGB"),
    ]
    for syntax in (ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        datasets.append(dicom_film(deep, BitsStored=12))
        datasets[-1].file_meta.TransferSyntaxUID = syntax
    for syntax in (RLELossless, JPEGLSLossless):
        datasets.append(dicom_film(deep, BitsStored=12))
        datasets[-1].compress(syntax)
    for syntax, array, kind, options in (
        (JPEG2000Lossless, deep, "JPEG2000", {"no_jp2": True}),
        (JPEGBaseline8Bit, small, "JPEG", {}),
    ):
        datasets.append(dicom_film(array))
        datasets[-1].PixelData = encapsulate([saved(array, kind, **options)])
        datasets[-1]["PixelData"].VR = "OB"
        datasets[-1].file_meta.TransferSyntaxUID = syntax
    contents = []
    for dataset in datasets:
        buffer = io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        contents.append(buffer.getvalue())
    contents += gdcm_alone(deep)
    return [*contents, contents[0][132:]]


def gdcm_alone(array: np.ndarray) -> list[bytes]:
    """JPEG Lossless and JPEG Extended of 12 bits."""
    contents = []
    with tempfile.TemporaryDirectory() as folder:
        for syntax in ("JPEGLosslessProcess14_1", "JPEGExtendedProcess2_4"):
            write_with_gdcm(Path(folder, "film.dcm"), array, syntax)
            contents.append(Path(folder, "film.dcm").read_bytes())
    return contents


# Tables, lists and settings


def tables(folder: Path) -> dict[str, Kind]:
    """What people and programs write beside films; the images that they name are in `folder`."""
    for name in ("a", "b", "c"):
        for kind in ("images", "masks"):
            (folder / kind).mkdir(exist_ok=True)
            Image.new("L", (3, 2)).save(folder / kind / f"{name}.png")
    rows = "".join(f'images/{name}.png,masks/{name}.png,{name},"p, {name}",\n' for name in "abc")
    manifest = f"image,mask,id,patient,part\n{rows}".encode()
    entries = [{"image": f"images/{name}.png", "label": f"masks/{name}.png", "id": name} for name in "abc"]
    datalist = json.dumps({"training": entries[:2], "validation": entries[2:], "test": []}, indent=1).encode()
    films = [{"image": str(folder / "images" / f"{name}.png"), "id": name} for name in "abc"]
    names = ["image_encoder.blocks.0.attn.qkv", "mask_decoder.head"]
    policy = b"- {modules: '*.attn.qkv', precision: fp32}\n- {modules: '*', weight: 7, input: 8, optional: true}\n"
    split = json.dumps({"train": ["a"], "validation": ["b"], "test": ["c"]}).encode()
    results = io.BytesIO()
    table = Results(folder / "table.csv", folder, ("lungs",))
    table.add({"file": "images/a.png", "status": "done", "flags": "one_lung;low_confidence", "message": ""})
    table.failed(str(folder / "images" / "b.png"), "b.png: broken, quite")
    table._file.close()
    results.write((folder / "table.csv").read_bytes())
    weights = io.BytesIO()
    torch.save({"model": {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.int8)}}, weights)

    (folder / "configs").mkdir()
    (folder / "configs" / "base.yaml").write_text("epochs: 30\ntargets: {}\ndatasets: null\nbundle_root: .\n")

    graph = folder / "a.onnx"
    graph.write_bytes(b"graph")

    def boxes(path: Path) -> None:
        for item in with_boxes(films, path, folder / "images"):
            if "box" in item:
                checked_box(item["box"], 30, 20)

    return {
        "manifest.csv": Kind(
            "manifest.csv", [manifest, b"\xef\xbb\xbf" + manifest], lambda path: load_datalist(folder)
        ),
        "datalist.json": Kind("datalist.json", [datalist], lambda path: load_datalist(folder)),
        "boxes.csv": Kind("boxes.csv", [b"file,x0,y0,x1,y1\na.png,1,2,3,4\nb.png,0,0,9,9\n"], boxes),
        "policy.yaml": Kind("policy.yaml", [policy], lambda path: PrecisionPolicy.from_file(path).resolve(names)),
        "split.json": Kind("split.json", [split], lambda path: select(films, "test", path)),
        "results.csv": Kind(
            "results.csv", [results.getvalue()], lambda path: Results(path, folder, ("l",), resume=True).pending(films)
        ),
        "manifest.json": Kind(
            "manifest.json",
            [json.dumps({"files": {"a.onnx": {"sha256": sha256(graph)}}, "weights": {"sha256": "1"}}).encode()],
            lambda path: read_manifest(path, ["a.onnx"]),
        ),
        "large_files.yml": Kind(
            "large_files.yml", [(ROOT / "large_files.yml").read_bytes()], lambda path: listed_files(path.parent)
        ),
        "overlay.yaml": Kind(
            "overlay.yaml",
            [b"epochs: 5\ntargets: {a: [q]}\n+initialize: []\ndatasets: [a]\ntrain#trainer#max_epochs: 1\n"],
            lambda path: check_settings({}, [folder / "configs" / "base.yaml", path]),
        ),
        "weights.pt": Kind("weights.pt", [weights.getvalue()], read_weights),
        "weights.pt, repacked": Kind("weights.pt", [pickled(weights.getvalue())], read_weights, repacked(weights)),
    }


def pickled(archive: bytes) -> bytes:
    """The pickled part of a checkpoint."""
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return file.read(next(name for name in file.namelist() if name.endswith("data.pkl")))


def repacked(archive: io.BytesIO) -> Callable[[bytes, random.Random], bytes]:
    """Puts a changed pickle into the archive again, with the checksum that belongs to it."""

    def pack(content: bytes, rng: random.Random) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(archive) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as new:
            for name in old.namelist():
                new.writestr(name, content if name.endswith("data.pkl") else old.read(name))
        return buffer.getvalue()

    return pack


# The run


@dataclass
class Finding:
    """What is wrong with one file."""

    number: int
    kind: str
    reason: str


def peak() -> float:
    """Largest memory so far in MB: of this process, of the decoder beside it, and of decoders that have ended."""
    decoder = GDCM.process if GDCM.process is not None and GDCM.process.poll() is None else None
    status = Path(f"/proc/{decoder.pid}/status").read_text() if decoder is not None else ""
    held = re.search(r"VmHWM:\s+(\d+)", status)
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(int(held[1]) if held else 0, *(resource.getrusage(who).ru_maxrss for who in whose)) / 1024


def read_one(kind: Kind, content: bytes, folder: Path) -> str | None:
    """Write `content` and read it; "read", "refused", or None and an exception that says what is wrong."""
    path = folder / kind.name
    path.write_bytes(content)
    start, before = time.monotonic(), peak()
    try:
        kind.read(path)
        outcome = "read"
    except BundleError as error:
        outcome = "refused"
        cause = error.__cause__
        if "\n" in str(error) or not str(error):
            raise AssertionError(f"the message is not one line: {error!r}") from error
        if isinstance(cause, (MemoryError, RecursionError)) and "nested" not in str(error):
            raise AssertionError(f"refused only after {type(cause).__name__}") from error
    finally:
        path.unlink()
    seconds = time.monotonic() - start
    grown = peak() - before
    if seconds > SECONDS:
        raise AssertionError(f"took {seconds:.1f} s")
    if grown > MEGABYTES:
        raise AssertionError(f"took {grown:.0f} MB")
    return outcome


def fuzz(kinds: dict[str, Kind], seconds: float, seed: int, folder: Path, kept: Path) -> tuple[Counter, list[Finding]]:
    """Read changed files until the time is over: counts of (kind, outcome), and what was found."""
    counts: Counter = Counter()
    findings: list[Finding] = []
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        name = list(kinds)[number % len(kinds)]
        content = changed(kinds[name], random.Random(f"{seed}/{name}/{number}"))
        (kept / "last").write_bytes(content)  # a crash leaves it
        faulthandler.dump_traceback_later(4 * SECONDS, exit=True)
        try:
            counts[name, read_one(kinds[name], content, folder)] += 1
        except Exception as error:
            counts[name, "wrong"] += 1
            frames = traceback.extract_tb(error.__traceback__)
            reason = (
                f"{type(error).__name__}: {str(error)[:200]} ({Path(frames[-1].filename).name}:{frames[-1].lineno})"
            )
            findings.append(Finding(number, name, reason))
            (kept / f"{seed}_{number}_{kinds[name].name}").write_bytes(content)
        faulthandler.cancel_dump_traceback_later()
        number += 1
    (kept / "last").unlink(missing_ok=True)
    return counts, findings


def all_kinds(folder: Path) -> dict[str, Kind]:
    return {**films(np.random.default_rng(0)), **tables(folder)}


def report(counts: Counter, findings: list[Finding]) -> None:
    """One line a kind, then one a finding; findings of one reason are told once."""
    for name in dict.fromkeys(name for name, _ in counts):
        read, refused, wrong = (counts[name, outcome] for outcome in ("read", "refused", "wrong"))
        print(f"{name:<22}{read + refused + wrong:>8} files{read:>8} read{refused:>8} refused{wrong:>6} wrong")
    print(f"{'all':<22}{sum(counts.values()):>8} files")
    told: dict[tuple[str, str], list[int]] = {}
    for finding in findings:
        told.setdefault((finding.kind, finding.reason), []).append(finding.number)
    for (kind, reason), numbers in told.items():
        print(f"{kind}: {reason}; {len(numbers)} times, first file {numbers[0]}")


def run(arguments: argparse.Namespace) -> None:
    """The run itself, in a process that a crash may end; exit status 1 if something was found."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        kinds = {name: kind for name, kind in all_kinds(Path(folder)).items() if name in (arguments.kinds or [name])}
        counts, findings = fuzz(kinds, arguments.seconds, arguments.seed, Path(folder), arguments.keep)
    report(counts, findings)
    sys.exit(1 if findings else 0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Throw damaged files at every reader.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", metavar="KIND", help="of the first column of the report; default: all")
    parser.add_argument("--keep", type=Path, default=ROOT / "eval" / "fuzz", help="folder for files that fail")
    arguments = parser.parse_args()
    arguments.keep.mkdir(parents=True, exist_ok=True)
    child = multiprocessing.get_context("fork").Process(target=run, args=(arguments,))
    child.start()
    child.join()
    if (arguments.keep / "last").exists():
        sys.exit(f"error: the process ended with {child.exitcode} while it read {arguments.keep / 'last'}")
    sys.exit(child.exitcode)


if __name__ == "__main__":
    main()
