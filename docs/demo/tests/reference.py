"""What the page must give, by the Python side: ``python docs/demo/tests/reference.py OUT [SHARED_FILMS]``.

Writes to OUT

- ``films/``: films in every format that the page reads, and real ones where SHARED_FILMS (a folder with `manifest.csv`
  and `dicom/`) is there; ``masks/``: what ``configs/inference.yaml --backend onnxruntime`` makes of them, with
  `results.csv`; ``boxes.csv``: the prompt boxes of some, ``boxes.json``: the same on the upright films
- ``wobble.json``: how well the masks of films of which the network is unsure agree with themselves
- ``broken/`` and ``broken.json``: files that are refused, and what Python says
- ``steps.json``: inputs and outputs of each step, for the modules of the page one by one
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)]

import pydicom  # noqa: E402
import torch  # noqa: E402
from dicom_files import dicom_film, write_dicom  # noqa: E402
from monai.bundle import ConfigParser  # noqa: E402
from monai.data import MetaTensor  # noqa: E402
from monai.transforms import KeepLargestConnectedComponent  # noqa: E402
from PIL import Image  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402
from pydicom.uid import (  # noqa: E402
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)
from torch.nn import functional as F  # noqa: E402

from reference_films import film_step, packed, write_forms  # noqa: E402
from scripts.data import CanonicalFilmd, LoadRadiographd, ScaleByPercentilesd  # noqa: E402
from scripts.data.prompts import PROMPT_BOX, RequestedBoxd  # noqa: E402
from scripts.data.transforms import Letterboxd  # noqa: E402
from scripts.errors import BundleError  # noqa: E402
from scripts.films.canonical import canonical  # noqa: E402
from scripts.films.looking import Classifier  # noqa: E402
from scripts.films.pose import Pose  # noqa: E402
from scripts.films.reading import read_film  # noqa: E402
from scripts.output.areas import lung_areas  # noqa: E402
from scripts.output.label_maps import FillHolesByComponentd  # noqa: E402
from scripts.output.quality import QualityFlagsd, expected_dice  # noqa: E402
from scripts.phantoms import generate_phantom  # noqa: E402

PHANTOM_OF_THE_PAGE = (6_000_001, 512)  # seed and size of docs/demo/phantom.png
# Below this expected Dice the roundings of integers can decide much of a mask
UNSURE = 0.965
REAL_FILMS = {"jsrt": 7, "shenzhen": 7, "covid": 6}  # of each data set, spread over it


def phantom(seed: int, size: int) -> np.ndarray:
    """S x S in [0, 1]."""
    return generate_phantom(6_100_000 + seed, size).image


def eight_bit(image: np.ndarray) -> np.ndarray:
    return (image * 255).round().astype(np.uint8)


def twelve_bit(image: np.ndarray) -> np.ndarray:
    return (image * 4095).round().astype(np.uint16)


def write_raster(folder: Path) -> None:
    """PNG and JPEG in their kinds."""
    gray = [eight_bit(phantom(seed, size)) for seed, size in enumerate((256, 384, 512, 1024, 400, 640))]
    save = {f"phantom_{len(image)}.png": image for image in gray}
    save["wide.png"] = gray[2][60:440]
    save["tall.png"] = gray[5][:, 40:560]
    save["sixteen_bits.png"] = (phantom(6, 600) * 52_000).astype(np.uint16) + 9000
    save["colour.png"] = np.stack([gray[1], gray[1] // 2 + 40, 255 - gray[1] // 3], axis=-1)
    save["framed.png"] = np.pad(gray[4], 36, constant_values=255)
    save["negative.png"] = 255 - gray[2]
    save["upside_down.png"] = gray[1][::-1]
    save["noise.png"] = np.random.default_rng(3).integers(0, 256, (300, 420)).astype(np.uint8)
    for name, pixels in save.items():
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / name)
    Image.fromarray(gray[0]).convert("LA").save(folder / "with_alpha.png")
    Image.fromarray(save["colour.png"]).quantize(64).save(folder / "palette.png")
    Image.fromarray(gray[1]).save(folder / "gray.jpg", quality=90)
    Image.fromarray(save["colour.png"]).save(folder / "colour_jpeg.jpg", quality=85)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter
    Image.fromarray(gray[3]).save(folder / "turned_by_exif.jpg", exif=exif, quality=90)


def write_films_in_dicom(folder: Path) -> None:
    """DICOM in its transfer syntaxes and with what changes its grays."""
    image = [phantom(seed, 512) for seed in range(20, 26)]
    detector = [twelve_bit(1 - picture) for picture in image]  # bright where much radiation came through
    plain = {"BitsStored": 12, "PixelSpacing": [0.7, 0.65]}
    window = {"WindowCenter": 2000, "WindowWidth": 3200}
    write_dicom(folder / "monochrome1.dcm", detector[0], "MONOCHROME1", **plain, **window)
    write_dicom(folder / "without_suffix", twelve_bit(image[1]), **plain)
    write_dicom(
        folder / "two_windows.dcm", twelve_bit(image[2]), BitsStored=12, WindowCenter=[1800, 40], WindowWidth=[2600, 9]
    )
    signed = (twelve_bit(image[3]).astype(np.int32) - 2048).astype(np.int16)
    rescaled = {"RescaleSlope": 2.5, "RescaleIntercept": -100.0, "RescaleType": "US"}
    write_dicom(
        folder / "signed_rescaled.dcm",
        signed,
        **rescaled,
        ImagerPixelSpacing=[0.2, 0.2],
        EstimatedRadiographicMagnificationFactor="1.25",
    )
    table = pydicom.Dataset()
    table.LUTDescriptor = [4096, 0, 16]
    table.add_new("LUTData", "OW", (np.linspace(0, 1, 4096) ** 2 * 65535).astype(np.uint16).tobytes())
    write_dicom(folder / "lookup_table.dcm", twelve_bit(image[4]), BitsStored=12, VOILUTSequence=[table])
    padded = detector[5] // 2 + 900
    padded[:, :60] = 4000
    write_dicom(folder / "padded.dcm", padded, "MONOCHROME1", BitsStored=12, PixelPaddingValue=4000)
    mirrored = np.ascontiguousarray(detector[1][:, ::-1])
    write_dicom(folder / "mirrored.dcm", mirrored, "MONOCHROME1", **plain, PatientOrientation=["R", "F"])
    colours = np.stack([eight_bit(image[0])] * 3, axis=-1)
    colours[..., 0] //= 2
    write_dicom(folder / "colour_capture.dcm", colours, "RGB")

    bare = dicom_film(twelve_bit(image[0]), **plain)
    del bare.file_meta
    bare.save_as(folder / "without_preamble.dcm", implicit_vr=True, little_endian=True, enforce_file_format=False)
    for name, syntax in (
        ("implicit", ImplicitVRLittleEndian),
        ("big_endian", ExplicitVRBigEndian),
        ("deflated", DeflatedExplicitVRLittleEndian),
    ):
        film = dicom_film(twelve_bit(image[1]), **plain)
        if syntax is ExplicitVRBigEndian:
            film["PixelData"].value = twelve_bit(image[1]).byteswap().tobytes()
        film.file_meta.TransferSyntaxUID = syntax
        film.save_as(folder / f"{name}.dcm", enforce_file_format=True)
    for name, syntax in (("rle", RLELossless), ("jpeg_ls", JPEGLSLossless)):
        film = dicom_film(twelve_bit(image[2]), **plain)
        film.compress(syntax)
        film.save_as(folder / f"{name}.dcm", enforce_file_format=True)
    write_compressed(
        folder / "jpeg_2000.dcm",
        twelve_bit(image[3]),
        JPEG2000Lossless,
        plain,
        format="JPEG2000",
        irreversible=False,
        no_jp2=True,
    )
    write_compressed(folder / "jpeg_baseline.dcm", eight_bit(image[4]), JPEGBaseline8Bit, {}, format="JPEG", quality=92)
    write_jpeg_lossless(folder / "implicit.dcm", folder / "jpeg_lossless.dcm")


def write_compressed(path: Path, array: np.ndarray, syntax: str, extra: dict, **options) -> None:
    """A film whose frame Pillow compresses."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, **options)
    film = dicom_film(array, **extra)
    film.PixelData = encapsulate([buffer.getvalue()])
    film["PixelData"].VR = "OB"
    film.file_meta.TransferSyntaxUID = syntax
    film.save_as(path, enforce_file_format=True)


