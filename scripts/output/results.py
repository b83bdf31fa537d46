"""The table of a folder run: what became of each film."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from ignite.engine import Engine, Events

from ..data.loading import film_record, pixel_spacing
from ..documents import TableWriter, plain_cell
from ..errors import BundleError
from ..files import TEXT, name_below, naming_full_disk, replacing
from ..films.pose import UPRIGHT
from .areas import lung_areas

COLUMNS = (
    "file",
    "status",
    "flags",
    "expected_dice",
    "width",
    "height",
    "row_spacing_mm",
    "column_spacing_mm",
    "values",
    "pose",
    "spacing",
    "field",
    "area_share",
    "area_cm2",
    "right_lung_cm2",
    "left_lung_cm2",
    "written",
    "message",
)


class Results:
    """Writes one row a film to `results.csv` as soon as it is done, and says at the end which failed.

    Expects a decollated output with the label map "pred" (1 x W x H), "expected_dice", "flags", "files" and, if writing
    failed, "error".

    Args:
        path: table to write.
        root: folder of the films, for their names in the table.
        class_names: names of the classes.
        resume: keep the rows of an earlier run; its films that are done are not repeated.
    """

    def __init__(self, path: str | Path, root: str | Path, class_names: Sequence[str], resume: bool = False) -> None:
        self.path = Path(path)
        self.root = Path(root)
        self.class_names = tuple(class_names)
        self.rows = [row for row in self.earlier() if row["status"] == "done"] if resume else []
        self.kept = len(self.rows)
        self.log = logging.getLogger("inference")
        self._file = None

    def earlier(self) -> list[dict[str, str]]:
        """Rows of the table on disk."""
        if not self.path.is_file():
            return []
        try:
            with self.path.open(newline="", **TEXT) as file:
                reader = csv.DictReader(file)
                head, rows = tuple(reader.fieldnames or ()), list(reader)
        except (csv.Error, OSError) as error:
            raise BundleError(f"{self.path}: cannot be read as the table of an earlier run ({error})") from error
        if head != COLUMNS:
            raise BundleError(f"{self.path}: is no table of an earlier run; move it away, or run without resume")
        # A row that a crash cut off, or that holds more than the head, is repeated
        whole = [row for row in rows if row["message"] is not None and None not in row]
        return [{name: plain_cell(text) for name, text in row.items()} for row in whole]

    def pending(self, items: Sequence[dict]) -> list[dict]:
        """`items` without those that are done."""
        done = {row["file"] for row in self.rows}
        left = [item for item in items if self.name(item["image"]) not in done]
        if len(left) < len(items):
            self.log.info("%d of %d films are done already", len(items) - len(left), len(items))
        return left

    def name(self, path: str | Path) -> str:
        """`path` as it stands in the table: relative to the folder of the films."""
        name = name_below(path, self.root)
        return str(path) if name is None else name.as_posix()

    def attach(self, engine: Engine) -> None:
        """Register on a MONAI evaluator."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)

    def iteration_completed(self, engine: Engine) -> None:
        for result in engine.state.output:
            labels = torch.as_tensor(result["pred"][0]).cpu().numpy()
            meta = result["pred"].meta
            spacing, record = pixel_spacing(meta), film_record(meta)
            row = {
                "file": self.name(meta["filename_or_obj"]),
                "status": "failed" if "error" in result else "done",
                "flags": ";".join(result["flags"]),
                "expected_dice": f"{result['expected_dice']:.4f}",
                "width": labels.shape[0],
                "height": labels.shape[1],
                "area_share": f"{(labels > 0).mean():.4f}",
                "written": ";".join(result["files"]),
                "message": result.get("error", ""),
            }
            if record is not None:
                row |= record.described()
            if spacing is not None:
                row |= {"row_spacing_mm": f"{spacing[0]:g}", "column_spacing_mm": f"{spacing[1]:g}"}
                areas = lung_areas(labels, self.class_names, spacing, record.pose if record else UPRIGHT)
                row |= {name: f"{area:.1f}" for name, area in areas.items()}
            self.add(row)

    def failed(self, path: str, message: str) -> None:
        """Add a film that could not be read."""
        self.add({"file": self.name(path), "status": "failed", "message": message})

    def add(self, row: dict[str, object]) -> None:
        """Write a row.

        Raises:
            BundleError: the disk is full. The rows before stay.
        """
        if self._file is None:
            with replacing(self.path) as partial, partial.open("w", newline="", **TEXT) as file:
                writer = TableWriter(file, COLUMNS, restval="")
                writer.writeheader()
                writer.writerows(self.rows)
            self._file = self.path.open("a", newline="", **TEXT)
            self._writer = TableWriter(self._file, COLUMNS, restval="")
        with naming_full_disk(self.path, "run with --resume True"):
            self._writer.writerow(row)
            self._file.flush()
        self.rows.append(row)

    def finish(self) -> None:
        """Log what was done.

        Raises:
            BundleError: films failed, so that the command ends with an exit status other than 0.
        """
        if self._file is not None:
            self._file.close()
            self._file = None
        failures = [row for row in self.rows if row["status"] == "failed"]
        flagged = sum(1 for row in self.rows if row.get("flags"))
        done = len(self.rows) - len(failures)
        self.log.info("%d films done, %d with quality flags, %d failed: %s", done, flagged, len(failures), self.path)
        if failures:
            first = failures[0]
            raise BundleError(
                f"{len(failures)} of {len(self.rows)} films failed, see {self.path}; first: {first['message']}"
            )
