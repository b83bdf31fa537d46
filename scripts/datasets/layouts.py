"""How the folders of a published data set are laid out, as declared in configs/layouts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import yaml

from ..data.splits import PARTS
from ..errors import BundleError

TARGETS = ("lung", "lesion")


@dataclass(frozen=True)
class RawFormat:
    """Films without header: `height` rows of `width` words of `dtype`, `bits` of them used; inverted: air bright."""

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
        BundleError: no such file (names the layouts beside it), an unknown or missing key, or a pattern that is wrong.
    """
    path = Path(path)
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml")))
        raise BundleError(f"{path}: no such layout; known: {known}")
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise BundleError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict) or not isinstance(content.get("images"), dict):
        raise BundleError(f"{path}: a layout needs dataset, target and images")
    images = content.pop("images")
    content |= {"images": images.pop("pattern", None), **images}
    known = {entry.name for entry in fields(Layout)} - {"name"}
    unknown, missing = sorted(set(content) - known), sorted({"dataset", "target", "images"} - set(content))
    if unknown or missing or not content["images"]:
        problem = f"unknown key {unknown[0]!r}" if unknown else f"no {(missing or ['pattern of images'])[0]}"
        raise BundleError(f"{path}: {problem}; known: {', '.join(sorted(known))}")
    return _checked(path, content)


def _checked(path: Path, content: dict) -> Layout:
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
    try:
        if "raw" in content:
            content["raw"] = RawFormat(**content["raw"])
        if "mask_table" in content:
            table = content["mask_table"]
            content["mask_table"] = MaskTable(**{**table, "pattern": _compiled(path, table.get("pattern", ""))})
    except TypeError as error:
        raise BundleError(f"{path}: {error}") from error
    return Layout(name=path.stem, **content)


def _compiled(path: Path, text: str, needed: set[str] = frozenset(), known: set[str] | None = None) -> re.Pattern:
    """`text` as a pattern of the end of a path."""
    try:
        pattern = re.compile(f"(?:.*/)?(?:{text})")
    except re.error as error:
        raise BundleError(f"{path}: {text!r} is no regular expression ({error})") from error
    groups = set(pattern.groupindex)
    if not needed <= groups or (known is not None and not groups <= known):
        raise BundleError(f"{path}: {text!r} must name the group id, and none that the pattern of images lacks")
    return pattern
