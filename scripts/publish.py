"""Packs the bundle as the model zoo and a Hugging Face repository take it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

import yaml

from .errors import BundleError
from .files import sha256

# The zoo's pre-commit check refuses larger files; they belong into large_files.yml
MAX_COMMITTED = 1_000_000
# <body part>_<modality>_<task>; MONAI Label tells the task from the name
NAME = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*_segmentation")
# Hugging Face keeps these outside git; monai.bundle downloads them either way
LARGE_FILES_OF_HUB = "*.pt filter=lfs diff=lfs merge=lfs -text\n*.onnx filter=lfs diff=lfs merge=lfs -text\n"


def publish(
    bundle_root: str | Path,
    output_dir: str | Path,
    name: str,
    weights_url: str | None,
    contents: Sequence[str],
    leave_out: Sequence[str],
    card: Mapping[str, object],
) -> None:
    """Write three things to `output_dir`, each complete.

    - ``zoo/NAME/``: the folder for a pull request to the model zoo; the weights are addresses in large_files.yml
    - ``NAME_vVERSION.zip``: that folder, as `monai.bundle.download` takes it
    - ``hub/``: the folder for a Hugging Face repository, with the weights and the model card

    Args:
        bundle_root: folder of the bundle.
        output_dir: new or empty folder.
        name: name of the bundle, ``<body part>_<modality>_segmentation``.
        weights_url: address under which `hub/` will be found; ``https://huggingface.co/ORG/NAME/resolve/main``.
        contents: files and folders that are packed, relative to `bundle_root`; weights are added by large_files.yml.
        leave_out: patterns of what is left out of `contents`, as `fnmatch` reads them.
        card: head of the hub's model card.

    Raises:
        BundleError: a name or address of another form, `output_dir` holds something, the version is missing in the
            changelog, a file is missing or over 1 MB, or a weight is not the one that large_files.yml lists.
    """
    root, output = Path(bundle_root), Path(output_dir)
    if not NAME.fullmatch(name):
        raise BundleError(f"name {name!r}: the zoo asks for <body part>_<modality>_segmentation in small letters")
    if not re.match(r"https?://", str(weights_url)):
        raise BundleError(
            f"weights_url {weights_url!r}: give the address that the weights will have, "
            f"such as https://huggingface.co/ORG/{name}/resolve/main"
        )
    if output.exists() and any(output.iterdir()):
        raise BundleError(f"{output} is not empty; give another --output_dir")
    version = checked_version(root / "configs" / "metadata.json")
    weights = checked_weights(root)
    packed = packed_files(root, contents, [*leave_out, *(entry["path"] for entry in weights)])

    hub, zoo = output / "hub", output / "zoo" / name
    for folder in (hub, zoo):
        for path in packed:
            copy(root / path, folder / path)
    addresses = [{**entry, "url": f"{weights_url.rstrip('/')}/{entry['path']}"} for entry in weights]
    (zoo / "large_files.yml").write_text(yaml.safe_dump({"large_files": addresses}, sort_keys=False))
    for entry in weights:
        copy(root / entry["path"], hub / entry["path"])
    (hub / ".gitattributes").write_text(LARGE_FILES_OF_HUB)
    head = yaml.safe_dump(dict(card), sort_keys=False)
    (hub / "README.md").write_text(f"---\n{head}---\n\n{from_root((root / 'docs' / 'README.md').read_text())}")
    archive = shutil.make_archive(str(output / f"{name}_v{version}"), "zip", zoo.parent, name)
    sizes = [sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6 for folder in (zoo, hub)]
    print(f"{zoo}: {sizes[0]:.1f} MB\n{archive}: {Path(archive).stat().st_size / 1e6:.1f} MB", flush=True)
    print(f"{hub}: {sizes[1]:.1f} MB, for {weights_url}", flush=True)


def checked_version(metadata: Path) -> str:
    """The version of the bundle, which its changelog must hold."""
    content = json.loads(metadata.read_text())
    if content["version"] not in content["changelog"]:
        raise BundleError(f"{metadata}: version {content['version']} is missing in the changelog")
    return content["version"]


def checked_weights(root: Path) -> list[dict[str, str]]:
    """The entries of large_files.yml, each compared with its file."""
    listing = root / "large_files.yml"
    entries = yaml.safe_load(listing.read_text())["large_files"]
    for entry in entries:
        path = root / entry["path"]
        if not path.is_file():
            raise BundleError(f"{path}: no such file, but {listing} lists it")
        if sha256(path) != entry["hash_val"]:
            raise BundleError(f"{path} is not the file that {listing} lists; run configs/release.yaml if it is meant")
    return entries


def packed_files(root: Path, contents: Sequence[str], leave_out: Sequence[str]) -> list[str]:
    """The files of `contents`, relative to `root` and sorted."""
    paths = []
    for item in contents:
        if not (root / item).exists():
            raise BundleError(f"{root / item}: no such file or folder to pack")
        found = [root / item] if (root / item).is_file() else (root / item).rglob("*")
        paths += [path.relative_to(root).as_posix() for path in found if path.is_file()]
    paths = sorted(path for path in paths if not any(fnmatch(path, pattern) for pattern in leave_out))
    for path in paths:
        size = (root / path).stat().st_size
        if size > MAX_COMMITTED:
            raise BundleError(
                f"{root / path}: {size / 1e6:.1f} MB, but the zoo takes at most 1 MB a file; "
                "list it in configs/release.yaml, or leave it out"
            )
    return paths


def from_root(card: str) -> str:
    """The model card with its relative links as they read one folder higher."""
    links = re.compile(r"\]\((?!https?://|#)(\.\./)?([^)]+)\)")
    return links.sub(lambda link: f"]({'' if link[1] else 'docs/'}{link[2]})", card)


def copy(source: Path, target: Path) -> None:
    """Copy a file, and make its folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
