"""How the folders of a published data set are laid out, as declared in configs/layouts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path

from ..data.splits import PARTS
from ..documents import read_yaml
from ..errors import BundleError

TARGETS = ("lung", "lesion")
DTYPES = ("u1", "<u2", ">u2")


@dataclass(frozen=True)
class RawFormat:
    """Films without header: `height` rows of `width` words of a type of `DTYPES`, `bits` of them used; inverted: air
    bright."""

    height: int
    width: int
    dtype: str
    bits: int
    inverted: bool = False


@dataclass(frozen=True)
class MaskTable:
    """A CSV of run-length masks: file `pattern`, columns of `id` and `runs`, the text that says `none`, mask size."""

    pattern: re.Pattern
    id: str
    runs: str
    none: str
    height: int
    width: int


@dataclass(frozen=True)
class Layout:
    """Where a data set keeps its films and masks, and what they show.

    Patterns are regular expressions of the end of a path, from the start of a folder's or file's name. The groups that
    an image's pattern names say "id" (needed), "patient", "part" and "finding"; the groups of a mask's pattern say
    which image it belongs to.

    Attributes:
        name: of the layout.
        dataset: name in the manifest.
        target: what the masks show, lung or lesion.
        images: pattern of the films.
        raw: format of films without header, or None.
        dicom_patient: the patient is the DICOM header's PatientID.
        masks: organ -> pattern; a film needs all of them.
        extra_masks: organ -> pattern; taken only where asked for.
        mask_table: run-length masks in place of files, or None.
        resize_masks: masks of another size show the same field as their film and are brought to its size.
        finding: of every film, where the path does not say.
        findings: what the path says -> finding.
        parts: what the path says -> train, validation or test.
        ignored: patterns of files that are known and not needed.
    """

    name: str
    dataset: str
    target: str
    images: re.Pattern
    raw: RawFormat | None = None
    dicom_patient: bool = False
    masks: Mapping[str, re.Pattern] = field(default_factory=dict)
    extra_masks: Mapping[str, re.Pattern] = field(default_factory=dict)
    mask_table: MaskTable | None = None
    resize_masks: bool = False
    finding: str = ""
    findings: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[re.Pattern, ...] = ()

    def organs(self, chosen: list[str] | None = None) -> dict[str, re.Pattern]:
        """Patterns of the masks to read: those that a film needs, or those `chosen`, in that order."""
        known = {**self.masks, **self.extra_masks}
        unknown = sorted(set(chosen or ()) - set(known))
        if unknown:
            raise BundleError(
                f"layout {self.name}: no masks of {unknown[0]!r}; it has {', '.join(known) or 'one table'}"
            )
        return {organ: known[organ] for organ in chosen} if chosen else dict(self.masks)


def read_layout(path: str | Path) -> Layout:
    """The layout that a YAML file declares, checked.

    Raises:
        BundleError: no such file (names the layouts beside it), no YAML, an unknown or missing key, a value of another
            kind, or a pattern that is wrong.
    """
    path = Path(path)
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml")))
        raise BundleError(f"{path}: no such layout; known: {known}")
    content = read_yaml(path)
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, dict) or "pattern" not in images:
        raise BundleError(f"{path}: a layout needs dataset, target and images with a pattern")
    # The settings of images are fields of the layout
    content = {**content, **{key: value for key, value in images.items() if key != "pattern"}}
    content["images"] = images["pattern"]
    _check_fields(path, Layout, content)
    return _checked(path, content)


def _is_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for pair in value.items() for text in pair)


# Annotation of a field -> what it takes in a file, in words and as a check
_TEXT = ("text, in quotes where YAML reads something else", lambda value: isinstance(value, str))
_TEXTS = ("names with text each, in quotes where YAML reads something else", _is_texts)
_PART = ("keys with values", lambda value: isinstance(value, dict))
KINDS = {
    "str": _TEXT,
    "re.Pattern": _TEXT,
    "int": ("a whole number above 0", lambda value: type(value) is int and value > 0),
    "bool": ("true or false", lambda value: isinstance(value, bool)),
    "Mapping[str, str]": _TEXTS,
    "Mapping[str, re.Pattern]": _TEXTS,
    "tuple[re.Pattern, ...]": ("a list of text", lambda value: isinstance(value, list) and all(map(_TEXT[1], value))),
    "RawFormat | None": _PART,
    "MaskTable | None": _PART,
}


def _check_fields(path: Path, kind: type, content: Mapping, within: str = "") -> None:
    """Raise `BundleError` unless `content` has the fields of the dataclass `kind`, each with a value that it takes."""
    known = {entry.name: entry for entry in fields(kind) if entry.name != "name"}
    needed = [name for name, entry in known.items() if entry.default is MISSING and entry.default_factory is MISSING]
    unknown, missing = [key for key in content if key not in known], [name for name in needed if name not in content]
    if unknown or missing:
        problem = f"unknown key {unknown[0]!r}" if unknown else f"no {missing[0]}"
        raise BundleError(f"{path}: {problem}{within}; known: {', '.join(sorted(known))}")
    for key, value in content.items():
        words, takes = KINDS[known[key].type]
        if not takes(value):
            raise BundleError(f"{path}: {key}{within} takes {words}, got {value!r}")


def _checked(path: Path, content: dict) -> Layout:
    name = content["dataset"]
    if name in ("", ".", "..") or "/" in name or "\\" in name:
        raise BundleError(f"{path}: dataset must be a name that a folder can have, got {name!r}")
    if content["target"] not in TARGETS:
        raise BundleError(f"{path}: target must be {' or '.join(TARGETS)}, got {content['target']!r}")
    wrong = sorted(set(content.get("parts", {}).values()) - set(PARTS))
    if wrong:
        raise BundleError(f"{path}: unknown part {wrong[0]!r}; known: {', '.join(PARTS)}")
    if bool(content.get("masks")) == bool(content.get("mask_table")):
        raise BundleError(f"{path}: a layout needs either masks or a mask_table")
    content["images"] = _compiled(path, content["images"], {"id"})
    groups = set(content["images"].groupindex)
    if groups - {"id", "patient", "part", "finding"}:
        raise BundleError(
            f"{path}: groups of images may be id, patient, part and finding, got {', '.join(sorted(groups))}"
        )
    for key in ("masks", "extra_masks"):
        content[key] = {organ: _compiled(path, text, {"id"}, groups) for organ, text in content.get(key, {}).items()}
    content["ignored"] = tuple(_compiled(path, text) for text in content.get("ignored", ()))
    if "raw" in content:
        content["raw"] = _raw_format(path, content["raw"])
    if "mask_table" in content:
        table = content["mask_table"]
        _check_fields(path, MaskTable, table, " of mask_table")
        content["mask_table"] = MaskTable(**{**table, "pattern": _compiled(path, table["pattern"])})
    return Layout(name=path.stem, **content)


def _raw_format(path: Path, content: dict) -> RawFormat:
    _check_fields(path, RawFormat, content, " of raw")
    raw = RawFormat(**content)
    if raw.dtype not in DTYPES or raw.bits > 8 * int(raw.dtype[-1]):
        raise BundleError(
            f"{path}: dtype of raw must be one of {', '.join(DTYPES)}, and bits at most those that it has, "
            f"got {raw.dtype!r} and {raw.bits}"
        )
    return raw


def _compiled(path: Path, text: str, needed: set[str] = frozenset(), known: set[str] | None = None) -> re.Pattern:
    """`text` as a pattern of the end of a path."""
    try:
        pattern = re.compile(f"(?:.*/)?(?:{text})")
    except (re.error, OverflowError, RecursionError) as error:
        raise BundleError(f"{path}: {text!r} is no regular expression ({error})") from error
    groups = set(pattern.groupindex)
    if not needed <= groups or (known is not None and not groups <= known):
        raise BundleError(f"{path}: {text!r} must name the group id, and none that the pattern of images lacks")
    return pattern