def write_jpeg_lossless(source: Path, target: Path) -> None:
    """The film at `source` by GDCM as JPEG Lossless, first-order prediction."""
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    if not reader.Read():
        raise RuntimeError(f"{source}: GDCM does not read it")
    change.SetInput(reader.GetImage())
    if not change.Change():
        raise RuntimeError(f"{source}: GDCM does not compress it")
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    if not writer.Write():
        raise RuntimeError(f"{target}: GDCM does not write it")


def copy_real_films(shared: Path, folder: Path) -> None:
    """A spread of the shared films, under names that tell their data set."""
    with (shared / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for dataset, count in REAL_FILMS.items():
        images = [row["image"] for row in rows if row["dataset"] == dataset]
        for i in range(count):
            source = shared / images[i * len(images) // count]
            shutil.copyfile(source, folder / f"real_{dataset}_{i}{source.suffix}")
    for i, source in enumerate(sorted((shared / "dicom").glob("*.dcm"))):
        shutil.copyfile(source, folder / f"real_dicom_{i}.dcm")


def write_boxes(folder: Path, path: Path) -> None:
    """Copies of some films that are prompted with a box, the table of the boxes, and the same on the upright films."""
    boxes = {
        "phantom_512.png": (60, 70, 300, 420),
        "wide.png": (200, 10, 470, 350),
        "framed.png": (50, 60, 300, 380),
        "monochrome1.dcm": (20, 40, 490, 400),
        "tall.png": (0, 100, 520, 640),
        "mirrored.dcm": (20, 40, 490, 400),
        "turned_by_exif.jpg": (100, 40, 980, 800),
        "form_pixel_spacing.dcm": (10, 20, 200, 180),
        next(folder.glob("form_field_black_turned.*")).name: (40, 30, 220, 230),
    }
    upright = {}
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "x0", "y0", "x1", "y1"])
        for name, box in boxes.items():
            shutil.copyfile(folder / name, folder / f"boxed_{name}")
            writer.writerow([f"boxed_{name}", *box])
            upright[f"boxed_{name}"] = upright_box(folder / name, box)
    path.with_suffix(".json").write_text(json.dumps(upright))


