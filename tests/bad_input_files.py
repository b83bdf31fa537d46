"""What the rows of bad_inputs.yaml are made of: films, data sets and weights with one fault each, by name."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import struct
import subprocess
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import torch
from dicom_files import dicom_film, write_dicom
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import EncapsulatedPDFStorage, JPEG2000Lossless, JPEGExtended12Bit

from scripts.phantoms import generate_phantom
from scripts.sam import save_weights

SIDE = 96
FILMS: dict[str, Callable[[Path], None]] = {}
DATA: dict[str, Callable[[Path], dict | None]] = {}


def film(function):
    """Register a builder that writes one film."""
    FILMS[function.__name__] = function
    return function


def data(function):
    """Register a builder that writes to a folder, and returns the settings that a command needs to meet it."""
    DATA[function.__name__] = function
    return function


@cache
def drawn(seed: int, size: int) -> tuple[bytes, bytes]:
    """A phantom and the mask of its lungs as PNG files."""
    made = generate_phantom(seed, size)
    mask = np.isin(made.labels, (1, 2)).astype(np.uint8) * 255
    return png_bytes((made.image * 255).round().astype(np.uint8)), png_bytes(mask)


def gray(seed: int = 0) -> np.ndarray:
    """A phantom, SIDE x SIDE of 8 bits."""
    return np.asarray(Image.open(io.BytesIO(drawn(7_000_000 + seed, SIDE)[0])))


def png_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()


def png_of_size(width: int, height: int, pixels: bytes) -> bytes:
    """A PNG of one bit a pixel; `pixels` are its compressed lines, however many."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


# Films


@film
def phantom(path):
    Image.fromarray(gray()).save(path)


