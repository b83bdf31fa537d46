"""Films and masks as tensors: thin wrappers of `scripts.films`."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from pathlib import Path

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform

from ..errors import BundleError
from ..films.affine import ROWS_FIRST, film_affine, planar
from ..films.canonical import canonical
from ..films.film import StoredFilm
from ..films.intensity import percentiles
from ..films.looking import classifier_at
from ..films.pose import Pose
from ..films.reading import read_film
from ..films.record import Record
from .prompts import carry_box

TINY = float(np.finfo(np.float32).tiny)
FILM = "film"  # in an image's metadata: its `Record` as plain values


class LoadRadiographd(MapTransform):
    """Load files as 1 x W x H float32 `MetaTensor` in MONAI's axis order and in the file's own pixel order.

    PNG, JPEG, BMP and TIFF (8 and 16 bit, gray or colour), 2D NIfTI, and DICOM (see `scripts.films.reading`). The
    metadata hold what the file says of the film, "pixel_spacing", (row, column) in mm, and a true affine.

    Args:
        keys: entries of the data dictionary that hold a path.
        allow_missing_keys: skip absent keys (inference has no masks).

    Raises:
        BundleError: a file is missing, of unknown suffix, damaged, too large, not one gray 2D image, or holds NaN or
            infinite values; names the file.
    """

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.load_one(str(d[key]))
        return d

    def load_one(self, path: str) -> MetaTensor:
        """Load the file at `path`: 1 x W x H."""
        film = read_film(path)
        meta = film_meta(film) | {"filename_or_obj": path, "original_channel_dim": float("nan")}
        # A view: turning a film over in memory takes longer than scaling it
        return MetaTensor(torch.from_numpy(film.values.T)[None], meta=meta)


def film_meta(film: StoredFilm) -> dict[str, object]:
    """What a file says of its film, in plain values that batches can hold."""
    affine = film.affine if film.affine is not None else film_affine(film.spacing, film.pose, film.values.shape)
    meta: dict[str, object] = {
        "affine": affine,
        "original_affine": affine,
        "space": "RAS",
        "spatial_shape": np.asarray(film.values.shape[::-1]),
        "pose": -1 if film.pose is None else film.pose.number,
        "collimation": "" if film.collimation is None else ",".join(map(repr, film.collimation.ravel().tolist())),
    }
    plain = ("values_source", "polarity_known", "pose_source", "aspect", "aspect_source", "collimation_source")
    meta |= {name: getattr(film, name) for name in plain}
    if film.spacing is not None:
        meta |= {"pixel_spacing": np.array(film.spacing), "spacing_source": film.spacing_source}
    return meta


def loaded_film(image: MetaTensor) -> StoredFilm:
    """The film of a 1 x W x H image of `LoadRadiographd`."""
    meta = image.meta
    pose = int(meta.get("pose", -1))
    corners = meta.get("collimation") or ""
    plain = ("values_source", "polarity_known", "pose_source", "aspect", "aspect_source", "collimation_source")
    return StoredFilm(
        values=image.as_tensor()[0].cpu().numpy().T,
        pose=None if pose < 0 else Pose.numbered(pose),
        collimation=np.array([float(value) for value in corners.split(",")]).reshape(-1, 2) if corners else None,
        spacing=pixel_spacing(meta),
        spacing_source=meta.get("spacing_source", ""),
        **{name: meta[name] for name in plain if name in meta},
    )


def pixel_spacing(meta: Mapping[str, object]) -> tuple[float, float] | None:
    """(row, column) spacing in mm from the metadata of a loaded image, or None where its file does not say."""
    if "pixel_spacing" not in meta:
        return None
    row, column = (float(value) for value in np.asarray(meta["pixel_spacing"]).ravel())
    return row, column


def film_record(meta: Mapping[str, object]) -> Record | None:
    """The record of a canonical film, or None for an image that is none."""
    return Record.of(meta[FILM]) if FILM in meta else None


class CanonicalFilmd(MapTransform, InvertibleTransform):
    """Bring films into the canonical frame: upright, square pixels, the exposed field; 1 x W x H -> 1 x H' x W'.

    The record stands in the image's metadata under "film". The inverse takes C x H' x W' probabilities back to the
    file's own pixel order, C x W x H, with 0 outside the exposed field.

    Args:
        keys: the film first, then masks, which follow its record; C x W x H as `LoadRadiographd` loads them.
        classifier: file of the network that looks at polarity and pose (`scripts.films.looking`); None believes the
            file.
        allow_missing_keys: skip absent keys.

    Raises:
        BundleError: the classifier cannot be read, or a mask has another size than its film.
    """

    def __init__(
        self, keys: KeysCollection, classifier: str | Path | None = None, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.classifier = None if classifier is None else str(classifier)
        if self.classifier is not None:
            classifier_at(self.classifier)  # that it can be read is known before the first film
        # Names of cached results depend on what the network is, not on where it lies
        self.classifier_digest = classifier and hashlib.sha256(Path(classifier).read_bytes()).hexdigest()

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = dict(data)
        record = None
        for key in self.key_iterator(d):
            image = d[key]
            if record is None:
                look = classifier_at(self.classifier) if self.classifier else None
                values, record = canonical(loaded_film(image), look)
                result = torch.from_numpy(values)[None]
            else:
                self.check_size(image, record)
                channels = [record.apply(channel.numpy().T) for channel in image.as_tensor().float()]
                result = torch.from_numpy(np.stack(channels))
            d[key] = MetaTensor(result, meta=dict(image.meta), applied_operations=list(image.applied_operations))
            matrix = record.to_stored()
            d[key].affine = torch.as_tensor(np.asarray(image.affine) @ planar(matrix) @ ROWS_FIRST)
            d[key].meta[FILM] = record.as_dict()
            carry_box(d[key], np.linalg.inv(matrix))
            self.push_transform(d, key, extra_info=record.as_dict())
        return d

    def check_size(self, mask: MetaTensor, record: Record) -> None:
        width, height = mask.shape[1:]
        if (height, width) != (record.height, record.width):
            path = mask.meta.get("filename_or_obj", "mask")
            raise BundleError(
                f"{path}: mask is {width} x {height} pixels but its image is {record.width} x {record.height}"
            )

    def inverse(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = dict(data)
        for key in self.key_iterator(d):
            record = Record.of(self.pop_transform(d, key)["extra_info"])
            channels = [record.restore(channel).T for channel in d[key].as_tensor().float().cpu().numpy()]
            result = torch.from_numpy(np.stack(channels)).to(d[key].device)
            meta = dict(d[key].meta, affine=torch.as_tensor(np.asarray(d[key].meta["original_affine"])))
            d[key] = MetaTensor(result, meta=meta, applied_operations=d[key].applied_operations)
        return d


class ScaleByPercentilesd(MapTransform):
    """Scale images so that two percentiles become 0 and 1, and clip what lies beyond.

    What MONAI's `ScaleIntensityRangePercentilesd` does, in a seventh of the time: it orders all pixels twice, while
    here those of integer values, as X-rays have, are counted.

    Args:
        keys: C x H x W images.
        lower: percentile that becomes 0, within [0, 100].
        upper: percentile that becomes 1. Where both are equal, what is above becomes 1 and the rest 0.
    """

    def __init__(self, keys: KeysCollection, lower: float, upper: float) -> None:
        super().__init__(keys)
        if not 0 <= lower < upper <= 100:
            raise ValueError(f"percentiles must be 0 <= lower < upper <= 100, got {lower} and {upper}")
        self.percents = (lower, upper)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = dict(data)
        for key in self.key_iterator(d):
            plain = d[key].as_tensor() if isinstance(d[key], MetaTensor) else d[key]
            low, high = percentiles(plain.cpu().numpy(), self.percents)
            scaled = (plain.float() - low).div_(max(high - low, TINY)).clamp_(0.0, 1.0)
            if isinstance(d[key], MetaTensor):
                scaled = MetaTensor(scaled, meta=d[key].meta, applied_operations=d[key].applied_operations)
            d[key] = scaled
        return d
