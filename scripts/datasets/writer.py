"""Films and masks of one data set brought to where training reads them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..data.dicom import read_header
from ..data.loading import image_suffix, read_size
from ..errors import BundleError
from ..files import replacing, write_json
from . import conversion
from .folders import Film, Found
from .layouts import Layout


@dataclass(frozen=True)
class Writer:
    """Brings films and masks of one data set into a folder.

    A file below that folder that training reads as it is stays where it is; others are copied or converted into its
    `prepared/`. What is there and not older than its source is not written again.

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
        """Remove what another recipe wrote, and read the table of masks: image -> runs."""
        recipe = {"layout": asdict(self.layout), "organs": list(self.organs), "threshold": self.threshold}
        recipe = json.loads(json.dumps(recipe, default=lambda value: value.pattern))
        record = self.folder / "recipe.json"
        if not record.is_file() or json.loads(record.read_text()) != recipe:
            shutil.rmtree(self.folder, ignore_errors=True)
            write_json(record, recipe)
        table = self.layout.mask_table
        return conversion.read_runs(self.found.table, table) if table else {}

    def row(self, film: Film, runs: dict[str, list[str]]) -> dict[str, str]:
        """The manifest's row of a film, whose files then lie in place.

        Raises:
            BundleError: image or mask cannot be used.
        """
        image = self.image(film)
        mask = self.mask(film, read_size(image), runs)
        patient, finding = film.patient, film.finding
        if self.layout.dicom_patient:
            patient = f"{self.layout.dataset}_{read_header(film.image).get('PatientID') or film.key}"
        if self.layout.mask_table is not None:
            finding = finding or (self.layout.target if runs[film.key] else "none")
        return {
            "image": self.relative(image),
            "mask": self.relative(mask),
            "id": film.id,
            "dataset": self.layout.dataset,
            "patient": patient,
            "part": film.part,
            "finding": finding,
            "target": self.layout.target,
        }

    def image(self, film: Film) -> Path:
        """The film as a file that training reads."""
        if self.layout.raw is None:
            return self.placed(film.image, self.folder / "images" / f"{film.id}{image_suffix(film.image)}")
        written = self.folder / "images" / f"{film.id}.png"
        if not newer(written, [film.image]):
            conversion.write_png(written, conversion.read_raw(film.image, self.layout.raw))
        return written

    def mask(self, film: Film, size: tuple[int, int], runs: dict[str, list[str]]) -> Path:
        """The film's mask as a file that training reads; `size` is width and height of the film."""
        written = self.folder / "masks" / f"{film.id}.png"
        sources = list(film.masks.values()) or [self.found.table]
        as_it_is = len(film.masks) == 1 and not self.organs and self.threshold is None
        made = newer(written, sources) and read_size(written) == size
        if made and not (as_it_is and self.is_below(sources[0])):
            return written
        if not film.masks:
            masks = [self.drawn(film, runs)]
        else:
            read = [conversion.read_values(path) for path in sources]
            if as_it_is and read[0][0].shape[::-1] == size and conversion.is_ready(*read[0]):
                return self.placed(sources[0], written)
            if made:
                return written
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

    def placed(self, file: Path, copy: Path) -> Path:
        """`file` itself if it lies below the folder, else its copy."""
        if self.is_below(file):
            return file
        if not newer(copy, [file]):
            with replacing(copy) as partial:
                shutil.copyfile(file, partial)
        return copy

    def is_below(self, file: Path) -> bool:
        """Whether a file lies in the folder, or in one that is linked there."""
        return Path(os.path.abspath(file)).is_relative_to(os.path.abspath(self.out))

    def relative(self, path: Path) -> str:
        """The path as the manifest has it."""
        return Path(os.path.abspath(path)).relative_to(os.path.abspath(self.out)).as_posix()


def newer(written: Path, sources: Sequence[Path]) -> bool:
    """Whether a file is there and not older than what it is made of."""
    return written.is_file() and written.stat().st_mtime_ns >= max(path.stat().st_mtime_ns for path in sources)
