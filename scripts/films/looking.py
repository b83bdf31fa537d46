"""Polarity and pose of a film by looking at it: a small convolutional network in integers.

It answers with sixteen probabilities: which of eight poses would make the film upright, and whether it is a negative.
`scripts.looking` trains it (configs/looking.yaml).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import BundleError
from .pose import UPRIGHT, Pose
from .resampling import thumbnail

SIDE = 64  # of the picture that is looked at, in pixels
SMALLEST = 8  # side of a film in pixels below which there is nothing to see
POSES = 8
WEIGHTS = Path(__file__).resolve().parents[2] / "models" / "film_classifier.npz"
BRIGHTEST = 255  # activations are 8 bits
PERCENTILES = (1, 99)
# Least confidence at which it acts. Chosen on validation films; a mirror shows in the heart alone, and hearts differ.
SURE_OF_TURN, SURE_OF_MIRROR, SURE_OF_NEGATIVE = 0.9, 0.9, 0.9
DOUBTFUL = 0.5  # probability of a mirror from which on it takes a second look
BEYOND_DOUBT = 0.99  # where the file says otherwise


@dataclass(frozen=True)
class Look:
    """What a film looks like.

    Attributes:
        probability: of sixteen states, number of the pose + 8 for a negative; they sum to 1.
    """

    probability: np.ndarray

    @cached_property
    def pose(self) -> Pose:
        """What would most probably make the film upright.

        Of a turn and its mirror image, the turn is taken, unless the heart is surely on the other side: films are
        turned every day, and mirrored now and then.
        """
        turned, mirrored = self._pair
        return Pose.numbered(mirrored if self.mirror_share >= SURE_OF_MIRROR else turned)

    @cached_property
    def _poses(self) -> np.ndarray:
        return self.probability[:POSES] + self.probability[POSES:]

    @cached_property
    def _pair(self) -> tuple[int, int]:
        """Numbers of the most probable turn and of the pose that is its mirror image."""
        pair = 2 * int(self._poses.reshape(-1, 2).sum(axis=1).argmax())
        return (pair + 1, pair) if Pose.numbered(pair).mirrors else (pair, pair + 1)

    @property
    def mirror_share(self) -> float:
        """Probability that the most probable turn goes with a mirror."""
        turned, mirrored = self._pair
        return float(self._poses[mirrored] / max(self._poses[turned] + self._poses[mirrored], 1e-12))

    @property
    def pose_confidence(self) -> float:
        """Probability of the turn, mirrored or not."""
        return float(self._poses[list(self._pair)].sum())

    @property
    def negative(self) -> float:
        """Probability of a negative."""
        return float(self.probability[POSES:].sum())

    @property
    def inverted(self) -> bool:
        return self.negative > 0.5

    @property
    def polarity_confidence(self) -> float:
        return max(self.negative, 1 - self.negative)

    @property
    def upright(self) -> bool:
        """Whether nothing needs to be done."""
        return self.pose == UPRIGHT and not self.inverted

    def sure_of_polarity(self, stated: bool) -> bool:
        """Whether to change the polarity, `stated` by the file or not."""
        return self.polarity_confidence >= (BEYOND_DOUBT if stated else SURE_OF_NEGATIVE)

    def sure_of_pose(self, stated: bool) -> bool:
        """Whether to change the pose, `stated` by the file or not."""
        return self.pose_confidence >= (BEYOND_DOUBT if stated else SURE_OF_TURN)


UNSURE = Look(np.eye(2 * POSES)[0])


class Classifier:
    """The network, in NumPy: integers in, integers between its layers.

    Args:
        layers: (weight, bias, multiplier) of each: int8 O x I x 3 x 3, int32 O, float64 O. A 3 x 3 convolution of
            stride 2 with zeros around, then `multiplier` and rounding to 8 bits; the last one's weight is O x I and
            ends in logits.
    """

    def __init__(self, layers: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
        self.layers = layers
        # In floating point, whose products of matrices are fast: all numbers are whole and below 2 ** 24, so exact
        self.weights = [weight.reshape(len(weight), -1).T.astype(np.float32) for weight, _, _ in layers[:-1]]
        self.weights.append(layers[-1][0].T.astype(np.float64))

    @classmethod
    def load(cls, path: str | Path = WEIGHTS) -> Classifier:
        """The network in the file at `path`.

        Raises:
            BundleError: it is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                count = len(file.files) // 3
                return cls([tuple(file[f"{name}{n}"] for name in ("weight", "bias", "scale")) for n in range(count)])
        except (OSError, EOFError, KeyError, ValueError) as error:
            raise BundleError(
                f"{path}: cannot be read as the classifier of films ({error}); without one: --film_classifier null"
            ) from error

    def look(self, film: np.ndarray) -> Look:
        """Look at an H x W film in any grays; one that does not seem upright is looked at in all eight poses."""
        if min(film.shape) < SMALLEST:
            return UNSURE
        picture = picture_of(film)
        first = self.judge(picture)
        return first if first.upright and first.mirror_share < DOUBTFUL else self.agreed(picture)

    def agreed(self, picture: np.ndarray) -> Look:
        """What looking at a 64 x 64 picture in each of the eight poses comes to: the mean of the answers."""
        turns = [Pose.numbered(number) for number in range(POSES)]
        return consensus(turns, [self.judge(np.ascontiguousarray(turn.upright(picture))) for turn in turns])

    def judge(self, picture: np.ndarray) -> Look:
        """Look at a 64 x 64 picture of 8 bits."""
        logits = self.logits(picture)
        odds = np.exp(logits - logits.max())
        return Look(odds / odds.sum())

    def logits(self, picture: np.ndarray) -> np.ndarray:
        """Sixteen numbers for a 64 x 64 picture of 8 bits."""
        values = picture[None].astype(np.float32)
        for (weight, bias, scale), matrix in zip(self.layers[:-1], self.weights):
            total = patches(values) @ matrix + bias
            values = np.floor(total * scale + 0.5).clip(0, BRIGHTEST).astype(np.float32)
            side = int(round(len(values) ** 0.5))
            values = values.T.reshape(len(weight), side, side)
        _, bias, scale = self.layers[-1]
        return (values.reshape(-1).astype(np.float64) @ self.weights[-1] + bias) * scale