def upright_box(path: Path, box: tuple[int, int, int, int]) -> list[float]:
    """`box` of a film in its file's pixels, on the upright film."""
    film = read_film(path)
    record = replace(canonical(film)[1], field=None)
    corners = np.array([(box[0], box[1], 1), (box[2], box[3], 1)]) - [0.5, 0.5, 0]
    moved = (corners @ np.linalg.inv(record.to_stored()).T)[:, :2] + 0.5
    return [*moved.min(axis=0).tolist(), *moved.max(axis=0).tolist()]


def segment(films: Path, boxes: Path, output: Path) -> None:
    """Masks as the bundle makes them."""
    config = ["--config_file", str(ROOT / "configs" / "inference.yaml"), "--bundle_root", str(ROOT)]
    paths = ["--dataset_dir", str(films), "--output_dir", str(output), "--box", str(boxes)]
    command = [sys.executable, "-m", "monai.bundle", "run", *config, *paths, "--backend", "onnxruntime"]
    subprocess.run(command, cwd=ROOT, check=True)


def wobbles(films: Path, results: Path) -> dict[str, float]:
    """Least Dice of six masks of each unsure film, whose grays moved by at most a millionth, with its own mask."""
    with results.open(newline="") as file:
        unsure = [row["file"] for row in csv.DictReader(file) if float(row["expected_dice"]) < UNSURE]
    overrides = {"backend": "onnxruntime", "bundle_root": str(ROOT)}
    parser = ConfigParser(ConfigParser.load_config_file(ROOT / "configs" / "inference.yaml") | overrides)
    network = parser.get_parsed_content("network")
    preprocessing = parser.get_parsed_content("preprocessing")
    least = {}
    for name in unsure:
        image = preprocessing({"image": str(films / name)})["image"].as_tensor()[None]
        masks = []
        for seed in range(7):
            noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(seed)) * 2e-6 - 1e-6
            masks.append(network((image + noise * bool(seed)).clamp(0, 1)) > 0)
        dice = [2 * float((mask & masks[0]).sum() / (mask.sum() + masks[0].sum())) for mask in masks[1:]]
        least[name] = min(dice)
    return least


