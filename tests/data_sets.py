"""Small folders in the layouts of published data sets, drawn from phantoms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from dicom_files import write_dicom
from PIL import Image

from scripts.phantoms import generate_phantom

DRAWN = 64  # phantoms are drawn at this size and scaled: the layouts are what is tested


def film(seed: int, size: int) -> np.ndarray:
    """Size x size grays in 0..1, bone bright."""
    image = Image.fromarray(generate_phantom(seed, DRAWN).image)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC)).clip(0, 1)


def organs(seed: int, size: int) -> np.ndarray:
    """Size x size labels: 1 right lung, 2 left lung, 3 heart."""
    labels = Image.fromarray(generate_phantom(seed, DRAWN).labels)
    return np.asarray(labels.resize((size, size), Image.Resampling.NEAREST))


def lungs(seed: int, size: int) -> np.ndarray:
    return np.isin(organs(seed, size), (1, 2))


def save(path: Path, array: np.ndarray, mode: str = "L") -> None:
    """Booleans become 0 and 255, grays in 0..1 their 8 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.asarray(array, dtype=np.float32) * 255).round().astype(np.uint8)).convert(mode).save(path)


def encoded(mask: np.ndarray) -> str:
    """Relative runs of a mask, pixel by pixel down its columns."""
    runs, gap, length = [], 0, 0
    for pixel in mask.T.ravel().tolist():
        if pixel:
            length += 1
        elif length:
            runs += [gap, length]
            gap, length = 1, 0
        else:
            gap += 1
    return " ".join(map(str, runs + ([gap, length] if length else [])))


def jsrt_scr(root: Path, seeds: list[int]) -> None:
    """Words of 12 bits, air bright; masks of half the size."""
    for i, seed in enumerate(seeds):
        name = f"JPC{'LN'[i % 2]}N{i + 1:03d}"
        words = 4095 - (film(seed, 2048) * 4095).round().astype(">u2")
        (root / "All247images").mkdir(parents=True, exist_ok=True)
        (root / "All247images" / f"{name}.IMG").write_bytes(words.astype(">u2").tobytes())
        for value, organ in enumerate(("right lung", "left lung", "heart", "left clavicle", "right clavicle"), start=1):
            save(
                root / "scratch" / f"fold{1 + i % 2}" / "masks" / organ / f"{name}.gif",
                organs(seed, 1024) == value,
                "P",
            )


def qata_cov19(root: Path, seeds: list[int]) -> None:
    for i, seed in enumerate(seeds):
        folder = root / "QaTa-COV19-v2" / ("Test Set" if i == 0 else "Train Set")
        # The last two films are of one patient
        patient = min(i, len(seeds) - 2)
        name = f"covid_{i}.png" if i < 2 else f"sub-S{patient:05d}_ses-E{i:05d}_run-1_bp-chest_vp-ap_dx.png"
        save(folder / "Images" / name, film(seed, 224))
        save(folder / "Ground-truths" / f"mask_{name}", organs(seed, 224) == 2)


def covid19_radiography(root: Path, seeds: list[int]) -> None:
    """Masks are RGB and smaller than the films."""
    for i, seed in enumerate(seeds):
        kind, name = (("COVID", "COVID"), ("Viral Pneumonia", "Viral Pneumonia"), ("Normal", "Normal"))[i % 3]
        folder = root / "COVID-19_Radiography_Dataset" / kind
        save(folder / "images" / f"{name}-{i + 1}.png", film(seed, 299))
        save(folder / "masks" / f"{name}-{i + 1}.png", lungs(seed, 256), "RGB")
    (root / "COVID-19_Radiography_Dataset" / "COVID.metadata.xlsx").write_bytes(b"PK")


def pneumothorax_png(root: Path, seeds: list[int]) -> None:
    for i, seed in enumerate(seeds):
        name = f"{i}_{'test' if i == 0 else 'train'}_{i % 2}_.png"
        save(root / "siim-acr-pneumothorax" / "png_images" / name, film(seed, 256))
        save(root / "siim-acr-pneumothorax" / "png_masks" / name, (organs(seed, 256) == 1) & (i % 2 == 1))
    (root / "siim-acr-pneumothorax" / "stage_1_train_images.csv").write_text("new_filename,ImageId,has_pneumo\n")


def siim_acr(root: Path, seeds: list[int]) -> None:
    """Every other film has two rows of runs."""
    lines = ["ImageId, EncodedPixels"]
    for i, seed in enumerate(seeds):
        name = f"1.2.276.0.7230010.3.1.4.8323329.{i}"
        folder = root / "dicom-images-train" / f"1.2.{i}" / f"1.2.3.{i}"
        folder.mkdir(parents=True)
        pixels = (film(seed, 1024) * 255).round().astype(np.uint8)
        write_dicom(folder / f"{name}.dcm", pixels, PatientID=f"p{i}")
        labels = organs(seed, 1024)
        runs = [encoded(labels == 1), f'"{encoded(labels == 2)}"'] if i % 2 else ["-1"]  # quoted or not
        lines += [f"{name}, {text}" for text in runs]
    (root / "train-rle.csv").write_text("\n".join(lines) + "\n")


def covid_qu_ex(root: Path, seeds: list[int], part: str = "Lung", masks: tuple[str, ...] = ("lung masks",)) -> None:
    for i, seed in enumerate(seeds):
        kind, name = (("COVID-19", "covid_{}"), ("Non-COVID", "non_COVID ({})"), ("Normal", "Normal ({})"))[i % 3]
        split = ("Train", "Val", "Test")[i % 3]
        folder = root / f"{part} Segmentation Data" / f"{part} Segmentation Data" / split / kind
        save(folder / "images" / f"{name.format(i + 1)}.png", film(seed, 256))
        for index, folder_of_masks in enumerate(masks):
            mask = lungs(seed, 256) if index == 0 else organs(seed, 256) == 2
            save(folder / folder_of_masks / f"{name.format(i + 1)}.png", mask)


def covid_qu_ex_infection(root: Path, seeds: list[int]) -> None:
    covid_qu_ex(root, seeds, "Infection", ("lung masks", "infection masks"))


# Layout -> what writes its folder, and how many films that takes a reasonable time for
FOLDERS = {
    "jsrt_scr": (jsrt_scr, 3),
    "qata_cov19": (qata_cov19, 6),
    "covid19_radiography": (covid19_radiography, 6),
    "pneumothorax_png": (pneumothorax_png, 6),
    "siim_acr": (siim_acr, 3),
    "covid_qu_ex": (covid_qu_ex, 6),
    "covid_qu_ex_infection": (covid_qu_ex_infection, 6),
}
