"""Splits by patient: how a data list is parted into train, validation and test, and the record of it."""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..documents import read_json
from ..errors import BundleError
from ..films.suffixes import image_stem
from .datalist import check_pair, load_datalist

PARTS = ("train", "validation", "test")


def split_by_patient(items: Sequence[Mapping], fractions: Mapping[str, float], seed: int = 0) -> dict[str, list[dict]]:
    """Split into train, validation and test so that no patient stands in two parts, per data set.

    Items with a "part" keep it. Whole patients are drawn in seeded order until a part has its share of images. Where an
    item names a "group" (see `scripts.datasets`: patients with copies of an image in common), that is drawn in place of
    the patient, and goes to one part in all data sets.

    Args:
        items: from `load_datalist`.
        fractions: share of each part, positive or 0, adding up to 1.
        seed: of the draw.

    Raises:
        BundleError: fractions that do not fit, or a patient or group fixed in two parts.
    """
    shares = list(fractions.values()) if isinstance(fractions, Mapping) and set(fractions) <= set(PARTS) else [-1]
    numbers = all(isinstance(share, int | float) and share >= 0 for share in shares)
    if not numbers or abs(sum(shares) - 1) > 1e-6:
        raise BundleError(f"split fractions must name {', '.join(PARTS)} and add up to 1, got {fractions}")
    parts: dict[str, list[dict]] = {part: [] for part in PARTS}
    free: dict[str, list[dict]] = defaultdict(list)
    fixed: dict[str, str] = {}
    first: dict[str, str] = {}  # image that fixed it
    for item in items:
        part = item.get("part")
        if not part:
            free[item["dataset"]].append(dict(item))
            continue
        if part not in PARTS:
            raise BundleError(f"{item['id']}: unknown part {part!r}; known: {', '.join(PARTS)}")
        unit = _unit(item)
        first.setdefault(unit, item["id"])
        if fixed.setdefault(unit, part) != part:
            kind = "group" if item.get("group") else "patient"
            raise BundleError(f"{kind} {unit!r} stands in {fixed[unit]} ({first[unit]}) and in {part} ({item['id']})")
        parts[part].append(dict(item))
    for name in sorted(free):
        for part, members in _draw_patients(free[name], fractions, f"{seed}/{name}", fixed).items():
            parts[part].extend(members)
            fixed |= {item["group"]: part for item in members if item.get("group")}  # for the data sets to come
    # Where the source fixes every part it may do without a test part.
    needed = [part for part, share in fractions.items() if share > 0 and (free or part != "test")]
    empty = [part for part in needed if not parts[part]]
    if empty:
        raise BundleError(f"the {empty[0]} part is empty: {len(items)} images are too few for {dict(fractions)}")
    return parts


