"""A short door to the bundle: ``python -m scripts segment FOLDER OUT``.

Every command is one of ``python -m monai.bundle run``, on the same configs, and is printed before it runs. Works from
any folder that finds this package: ``PYTHONPATH=BUNDLE python -m scripts ...``.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from .errors import BundleError
from .settings import as_monai_reads, check_settings

ROOT = Path(__file__).resolve().parents[1]
# What a command runs, in order: id in the config, and files of configs/
RUNS = {
    "segment": [("run", ["inference.yaml"])],
    "train": [("training", ["train.yaml"])],
    "evaluate": [("evaluating", ["evaluate.yaml"])],
    "export": [("export", ["export.yaml"])],
    "demo": [("training", ["train.yaml", "demo.yaml"]), ("evaluating", ["evaluate.yaml", "demo.yaml"])],
}


def listed(text: str) -> str:
    """``png,seg`` as the list that a config takes; a list stays as it is."""
    return text if text.startswith("[") else str(text.split(","))


def parser() -> argparse.ArgumentParser:
    """The commands; every argument is named as the setting that it becomes."""
    main = argparse.ArgumentParser(prog="python -m scripts", description="Lungs in chest X-rays, with AdaLoRA-QAT.")
    commands = main.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, about: str, **positional: str) -> argparse.ArgumentParser:
        files = " and ".join(" + ".join(f"configs/{file}" for file in files) for _, files in RUNS[name])
        command = commands.add_parser(
            name,
            help=about,
            description=about,
            epilog=f"Every setting of {files} is an option: --key value.",
            argument_default=argparse.SUPPRESS,
            allow_abbrev=False,
        )
        for key, metavar in positional.items():
            # Absolute, so that a folder called 2024 stays a name and is not read as a number
            command.add_argument(key, metavar=metavar, type=os.path.abspath)
        return command

    flag = {"nargs": "?", "const": "True", "metavar": "True"}
    segment = add("segment", "write the lung masks of a folder of X-rays", dataset_dir="FOLDER", output_dir="OUT")
    segment.add_argument("--formats", type=listed, metavar="png,seg", help="any of png, nifti, seg, overlay")
    segment.add_argument("--backend", help="torch, onnxruntime (the INT8 artefact) or openvino")
    segment.add_argument("--resume", **flag, help="leave out what results.csv says is done")
    train = add("train", "train both stages on your X-rays and masks", dataset_dir="DIR")
    train.add_argument("--model-dir", type=os.path.abspath, help="where the weights go (default: the bundle's models/)")
    train.add_argument("--resume", **flag, help="continue an interrupted training")
    evaluate = add("evaluate", "score the masks of a model on X-rays with masks", dataset_dir="DIR")
    evaluate.add_argument("--model-dir", type=os.path.abspath, help="where they are (default: the bundle's models/)")
    evaluate.add_argument("--part", help="train, validation, test or unseen, of the training's split (default: all)")
    add("export", "make the INT8 artefact of a trained model (ONNX)")
    add("demo", "train and evaluate on drawn phantoms, into eval/demo")
    return main


def check_words(extra: Sequence[str]) -> None:
    """Raise `BundleError` if a word belongs to no setting: monai.bundle would take it for an option of its own."""
    for before, word in zip(["", *extra], extra):
        if not word.startswith("--") and (not before.startswith("--") or "=" in before):
            raise BundleError(f"unexpected {word!r}; settings are given as --key value")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command as ``python -m monai.bundle run`` does: same errors, same exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    commands = parser()
    known, extra = commands.parse_known_args(arguments)
    settings = vars(known)
    folders = len({"dataset_dir", "output_dir"} & settings.keys())
    if any(word.startswith("-") for word in arguments[1 : 1 + folders]):
        commands.error(f"{settings['command']}: folders come first, then --key value")
    runs = [(item, [ROOT / "configs" / name for name in names]) for item, names in RUNS[settings.pop("command")]]
    try:
        check_words(extra)
        check_settings(as_monai_reads(extra), [file for _, files in runs for file in files])
    except BundleError as error:
        commands.error(str(error))

    import fire  # monai.bundle's own command line: it reads the values of --key value
    from monai.bundle import run

    settings = {"bundle_root": str(ROOT), **settings}
    options = [*(word for key, value in settings.items() for word in (f"--{key}", value)), *extra]
    for item, files in runs:
        command = [item, "--config_file", str([str(file) for file in files]), *options]
        print(shlex.join(["python", "-m", "monai.bundle", "run", *command]), flush=True)
        fire.Fire(run, command=command, name="python -m monai.bundle run")


if __name__ == "__main__":
    main()
