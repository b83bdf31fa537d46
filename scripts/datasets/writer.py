"""Films and masks of one data set brought to where training reads them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from ..errors import BundleError
from ..files import remove_partials, replacing
from ..films.dicom import read_header
from ..films.reading import read_size
from ..films.suffixes import image_suffix
from . import conversion
from .folders import Film, Found
from .layouts import Layout
from .manifest import printable


@dataclass(frozen=True)
class Writer:
    """Brings films and masks of one data set into a folder.

    A file below that folder that training reads as it is stays where it is; others are copied or converted into its
    `prepared/`. The name of what is written there says what it was made of: it is not written again, and a file of
    another source, or for other settings, stands beside it. So what the present manifest lists stays until another one
    is in place.

    Attributes:
        layout, found: the data set.
        out: the folder.
        organs, threshold: see `prepare`.
    """

    layout: Layout
    found: Found
    out: Path
    organs: Sequence[str] = ()
    threshold: float | None = None

    @property
    def folder(self) -> Path:
        """Where copied and converted files of this set lie."""
        return self.out / "prepared" / self.layout.dataset

    def start(self) -> dict[str, list[str]]:
        """Remove halves of files that killed processes left, and read the table of masks: image -> runs."""
        for folder in (self.out, self.out / "prepared", self.folder / "images", self.folder / "masks"):
            remove_partials(folder)
        table = self.layout.mask_table
        return conversion.read_runs(self.found.table, table) if table else {}

    def remove_others(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Remove files of this set that `rows`, the manifest in place, do not list: of earlier and interrupted runs."""
        listed = {os.path.abspath(self.out / row[column]) for row in rows for column in ("image", "mask")}
        for folder, _, names in os.walk(self.folder, topdown=False):
            for name in names:
                if os.path.abspath(path := os.path.join(folder, name)) not in listed:
                    os.remove(path)

    def row(self, film: Film, runs: dict[str, list[str]]) -> dict[str, str]:
        """The manifest's row of a film, whose files then lie in place.

        Raises:
            BundleError: image or mask cannot be used, or the manifest cannot name them.
        """
        image = self.image(film)
        mask = self.mask(film, read_size(image), runs)
        patient, finding = film.patient, film.finding
        if self.layout.dicom_patient:
            patient = f"{self.layout.dataset}_{read_header(film.image).get('PatientID') or film.key}"
        if self.layout.mask_table is not None:
            finding = finding or (self.layout.target if runs[film.key] else "none")
        row = {
            "image": self.relative(image),
            "mask": self.relative(mask),
            "id": film.id,
            "dataset": self.layout.dataset,
            "patient": patient,
            "part": film.part,
            "finding": finding,
            "target": self.layout.target,
        }
        for column, value in row.items():
            if value != printable(value):
                raise BundleError(f"{film.image}: its {column} {printable(value)} is no UTF-8; rename the file")
        return row

    def image(self, film: Film) -> Path:
        """The film as a file that training reads."""
        raw = self.layout.raw
        if raw is None:
            return self.placed(film.image, self.written("images", film, [film.image], image_suffix(film.image)))
        written = self.written("images", film, [film.image], settings=astuple(raw))
        if not written.is_file():
            conversion.write_png(written, conversion.read_raw(film.image, raw))
        return written

    def mask(self, film: Film, size: tuple[int, int], runs: dict[str, list[str]]) -> Path:
        """The film's mask as a file that training reads; `size` is width and height of the film."""
        sources = list(film.masks.values()) or [self.found.table]
        table = self.layout.mask_table and astuple(self.layout.mask_table)[1:]  # all but the pattern of its name
        settings = (size, self.layout.resize_masks, table, self.organs, self.threshold)
        written = self.written("masks", film, sources, settings=settings)
        if written.is_file():
            return written
        if not film.masks:
            masks = [self.drawn(film, runs)]
        else:
            read = [conversion.read_values(path) for path in sources]
            as_it_is = len(read) == 1 and not self.organs and self.threshold is None
            if as_it_is and read[0][0].shape[::-1] == size and conversion.is_ready(*read[0]):
                return self.placed(sources[0], written)
            masks = [conversion.as_mask(values, path, self.threshold) for path, (values, _) in zip(sources, read)]
        for path, mask in zip(sources, masks):
            if mask.shape[::-1] != size and not self.layout.resize_masks:
                height, width = mask.shape
                raise BundleError(f"{path}: mask is {width} x {height} pixels but its film is {size[0]} x {size[1]}")
        masks = [conversion.resized(mask, size[1], size[0]) for mask in masks]
        conversion.write_png(written, conversion.merged(masks, as_classes=bool(self.organs)))
        return written

    def drawn(self, film: Film, runs: dict[str, list[str]]) -> np.ndarray:
        """The mask of a film by the table: all of its runs together."""
        table = self.layout.mask_table
        if film.key not in runs:
            raise BundleError(f"{film.image}: has no row in {self.found.table}")
        mask = np.zeros((table.height, table.width), dtype=bool)
        for text in runs[film.key]:
            try:
                mask |= conversion.decode_runs(text, table.height, table.width)
            except BundleError as error:
                raise BundleError(f"{self.found.table}, {film.key}: {error}") from error
        return mask

    def written(
        self, folder: str, film: Film, sources: Sequence[Path], suffix: str = ".png", settings: Sequence = ()
    ) -> Path:
        """Where a file of `film` lies that is made of `sources`, which must be there, with `settings`."""
        states = [(os.path.abspath(path), path.stat()) for path in sources]
        made_of = [(path, state.st_size, state.st_mtime_ns) for path, state in states]
        digest = hashlib.sha256(json.dumps([made_of, settings]).encode()).hexdigest()
        return self.folder / folder / f"{film.id}_{digest[:12]}{suffix}"

    def placed(self, file: Path, copy: Path) -> Path:
        """`file` itself if it lies below the folder, else its copy."""
        if self.is_below(file):
            return file
        if not copy.is_file():
            with replacing(copy) as partial:
                shutil.copyfile(file, partial)
        return copy

    def is_below(self, file: Path) -> bool:
        """Whether a file lies in the folder, or in one that is linked there."""
        return Path(os.path.abspath(file)).is_relative_to(os.path.abspath(self.out))

    def relative(self, path: Path) -> str:
        """The path as the manifest has it."""
        return Path(os.path.abspath(path)).relative_to(os.path.abspath(self.out)).as_posix()
