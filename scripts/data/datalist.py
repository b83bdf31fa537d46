"""Data lists: which images, masks and patients a folder holds, and how they are split."""

from __future__ import annotations

import logging
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..documents import read_json, read_table
from ..errors import BundleError
from ..files import permitted
from .loading import IMAGE_SUFFIXES, image_format, image_stem, image_suffix, read_size

PARTS = ("train", "validation", "test")
DATALIST_SECTIONS = {"training": "train", "validation": "validation", "test": "test"}


def list_images(folder: str | Path, exclude: str | Path | None = None) -> list[dict]:
    """Every image in `folder` (or in its `images/`), also in subfolders, as {"image": path, "id": relative stem}.

    DICOM files need no suffix. Links are followed, once to each folder. Other files are counted and logged.

    Args:
        folder: to look in.
        exclude: folder whose files are left out: the masks of an earlier run that wrote into `folder`.

    Raises:
        BundleError: the folder is missing, it or one below it may not be read, it holds no image, or two whose masks
            would have one name.
    """
    root = _folder(folder)
    root = root / "images" if (root / "images").is_dir() else root
    files = _files_below(root)
    if exclude is not None and os.path.realpath(exclude) != os.path.realpath(root):
        files = [path for path in files if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(exclude))]
    paths, others = [], []
    for path in files:
        (paths if image_format(path) else others).append(path)
    if others:
        logging.getLogger("data").warning("%s: %d files are no images, first: %s", root, len(others), others[0])
    if not paths:
        raise BundleError(f"{root}: no images ({', '.join(IMAGE_SUFFIXES)}) in this folder")
    named: dict[str, Path] = {}
    for path in paths:
        name = (path.relative_to(root).parent / image_stem(path)).as_posix()
        if name in named:
            raise BundleError(f"{path}: same name as {named[name]}; one mask would replace the other, rename one")
        named[name] = path
    return [{"image": str(path), "id": name} for name, path in named.items()]


def _files_below(root: Path) -> list[Path]:
    """Every file below `root`, and links that lead nowhere, which are found out when they are read."""

    def refuse(error: OSError) -> None:
        raise BundleError(f"{error.filename}: cannot be read ({error.strerror})") from error

    files, seen = [], set()
    for folder, names, found in os.walk(root, onerror=refuse, followlinks=True):
        seen.add(os.path.realpath(folder))
        names[:] = [name for name in names if os.path.realpath(os.path.join(folder, name)) not in seen]
        files += [Path(folder, name) for name in found]
    return sorted(files)


def load_datalist(dataset_dir: str | Path, datasets: Sequence[str] | None = None) -> list[dict]:
    """Images with masks below `dataset_dir`, checked.

    The folder holds a `manifest.csv` (columns image and mask, relative to it; optional id, dataset, patient, part,
    group, target; further columns are kept), a MONAI `datalist.json` (sections training, validation, test with image
    and label), or `images/` and `masks/` paired by file stem.

    Args:
        dataset_dir: the folder.
        datasets: names in the manifest's dataset column to keep; None keeps all, unless their masks show different
            targets.

    Returns:
        Dictionaries with image, label, id, dataset, patient and, where the source fixes it, part.

    Raises:
        BundleError: names the first file, id or column at fault.
    """
    root = _folder(dataset_dir)
    if isinstance(datasets, str) or not isinstance(datasets, Sequence | None):
        raise BundleError(f"datasets {datasets!r}: expected a list of names")
    if (root / "manifest.csv").is_file():
        items = _read_manifest(root / "manifest.csv")
    elif (root / "datalist.json").is_file():
        items = _read_decathlon(root / "datalist.json")
    elif (root / "images").is_dir():
        items = _pair_folders(root)
    else:
        raise BundleError(f"{root}: holds neither manifest.csv nor datalist.json nor images/ with masks/")
    if datasets is not None:
        unknown = sorted(set(datasets) - {item["dataset"] for item in items})
        if unknown:
            raise BundleError(f"{root}: no data set named {unknown[0]!r}; it has {_names(items)}")
        items = [item for item in items if item["dataset"] in datasets]
    targets = {item["target"]: item["dataset"] for item in reversed(items) if item.get("target")}
    if datasets is None and len(targets) > 1:
        sets = ", ".join(f"the {target} in {name}" for target, name in sorted(targets.items()))
        raise BundleError(
            f"{root}: masks show {sets}; choose what to mix: --datasets \"['...']\"; it has {_names(items)}"
        )
    if not items:
        raise BundleError(f"{root}: no images listed")
    repeated = [name for name, count in Counter(item["id"] for item in items).items() if count > 1]
    if repeated:
        raise BundleError(f"{root}: the id {repeated[0]!r} stands more than once; ids must be unique")
    owners: dict[str, str] = {}
    for item in items:
        if owners.setdefault(item["image"], item["patient"]) != item["patient"]:
            raise BundleError(
                f"{item['image']}: is listed for the patients {owners[item['image']]!r} and {item['patient']!r}"
            )
    for item in items:
        check_pair(item)
    return items


