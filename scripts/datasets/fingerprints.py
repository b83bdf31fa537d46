"""Fingerprints of all images of a manifest, kept beside it so that no image is read twice for them."""

from __future__ import annotations

import hashlib
import logging
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..errors import BundleError
from ..files import replacing
from .conversion import read_gray
from .perceptual_hash import THUMBNAIL_SIDE, perceptual_hash, thumbnail

SAVED_EVERY = 2000  # images; what a killed run has to do again at most


@dataclass(frozen=True)
class Fingerprint:
    """Digest of an image's values and shape, its 64 x 64 thumbnail of ranks, and the perceptual hash of that.

    Ranks bring contrasts together before they are hashed: a copy of another contrast differs in few bits.
    """

    digest: str
    hash: int
    thumbnail: np.ndarray


def fingerprint(gray: np.ndarray) -> Fingerprint:
    """The fingerprint of H x W values."""
    digest = hashlib.blake2b(repr(gray.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(gray, dtype=np.float32))
    small = thumbnail(gray)
    return Fingerprint(digest.hexdigest(), perceptual_hash(small), small)


class Fingerprints:
    """Fingerprints by path below a folder; one counts as long as its file has the size and the time that it had.

    Args:
        folder: that the paths are relative to.
        path: file to keep them in. One that cannot be read is made anew.
    """

    def __init__(self, folder: Path, path: Path) -> None:
        self.folder = folder
        self.path = path
        self.known: dict[str, tuple[tuple[int, int], Fingerprint]] = {}
        if path.is_file():
            try:
                self._read()
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                logging.getLogger("prepare").warning("%s: damaged, all images are read again (%s)", path, error)
                self.known = {}

    def __getitem__(self, image: str) -> Fingerprint:
        return self.known[image][1]

    def update(self, images: Iterable[str], num_workers: int) -> dict[str, str]:
        """Make the fingerprints that are missing or stale; image -> message of those that cannot be read."""
        missing = [image for image in images if image not in self.known or self.known[image][0] != self.stamp(image)]
        failed: dict[str, str] = {}
        with ThreadPoolExecutor(max(1, num_workers)) as pool:
            for start in range(0, len(missing), SAVED_EVERY):
                chunk = missing[start : start + SAVED_EVERY]
                done = pool.map(self._make, chunk)
                for image, result in tqdm(zip(chunk, done), f"Fingerprints {start} of {len(missing)}", len(chunk)):
                    if isinstance(result, str):
                        failed[image] = result
                    else:
                        self.known[image] = result
                self.save()
        return failed

    def keep(self, images: Iterable[str]) -> None:
        """Forget all others."""
        self.known = {image: self.known[image] for image in images}

    def stamp(self, image: str) -> tuple[int, int] | None:
        """Size in bytes and modification time in ns of an image's file, None if there is none."""
        path = self.folder / image
        if not path.is_file():
            return None
        state = path.stat()
        return state.st_size, state.st_mtime_ns

    def save(self) -> None:
        """Write all of them, in one piece."""
        images, entries = list(self.known), list(self.known.values())
        with replacing(self.path) as partial, partial.open("wb") as file:
            np.savez(
                file,
                images=np.array(images, dtype=np.str_),
                stamps=np.array([stamp for stamp, _ in entries], dtype=np.int64).reshape(-1, 2),
                digests=np.array([entry.digest for _, entry in entries], dtype=np.str_),
                hashes=np.array([entry.hash for _, entry in entries], dtype=np.uint64),
                thumbnails=np.array([entry.thumbnail for _, entry in entries], dtype=np.uint8),
            )

    def _make(self, image: str) -> tuple[tuple[int, int], Fingerprint] | str:
        stamp = self.stamp(image)
        try:
            return stamp, fingerprint(read_gray(self.folder / image))
        except BundleError as error:
            return str(error)

    def _read(self) -> None:
        with np.load(self.path, allow_pickle=False) as content:
            columns = [content[name] for name in ("images", "stamps", "digests", "hashes", "thumbnails")]
        if columns[-1].shape[1:] != (THUMBNAIL_SIDE, THUMBNAIL_SIDE) and len(columns[-1]):
            raise ValueError("thumbnails of another size")
        for image, stamp, digest, bits, small in zip(*columns, strict=True):
            self.known[str(image)] = (tuple(stamp.tolist()), Fingerprint(str(digest), int(bits), small))
