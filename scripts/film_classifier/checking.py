"""How often the classifier is right, on films as they are and in all other states."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..files import write_json
from ..films.canonical import INVERTED, TURNED, canonical
from ..films.looking import BRIGHTEST, DOUBTFUL, POSES, Classifier, consensus
from ..films.pose import UPRIGHT, Pose
from ..films.reading import read_film
from .pictures import FilmPictures, PictureSet
from .states import upright_pictures


def check_classifier(path: str | Path, pictures: FilmPictures, parts: Sequence[str], report: str | Path) -> dict:
    """Try the classifier at `path` on films of `parts`, log what it gets right, and write it to `report`.

    Returns:
        The report: part -> data set -> counts. "films"; "turned_wrongly" and "inverted_wrongly" of these, read from
        their files and all upright; "other_states", fifteen of each film, and how many of them are made upright, also
        if a mirror does not count.
    """
    classifier = Classifier.load(path)
    log = logging.getLogger("film_classifier")
    figures = {}
    for part in parts:
        figures[part] = upright_films(classifier, pictures[part], part)
        for name, row in right_answers(classifier, pictures[part]).items():
            figures[part][name] |= row
            log.info("%s %s: %s", part, name, ", ".join(f"{key} {count}" for key, count in figures[part][name].items()))
    figures["bytes"] = Path(path).stat().st_size
    write_json(report, figures)
    return figures


def upright_films(classifier: Classifier, pictures: PictureSet, name: str) -> dict[str, dict[str, int]]:
    """By data set: films, and what `canonical` does to them although they hang as they should."""
    rows: dict[str, dict[str, int]] = {}
    for dataset, _, source in tqdm(pictures.films, f"Looking at {name} films", unit=" films"):
        row = rows.setdefault(dataset, {"films": 0, "turned_wrongly": 0, "inverted_wrongly": 0})
        row["films"] += 1
        if isinstance(source, str):  # phantoms are no files
            flags = canonical(read_film(source), classifier)[1].flags
            row["turned_wrongly"] += TURNED in flags
            row["inverted_wrongly"] += INVERTED in flags
    return rows


def turned_state(pose: Pose, turn: Pose) -> int:
    """Number of the pose in which a picture is stored that was stored in `pose`, after `turn`."""
    number = np.arange(6).reshape(2, 3)
    shown = turn.upright(pose.stored(number))
    return next(n for n in range(POSES) if np.array_equal(Pose.numbered(n).stored(number), shown))


def right_answers(classifier: Classifier, pictures: PictureSet) -> dict[str, dict[str, int]]:
    """By data set: the other fifteen states, and how many of them are recognised."""
    poses = [Pose.numbered(number) for number in range(POSES)]
    rows: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for (dataset, _, _), image in zip(pictures.films, upright_pictures(pictures)):
        row = rows[dataset]
        picture = (image[0].numpy() * BRIGHTEST + 0.5).astype(np.uint8)
        seen = [  # the picture in each state
            classifier.judge(np.ascontiguousarray(pose.stored(gray)))
            for gray in (picture, BRIGHTEST - picture)
            for pose in poses
        ]
        for state, first in enumerate(seen[1:], start=1):
            pose, negative = poses[state % POSES], state >= POSES
            # A turn of the picture in this state is the picture in another one
            others = [seen[turned_state(pose, turn) + POSES * negative] for turn in poses]
            look = first if first.upright and first.mirror_share < DOUBTFUL else consensus(poses, others)
            turned = look.pose if look.pose != UPRIGHT and look.sure_of_pose(False) else UPRIGHT
            right = (look.inverted and look.sure_of_polarity(False)) == negative
            row["other_states"] += 1
            row["right"] += right and turned == pose
            row["right_but_for_a_mirror"] += right and turned in (pose, pose.then(Pose(flip_columns=True)))
    return {name: dict(row) for name, row in sorted(rows.items())}