def write_broken(folder: Path) -> dict[str, str]:
    """Files that are no film, and Python's message without the path."""
    picture = twelve_bit(phantom(0, 64))
    write_dicom(folder / "other_modality.dcm", picture, Modality="CT")
    write_dicom(folder / "three_frames.dcm", np.stack([picture] * 3))
    palettes = {}
    for colour, entries in (("Red", range(256)), ("Green", range(255, -1, -1)), ("Blue", [99] * 256)):
        palettes[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 8]
        palettes[f"{colour}PaletteColorLookupTableData"] = bytes(entries)
    write_dicom(folder / "pseudo_colour.dcm", eight_bit(phantom(0, 64)), "PALETTE COLOR", **palettes)
    empty = dicom_film(picture)
    del empty.PixelData
    empty.save_as(folder / "without_pixels.dcm", enforce_file_format=True)
    whole = write_dicom(folder / "cut_off.dcm", picture).read_bytes()
    (folder / "cut_off.dcm").write_bytes(whole[:-2000])
    Image.fromarray(eight_bit(phantom(1, 128))).save(folder / "cut_off.png")
    (folder / "cut_off.png").write_bytes((folder / "cut_off.png").read_bytes()[:3000])
    Image.fromarray(eight_bit(phantom(1, 128))).save(folder / "damaged.png")
    damaged = bytearray((folder / "damaged.png").read_bytes())
    damaged[2000] ^= 255
    (folder / "damaged.png").write_bytes(damaged)
    (folder / "letter.png").write_text("Dear colleague, please find the film enclosed.")
    (folder / "letter.dcm").write_bytes(b"%PDF-1.4\n" + bytes(range(256)) * 20)
    messages = {}
    for path in sorted(folder.iterdir()):
        try:
            LoadRadiographd("image")({"image": str(path)})
        except BundleError as error:
            messages[path.name] = str(error).removeprefix(f"{path}: ")
    # What Python could read, but the page cannot, or what is too large for either
    unknown = dicom_film(picture)
    unknown.PixelData = encapsulate([b"\0" * 100])
    unknown["PixelData"].VR = "OB"
    unknown.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.201"
    unknown.save_as(folder / "unknown_syntax.dcm", enforce_file_format=True)
    Image.fromarray(eight_bit(phantom(1, 64))).save(folder / "enormous.png")
    header = bytearray((folder / "enormous.png").read_bytes())
    header[16:24] = np.array([60_000, 60_000], ">u4").tobytes()
    (folder / "enormous.png").write_bytes(header)
    Image.fromarray(eight_bit(phantom(1, 64))).convert("CMYK").save(folder / "inks.jpg")
    return messages


def image_step(transform: Callable, image: np.ndarray) -> dict[str, object]:
    result = transform({"image": MetaTensor(torch.from_numpy(image)[None])})["image"]
    return {"input": packed(image), "output": packed(result[0].numpy())}


