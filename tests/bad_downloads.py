"""What the rows of bad_inputs.yaml that run `prepare` are made of: downloads, layouts and lists with one fault each."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml
from bad_input_files import data, gray, pairs, png_bytes, write_manifest
from PIL import Image

from scripts.datasets import prepare

LAYOUT = {
    "dataset": "ward",
    "target": "lung",
    "images": {"pattern": r"images/(?P<id>film\d+)\.png"},
    "masks": {"lungs": r"masks/(?P<id>film\d+)\.png"},
}
TABLE = {"pattern": r"runs\.csv", "id": "ImageId", "runs": "Runs", "none": "-1", "height": 64, "width": 64}


def layout(folder: Path, name: str, content: object) -> dict[str, str]:
    """A layout, as text, bytes or keys, in a folder of configs of its own."""
    path = folder / "bundle" / "configs" / "layouts" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, (str, bytes)) else yaml.safe_dump(content)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return {"bundle_root": str(folder / "bundle"), "layout": name}


def ward(folder: Path) -> dict[str, str]:
    """A download that is whole, and its layout."""
    pairs(folder / "data", 3)
    return layout(folder, "ward", LAYOUT)


def prepared(folder: Path, change: Callable[[np.ndarray], np.ndarray] | None = None, **settings) -> dict[str, str]:
    """The same, its masks changed, with the manifest that an earlier run made of it."""
    given = ward(folder)
    for path in (folder / "data" / "masks").iterdir() if change else ():
        path.write_bytes(png_bytes(change(np.asarray(Image.open(path)))))
    path = folder / "bundle" / "configs" / "layouts" / "ward.yaml"
    prepare(path, folder / "data", folder / "out", distance=8, correlation=0.97, **settings)
    return given


# Downloads


@data
def download(folder):
    return prepared(folder)


@data
def download_of_nothing(folder):
    given = prepared(folder)
    (folder / "empty").mkdir()
    return given | {"source": str(folder / "empty")}


@data
def download_without_masks(folder):
    given = prepared(folder)
    (folder / "data" / "masks").rename(folder / "data" / "labels")
    return given


@data
def download_that_may_not_be_read(folder):
    (folder / "data" / "images" / "ward").mkdir(mode=0, parents=True)
    return ward(folder)


@data
def download_with_broken_files(folder):
    given = ward(folder)
    for name in ("images/film00.png", "masks/film01.png"):
        (folder / "data" / name).write_bytes((folder / "data" / name).read_bytes()[:60])
    (folder / "data" / "images" / "film07.png").symlink_to("film07.png")
    return given


@data
def download_of_broken_films(folder):
    given = prepared(folder)
    for path in (folder / "data" / "images").iterdir():
        path.write_bytes(b"")
    return given


@data
def download_with_names_of_bytes(folder):
    given = ward(folder)
    (folder / "data" / os.fsdecode(b"R\xf6ntgen.txt")).write_text("a list of films")
    return given


@data
def download_made_with_a_threshold(folder):
    return prepared(folder, lambda mask: np.where(np.arange(64) == 3, 17, mask).astype(np.uint8), threshold=127)


@data
def download_to_a_locked_folder(folder):
    given = prepared(folder)
    (folder / "out").chmod(0o555)
    return given


@data
def download_to_a_file(folder):
    (folder / "out").write_text("no folder")
    return ward(folder)


# Layouts


def mine(folder: Path, content: object) -> dict[str, str]:
    """A layout of a user's own, beside one that an earlier run went by."""
    return prepared(folder) | layout(folder, "mine", content)


@data
def layout_cut_off(folder):
    return mine(folder, "dataset: ward\nimages: {pattern: 'images")


@data
def layout_that_is_a_list(folder):
    return mine(folder, [LAYOUT])


@data
def empty_layout(folder):
    return mine(folder, "")


@data
def latin_layout(folder):
    return mine(folder, (yaml.safe_dump(LAYOUT) + "finding: fr\xfch\n").encode("latin-1"))


@data
def layout_with_code(folder):
    return mine(folder, f"dataset: !!python/object/apply:os.system ['touch {folder}/ran']\n")


