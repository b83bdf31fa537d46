"""What ships in models/: sizes and hashes, as the model zoo lists them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from .errors import BundleError
from .files import replacing, sha256

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
