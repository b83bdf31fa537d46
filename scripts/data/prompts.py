"""Prompt boxes: where they come from and how they reach the network."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Randomizable

from ..documents import read_table
from ..errors import BundleError
from ..files import name_below

PROMPT_BOX = "prompt_box"  # in an image's metadata: float32 [x0, y0, x1, y1] in pixels of the image as it is now
CORNERS = ("x0", "y0", "x1", "y1")


def bounding_box(mask: torch.Tensor) -> tuple[float, float, float, float] | None:
    """Box [x0, y0, x1, y1] in pixels around all non-zero pixels of a C x H x W mask, or None if there are none.

    x1 and y1 are exclusive, so that the box of a full mask is [0, 0, W, H].
    """
    rows = mask.amax(dim=(0, 2)).nonzero()
    columns = mask.amax(dim=(0, 1)).nonzero()
    if len(rows) == 0:
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1]) + 1, float(rows[-1]) + 1


def clip_box(box: np.ndarray, width: int, height: int, minimum: float = 2.0) -> np.ndarray:
    """Bring a box into the image and keep it at least `minimum` pixels wide and high, or as large as the image is."""
    limit = np.array([width, height], dtype=np.float64)
    minimum = np.minimum(minimum, limit)
    low = np.clip(np.minimum(box[:2], box[2:]), 0, limit - minimum)
    high = np.clip(np.maximum(box[:2], box[2:]), low + minimum, limit)
    return np.concatenate([low, high])


def carry_box(image: torch.Tensor, matrix: np.ndarray) -> None:
    """Carry the prompt box of a C x H x W image along, if it has one, when its pixels went to other places.

    Args:
        image: as it is now.
        matrix: 3 x 3 from (x, y, 1) of the image as it was to those of the image as it is; centres of pixels are whole.
    """
    if isinstance(image, MetaTensor) and PROMPT_BOX in image.meta:
        x0, y0, x1, y1 = np.asarray(image.meta[PROMPT_BOX], dtype=np.float64)
        corners = np.array([(x0, y0), (x1, y0), (x0, y1), (x1, y1)]) - 0.5
        moved = corners @ matrix[:2, :2].T + matrix[:2, 2] + 0.5
        height, width = image.shape[1:]
        box = clip_box(np.concatenate([moved.min(axis=0), moved.max(axis=0)]), width, height)
        image.meta[PROMPT_BOX] = torch.as_tensor(box, dtype=torch.float32)


class PromptBoxd(MapTransform, Randomizable):
    """Add a prompt box: the mask's bounding box, jittered, or else the whole image.

    A true "whole_image" in the data asks for the whole image.

    Args:
        keys: one key, the C x H x W mask the box is taken from.
        box_key: where the box goes, float32 tensor [x0, y0, x1, y1] in pixels of the mask.
        probability: of a box around the mask; otherwise, and where the mask is empty, the box is the whole image.
        jitter: largest displacement of each side in pixels, uniform (20 in AdaLoRA-QAT at 512 px).
    """

    def __init__(
        self, keys: KeysCollection, box_key: str = "boxes", probability: float = 1.0, jitter: float = 0.0
    ) -> None:
        super().__init__(keys)
        if not 0 <= probability <= 1:
            raise BundleError(f"box probability must lie in 0..1, got {probability}")
        if jitter < 0:
            raise BundleError(f"box jitter must not be negative, got {jitter}")
        self.box_key = box_key
        self.probability = probability
        self.jitter = jitter

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = dict(data)
        for key in self.key_iterator(d):
            height, width = d[key].shape[1:]
            boxed = self.R.random() < self.probability and not d.get("whole_image", False)
            box = bounding_box(d[key] > 0.5) if boxed else None
            if box is None:
                box = np.array([0, 0, *[max(height, width)] * 2])  # what the network takes for the whole image
            else:
                box = clip_box(np.array(box) + self.R.uniform(-self.jitter, self.jitter, 4), width, height)
            d[self.box_key] = torch.as_tensor(box, dtype=torch.float32)
        return d


class RequestedBoxd(MapTransform):
    """Take the box that a request or a list of boxes puts beside an image as the prompt of that image.

    The box goes to `meta["prompt_box"]`, from where the framing transforms carry it into the network's frame.

    Args:
        keys: one key, 1 x W x H `MetaTensor` as `LoadRadiographd` loads it.
        box_keys: entries that may hold the box [x0, y0, x1, y1] in the file's own pixels, x1 and y1 exclusive; the
            first that is there and not empty counts.

    Raises:
        BundleError: not four finite numbers, x1 <= x0 or y1 <= y0, or not within the image.
    """

    def __init__(self, keys: KeysCollection, box_keys: Sequence[str] = ("box", "roi")) -> None:
        super().__init__(keys)
        self.box_keys = tuple(box_keys)

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        d = dict(data)
        name = next((name for name in self.box_keys if d.get(name) not in (None, "", [])), None)
        if name is not None:
            for key in self.key_iterator(d):
                width, height = d[key].shape[1:]
                d[key].meta[PROMPT_BOX] = torch.tensor(checked_box(d[name], width, height, name), dtype=torch.float32)
        return d


def checked_box(box: object, width: int, height: int, name: str = "box") -> list[float]:
    """`box` as four numbers [x0, y0, x1, y1] within an image of `width` x `height` pixels, or `BundleError`."""
    try:
        # A string of digits is no list of numbers, nor is a truth value.
        values = [] if isinstance(box, str | bytes) else [float(value) for value in box if not isinstance(value, bool)]
    except (TypeError, ValueError):
        values = []
    if len(values) != 4 or not np.isfinite(values).all():
        raise BundleError(f"{name} {box!r}: expected four numbers [x0, y0, x1, y1] in pixels of the image")
    x0, y0, x1, y1 = values
    if x1 <= x0 or y1 <= y0:
        raise BundleError(f"{name} {box!r}: x1 must be greater than x0, and y1 greater than y0")
    if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
        raise BundleError(f"{name} {box!r}: reaches out of the image of {width} x {height} pixels")
    return values


def with_boxes(items: Sequence[Mapping], boxes: Sequence[float] | str | Path | None, root: str | Path) -> list[dict]:
    """Put a prompt box under "box" of images.

    Args:
        items: dictionaries with "image", a path.
        boxes: one box [x0, y0, x1, y1] for all; or a CSV file with the columns file, x0, y0, x1, y1, where images that
            it does not list get no box; or None for no boxes.
        root: folder that the names under "file" start from.

    Raises:
        BundleError: the CSV file is missing or lacks a column, or names a file twice or one that is not in `items`.
    """
    if boxes is None:
        return [dict(item) for item in items]
    if not isinstance(boxes, str | Path):
        return [dict(item, box=boxes) for item in items]
    listed = read_boxes(boxes)
    names = [str(name_below(item["image"], root)) for item in items]
    unknown = sorted(set(listed) - set(names))
    if unknown:
        raise BundleError(f"{boxes}: {unknown[0]} is no image below {root}")
    return [dict(item, box=listed[name]) if name in listed else dict(item) for item, name in zip(items, names)]


def read_boxes(path: str | Path) -> dict[str, list[str]]:
    """Boxes by file of a CSV table, unchecked, or `BundleError`."""
    if not os.path.isfile(path):
        raise BundleError(f"{path}: no such table of boxes")
    rows = [row for _, row in read_table(path, ("file", *CORNERS))]
    repeated = [name for name, count in Counter(row["file"] for row in rows).items() if count > 1]
    if repeated:
        raise BundleError(f"{path}: {repeated[0]} has more than one box; one box an image")
    return {row["file"]: [row[name] for name in CORNERS] for row in rows}


class PromptedBatch:
    """`prepare_batch` of MONAI's engines that hands the prompt boxes to the network.

    Args:
        image_key, label_key: entries of the batch, B x 1|3 x S x S and B x C x S x S; the label may be absent.
        box_key: entry with B x 4 boxes; where it is absent the network is prompted with the whole image.
    """

    def __init__(self, image_key: str = "image", label_key: str = "label", box_key: str = "boxes") -> None:
        self.image_key = image_key
        self.label_key = label_key
        self.box_key = box_key

    def __call__(
        self,
        batchdata: Mapping[str, torch.Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs,
    ) -> tuple:
        """Return (image, label or None, (boxes,) or (), {}), on `device`."""

        def on_device(key: str):
            value = batchdata.get(key)
            return None if value is None else value.to(device=device, non_blocking=non_blocking, **kwargs)

        boxes = on_device(self.box_key)
        return on_device(self.image_key), on_device(self.label_key), () if boxes is None else (boxes,), {}
