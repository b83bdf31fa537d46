"""What the artefact's files are, and whether they are those."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ..errors import BundleError


def sha256(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(path: str | Path) -> dict[str, object]:
    """The manifest at `path`, its files checked.

    Raises:
        BundleError: the manifest or a file is missing, or a file is not the one it describes.
    """
    path = Path(path)
    if not path.is_file():
        raise BundleError(f"{path}: no such manifest; make the artefact with `python -m monai.bundle run export`")
    try:
        manifest = json.loads(path.read_text())
        files = {name: entry["sha256"] for name, entry in manifest["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{path}: not a manifest of the artefact ({error})") from error
    for name, expected in files.items():
        if (path.parent / name).is_file() and sha256(path.parent / name) != expected:
            raise BundleError(f"{path.parent / name}: is not the file that {path.name} describes; export again")
    return manifest
