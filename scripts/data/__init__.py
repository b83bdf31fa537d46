"""From files on disk to tensors: data lists, splits, transforms and prompts."""

from .checks import check_files
from .datalist import check_split, list_images, load_datalist, select, split_by_patient, split_ids
from .loading import LoadRadiographd
from .output import FillHolesByComponentd, LabelMapd, SaveMaskd
from .phantom_source import DrawPhantomd, OrganBySeedd, RandOrgand, phantom_seeds
from .prompts import PromptBoxd, PromptedBatch
from .transforms import Letterboxd, MaskChannelsd, RandLocalContrastd

__all__ = [
    "DrawPhantomd",
    "FillHolesByComponentd",
    "LabelMapd",
    "Letterboxd",
    "LoadRadiographd",
    "MaskChannelsd",
    "OrganBySeedd",
    "PromptBoxd",
    "PromptedBatch",
    "RandLocalContrastd",
    "RandOrgand",
    "SaveMaskd",
    "check_files",
    "check_split",
    "list_images",
    "load_datalist",
    "phantom_seeds",
    "select",
    "split_by_patient",
    "split_ids",
]
