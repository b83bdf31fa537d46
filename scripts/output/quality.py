"""How far a mask can be trusted without a reference, and what looks wrong with it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from scipy import ndimage

from ..data.loading import film_record
from ..films.canonical import HEART_ON_THE_RIGHT, INVERTED, TURNED

# The last three come from the film's record, see `scripts.films.canonical`
FLAGS = (
    "nothing_found",
    "one_lung",
    "touches_border",
    "low_confidence",
    "not_a_chest_film",
    TURNED,
    INVERTED,
    HEART_ON_THE_RIGHT,
)


def expected_dice(probability: torch.Tensor) -> float:
    """Dice that the network itself expects of its mask: 2 sum(p m) / (sum(p) + sum(m)), m = [p > 0.5].

    Args:
        probability: C x H x W; the most probable class counts. Of large films every few pixels are taken.

    Returns:
        Between 0 and 1; 0 where no pixel is above 0.5.
    """
    step = coarsening(probability.shape[1:])
    foreground = probability[:, ::step, ::step].amax(dim=0)
    mask = foreground > 0.5
    return float(2 * foreground[mask].sum() / (foreground.sum() + mask.sum())) if mask.any() else 0.0


def coarsening(shape: Sequence[int]) -> int:
    """Every how many pixels of a film are enough to judge its mask: at least 256 along the shorter side remain."""
    return max(1, min(shape) // 256)


class ExpectedDiced(MapTransform):
    """Put `expected_dice` of probabilities under "expected_dice".

    Args:
        keys: one key, C x H x W probabilities.
    """

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, object]:
        d = dict(data)
        for key in self.key_iterator(d):
            d["expected_dice"] = expected_dice(d[key])
        return d


class QualityFlagsd(MapTransform):
    """Put a list of `FLAGS` under "flags".

    - nothing_found: the mask is empty.
    - one_lung: the second largest part is small beside the largest (only where all lungs are one class).
    - touches_border: the film, or its exposed field, may be cropped.
    - low_confidence: the network expects a low Dice of its own mask.
    - not_a_chest_film: it expects a very low one, or a low one of a mask that is not two parts within the film.
    - turned_by_content, inverted_by_content: the file did not say so, but the picture shows it.
    - heart_on_the_right: the picture looks mirrored, but the file says where right is.

    docs/segmenting_films.md says how often each is raised, on films and on other pictures.

    Args:
        keys: one key, 1 x W x H label maps; "expected_dice" is there already.
        one_class: whether all lungs are one class.
        low: expected Dice below which confidence is low.
        very_low: below which the film is doubted whatever the mask looks like.
        second: least area of the second part over that of the first.
        border: largest share of the film's border within the mask; ten times as much also casts doubt on the film.
    """

    def __init__(
        self,
        keys: KeysCollection,
        one_class: bool = True,
        low: float = 0.95,
        very_low: float = 0.9,
        second: float = 0.15,
        border: float = 0.01,
    ) -> None:
        super().__init__(keys)
        self.one_class = one_class
        self.low, self.very_low = low, very_low
        self.second, self.border = second, border

    def __call__(self, data: Mapping[Hashable, MetaTensor]) -> dict[Hashable, object]:
        d = dict(data)
        for key in self.key_iterator(d):
            mask, record = d[key][0].cpu().numpy(), film_record(d[key].meta)
            if record is not None and record.field is not None:
                mask = record.apply(mask.T).T
            step = coarsening(mask.shape)
            d["flags"] = self.flags(mask[::step, ::step] > 0.5, d["expected_dice"])
            d["flags"] += record.flags if record is not None else ()
        return d

    def flags(self, mask: np.ndarray, expected: float) -> list[str]:
        """Flags of a W x H boolean mask."""
        if not mask.any():
            return ["nothing_found", "low_confidence", "not_a_chest_film"]
        single = self.one_class and second_part(mask) < self.second
        border = border_share(mask)
        doubted = expected < self.very_low or (expected < self.low and (single or border > 10 * self.border))
        raised = {
            "one_lung": single,
            "touches_border": border > self.border,
            "low_confidence": expected < self.low,
            "not_a_chest_film": doubted,
        }
        return [name for name in FLAGS if raised.get(name)]


def second_part(mask: np.ndarray) -> float:
    """Area of the second largest connected part over that of the largest."""
    components, count = ndimage.label(mask)
    areas = np.sort(np.bincount(components.ravel(), minlength=3)[1:])
    return float(areas[-2] / areas[-1]) if count > 1 else 0.0


def border_share(mask: np.ndarray) -> float:
    """Share of the outermost pixels that lie in the mask."""
    edges = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    return float(edges.mean())