@data
def layout_with_an_unknown_key(folder):
    return mine(folder, LAYOUT | {"mask": LAYOUT["masks"]})


@data
def layout_without_a_target(folder):
    return mine(folder, {key: value for key, value in LAYOUT.items() if key != "target"})


@data
def layout_of_another_target(folder):
    return mine(folder, LAYOUT | {"target": "heart"})


@data
def layout_with_a_list_of_masks(folder):
    return mine(folder, LAYOUT | {"masks": list(LAYOUT["masks"].values())})


@data
def layout_with_a_word_of_yaml(folder):
    """YAML reads NO as false."""
    return mine(folder, yaml.safe_dump(LAYOUT) + "findings: {NO: normal}\n")


@data
def layout_with_a_bad_pattern(folder):
    return mine(folder, LAYOUT | {"masks": {"lungs": "(?P<id>film[.png"}})


@data
def layout_without_an_id(folder):
    return mine(folder, LAYOUT | {"images": {"pattern": r"images/film\d+\.png"}})


@data
def layout_of_another_folder(folder):
    return mine(folder, LAYOUT | {"dataset": "../../models"})


@data
def layout_of_raw_words(folder):
    raw = {"height": 64, "width": 64, "dtype": "words", "bits": 12}
    return mine(folder, LAYOUT | {"images": {**LAYOUT["images"], "raw": raw}})


# Tables of masks


def table(folder: Path, text: str | bytes) -> dict[str, str]:
    """A download whose masks stand in a table."""
    given = mine(folder, {**{key: value for key, value in LAYOUT.items() if key != "masks"}, "mask_table": TABLE})
    (folder / "data" / "runs.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return given


@data
def latin_table_of_masks(folder):
    return table(folder, "ImageId,Runs,Grad\nfilm00,-1,fr\xfch\n".encode("latin-1"))


@data
def table_of_masks_with_semicolons(folder):
    return table(folder, "ImageId;Runs\nfilm00;-1\n")


@data
def table_of_masks_without_rows(folder):
    return table(folder, "ImageId, Runs\n")


@data
def table_of_masks_cut_off(folder):
    return table(folder, "ImageId, Runs\nfilm00, -1\nfilm01, -1\nfilm0")


@data
def table_of_masks_of_words(folder):
    return table(folder, "ImageId, Runs\nfilm00, lung\nfilm01, lung\nfilm02, lung\n")


# Lists that earlier runs wrote, or a user


def beside(folder: Path, write: Callable[[Path], object]) -> None:
    """A download, and a file that stands where the command writes."""
    pairs(folder / "data", 3)
    (folder / "out").mkdir()
    write(folder / "out")


@data
def latin_manifest_to_add_to(folder):
    rows = [{"image": "a.png", "mask": "b.png", "patient": "M\xfcller"}]
    beside(folder, lambda out: write_manifest(out, rows, "latin-1"))


@data
def manifest_with_semicolons_to_add_to(folder):
    beside(folder, lambda out: (out / "manifest.csv").write_text("image;mask\na.png;b.png\n"))


@data
def manifest_with_a_shorter_line_to_add_to(folder):
    beside(folder, lambda out: (out / "manifest.csv").write_text("image,mask,id\na.png,b.png\n"))


@data
def manifest_without_a_mask_to_add_to(folder):
    beside(folder, lambda out: (out / "manifest.csv").write_text("image,mask\na.png,\n"))


@data
def picture_for_a_manifest_to_add_to(folder):
    beside(folder, lambda out: (out / "manifest.csv").write_bytes(png_bytes(gray())))


@data
def folder_for_a_manifest_to_add_to(folder):
    beside(folder, lambda out: (out / "manifest.csv").mkdir())


@data
def left_out_with_semicolons(folder):
    beside(folder, lambda out: (out / "left_out.csv").write_text("dataset;file;reason\nward;a.png;no mask\n"))


@data
def manifest_of_a_film_that_is_gone(folder):
    given = ward(folder)
    rows = [{"image": "film99.png", "mask": "film99.png", "dataset": "clinic"}]
    (folder / "out").mkdir()
    write_manifest(folder / "out", rows)
    return given