def check_pair(item: Mapping[str, str]) -> None:
    """Raise `BundleError` unless image and mask exist, have readable headers and are of one size."""
    image_size, mask_size = read_size(item["image"]), read_size(item["label"])
    if image_size != mask_size:
        raise BundleError(
            f"{item['label']}: mask is {mask_size[0]} x {mask_size[1]} pixels but its image {item['image']} is "
            f"{image_size[0]} x {image_size[1]}"
        )


def split_by_patient(
    items: Sequence[Mapping], fractions: Mapping[str, float], seed: int = 0, record: str | Path | None = None
) -> dict[str, list[dict]]:
    """Split into train, validation and test so that no patient stands in two parts, per data set.

    Items with a "part" keep it. Whole patients are drawn in seeded order until a part has its share of images. Where an
    item names a "group" (see `scripts.datasets`: patients with copies of an image in common), that is drawn in place of
    the patient, and goes to one part in all data sets.

    Args:
        items: from `load_datalist`.
        fractions: share of each part, positive or 0, adding up to 1.
        seed: of the draw.
        record: file of `split_ids`; if it exists, the parts are taken from it (a resumed run), so that no test image
            becomes a training one.

    Raises:
        BundleError: fractions that do not fit, a patient or group fixed in two parts, or images that the record lacks.
    """
    if record is not None and Path(record).is_file():
        return _recorded_split(items, record)
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
        fractions, seed, record: see `split_by_patient`.
    """

    def __init__(
        self,
        dataset_dir: str | Path,
        fractions: Mapping[str, float],
        datasets: Sequence[str] | None = None,
        seed: int = 0,
        record: str | Path | None = None,
    ) -> None:
        self.source = (dataset_dir, datasets)
        self.draw = {"fractions": fractions, "seed": seed, "record": record}
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
    """Raise `BundleError` if `split` trains on images that stage 1 held back according to `record`.

    Stage 2 run alone draws its split anew: with another seed or other data it could be another one.
    """
    if not Path(record).is_file():
        logging.getLogger("data").warning("%s: no record of stage 1's split, so it cannot be compared", record)
        return
    recorded = read_record(record)
    held_back = {name for part in ("validation", "test") for name in recorded.get(part, ())}
    leaked = [item["id"] for item in split["train"] if item["id"] in held_back]
    if leaked:
        raise BundleError(
            f"{record}: stage 1 held {leaked[0]} back, but it would be trained on now ({len(leaked)} images in all); "
            "run stage 2 with the data sets, fractions and seed of stage 1"
        )


def read_record(path: str | Path) -> dict[str, list[str]]:
    """The content of a file of `split_ids`."""
    content = read_json(path)
    if not isinstance(content, Mapping) or not all(isinstance(names, list) for names in content.values()):
        raise BundleError(f"{path}: holds no split; expected lists of ids under {', '.join(PARTS)}")
    return dict(content)


def _recorded_split(items: Sequence[Mapping], record: str | Path) -> dict[str, list[dict]]:
    """The parts that `record` names, in its order; it must hold exactly the ids of `items`."""
    known, recorded = {item["id"]: item for item in items}, read_record(record)
    listed = {name for names in recorded.values() for name in names}
    for name in [*known, *listed]:
        if name not in known or name not in listed:
            where, lacks = ("the data", record) if name in known else (record, "the data")
            raise BundleError(
                f"{record}: {name} is in {where} but not in {lacks}; resume with the data of the first run"
            )
    # The order decides which image an index means, and with it what a resumed run draws.
    return {part: [dict(known[name], part=part) for name in recorded.get(part, ())] for part in PARTS}


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


def _folder(path: str | Path) -> Path:
    root = Path(path)
    if not os.path.isdir(root):
        raise BundleError(f"{root}: no such folder; pass --dataset_dir")
    if not permitted(root, os.R_OK | os.X_OK):
        raise BundleError(f"{root}: cannot be read (Permission denied)")
    return root


def _names(items: Iterable[Mapping]) -> str:
    return ", ".join(sorted({item["dataset"] for item in items}))


def _read_manifest(path: Path) -> list[dict]:
    items = []
    for line, row in read_table(path, ("image", "mask")):
        if not row["image"] or not row["mask"]:
            raise BundleError(f"{path}, line {line}: image and mask must both be given")
        image, mask = (_listed_file(path.parent, row[column]) for column in ("image", "mask"))
        name = row.get("id") or image_stem(image)
        items.append(
            dict(
                {key: value for key, value in row.items() if key != "mask"},
                image=str(image),
                label=str(mask),
                id=name,
                dataset=row.get("dataset") or path.parent.name,
                patient=row.get("patient") or name,
            )
        )
    return items


def _listed_file(root: Path, name: str) -> Path:
    """The file that a list in `root` names; backslashes, as Windows has them, part folders where no such name is."""
    if "\\" in name and not os.path.exists(root / name):
        name = name.replace("\\", "/")
    return root / name


def _read_decathlon(path: Path) -> list[dict]:
    content = read_json(path)
    if not isinstance(content, Mapping):
        raise BundleError(f"{path}: expected the sections {', '.join(DATALIST_SECTIONS)}")
    items = []
    for section, part in DATALIST_SECTIONS.items():
        entries = content.get(section) or []
        if not isinstance(entries, list):
            raise BundleError(f"{path}: {section!r} must be a list of entries with image and label")
        if section == "test" and not any(isinstance(entry, Mapping) and "label" in entry for entry in entries):
            continue  # Decathlon's test section lists images without labels
        for number, entry in enumerate(entries):
            files = [entry.get(key) for key in ("image", "label")] if isinstance(entry, Mapping) else [None]
            if not all(isinstance(file, str) and file for file in files):
                raise BundleError(f"{path}: entry {number} of {section!r} needs image and label, each one file")
            image, label = (_listed_file(path.parent, file) for file in files)
            name = str(entry.get("id") or image_stem(image))
            named = {"id": name, "patient": str(entry.get("patient") or name)}
            dataset = str(entry.get("dataset") or path.parent.resolve().name)
            items.append(dict(entry, image=str(image), label=str(label), dataset=dataset, **named))
            # The training section alone is free to be split; beside others it is what they leave.
            if part != "train" or content.get("validation"):
                items[-1]["part"] = part
    return items


def _pair_folders(root: Path) -> list[dict]:
    images, masks = _by_stem(root / "images"), _by_stem(_folder(root / "masks"))
    unpaired = sorted(set(images) - set(masks))
    if unpaired:
        raise BundleError(f"{images[unpaired[0]]}: no mask of this name in {root / 'masks'}")
    orphans = sorted(set(masks) - set(images))
    if orphans:
        raise BundleError(f"{masks[orphans[0]]}: no image of this name in {root / 'images'}")
    name = root.resolve().name
    return [
        {"image": str(images[stem]), "label": str(masks[stem]), "id": stem, "dataset": name, "patient": stem}
        for stem in sorted(images)
    ]


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    try:
        paths = sorted(path for path in folder.iterdir() if not path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise BundleError(f"{folder}: cannot be read ({error.strerror})") from error
    for path in paths:
        if not image_suffix(path):
            raise BundleError(f"{path}: unknown image suffix; supported: {', '.join(IMAGE_SUFFIXES)}")
        stem = image_stem(path)
        if stem in found:
            raise BundleError(f"{path}: same stem as {found[stem]}; stems pair images with masks and must be unique")
        found[stem] = path
    if not found:
        raise BundleError(f"{folder}: no images in this folder")
    return found
