"""Small pictures of films that hang as they should, for the classifier to learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset
from tqdm import tqdm

from ..data.splits import PARTS, read_record, split_by_patient
from ..documents import read_table
from ..errors import BundleError
from ..films.canonical import canonical
from ..films.reading import read_film
from ..films.resampling import thumbnail
from ..films.suffixes import image_stem
from ..phantoms import generate_phantom

PICTURE_SIDE = 96  # a half more than is looked at, so that turned and shifted pictures stay sharp


class FilmPictures(Mapping):
    """Parts of pictures: "train", "validation", "test" -> `PictureSet`, by patient, read when they are first asked for.

    Args:
        dataset_dirs: folders with a `manifest.csv` (columns image and, optionally, dataset, id, patient); masks are not
            needed. Every film must hang upright and be no negative.
        record: `split.json` of the segmentation network; films that it lists stay in their parts.
        fractions: shares of the parts among all other films, drawn by patient.
        seed: of the draw.
        phantoms: drawn in addition, by their own seeds, in the same shares.
    """

    def __init__(
        self,
        dataset_dirs: Sequence[str | Path],
        record: str | Path,
        fractions: Mapping[str, float],
        seed: int = 0,
        phantoms: int = 0,
    ) -> None:
        parts = {name: part for part, names in read_record(record).items() for name in names}
        items = [item for folder in dataset_dirs for item in listed_films(folder)]
        if not items:
            raise BundleError(f"no films listed in {', '.join(map(str, dataset_dirs))}")
        for item in items:
            if item["id"] in parts:
                item["part"] = parts[item["id"]]
        split = split_by_patient(items, fractions, seed)
        self.films: dict[str, list[tuple[str, str, str | int]]] = {}
        first = 0
        for part in PARTS:
            self.films[part] = [(item["dataset"], item["id"], item["image"]) for item in split[part]]
            count = round(phantoms * fractions[part])
            self.films[part] += [("phantom", f"phantom_{number}", number) for number in range(first, first + count)]
            first += count
        self.parts: dict[str, PictureSet] = {}

    def __getitem__(self, part: str) -> PictureSet:
        if part not in self.parts:
            self.parts[part] = PictureSet(self.films[part], part)
        return self.parts[part]

    def __iter__(self):
        return iter(PARTS)

    def __len__(self) -> int:
        return len(PARTS)


class PictureSet(Dataset):
    """Pictures in memory: {"image": 1 x 96 x 96 float32 in [0, 1], "dataset": name, "id": name}."""

    def __init__(self, films: Sequence[tuple[str, str, str | int]], name: str) -> None:
        self.films = list(films)
        bar = tqdm(self.films, f"Reading {name} films", unit=" films")
        self.pictures = np.stack([small_picture(source) for _, _, source in bar])

    def __len__(self) -> int:
        return len(self.films)

    def __getitem__(self, index: int) -> dict[str, object]:
        dataset, name, _ = self.films[index]
        image = torch.from_numpy(self.pictures[index]).float()[None] / 255
        return {"image": image, "dataset": dataset, "id": name}


def listed_films(folder: str | Path) -> list[dict[str, str]]:
    """Films of a manifest."""
    root = Path(folder)
    items = []
    for _, row in read_table(root / "manifest.csv", ("image",)):
        name = row.get("id") or image_stem(row["image"])
        items.append(
            {
                "image": str(root / row["image"]),
                "id": name,
                "dataset": row.get("dataset") or root.name,
                "patient": row.get("patient") or name,
            }
        )
    return items


def small_picture(source: str | int) -> np.ndarray:
    """96 x 96 uint8 of the exposed field of the film at a path, or of the phantom of a seed, stretched to a square."""
    if isinstance(source, int):
        values = generate_phantom(9_000_000 + source, 2 * PICTURE_SIDE).image
    else:
        values, _ = canonical(read_film(source))
    small = np.ascontiguousarray(thumbnail(values, 2 * PICTURE_SIDE), dtype=np.float32)
    low, high = np.percentile(small, (0.5, 99.5))
    picture = Image.fromarray(small).resize((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BOX)
    share = (np.asarray(picture) - low) / max(float(high - low), 1e-6)
    return (share * 255 + 0.5).clip(0, 255).astype(np.uint8)
