"""Data lists: which images, masks and patients a folder holds."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..documents import read_json, read_table
from ..errors import BundleError
from ..files import permitted
from ..films.reading import read_size
from ..films.suffixes import IMAGE_SUFFIXES, image_format, image_stem, image_suffix

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