def intensity_steps(rng: np.random.Generator) -> list[dict[str, object]]:
    images = [
        rng.integers(0, 4096, (37, 53)),
        rng.normal(0, 1000, (64, 41)),
        np.full((9, 8), 7),
        rng.integers(-2000, 60_000, (80, 33)),
        np.where(rng.random((30, 30)) < 0.997, 3, rng.random((30, 30)) * 1e6),
    ]
    return [image_step(ScaleByPercentilesd("image", 0.5, 99.5), image.astype(np.float32)) for image in images]


def letterbox_steps(rng: np.random.Generator) -> list[dict[str, object]]:
    steps = []
    for height, width in ((512, 400), (100, 90), (384, 384), (700, 385), (33, 1000), (769, 768), (1, 50)):
        image = rng.random((height, width)).astype(np.float32)
        framing = Letterboxd("image", 384)
        data = framing({"image": MetaTensor(torch.from_numpy(image)[None])})
        step = {"input": packed(image), "output": packed(data["image"][0].numpy())}
        probability = torch.from_numpy(rng.random((384, 384)).astype(np.float32))
        data["image"].copy_(probability[None])
        back = framing.inverse(data)["image"]
        steps.append({**step, "probability": packed(probability.numpy()), "inverse": packed(back[0].numpy())})
    return steps


def blobs(rng: np.random.Generator, height: int, width: int, share: float) -> np.ndarray:
    """Random smooth shapes that cover `share` of an image."""
    coarse = torch.from_numpy(rng.random((1, 1, 9, 9)).astype(np.float32))
    smooth = F.interpolate(coarse, (height, width), mode="bicubic")[0, 0].numpy()
    return smooth + 0.05 * rng.random((height, width)).astype(np.float32) > np.quantile(smooth, 1 - share)


def mask_steps(rng: np.random.Generator) -> list[dict[str, object]]:
    steps = []
    shapes = ((40, 60), (256, 256), (300, 520), (700, 530))
    cases = [(shape, share) for shape in shapes for share in (0.1, 0.3, 0.6)]
    masks = [blobs(rng, *shape, share) for shape, share in cases]
    masks += [np.zeros((20, 30), dtype=bool), np.ones((20, 30), dtype=bool)]
    two = np.zeros((300, 300), dtype=bool)
    two[50:200, 30:120] = two[60:210, 170:260] = True
    two[100:110, 60:70] = False
    masks.append(two)
    for i, mask in enumerate(masks):
        labels = torch.from_numpy(mask.T.astype(np.uint8).copy())[None]  # MONAI's axis order
        kept = KeepLargestConnectedComponent(applied_labels=[1], num_components=2)(labels)
        filled = FillHolesByComponentd("pred", [1])({"pred": kept})["pred"]
        probability = torch.from_numpy(rng.random(mask.T.shape).astype(np.float32) * 0.15 + mask.T * 0.8)[None]
        expected = (0.99, 0.93, 0.85)[i % 3]
        flagged = QualityFlagsd("pred")({"pred": MetaTensor(filled), "expected_dice": expected})["flags"]
        pose = Pose.numbered(i % 8)
        steps.append(
            {
                "mask": packed(mask),
                "plausible": packed(filled[0].numpy().T),
                "probability": packed(probability[0].numpy().T),
                "expected_dice": expected_dice(probability),
                "assumed_dice": expected,
                "flags": flagged,
                "pose": pose.number,
                "areas": lung_areas(filled[0].numpy(), ("lungs",), (0.7, 0.65), pose),
            }
        )
    return steps


def box_steps(rng: np.random.Generator) -> list[dict[str, object]]:
    steps = []
    for pad in (0, 20):
        film = np.pad(rng.random((120, 200)).astype(np.float32) * 0.9, pad, constant_values=1.0)
        height, width = film.shape
        for box in ((0, 0, width, height), (31, 17, 90.5, 88), (3, 2, 4, 3), (0, 0, 10, 10), (width - 1, 0, width, 5)):
            image = MetaTensor(torch.from_numpy(film.T.copy())[None])
            data = RequestedBoxd("image")({"image": image, "box": list(box)})
            data = Letterboxd("image", 384)(CanonicalFilmd("image")(data))
            steps.append({"film": packed(film), "box": box, "prompt": data["image"].meta[PROMPT_BOX].tolist()})
    return steps


