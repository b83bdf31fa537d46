"""What the artefact's files are, and whether they are those."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..documents import read_json
from ..errors import BundleError
from ..files import sha256


def read_manifest(path: str | Path, used: Sequence[str]) -> dict[str, object]:
    """The manifest at `path`, the files that are `used` checked.

    Args:
        path: manifest.json.
        used: names of files that lie beside it.

    Raises:
        BundleError: the manifest or a file is missing, or a file is not the one it describes.
    """
    path = Path(path)
    if not path.is_file():
        raise BundleError(f"{path}: no such manifest; make the artefact with `python -m monai.bundle run export`")
    manifest = read_json(path)
    try:
        files = {name: entry["sha256"] for name, entry in manifest["files"].items()}
        if not isinstance(manifest["weights"]["sha256"], str):
            raise TypeError("the hash of the weights is no text")
    except (KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{path}: not a manifest of the artefact ({error}); export again") from error
    for name in used:
        if name not in files or not (path.parent / name).is_file():
            raise BundleError(f"{path.parent / name}: no such graph, or {path.name} does not list it; export again")
        if sha256(path.parent / name) != files[name]:
            raise BundleError(f"{path.parent / name}: is not the file that {path.name} describes; export again")
    return manifest
