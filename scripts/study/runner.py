"""Running the rows of a study, one bundle command after the other."""

from __future__ import annotations

import json
import logging
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..errors import BundleError
from ..files import sha256, write_json
from ..settings import known_settings, top_level


class Study:
    """Runs each row for each of its seeds and keeps what they write.

    A row is a mapping with "name", "title" and any of "train" and "evaluate", each a mapping of "files" (names in
    configs/), "run" (the id to run) and "set" (overrides). In overrides {row}, {seed} and {bundle} stand for the
    folder of this row and seed, the seed and the bundle's root; {OTHER} stands for the folder of the row named OTHER at
    the same seed. A run that was finished is not repeated, so an interrupted study continues; if it was finished by
    other commands, or from other files of another row, that is an error.

    Args:
        rows: the table.
        seeds: for rows that do not name their own.
        output_dir: gets ROW/seed_N/ with weights, metrics.csv, summary.json, log.txt and done.json.
        dataset_dir: see `load_datalist`.
        bundle_root: folder of the bundle.
        common: overrides of every command.
        training, evaluation: overrides of every command of that kind; a row's own come after them.
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
        training: Mapping[str, object] | None = None,
        evaluation: Mapping[str, object] | None = None,
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
        self.settings = {"train": dict(training or {}), "evaluate": dict(evaluation or {})}
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
        commands = {step: self.command(row, step, seed) for step in ("train", "evaluate") if step in row}
        record: dict[str, object] = {
            "row": row["name"],
            "seed": seed,
            "commands": {step: self.readable(command) for step, command in commands.items()},
            "inputs": self.inputs(commands.values(), folder),
        }
        if (folder / "done.json").is_file():
            self.check_done(folder / "done.json", record)
            self.log.info("%s, seed %d: done already", row["name"], seed)
            return
        resumed = any(folder.glob("stage*/last.pt"))
        folder.mkdir(parents=True, exist_ok=True)
        record["seconds"] = {}
        for step, command in commands.items():
            self.log.info("%s, seed %d: %s", row["name"], seed, record["commands"][step])
            started = time.monotonic()
            with (folder / "log.txt").open("a") as log:
                code = subprocess.run(
                    [sys.executable, *command], cwd=self.root, stdout=log, stderr=subprocess.STDOUT
                ).returncode
            if code != 0:
                raise BundleError(
                    f"{folder / 'log.txt'}: {step} of the row {row['name']} ended with exit status {code}"
                )
            if not (step == "train" and resumed):  # what an earlier run took is not known
                record["seconds"][step] = round(time.monotonic() - started, 1)
        write_json(folder / "done.json", record)

    def check_done(self, path: Path, record: Mapping[str, object]) -> None:
        """Raise `BundleError` if the run that left `path` is not the one that `record` describes."""
        done = json.loads(path.read_text())
        for key in ("commands", "inputs"):
            before = done.get(key, {})
            for name in {**before, **record[key]}:
                was, now = before.get(name), record[key].get(name)
                if was != now:
                    raise BundleError(
                        f"{path}: this row was finished with other {key} ({name}: {was}; now {now}); delete its folder "
                        "to run it again, or take another --output_dir"
                    )

    def inputs(self, commands: Iterable[Sequence[str]], folder: Path) -> dict[str, str]:
        """Digests of the files of other rows that `commands` read."""
        texts = {text for command in commands for text in command if text.startswith(f"{self.output_dir}/")}
        files = [Path(text) for text in sorted(texts) if not Path(text).is_relative_to(folder)]
        return {path.relative_to(self.output_dir).as_posix(): sha256(path) for path in files if path.is_file()}

    def readable(self, command: Sequence[str]) -> str:
        """The command as it is typed in the bundle's root, with OUT and DATA for this study's two folders."""
        text = " ".join(["python", *map(_quoted, command)])
        return text.replace(str(self.output_dir), "OUT").replace(str(self.dataset_dir), "DATA")

    def command(self, row: Mapping, step: str, seed: int) -> list[str]:
        """Arguments of python for one step of a row."""
        content, folder = row[step], self.folder(row["name"], seed)
        files = "[" + ",".join(f"'configs/{name}'" for name in content["files"]) + "]"
        overrides = {"dataset_dir": self.dataset_dir, "output_dir": folder, **self.common}
        if step == "train":
            overrides |= {"model_dir": folder, "seed": seed, "resume": True}
        names = {name: self.folder(name, seed) for name in self.names}
        own = content.get("set", {})
        for key, value in {**self.settings[step], **own}.items():
            overrides[key] = value.format(row=folder, seed=seed, bundle=self.root, **names) if _text(value) else value
        # What all rows share is typed where the config has it: an export knows no epochs
        known = known_settings([self.root / "configs" / name for name in content["files"]])
        command = ["-m", "monai.bundle", "run", content["run"], "--config_file", files]
        for key, value in overrides.items():
            if key not in own and top_level(key) not in known:
                continue
            command += [f"--{key}", value if _text(value) else json.dumps(value) if _plain(value) else str(value)]
        return command


def _quoted(text: str) -> str:
    """Quoted for a shell; in double quotes where that is enough for single quotes inside."""
    return f'"{text}"' if "'" in text and not set(text) & set('"$`\\!') else shlex.quote(text)


def _text(value: object) -> bool:
    return isinstance(value, str)


def _plain(value: object) -> bool:
    return isinstance(value, (list, dict))