class Split(Mapping):
    """`split_by_patient` of a `load_datalist`, read and drawn when a part is first asked for.

    A host that brings its own data (MONAI Label) never asks, and has no such folder.

    Args:
        dataset_dir, datasets: see `load_datalist`.
        fractions, seed: see `split_by_patient`.
    """

    def __init__(
        self,
        dataset_dir: str | Path,
        fractions: Mapping[str, float],
        datasets: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        self.source = (dataset_dir, datasets)
        self.draw = {"fractions": fractions, "seed": seed}
        self.parts: dict[str, list[dict]] | None = None  # None until asked for

    def __getitem__(self, part: str) -> list[dict]:
        if self.parts is None:
            self.parts = split_by_patient(load_datalist(*self.source), **self.draw)
        return self.parts[part]

    def __iter__(self):
        return iter(PARTS)

    def __len__(self) -> int:
        return len(PARTS)


def parts_in_use(split: Split, train: Sequence[Mapping], validation: Sequence[Mapping]) -> dict[str, list[dict]]:
    """The parts that a run really trains and validates on, with the ids that its record needs.

    Args:
        split: gives the test part, unless its data were never asked for.
        train, validation: from `split`, or of a host (MONAI Label): dictionaries with image and label. Such an image
            is named after its file and is taken for a patient of its own.

    Raises:
        BundleError: a part is empty, an image of a host stands in both, or image and mask are of different sizes.
    """
    parts = {"train": list(map(named, train)), "validation": list(map(named, validation))}
    for part, members in parts.items():
        if not members:
            raise BundleError(f"the {part} part is empty; label more images, or change the share for validation")
    both = {item["id"] for item in parts["train"]} & {item["id"] for item in parts["validation"]}
    if both:
        raise BundleError(f"{min(both)}: stands in train and in validation")
    return {**parts, "test": [] if split.parts is None else split["test"]}


def named(item: Mapping[str, str]) -> dict[str, str]:
    """An item with an id: its own, or its file's stem once `check_pair` has passed."""
    if "id" not in item:
        check_pair(item)
    return {"id": image_stem(item["image"]), **item}


def split_ids(split: Mapping[str, Sequence[Mapping]]) -> dict[str, list[str]]:
    """The ids of each part: what a run records of its split."""
    return {part: [item["id"] for item in members] for part, members in split.items()}


def check_split(split: Mapping[str, Sequence[Mapping]], record: str | Path) -> None:
    """Raise `BundleError` if `split` trains on images that stage 1 did not train on according to `record`.

    Stage 2 run alone draws its split anew: with another seed or other data it could be another one, and an evaluation
    would take what the record lacks for unseen.
    """
    if not Path(record).is_file():
        logging.getLogger("data").warning("%s: no record of stage 1's split, so it cannot be compared", record)
        return
    recorded = read_record(record)
    trained = set(recorded.get("train", ()))
    others = [item["id"] for item in split["train"] if item["id"] not in trained]
    if others:
        held_back = any(others[0] in recorded.get(part, ()) for part in ("validation", "test"))
        raise BundleError(
            f"{record}: stage 1 {'held back' if held_back else 'did not have'} {others[0]}, but it would be trained on "
            f"now ({len(others)} images in all); run stage 2 with the data sets, fractions and seed of stage 1"
        )


def select(items: Sequence[Mapping], part: str | None = None, record: str | Path | None = None) -> list[dict]:
    """Mark each item with the part it had in a recorded split, and keep one part.

    An item that the record lacks has the part of another one of its group: a copy of a training image is not unseen.

    Args:
        items: from `load_datalist`.
        part: "train", "validation", "test", "unseen" (in none of them), or None for all.
        record: file of `split_ids`; without it all items are unseen.

    Raises:
        BundleError: no item is left.
    """
    known: dict[str, str] = {}
    if record is not None and Path(record).is_file():
        known = {name: key for key, names in read_record(record).items() for name in names}
    groups = {item["group"]: known[item["id"]] for item in items if item.get("group") and item["id"] in known}
    marked = [dict(item, part=known.get(item["id"]) or groups.get(item.get("group"), "unseen")) for item in items]
    kept = [item for item in marked if part is None or item["part"] == part]
    if not kept:
        raise BundleError(f"no image belongs to the part {part!r}; parts here: {sorted({m['part'] for m in marked})}")
    return kept


def read_record(path: str | Path) -> dict[str, list[str]]:
    """The content of a file of `split_ids`."""
    content = read_json(path)
    if not isinstance(content, Mapping) or not all(isinstance(names, list) for names in content.values()):
        raise BundleError(f"{path}: holds no split; expected lists of ids under {', '.join(PARTS)}")
    return dict(content)


def _unit(item: Mapping) -> str:
    """What a split must not divide: the group of an item, or its patient."""
    return item.get("group") or item["patient"]


def _draw_patients(
    items: list[dict], fractions: Mapping[str, float], seed: str, fixed: Mapping[str, str]
) -> dict[str, list[dict]]:
    """Assign whole patients or groups; each goes to the part that is furthest below its share."""
    patients: dict[str, list[dict]] = defaultdict(list)
    for item in items:
        patients[_unit(item)].append(item)
    order = sorted(patients)
    random.Random(seed).shuffle(order)
    drawn: dict[str, list[dict]] = {part: [] for part in fractions}
    for patient in order:
        part = fixed.get(patient) or max(
            fractions, key=lambda name: fractions[name] * len(items) - len(drawn[name]) if fractions[name] else -1e9
        )
        drawn.setdefault(part, []).extend(patients[patient])
    return drawn
