"""Settings that are typed: MONAI takes any key and any value, and what nothing reads has no effect.

A key must stand in one of the configs, or be read where it is put, and a value must be of the kind that the config has
there.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from .documents import read_text, read_yaml
from .errors import BundleError
from .nested_settings import first_unread, normal

# Options of monai.bundle's run itself; every other option is a setting of the config
RUN_OPTIONS = ("init_id", "final_id", "meta_file", "logging_file", "tracking", "args_file", "workflow_type")
# Settings that MONAI's experiment tracking reads, in no config
TRACKING = ("tracking_uri", "experiment_name", "run_name", "save_execute_config")
# What MONAI reads of a config by itself
RESERVED = ("_meta_", "imports", "initialize", "run", "finalize")
LEAST = {
    "accumulation_steps": 1,
    "adapter_lr": 0,
    "alpha": 0,
    "batch_size": 1,
    "box_jitter": 0,
    "cache_gb": 0,
    "cache_rate": 0,
    "calibration_batches": 1,
    "classes": 1,
    "decoder_lr": 0,
    "epochs": 1,
    "gamma": 0,
    "image_size": 16,
    "images": 1,
    "learning_rate": 0,
    "local_epochs": 1,
    "num_workers": 0,
    "patience": 1,
    "phantoms": 1,
    "qat_epochs": 1,
    "qat_lr": 0,
    "qat_patience": 1,
    "range_lr": 0,
    "rank": 1,
    "rounds": 1,
    "seed": 0,
    "target_rank": 0,
    "val_interval": 1,
    "validation_phantoms": 1,
    "weight_decay": 0,
}
MAY_BE_NULL = ("films", "patience", "qat_patience")
LISTS = ("class_names", "datasets", "formats", "forms")  # without a default, or with an expression
KINDS = {
    bool: ("true or false", bool),
    int: ("a whole number", int),
    float: ("a number", (int, float)),
    str: ("text", str),
    list: ("a list", (list, tuple)),
    dict: ("a mapping", dict),
}
PATH_EXPRESSION = re.compile(r"\$@(bundle_root|model_dir|output_dir)\b")


def check_command() -> None:
    """Refuse what was typed after ``python -m monai.bundle run`` and would have no effect, or not the one meant.

    Listed under ``initialize`` of every config. Where another program runs the config (MONAI Label, a test), nothing
    was typed and nothing is checked.

    Raises:
        BundleError: see `check_settings`; or the id to run is in no config.
    """
    if Path(sys.argv[0]).parts[-3:] != ("monai", "bundle", "__main__.py") or sys.argv[1:2] != ["run"]:
        return
    typed = as_monai_reads(sys.argv[2:])
    if typed.get("args_file"):
        typed = {**_mapping(typed["args_file"]), **typed}
    files, run_id = typed.pop("config_file", None), typed.pop("run_id", None)
    if files is None:  # an abstract run of MONAI's own making
        return
    files = [Path(file) for file in ([files] if isinstance(files, str) else files)]
    check_settings(typed, files)
    known = known_settings(files)
    if run_id and top_level(str(run_id)) not in known:
        raise BundleError(f"{run_id!r}: nothing of this name to run in {_names(files)}{did_you_mean(run_id, known)}")


def check_settings(typed: Mapping[str, object], files: Sequence[Path]) -> None:
    """Compare settings with the configs that they are for.

    Args:
        typed: by id, `a::b` or `a#b` below `a`.
        files: a config, and overlays on it. An overlay of a user (one that does not lie beside the config) may hold
            what some config of the bundle knows, and what it refers to itself.

    Raises:
        BundleError: an unknown setting, a value of another kind than the config's own, or one below its least value;
            names the nearest setting that there is. An id below others is unknown if it is new and nothing reads it
            there: no reference, no argument of the component, and nobody takes all that stands there.
    """
    contents = [(file, _mapping(file)) for file in files]
    known = known_settings(files)
    options = (*RUN_OPTIONS, *(TRACKING if typed.get("tracking") else ()))
    for key in typed:
        first = normal(key).split("::")[0]  # a + means something in files alone
        if first not in known and first not in options:
            hint = did_you_mean(first, {*known, *RUN_OPTIONS}, "--")
            raise BundleError(f"no setting {first!r} in {_names(files)}{hint}")
    overlays = [file for file in files if file.resolve().parent != files[0].resolve().parent]
    settings: dict[str, object] = {}
    for file, content in contents:
        if file in overlays:
            check_overlay(file, content, files[0])
            for key, value in content.items():
                check_value(key, value, settings.get(key), file)
        settings |= content
    for key, value in typed.items():
        check_value(key, value, settings.get(key))
    layers = [(str(file) if file in overlays else None, content) for file, content in contents]
    unread = first_unread([*layers, ("", typed)])
    if unread is not None:
        before = f"{unread.place}::" if unread.source else f"--{unread.place}::"
        hint = did_you_mean(unread.name, unread.names, before)
        raise BundleError(
            f"{unread.source}: no config reads {unread.id!r}{hint}"
            if unread.source
            else f"no setting {unread.id!r} in {_names(files)}{hint}"
        )


def known_settings(files: Sequence[Path]) -> set[str]:
    """The outermost ids of configs."""
    return {top_level(key) for file in files for key in _mapping(file)}


def check_overlay(file: Path, content: Mapping[str, object], first: Path) -> None:
    """Raise `BundleError` if `content` of a user's overlay `file` on `first` has a setting that nothing reads."""
    known = {*RESERVED, *re.findall(r"@(\w+)", read_text(file))}
    for beside in first.parent.glob("*.yaml"):
        known |= set(map(top_level, _mapping(beside)))
    for key in map(top_level, content):
        if key not in known:
            raise BundleError(f"{file}: no config reads {key!r}{did_you_mean(key, known)}")


