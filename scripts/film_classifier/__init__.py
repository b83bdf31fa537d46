"""Training of the network that looks at polarity and pose of a film (`scripts.films.looking` runs it)."""

from .checking import check_classifier
from .export import export_classifier
from .network import FilmNetwork
from .pictures import FilmPictures, PictureSet
from .states import StateBatch

__all__ = ["FilmNetwork", "FilmPictures", "PictureSet", "StateBatch", "check_classifier", "export_classifier"]