def write_small(films: Path, folder: Path) -> list[Path]:
    """Small films of every kind that needs no browser to decode, and larger ones."""
    rng = np.random.default_rng(5)
    gray = rng.integers(0, 256, (13, 17)).astype(np.uint8)
    deep = rng.integers(0, 65536, (13, 17)).astype(np.uint16)
    Image.fromarray(gray).save(folder / "gray.png")
    Image.fromarray(deep).save(folder / "deep.png")
    Image.fromarray(gray > 128).save(folder / "one_bit.png")
    for bits in (2, 4):
        Image.fromarray(gray >> (8 - bits)).convert("P").save(folder / f"palette_{bits}.png", bits=bits)
    colours = rng.integers(0, 256, (13, 17, 3)).astype(np.uint8)
    Image.fromarray(colours).save(folder / "rgb.png")
    Image.fromarray(np.dstack([colours, gray])).save(folder / "rgba.png")
    Image.fromarray(np.dstack([gray, gray[::-1]])).save(folder / "gray_alpha.png")
    write_dicom(folder / "ybr.dcm", colours, "YBR_FULL")
    write_dicom(folder / "planar.dcm", colours.transpose(2, 0, 1).reshape(13, 17, 3), "RGB", PlanarConfiguration=1)
    write_dicom(folder / "exact_window.dcm", deep, WindowCenter=30000, WindowWidth=20000, VOILUTFunction="LINEAR_EXACT")
    write_dicom(folder / "sigmoid.dcm", deep, WindowCenter=30000, WindowWidth=20000, VOILUTFunction="SIGMOID")
    modality = pydicom.Dataset()
    modality.LUTDescriptor = [200, 20, 16]
    modality.ModalityLUTType = "US"
    modality.add_new("LUTData", "OW", rng.integers(0, 65536, 200).astype(np.uint16).tobytes())
    write_dicom(
        folder / "modality_table.dcm", gray, ModalityLUTSequence=[modality], WindowCenter=20000, WindowWidth=9000
    )
    write_dicom(folder / "padding_range.dcm", deep, PixelPaddingValue=0, PixelPaddingRangeLimit=9000)
    names = ("monochrome1", "two_windows", "signed_rescaled", "lookup_table", "padded", "mirrored", "colour_capture")
    names += ("implicit", "without_preamble", "big_endian", "deflated", "rle", "jpeg_lossless")
    return sorted(folder.iterdir()) + [films / f"{name}.dcm" for name in names] + [films / "without_suffix"]


def main(output: Path, shared: Path | None) -> None:
    shutil.rmtree(output, ignore_errors=True)
    for name in ("films", "broken", "small", "more"):
        (output / name).mkdir(parents=True)
    films = output / "films"
    write_raster(films)
    write_films_in_dicom(films)
    forms = write_forms(films, output / "more")
    write_boxes(films, output / "boxes.csv")
    if shared is not None:
        copy_real_films(shared, films)
    segment(films, output / "boxes.csv", output / "masks")
    (output / "wobble.json").write_text(json.dumps(wobbles(films, output / "masks" / "results.csv"), indent=2))
    (output / "broken.json").write_text(json.dumps(write_broken(output / "broken"), indent=2))
    rng, classifier = np.random.default_rng(11), Classifier.load()
    steps = {
        "films": [film_step(path, output, classifier) for path in [*write_small(films, output / "small"), *forms]],
        "intensity": intensity_steps(rng),
        "letterbox": letterbox_steps(rng),
        "mask": mask_steps(rng),
        "box": box_steps(rng),
        "phantom": packed(eight_bit(generate_phantom(*PHANTOM_OF_THE_PAGE).image)),
    }
    (output / "steps.json").write_text(json.dumps(steps))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