def consensus(turns: Sequence[Pose], looks: Sequence[Look]) -> Look:
    """What looks at a picture after different `turns` come to together: their mean."""
    total = np.zeros(2 * POSES)
    for turn, look in zip(turns, looks):
        # What makes the turned picture upright, after the turn, makes the picture upright
        after = np.array([turn.then(Pose.numbered(state)).number for state in range(POSES)])
        total[after] += look.probability[:POSES]
        total[after + POSES] += look.probability[POSES:]
    return Look(total / len(looks))


def patches(values: np.ndarray) -> np.ndarray:
    """C x S x S -> (S / 2)^2 x 9 C: what a 3 x 3 convolution of stride 2 with zeros around sees."""
    channels, side, _ = values.shape
    padded = np.zeros((channels, side + 2, side + 2), dtype=values.dtype)
    padded[:, 1:-1, 1:-1] = values
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2]
    return windows[:, : side // 2, : side // 2].transpose(1, 2, 0, 3, 4).reshape(side * side // 4, channels * 9)


def picture_of(film: np.ndarray) -> np.ndarray:
    """64 x 64 uint8 picture of an H x W film, stretched to a square."""
    small = np.ascontiguousarray(thumbnail(film, 2 * SIDE), dtype=np.float32)
    low, high = np.percentile(small, PERCENTILES)
    picture = np.asarray(Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BOX))
    share = (picture - low) / max(float(high - low), 1e-6)
    return (share * BRIGHTEST + 0.5).clip(0, BRIGHTEST).astype(np.uint8)


@cache
def classifier_at(path: str) -> Classifier:
    """`Classifier.load`, once for each path."""
    return Classifier.load(path)
