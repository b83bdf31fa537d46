"""The trained classifier in integers, and how often it is right."""

from __future__ import annotations

import io
import logging
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..files import replacing, write_json
from ..films.looking import BRIGHTEST, DOUBTFUL, POSES, SIDE, Classifier, consensus
from ..films.pose import UPRIGHT, Pose
from ..quantization.qparams import quantize, signed_range, symmetric_scale
from .network import FilmNetwork
from .pictures import FilmPictures, PictureSet
from .states import in_states, scaled

LARGEST = 0.9999  # quantile of activations that becomes the largest of their 8 bits
BITS = 8


def export_classifier(
    network: FilmNetwork, pictures: FilmPictures, path: str | Path, report: str | Path
) -> dict[str, object]:
    """Write the integers of `network` to `path` and what they get right on validation and test films to `report`.

    Returns:
        The report: by part and data set, the count of films, of upright films that would be changed (by kind), and of
        turned or inverted ones that are made upright.
    """
    network.eval()
    layers = integer_layers(network, pictures["train"])
    content = io.BytesIO()
    named = {
        f"{name}{n}": part for n, layer in enumerate(layers) for name, part in zip(("weight", "bias", "scale"), layer)
    }
    np.savez_compressed(content, **named)
    with replacing(path) as partial:
        partial.write_bytes(content.getvalue())
    classifier = Classifier(layers)
    figures = {part: right_answers(classifier, pictures[part]) for part in ("validation", "test")}
    figures["bytes"] = len(content.getvalue())
    write_json(report, figures)
    log = logging.getLogger("film_classifier")
    for part in ("validation", "test"):
        for name, row in figures[part].items():
            log.info("%s %s: %s", part, name, ", ".join(f"{key} {value}" for key, value in row.items()))
    return figures


def upright_pictures(pictures: PictureSet) -> torch.Tensor:
    """N x 1 x 64 x 64 as the classifier sees upright films."""
    images = torch.stack([pictures[index]["image"] for index in range(len(pictures))])
    return scaled(nn.functional.interpolate(images, (SIDE, SIDE), mode="area"))


@torch.no_grad()
def integer_layers(network: FilmNetwork, pictures: PictureSet) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(weight, bias, scale) of each layer, see `Classifier`; ranges are calibrated on pictures in random states."""
    generator = torch.Generator().manual_seed(0)
    upright = upright_pictures(pictures)
    values = in_states(upright, torch.randint(2 * POSES, (len(upright),), generator=generator))
    step = 1 / BRIGHTEST
    layers = []
    folded = network.folded()
    for number, (weight, bias) in enumerate(folded):
        scales = symmetric_scale(weight, BITS, axis=0)
        shape = (-1, *[1] * (weight.ndim - 1))
        integers = quantize(weight, scales.view(shape), 0, *signed_range(BITS))
        whole_bias = torch.round(bias.double() / (scales.double() * step))
        if number < len(folded) - 1:
            values = torch.relu(nn.functional.conv2d(values, weight, bias, stride=2, padding=1))
            after = float(np.quantile(values.numpy(), LARGEST)) / BRIGHTEST
            scale = scales.double() * step / after
            step = after
        else:
            scale = scales.double() * step
        layers.append((integers.to(torch.int8).numpy(), whole_bias.to(torch.int32).numpy(), scale.numpy()))
    return layers


def turned_state(pose: Pose, turn: Pose) -> int:
    """Number of the pose in which a picture is stored that was stored in `pose`, after `turn`."""
    number = np.arange(6).reshape(2, 3)
    shown = turn.upright(pose.stored(number))
    return next(n for n in range(POSES) if np.array_equal(Pose.numbered(n).stored(number), shown))


def right_answers(classifier: Classifier, pictures: PictureSet) -> dict[str, dict[str, int]]:
    """By data set: films, what is done to them as they are, and how many of fifteen other states are recognised."""
    rows: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for (dataset, _, _), image in zip(pictures.films, upright_pictures(pictures)):
        row = rows[dataset]
        row["films"] += 1
        picture = (image[0].numpy() * BRIGHTEST + 0.5).astype(np.uint8)
        poses = [Pose.numbered(number) for number in range(POSES)]
        seen = [  # the picture in each state
            classifier.judge(np.ascontiguousarray(pose.stored(gray)))
            for gray in (picture, BRIGHTEST - picture)
            for pose in poses
        ]
        for state, first in enumerate(seen):
            pose, negative = poses[state % POSES], state >= POSES
            # A turn of the picture in this state is the picture in another one
            others = [seen[turned_state(pose, turn) + POSES * negative] for turn in poses]
            look = first if first.upright and first.mirror_share < DOUBTFUL else consensus(poses, others)
            turned = look.pose if look.pose != UPRIGHT and look.sure_of_pose(False) else UPRIGHT
            inverted = look.inverted and look.sure_of_polarity(False)
            if state == 0:
                kind = "mirrored" if turned == Pose(flip_columns=True) else "turned"
                row[f"upright_{kind}_wrongly"] += turned != UPRIGHT
                row["positive_inverted_wrongly"] += inverted
                continue
            row["other_states"] += 1
            row["other_states_right"] += turned == pose and inverted == negative
            row["other_states_right_but_for_a_mirror"] += inverted == negative and turned in (
                pose,
                pose.then(Pose(flip_columns=True)),
            )
    return {name: dict(row) for name, row in sorted(rows.items())}
