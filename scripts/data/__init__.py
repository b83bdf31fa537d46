"""From files on disk to tensors: data lists, splits, transforms and prompts."""

from .datalist import list_images, load_datalist, select, split_by_patient
from .loading import LoadRadiographd
from .output import LabelMapd, SaveMaskd
from .phantom_source import DrawPhantomd, OrganBySeedd, RandOrgand, phantom_seeds
from .prompts import PromptBoxd, PromptedBatch
from .transforms import Letterboxd, MaskChannelsd

__all__ = [
    "DrawPhantomd",
    "LabelMapd",
    "Letterboxd",
    "LoadRadiographd",
    "MaskChannelsd",
    "OrganBySeedd",
    "PromptBoxd",
    "PromptedBatch",
    "RandOrgand",
    "SaveMaskd",
    "list_images",
    "load_datalist",
    "phantom_seeds",
    "select",
    "split_by_patient",
]