def check_value(key: str, value: object, default: object, source: object = "command line") -> None:
    """Raise `BundleError` unless `value` may stand in place of `default`; expressions are left to the config."""
    if key in LISTS and isinstance(value, str) and not _expression(value):
        raise BundleError(f"{source}: {key} takes a list, got {value!r}; write \"['{value}']\"")
    if _expression(value) or default is None or value is None and key in MAY_BE_NULL:
        return
    path = isinstance(default, str) and PATH_EXPRESSION.match(default) is not None
    if _expression(default) and not path:
        return
    words, kinds = KINDS.get(type(default), ("anything", object))
    if not isinstance(value, kinds) or isinstance(value, bool) and not isinstance(default, bool):
        example = "" if path or isinstance(default, (list, dict)) else f" such as {json.dumps(default)}"
        hint = f"; write ./{value} for a path" if path and isinstance(value, int) else ""
        raise BundleError(f"{source}: {key} takes {words}{example}, got {value!r}{hint}")
    if key in LEAST and not LEAST[key] <= value < math.inf:
        raise BundleError(f"{source}: {key} must be at least {LEAST[key]}, got {value}")


def top_level(key: str) -> str:
    """The outermost part of an id as a config, an overlay or the command line writes it."""
    return normal(key).lstrip("+").split("::")[0]


def did_you_mean(key: str, known: Iterable[str], before: str = "") -> str:
    """The nearest of `known` as the end of a message, or ""."""
    return "".join(f"; did you mean {before}{name}?" for name in get_close_matches(str(key), sorted(known), n=1))


def _expression(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("$", "@", "%"))


def _mapping(file: str | Path) -> Mapping[str, object]:
    content = read_yaml(file)
    if not isinstance(content, Mapping):
        raise BundleError(f"{file}: holds no settings")
    return {str(key): value for key, value in content.items()}


def _names(files: Sequence[Path]) -> str:
    return ", ".join(dict.fromkeys(file.name for file in files))


def as_monai_reads(words: Sequence[str]) -> dict[str, object]:
    """The arguments that MONAI's command line, which is made by Fire, hands to `run`."""
    import fire

    read: dict[str, object] = {}

    def run(
        run_id=None,
        init_id=None,
        final_id=None,
        meta_file=None,
        config_file=None,
        logging_file=None,
        tracking=None,
        args_file=None,
        **override,
    ) -> None:
        own = {"run_id": run_id, "config_file": config_file, "tracking": tracking, "args_file": args_file}
        read.update({**override, **{key: value for key, value in own.items() if value is not None}})

    fire.Fire(run, command=list(words), name="run")
    return read
