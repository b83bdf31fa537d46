"""Writing files so that a crash leaves the old one or the new one, never half of one; and telling files apart."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import BundleError

TEXT = {"encoding": "utf-8", "errors": "surrogateescape"}  # tables hold names of files, which may be any bytes
# A disk that takes no more: what is said, and what to do
FULL = {
    errno.ENOSPC: ("no space left on the disk", "make room"),
    errno.EDQUOT: ("no space left in the quota", "make room"),
    errno.EFBIG: ("larger than a file may be on this disk", "take another"),
    errno.EROFS: ("the disk is read-only", "make it writable"),
}


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success it is synced and renamed to `path`, else removed.

    The name beside is unique to the process, so that processes of one run may write the same file.

    Raises:
        BundleError: the disk is full or read-only; the file at `path` is as it was.
    """
    path = Path(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with naming_full_disk(path, "resume"):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(partial, path)
            sync_folder(path.parent)
        finally:
            with suppress(OSError):  # it is gone, or the disk read-only: what was raised says more
                partial.unlink()


@contextmanager
def naming_full_disk(path: Path, then: str) -> Iterator[None]:
    """Raise `BundleError` where the disk takes no more: whether `path` is there, what to do, and `then`."""
    try:
        yield
    except Exception as error:
        fault = disk_fault(error)
        if fault is None:
            raise
        reason, remedy = fault
        state = "the file of that name is whole, as it was" if path.exists() else "there is no file of that name"
        raise BundleError(f"{path}: not written, {reason} ({state}); {remedy} and {then}") from error


def is_full(error: BaseException | None) -> bool:
    """Whether a disk that is full or read-only is behind `error`; torch raises errors of its own from it."""
    return disk_fault(error) is not None


def disk_fault(error: BaseException | None) -> tuple[str, str] | None:
    """What is wrong with a disk that takes no more, and what to do about it; None if that is not behind `error`."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return FULL[error.errno]
        error = error.__cause__ or error.__context__
    return None


def sync_folder(folder: Path) -> None:
    """Bring the names in `folder` to the disk: a renamed file is safe from a power cut only then."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_partials(folder: str | Path) -> None:
    """Remove the halves of files that killed processes left in `folder`."""
    for partial in Path(folder).glob("*.partial"):
        try:
            os.kill(int(partial.suffixes[-2][1:]), 0)
        except ProcessLookupError:
            partial.unlink(missing_ok=True)
        except (ValueError, IndexError, PermissionError):  # not ours, or of a process that lives
            continue


def check_writable(folders: Sequence[str | Path]) -> None:
    """Raise `BundleError` unless files can be written to each folder, which need not be there yet."""
    for folder in map(Path, folders):
        there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(parent))
        if not there.is_dir():
            raise BundleError(f"{folder}: cannot be written to, since {there} is no folder; name another one")
        if not permitted(there, os.W_OK | os.X_OK):
            raise BundleError(f"{folder}: cannot be written to (no permission for {there}); name another folder")


def permitted(path: str | Path, rights: int) -> bool:
    """Whether this process has the `rights` (os.R_OK, os.W_OK, os.X_OK) to `path`."""
    return os.access(path, rights, effective_ids=os.access in os.supports_effective_ids)


def name_below(path: str | Path, folder: str | Path) -> Path | None:
    """`path` relative to `folder` as it was listed there, whatever links lead to; None if it is not below it."""
    name = Path(os.path.relpath(os.path.abspath(path), os.path.abspath(folder)))
    return None if name.parts[:1] == ("..",) else name


def sha256(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: str | Path, content: object) -> None:
    """Write `content` as indented JSON, in one piece."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=4) + "\n")
