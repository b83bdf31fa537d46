"""Running the rows of a study, one bundle command after the other."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import BundleError
from ..files import write_json


class Study:
    """Runs each row for each of its seeds and keeps what they write.

    A row is a mapping with "name", "title" and any of "train" and "evaluate", each a mapping of "files" (names in
    configs/), "run" (the id to run) and "set" (overrides). In overrides {row}, {seed} and {bundle} stand for the
    folder of this row and seed, the seed and the bundle's root; {OTHER} stands for the folder of the row named OTHER at
    the same seed. A run that was finished is not repeated, so an interrupted study continues.

    Args:
        rows: the table.
        seeds: for rows that do not name their own.
        output_dir: gets ROW/seed_N/ with weights, metrics.csv, summary.json, log.txt and done.json.
        dataset_dir: see `load_datalist`.
        bundle_root: folder of the bundle.
        common: overrides of every training command.
        only: names of the rows to run; None runs all.
    """

    def __init__(
        self,
        rows: Sequence[Mapping],
        seeds: Sequence[int],
        output_dir: str | Path,
        dataset_dir: str | Path,
        bundle_root: str | Path,
        common: Mapping[str, object] | None = None,
        only: Sequence[str] | None = None,
    ) -> None:
        names = [row["name"] for row in rows]
        repeated = [name for name in names if names.count(name) > 1]
        unknown = sorted(set(only or ()) - set(names))
        if repeated or unknown:
            raise BundleError(f"study: row {(repeated or unknown)[0]!r} {'stands twice' if repeated else 'is unknown'}")
        self.rows = [row for row in rows if only is None or row["name"] in only]
        self.names = names
        self.seeds = list(seeds)
        self.output_dir = Path(output_dir).resolve()
        self.dataset_dir = Path(dataset_dir).resolve()
        self.root = Path(bundle_root).resolve()
        self.common = dict(common or {})
        self.log = logging.getLogger("study")

    def run(self) -> None:
        """Run what is not done yet."""
        for row in self.rows:
            for seed in row.get("seeds", self.seeds):
                self.run_row(row, seed)

    def folder(self, name: str, seed: int) -> Path:
        return self.output_dir / name / f"seed_{seed}"

    def run_row(self, row: Mapping, seed: int) -> None:
        folder = self.folder(row["name"], seed)
        if (folder / "done.json").is_file():
            self.log.info("%s, seed %d: done already", row["name"], seed)
            return
        folder.mkdir(parents=True, exist_ok=True)
        record: dict[str, object] = {"row": row["name"], "seed": seed, "commands": {}, "seconds": {}}
        for step in ("train", "evaluate"):
            if step not in row:
                continue
            command = self.command(row, step, seed)
            self.log.info("%s, seed %d: %s", row["name"], seed, " ".join(command))
            started = time.monotonic()
            with (folder / "log.txt").open("a") as log:
                code = subprocess.run(
                    [sys.executable, *command], cwd=self.root, stdout=log, stderr=subprocess.STDOUT
                ).returncode
            if code != 0:
                raise BundleError(
                    f"{folder / 'log.txt'}: {step} of the row {row['name']} ended with exit status {code}"
                )
            record["commands"][step] = " ".join(["python", *command])
            record["seconds"][step] = round(time.monotonic() - started, 1)
        write_json(folder / "done.json", record)

    def command(self, row: Mapping, step: str, seed: int) -> list[str]:
        """Arguments of python for one step of a row."""
        content, folder = row[step], self.folder(row["name"], seed)
        files = "[" + ",".join(f"'configs/{name}'" for name in content["files"]) + "]"
        overrides = {"dataset_dir": self.dataset_dir, "output_dir": folder}
        if step == "train":
            overrides |= {"model_dir": folder, "seed": seed, "resume": True, **self.common}
        names = {name: self.folder(name, seed) for name in self.names}
        for key, value in content.get("set", {}).items():
            overrides[key] = value.format(row=folder, seed=seed, bundle=self.root, **names) if _text(value) else value
        command = ["-m", "monai.bundle", "run", content["run"], "--config_file", files]
        for key, value in overrides.items():
            command += [f"--{key}", value if _text(value) else json.dumps(value) if _plain(value) else str(value)]
        return command


def _text(value: object) -> bool:
    return isinstance(value, str)


def _plain(value: object) -> bool:
    return isinstance(value, (list, dict))
