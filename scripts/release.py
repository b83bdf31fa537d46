"""What ships in models/: sizes and hashes, as the model zoo lists them, and whether a file is still that one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from .documents import read_json, read_yaml
from .errors import BundleError
from .files import replacing, sha256, write_json

ROOT = Path(__file__).resolve().parents[1]
LISTING = "large_files.yml"
MADE_HERE = "made_here.json"  # beside weights: SHA-256 of those that runs of this bundle have written there
MAX_FILE = 25_000_000
MAX_TOTAL = 60_000_000


def write_large_files(bundle_root: str | Path, paths: Sequence[str]) -> None:
    """Write `large_files.yml` for files of the bundle.

    Args:
        bundle_root: folder of the bundle.
        paths: files that ship, relative to it.

    Raises:
        BundleError: a file is missing or larger than 25 MB, or all together are larger than 60 MB.
    """
    root = Path(bundle_root)
    missing = [path for path in paths if not (root / path).is_file()]
    if missing:
        raise BundleError(f"{root / missing[0]}: no such file to ship")
    sizes = {path: (root / path).stat().st_size for path in paths}
    for path, size in sizes.items():
        if size > MAX_FILE:
            raise BundleError(f"{root / path}: {size / 1e6:.1f} MB, at most {MAX_FILE / 1e6:.0f} MB can ship")
    total = sum(sizes.values())
    if total > MAX_TOTAL:
        raise BundleError(f"{root}: {total / 1e6:.1f} MB to ship, at most {MAX_TOTAL / 1e6:.0f} MB can")
    # The files are part of the repository, so nothing is downloaded: where they are present MONAI compares the hash.
    entries = [{"path": p, "url": "", "hash_val": sha256(root / p), "hash_type": "sha256"} for p in paths]
    with replacing(root / "large_files.yml") as partial:
        partial.write_text(yaml.safe_dump({"large_files": entries}, sort_keys=False))
    print(f"{len(paths)} files, {total / 1e6:.1f} MB: {root / 'large_files.yml'}", flush=True)


def listed_files(bundle_root: str | Path) -> dict[str, str]:
    """SHA-256 by path, as `large_files.yml` lists them; nothing where a bundle has no such file.

    Raises:
        BundleError: it holds something else.
    """
    listing = Path(bundle_root) / LISTING
    if not listing.is_file():
        return {}
    content = read_yaml(listing)
    entries = content.get("large_files") if isinstance(content, Mapping) else None
    try:
        return {str(entry["path"]): str(entry["hash_val"]) for entry in entries}
    except (TypeError, KeyError) as error:
        raise BundleError(f"{listing}: expected large_files, a list of path, hash_val and hash_type") from error


def made_here(folder: str | Path) -> dict[str, list[str]]:
    """SHA-256 of the weights that runs have written to `folder`, by name: of the file there, and of the one to come."""
    record = Path(folder) / MADE_HERE
    if not record.is_file():
        return {}
    content = read_json(record)
    if not isinstance(content, Mapping) or not all(isinstance(hashes, list) for hashes in content.values()):
        raise BundleError(
            f"{record}: is no record of weights; delete it, and run configs/release.yaml if yours are meant"
        )
    return dict(content)


def note_made(path: str | Path, digest: str, bundle_root: str | Path = ROOT) -> None:
    """Note that a run is about to put a file with the SHA-256 `digest` in the place of a shipped one.

    Called before the file gets its name, so that neither the old nor the new one is refused after a crash in between.
    """
    if _shipped_as(path, bundle_root) is not None:
        folder, name = Path(path).parent, Path(path).name
        record = made_here(folder)
        there = sha256(path) if Path(path).is_file() else None
        record[name] = list(dict.fromkeys([*(known for known in record.get(name, ()) if known == there), digest]))
        write_json(folder / MADE_HERE, record)


def check_shipped(path: str | Path, bundle_root: str | Path = ROOT) -> str | None:
    """Compare a file in the place of a shipped one with `large_files.yml`.

    Returns:
        "shipped", "made here" by a run of this bundle, or None: nothing is listed under this path.

    Raises:
        BundleError: it is neither the file that is listed nor one that a run has written.
    """
    name = _shipped_as(path, bundle_root)
    if name is None:
        return None
    found = sha256(path)
    if found == listed_files(bundle_root)[name]:
        return "shipped"
    if found in made_here(Path(path).parent).get(Path(path).name, ()):
        return "made here"
    raise BundleError(
        f"{path}: damaged or replaced, neither the file that {LISTING} lists nor one that a run here has written; "
        "fetch it again, or run configs/release.yaml if it is meant"
    )


def _shipped_as(path: str | Path, bundle_root: str | Path) -> str | None:
    root, path = Path(bundle_root).resolve(), Path(path).resolve()
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else ""
    return name if name in listed_files(root) else None


def verify(bundle_root: str | Path) -> None:
    """Print of each shipped file whether it is still the one that shipped.

    Graphs may come from an export here, too: their manifest, which is checked wherever they are used, says so.

    Raises:
        BundleError: a file is missing, or weights are neither the listed ones nor made here.
    """
    root, listed = Path(bundle_root), listed_files(bundle_root)
    for name, digest in listed.items():
        if not (root / name).is_file():
            raise BundleError(f"{root / name}: no such file, but {LISTING} lists it; fetch it again")
        if name.endswith(".onnx"):
            state = "shipped" if sha256(root / name) == digest else "exported here"
        else:
            state = check_shipped(root / name, root)
        print(f"{name:<36}{state}", flush=True)
