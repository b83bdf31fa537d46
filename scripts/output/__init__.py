"""What becomes of a prediction: label maps, quality flags, files, and the table of a folder run."""

from .answer import Answerd
from .film_picture import FilmPictured
from .label_maps import FillHolesByComponentd, LabelMapd
from .quality import ExpectedDiced, QualityFlagsd
from .results import Results
from .save import SaveMaskd

__all__ = [
    "Answerd",
    "ExpectedDiced",
    "FillHolesByComponentd",
    "FilmPictured",
    "LabelMapd",
    "QualityFlagsd",
    "Results",
    "SaveMaskd",
]