@film
def half_png(path):
    content = png_bytes(gray())
    path.write_bytes(content[: len(content) // 2])


@film
def half_dicom(path):
    content = write_dicom(path, gray()).read_bytes()
    path.write_bytes(content[: len(content) // 2])


@film
def half_nifti(path):
    nibabel.save(nibabel.Nifti1Image(gray(), np.eye(4)), path)
    path.write_bytes(path.read_bytes()[:1000])


@film
def empty_file(path):
    path.write_bytes(b"")


@film
def png_content(path):
    path.write_bytes(png_bytes(gray()))


@film
def dicom_content(path):
    write_dicom(path, gray())


@film
def pdf_content(path):
    path.write_bytes(b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer << /Root 1 0 R >>\n%%EOF\n")


@film
def postscript_content(path):
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/tmp/x) (w) file closefile\nshowpage\n")


@film
def one_pixel(path):
    Image.fromarray(np.full((1, 1), 100, np.uint8)).save(path)


@film
def one_line(path):
    Image.fromarray(gray()[:1]).save(path)


@film
def huge_png(path):
    """20,000 x 20,000 pixels, all there."""
    packer = zlib.compressobj(1)
    line = b"\0" + b"\x55" * 2500
    lines = b"".join(packer.compress(line * 1000) for _ in range(20)) + packer.flush()
    path.write_bytes(png_of_size(20_000, 20_000, lines))


@film
def png_that_claims(path):
    path.write_bytes(png_of_size(60_000, 60_000, zlib.compress(b"\0" * 100)))


@film
def png_of_100_million(path):
    """Above the bundle's limit and below the one that Pillow refuses by itself."""
    path.write_bytes(png_of_size(10_000, 10_000, zlib.compress(b"\0" * 100)))


@film
def tiff_that_claims(path):
    Image.fromarray(gray()).save(path)
    content = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    for entry in range(struct.unpack_from("<H", content, start)[0]):
        place = start + 2 + 12 * entry
        if struct.unpack_from("<H", content, place)[0] in (256, 257):  # ImageWidth, ImageLength
            struct.pack_into("<HII", content, place + 2, 4, 1, 60_000)
    path.write_bytes(content)


@film
def nifti_that_claims(path):
    image = nibabel.Nifti1Image(np.zeros((4, 4), np.uint8), np.eye(4))
    content = bytearray(image.to_bytes())
    struct.pack_into("<hh", content, 42, 30_000, 30_000)
    import gzip

    path.write_bytes(gzip.compress(bytes(content)))


@film
def dicom_that_claims(path):
    write_dicom(path, gray(), Rows=60_000, Columns=60_000)


@film
def all_black(path):
    Image.fromarray(np.zeros((SIDE, SIDE), np.uint8)).save(path)


@film
def all_white(path):
    Image.fromarray(np.full((SIDE, SIDE), 255, np.uint8)).save(path)


@film
def nan_tiff(path):
    values = gray().astype(np.float32)
    values[3, 4] = np.nan
    Image.fromarray(values).save(path)


@film
def two_pages(path):
    pages = [Image.fromarray(gray(seed)) for seed in range(2)]
    pages[0].save(path, save_all=True, append_images=pages[1:])


@film
def with_alpha(path):
    image = Image.fromarray(gray()).convert("RGBA")
    image.putalpha(128)
    image.save(path)


@film
def palette(path):
    Image.fromarray(gray()).convert("P", palette=Image.Palette.ADAPTIVE).save(path)


@film
def cmyk_jpeg(path):
    Image.fromarray(gray()).convert("CMYK").save(path, quality=95)


def write_with_gdcm(path: Path, array: np.ndarray, syntax: str) -> None:
    """A film of 12 bits in a transfer syntax that GDCM alone reads and writes, by GDCM's name of it."""
    import gdcm  # not above: loaded before NumPy, it damages the heap

    write_dicom(path, array, BitsStored=12)
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(path))
    assert writer.Write()


@film
def jpeg_of_12_bits(path):
    """DICOM, JPEG Extended: the process that detectors of 12 bits use, which Pillow does not decode."""
    write_with_gdcm(path, gray().astype(np.uint16) * 16, "JPEGExtendedProcess2_4")
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == JPEGExtended12Bit


@film
def lossless_that_claims(path):
    write_with_gdcm(path, gray().astype(np.uint16) * 16, "JPEGLosslessProcess14_1")
    content = bytearray(path.read_bytes())
    struct.pack_into(">HH", content, content.index(b"\xff\xc3\0") + 5, 60_000, 60_000)
    path.write_bytes(content)


@film
def jpeg2000_that_claims(path):
    dataset, buffer = dicom_film(gray()), io.BytesIO()
    Image.fromarray(gray()).save(buffer, "JPEG2000", irreversible=False, no_jp2=True)
    frame = bytearray(buffer.getvalue())
    struct.pack_into(">II", frame, 8, 60_000, 60_000)  # Xsiz, Ysiz
    dataset.PixelData = encapsulate([bytes(frame)])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.save_as(path, enforce_file_format=True)


@film
def dicom_without_pixels(path):
    dataset = dicom_film(gray())
    for name in ("PixelData", "Rows", "Columns"):
        del dataset[name]
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EncapsulatedPDFStorage
    dataset.save_as(path, enforce_file_format=True)


@film
def dicom_of_three_frames(path):
    write_dicom(path, np.stack([gray()] * 3))


@film
def dicom_with_a_broken_frame(path):
    """Encapsulated JPEG of which the bytes are noise."""
    dataset = dicom_film(gray())
    dataset.PixelData = encapsulate([np.random.default_rng(0).bytes(400)])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    dataset.save_as(path, enforce_file_format=True)


@film
def ultrasound(path):
    write_dicom(path, gray(), Modality="US")


@film
def nifti_volume(path):
    nibabel.save(nibabel.Nifti1Image(np.stack([gray()] * 4, -1), np.eye(4)), path)


@film
def complex_nifti(path):
    nibabel.save(nibabel.Nifti1Image(gray().astype(np.complex64), np.eye(4)), path)


@film
def link_to_itself(path):
    path.symlink_to(path)


@film
def link_to_nowhere(path):
    path.symlink_to(path.parent / "moved away.png")


@film
def pipe(path):
    os.mkfifo(path)


@film
def folder_of_that_name(path):
    """Holds a film, which counts; a folder by itself is none."""
    path.mkdir()
    phantom(path / "inside.png")


@film
def link_to_the_folder_above(path):
    path.symlink_to(path.parent, target_is_directory=True)


# Data sets, and what else a command needs


def pairs(folder: Path, count: int = 12, size: int = 64) -> list[dict[str, str]]:
    """Phantoms in images/ and masks/, without a manifest; rows as a manifest would have them."""
    rows = []
    for number in range(count):
        row = {"image": f"images/film{number:02}.png", "mask": f"masks/film{number:02}.png"}
        for name, content in zip(row.values(), drawn(7_100_000 + number, size)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        rows.append(row)
    return rows


def write_manifest(folder: Path, rows: list[dict[str, str]], encoding: str = "utf-8") -> None:
    with (folder / "manifest.csv").open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def edit_mask(folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    mask = np.asarray(Image.open(folder / "masks" / "film03.png"))
    Image.fromarray(change(mask)).save(folder / "masks" / "film03.png")


@data
def good(folder):
    pairs(folder / "data")


@data
def nothing(folder):
    pass


@data
def mask_of_another_size(folder):
    pairs(folder / "data")
    edit_mask(folder / "data", lambda mask: mask[:-4])


@data
def mask_with_stray_values(folder):
    pairs(folder / "data")
    edit_mask(folder / "data", lambda mask: np.where(np.arange(64) == 3, 17, mask).astype(np.uint8))


@data
def empty_mask(folder):
    pairs(folder / "data")
    edit_mask(folder / "data", np.zeros_like)


@data
def damaged_image(folder):
    """Its header is whole."""
    pairs(folder / "data")
    path = folder / "data" / "images" / "film03.png"
    path.write_bytes(path.read_bytes()[:-800])


@data
def damaged_mask(folder):
    pairs(folder / "data")
    path = folder / "data" / "masks" / "film03.png"
    path.write_bytes(path.read_bytes()[:60])


@data
def duplicate_stems(folder):
    pairs(folder / "data")
    Image.open(folder / "data" / "images" / "film03.png").save(folder / "data" / "images" / "film03.bmp")


@data
def image_without_mask(folder):
    pairs(folder / "data")
    (folder / "data" / "masks" / "film03.png").unlink()


@data
def no_masks(folder):
    pairs(folder / "data")
    (folder / "data" / "masks").rename(folder / "data" / "labels")


@data
def two_images(folder):
    pairs(folder / "data", 2)


@data
def a_file_for_a_folder(folder):
    (folder / "data").write_text("no folder")


def manifest(folder: Path, change: Callable[[str], str | bytes], **columns: Callable[[int], str]) -> None:
    """A manifest of good pairs, with further columns, whose text is changed."""
    rows = pairs(folder / "data")
    write_manifest(folder / "data", [row | {key: of(i) for key, of in columns.items()} for i, row in enumerate(rows)])
    path = folder / "data" / "manifest.csv"
    changed = change(path.read_text().replace("\r\n", "\n"))
    path.write_bytes(changed if isinstance(changed, bytes) else changed.encode())


@data
def missing_column(folder):
    manifest(folder, lambda text: text.replace("image,mask", "image,msk"))


@data
def column_twice(folder):
    manifest(folder, lambda text: text.replace("image,mask,id", "image,mask,mask"), id=str)


@data
def byte_order_mark(folder):
    manifest(folder, lambda text: b"\xef\xbb\xbf" + text.encode())


@data
def windows_paths(folder):
    manifest(folder, lambda text: text.replace("/", "\\").replace("\n", "\r\n"))


@data
def absolute_paths(folder):
    manifest(folder, lambda text: text.replace("images/", f"{folder}/data/images/"))


@data
def more_fields(folder):
    manifest(folder, lambda text: text.replace("film03.png\n", "film03.png,PA\n"))


@data
def fewer_fields(folder):
    manifest(
        folder, lambda text: text.replace("masks/film03.png,film03", "masks/film03.png"), id=lambda i: f"film{i:02}"
    )


@data
def empty_field(folder):
    manifest(folder, lambda text: text.replace("masks/film03.png", ""))


@data
def semicolons(folder):
    manifest(folder, lambda text: text.replace(",", ";"))


@data
def empty_manifest(folder):
    manifest(folder, lambda text: "")


@data
def head_alone(folder):
    manifest(folder, lambda text: "image,mask\n")


@data
def latin_manifest(folder):
    manifest(folder, lambda text: text.encode("latin-1"), patient=lambda i: f"M\xfcller {i}")


@data
def unclosed_quote(folder):
    manifest(folder, lambda text: text.replace("masks/film03.png", '"masks/film03.png'))


@data
def binary_manifest(folder):
    manifest(folder, lambda text: png_bytes(gray()))


@data
def id_twice(folder):
    manifest(folder, lambda text: text, id=lambda i: "film03" if i == 4 else f"film{i:02}")


@data
def file_that_is_not_there(folder):
    manifest(folder, lambda text: text.replace("images/film03.png", "images/film99.png"))


@data
def path_too_long(folder):
    manifest(folder, lambda text: text.replace("images/film03.png", "images/" + "x" * 5000 + ".png"))


@data
def patient_in_two_parts(folder):
    manifest(
        folder, lambda text: text, patient=lambda i: f"p{i // 2}", part=lambda i: ("train", "validation", "test")[i % 3]
    )


@data
def image_of_two_patients(folder):
    manifest(
        folder,
        lambda text: text.replace("images/film04.png", "images/film03.png"),
        id=lambda i: f"film{i:02}",
        patient=lambda i: f"p{i}",
    )


@data
def unknown_part(folder):
    manifest(folder, lambda text: text, part=lambda i: "training")


def datalist(folder: Path, change: Callable[[dict], object]) -> None:
    """A datalist.json of good pairs, changed."""
    rows = pairs(folder / "data")
    content = {"training": [{"image": row["image"], "label": row["mask"]} for row in rows]}
    (folder / "data" / "datalist.json").write_text(json.dumps(change(content)))


@data
def datalist_cut_off(folder):
    datalist(folder, dict)
    path = folder / "data" / "datalist.json"
    path.write_text(path.read_text()[:-30])


@data
def datalist_nested_too_deeply(folder):
    pairs(folder / "data")
    (folder / "data" / "datalist.json").write_text("[" * 100_000)


@data
def datalist_that_is_a_list(folder):
    datalist(folder, lambda content: content["training"])


@data
def datalist_of_names(folder):
    datalist(folder, lambda content: {"training": "images"})


@data
def datalist_entry_without_label(folder):
    datalist(folder, lambda content: {"training": [*content["training"], {"image": "images/film00.png"}]})


@data
def datalist_entry_of_two_images(folder):
    datalist(folder, lambda content: {"training": [{"image": ["images/film00.png"] * 2, "label": "masks/film00.png"}]})


def state_of_a_run(folder, **settings):
    """What a killed training leaves to resume from; none of its weights, since it is refused before."""
    pairs(folder / "data")
    content = dict.fromkeys(("model", "trainer", "best", "random", "optimizer", "lr_scheduler", "allocator"))
    same = {"batch_size": 4, "accumulation_steps": 1, "seed": 0}
    save_weights({**content, "origin": "", "settings": {**same, **settings}}, folder / "out" / "stage1" / "last.pt")


@data
def state_of_other_data(folder):
    state_of_a_run(folder, split={"train": ["other1", "other2"], "validation": ["other3"], "test": []})


@data
def state_of_another_batch_size(folder):
    state_of_a_run(folder, batch_size=2)


@data
def split_cut_off(folder):
    pairs(folder / "data")
    (folder / "models").mkdir(exist_ok=True)
    (folder / "models" / "split.json").write_text('{"train": ["film00"')


@data
def file_for_the_output(folder):
    pairs(folder / "data", 3)
    (folder / "out").write_text("a file")


@data
def file_above_the_output(folder):
    pairs(folder / "data", 3)
    (folder / "out").write_text("a file")
    return {"output_dir": str(folder / "out" / "masks")}


@data
def films_of_one_name(folder):
    (folder / "data").mkdir()
    phantom(folder / "data" / "film.png")
    write_dicom(folder / "data" / "film.dcm", gray())


@data
def unreadable_folder(folder):
    pairs(folder / "data", 3)
    (folder / "data" / "images" / "ward").mkdir(mode=0)


@data
def unwritable_output(folder):
    pairs(folder / "data", 3)
    (folder / "out").mkdir()
    (folder / "out").chmod(0o555)


# Tables beside the films


def boxes(folder: Path, text: str) -> dict[str, str]:
    pairs(folder / "data", 3)
    (folder / "boxes.csv").write_text(text)
    return {"box": str(folder / "boxes.csv")}


@data
def box_of_no_film(folder):
    return boxes(folder, "file,x0,y0,x1,y1\nimages/film00.png,1,2,30,40\nimages/film99.png,1,2,30,40\n")


@data
def box_without_a_corner(folder):
    return boxes(folder, "file,x0,y0,x1\nimages/film00.png,1,2,30\n")


@data
def box_that_is_cut_off(folder):
    return boxes(folder, "file,x0,y0,x1,y1\nimages/film00.png,1,2,30,40\nimages/film01.png,1,2\n")


@data
def box_of_words(folder):
    return boxes(folder, "file,x0,y0,x1,y1\nimages/film00.png,left,2,30,40\n")


@data
def table_of_another_program(folder):
    pairs(folder / "data", 3)
    (folder / "out").mkdir()
    (folder / "out" / "results.csv").write_text("patient,grade\nJane,1\n")


@data
def picture_for_a_table(folder):
    pairs(folder / "data", 3)
    (folder / "out").mkdir()
    (folder / "out" / "results.csv").write_bytes(png_bytes(gray()))


# Weights, artefacts, policies

ROOT = Path(__file__).resolve().parents[1]


class Ran:
    """Writes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def weights(folder: Path, write: Callable[[Path], object], setting: str = "model_weights") -> dict[str, str]:
    pairs(folder / "data", 3)
    write(folder / "given.pt")
    return {setting: str(folder / "given.pt")}


@data
def no_weights(folder):
    return weights(folder, lambda path: None)


@data
def half_weights(folder):
    content = (ROOT / "models" / "model.pt").read_bytes()
    return weights(folder, lambda path: path.write_bytes(content[: len(content) // 2]))


@data
def weights_with_a_flipped_byte(folder):
    content = bytearray((ROOT / "models" / "model.pt").read_bytes())
    content[len(content) // 2] ^= 1
    return weights(folder, lambda path: path.write_bytes(content))


@data
def text_for_weights(folder):
    return weights(folder, lambda path: path.write_text("weights"))


@data
def code_in_weights(folder):
    return weights(folder, lambda path: torch.save({"model": Ran(f"{folder}/ran")}, path))


@data
def plain_pickle(folder):
    return weights(folder, lambda path: path.write_bytes(pickle.dumps({"model": Ran(f"{folder}/ran")}, protocol=2)))


@data
def numbers_for_weights(folder):
    return weights(folder, lambda path: torch.save({"epoch": 3}, path))


@data
def weights_of_the_base(folder):
    return weights(folder, lambda path: path.write_bytes((ROOT / "models" / "sam_vit_ti_phantom.pt").read_bytes()))


@data
def base_of_another_width(folder):
    from conftest import NARROW, sam_state

    from scripts.sam import build_sam

    pairs(folder / "data")
    torch.save(sam_state(build_sam(NARROW, 64)), folder / "given.pt")
    return {"base_weights": str(folder / "given.pt")}


@data
def adapter_of_another_base(folder):
    pairs(folder / "data", 3)
    state = torch.load(ROOT / "models" / "sam_vit_ti_phantom.pt", weights_only=True)
    first = next(iter(state["model"] if "model" in state else state))
    (state["model"] if "model" in state else state)[first].add_(1)
    torch.save(state, folder / "given.pt")
    return {"base_weights": str(folder / "given.pt")}


def artefact(folder: Path, change: Callable[[Path], object]) -> dict[str, str]:
    """A copy of the shipped artefact, changed."""
    pairs(folder / "data", 3)
    for name in ("encoder_int8.onnx", "decoder_int8.onnx", "manifest.json"):
        (folder / name).write_bytes((ROOT / "models" / name).read_bytes())
    change(folder)
    return {"backend": "onnxruntime", "artefact": str(folder / "manifest.json")}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@data
def tampered_graph(folder):
    return artefact(folder, lambda root: flip(root / "encoder_int8.onnx"))


@data
def half_graph(folder):
    def halve(root):
        content = (root / "decoder_int8.onnx").read_bytes()
        (root / "decoder_int8.onnx").write_bytes(content[: len(content) // 2])

    return artefact(folder, halve)


@data
def missing_graph(folder):
    return artefact(folder, lambda root: (root / "decoder_int8.onnx").unlink())


@data
def manifest_of_another_file(folder):
    return artefact(folder, lambda root: (root / "manifest.json").write_text('{"train": ["a"]}'))


@data
def artefact_of_other_weights(folder):
    def change(root):
        content = json.loads((root / "manifest.json").read_text())
        content["weights"]["sha256"] = "0" * 64
        (root / "manifest.json").write_text(json.dumps(content))

    return artefact(folder, change)


def policy(folder: Path, text: str) -> dict[str, str]:
    pairs(folder / "data")
    (folder / "policy.yaml").write_text(text)
    return {"policy": str(folder / "policy.yaml")}


@data
def policy_that_matches_nothing(folder):
    return policy(folder, "- {modules: encoder.*, precision: fp32}\n- {modules: '*', weight: 7, input: 8}\n")


@data
def policy_that_leaves_layers(folder):
    return policy(folder, "- {modules: image_encoder.*, weight: 7, input: 8}\n")


@data
def policy_of_words(folder):
    return policy(folder, "[fp32, int8]\n")


@data
def policy_of_16_bits(folder):
    return policy(folder, "- {modules: '*', weight: 16}\n")


@data
def policy_with_code(folder):
    return policy(folder, f"- !!python/object/apply:os.system ['touch {folder}/ran']\n")


@data
def policy_with_a_tab(folder):
    return policy(folder, "- modules: '*'\n\tweight: 7\n")


# Overlays


def overlay(folder: Path, text: str) -> dict[str, str]:
    pairs(folder / "data", 3)
    (folder / "mine.yaml").write_text(text)
    return {"overlay": str(folder / "mine.yaml")}


@data
def overlay_with_a_typing_error(folder):
    return overlay(folder, "epoch: 5\n")


@data
def overlay_of_another_type(folder):
    return overlay(folder, "batch_size: four\n")


@data
def overlay_with_its_own_setting(folder):
    return overlay(folder, "half: 15\nepochs: $2 * @half\n")


@data
def tampered_base_in_a_copy_of_the_bundle(folder):
    """A whole file of other weights: its checksums are right, and only the list of hashes knows better."""
    for name in ("configs", "scripts", "large_files.yml"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(folder / name)], check=True)
    (folder / "models").mkdir(exist_ok=True)
    base = torch.load(ROOT / "models" / "sam_vit_ti_phantom.pt", weights_only=True)
    for value in (base["model"] if "model" in base else base).values():
        if value.is_floating_point():
            value.add_(0.01)
    torch.save(base, folder / "models" / "sam_vit_ti_phantom.pt")
    pairs(folder / "data")
    return {"bundle_root": str(folder), "base_weights": str(folder / "models" / "sam_vit_ti_phantom.pt")}
