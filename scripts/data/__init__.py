"""From files on disk to tensors: data lists, splits, transforms and prompts."""

from .caching import DiskCachedDataset, cached_dataset, rate_within
from .checks import check_files
from .datalist import list_images, load_datalist
from .film_artefacts import RandDustd, RandMarkersd, RandTubesd
from .film_surrounds import RandSurroundd
from .film_tones import RandNarrowWindowd, RandToneCurved
from .loaders import EachOnce, ImageLoader, TrainingLoader
from .loading import CanonicalFilmd, LoadRadiographd, ScaleByPercentilesd
from .phantom_source import DrawPhantomd, OrganBySeedd, RandOrgand, phantom_seeds
from .prompts import PromptBoxd, PromptedBatch, RequestedBoxd, with_boxes
from .splits import Split, check_split, parts_in_use, select, split_by_patient, split_ids
from .tolerant import TolerantLoader
from .transforms import Letterboxd, MaskChannelsd, RandLocalContrastd

__all__ = [
    "CanonicalFilmd",
    "DiskCachedDataset",
    "DrawPhantomd",
    "EachOnce",
    "ImageLoader",
    "Letterboxd",
    "LoadRadiographd",
    "MaskChannelsd",
    "OrganBySeedd",
    "PromptBoxd",
    "PromptedBatch",
    "RandDustd",
    "RandLocalContrastd",
    "RandMarkersd",
    "RandNarrowWindowd",
    "RandOrgand",
    "RandSurroundd",
    "RandToneCurved",
    "RandTubesd",
    "RequestedBoxd",
    "ScaleByPercentilesd",
    "Split",
    "TolerantLoader",
    "TrainingLoader",
    "cached_dataset",
    "check_files",
    "check_split",
    "list_images",
    "load_datalist",
    "parts_in_use",
    "phantom_seeds",
    "rate_within",
    "select",
    "split_by_patient",
    "split_ids",
    "with_boxes",
]
