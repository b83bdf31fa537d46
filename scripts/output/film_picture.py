"""What a server shows of a film."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path

from monai.config import KeysCollection
from monai.transforms import MapTransform

from ..data.loading import loaded_film
from ..films.canonical import canonical
from ..films.looking import classifier_at
from ..films.picture import film_picture


class FilmPictured(MapTransform):
    """Turn each film into the picture that a person expects, with the way back to the file's own pixels.

    "result", which becomes the JSON part of the answer, gets

    - "size": [width, height] of the film as its file holds it;
    - "to_file", "field": see `scripts.films.picture.FilmPicture`; field is null where all of the film was exposed;
    - "film": what values, pose, spacing and field were taken from, in words; and "flags", what was decided by looking.

    Args:
        keys: one key, 1 x W x H as `LoadRadiographd` loads it; becomes H x W uint8.
        classifier: file of the network that looks at polarity and pose, as for `CanonicalFilmd`.
        longest_side: of the picture in pixels, at most.
    """

    def __init__(self, keys: KeysCollection, classifier: str | Path | None = None, longest_side: int = 2048) -> None:
        super().__init__(keys)
        self.classifier = None if classifier is None else str(classifier)
        self.longest_side = longest_side

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        d = dict(data)
        for key in self.key_iterator(d):
            film = loaded_film(d[key])
            values, record = canonical(film, classifier_at(self.classifier) if self.classifier else None)
            shown = film_picture(film, values, record, self.longest_side)
            d["result"] = {
                "size": [record.width, record.height],
                "to_file": shown.to_file.tolist(),
                "field": None if shown.field is None else shown.field.tolist(),
                "film": record.described(),
                "flags": list(record.flags),
            }
            d[key] = shown.pixels
        return d
