"""One published data set into the manifest of a folder, and copies among all sets that the manifest has."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from ..errors import BundleError
from ..files import check_writable, is_full
from .duplicates import Copy, check_bounds, contradicting, find_copies, group
from .fingerprints import Fingerprints
from .folders import Film, Found, find_films
from .layouts import read_layout
from .manifest import COLUMNS, printable, read_manifest, read_rows, replaced, write_tables
from .writer import Writer

LEFT_OUT_COLUMNS = ("dataset", "file", "reason")
PAIR_COLUMNS = ("first", "second", "first_dataset", "second_dataset", "kind", "distance", "correlation", "group")
Rows = list[dict[str, str]]
log = logging.getLogger("prepare")


def prepare(
    layout: str | Path,
    source: str | Path | None,
    dataset_dir: str | Path,
    distance: int,
    correlation: float,
    organs: Sequence[str] | None = None,
    threshold: float | None = None,
    keep_parts: bool = False,
    drop_contradictions: bool = False,
    num_workers: int = 2,
) -> None:
    """Write films and masks of one data set into `manifest.csv` of a folder; the sets that it has already stay.

    The manifest is replaced as a whole at the end; until then it and all that it lists stay as they are. Run again
    after an interruption, the command goes on. `duplicates.csv` beside the manifest lists copies among all of its
    images, `left_out.csv` every file that is not in it, with the reason.

    Args:
        layout: file of `read_layout`.
        source: folder of the data set.
        dataset_dir: folder of the manifest, see `Writer`.
        distance, correlation: what counts as a copy, see `find_copies`.
        organs: their masks become classes 1, 2, ...; None makes one class of all masks that a film needs.
        threshold: see `as_mask`.
        keep_parts: films keep the part that the authors of the data set gave them; else the split is free.
        drop_contradictions: of copies in different parts those that are held back less are left out; else they are an
            error.
        num_workers: threads.

    Raises:
        BundleError: a layout, setting, folder or table that is wrong, nothing that can be used, copies in different
            parts, or a disk that is full or read-only.
    """
    declared = read_layout(layout)
    if source is None:
        raise BundleError(f"pass --source, the folder of {declared.dataset}; another data set: --layout NAME")
    check_kinds(source, organs, threshold)
    check_bounds(distance, correlation)
    out, organs = Path(dataset_dir), list(organs or ())
    paths = {name: out / f"{name}.csv" for name in ("manifest", "duplicates", "left_out")}
    check_writable([out, out / "prepared"])
    earlier(paths)  # what is wrong with them is said before the work
    found = find_films(declared, source, organs, keep_parts, without=[out / "prepared", *paths.values()])
    writer = Writer(declared, found, out, organs, threshold)
    try:
        new, sources, left_out = usable(writer, num_workers)
        rows, listed = earlier(paths)  # again: another data set may have been added meanwhile
        rows = replaced(rows, declared.dataset, new)
        store = Fingerprints(out, out / "prepared" / "fingerprints.npz")
        failed = store.update([row["image"] for row in rows], num_workers)
        rows, damaged = without_failed(rows, failed, declared.dataset)
        log.info("Comparing %d images", len(rows))
        copies = find_copies([store[row["image"]] for row in rows], distance, correlation)
        for row, name in zip(rows, group([row.get("patient") or row["id"] for row in rows], copies)):
            row["group"] = name
        pairs = described(rows, copies)
        rows, dropped = without_contradictions(rows, drop_contradictions)
        gone = [(declared.dataset, path, reason) for path, reason in left_out]
        gone += [
            (row["dataset"], sources.get(row["id"], out / row["image"]), reason) for row, reason in damaged + dropped
        ]
        gone = [dict(zip(LEFT_OUT_COLUMNS, map(printable, entry))) for entry in gone]
        if not any(row.get("dataset") == declared.dataset for row in rows):
            raise BundleError(f"{source}: no film can be used; {gone[-1]['file']}: {gone[-1]['reason']}")
        store.keep(row["image"] for row in rows)
        store.save()
        write_tables(
            {
                paths["manifest"]: (rows, COLUMNS),
                paths["duplicates"]: (pairs, PAIR_COLUMNS),
                paths["left_out"]: (replaced(listed, declared.dataset, gone), LEFT_OUT_COLUMNS),
            }
        )
        writer.remove_others(rows)
    except OSError as error:
        raise BundleError(f"{error.filename or out}: {error.strerror or error}; mend it and run again") from error
    report(rows, pairs, gone, declared.dataset, paths)


def check_kinds(source: object, organs: object, threshold: object) -> None:
    """Raise `BundleError` for a value of the wrong kind; the config, whose own values are null, takes any."""
    if not isinstance(source, (str, Path)):
        raise BundleError(f"source takes a folder, got {source!r}; write ./{source} for a path")
    if organs is not None and not (isinstance(organs, (list, tuple)) and all(isinstance(name, str) for name in organs)):
        raise BundleError(f"organs takes a list of names such as \"['heart']\", got {organs!r}")
    number = isinstance(threshold, (int, float)) and not isinstance(threshold, bool)
    if threshold is not None and not (number and 0 <= threshold < math.inf):
        raise BundleError(f"threshold takes a number of at least 0, got {threshold!r}")


def earlier(paths: Mapping[str, Path]) -> tuple[Rows, Rows]:
    """Rows of the manifest and of the list of files left out, as they are."""
    return read_manifest(paths["manifest"]), read_rows(paths["left_out"], LEFT_OUT_COLUMNS)


def usable(writer: Writer, num_workers: int) -> tuple[Rows, dict[str, Path], list[tuple[Path, str]]]:
    """Rows of the films that can be used, id -> original file, and (file, reason) of all else that the folder holds.

    Raises:
        BundleError, OSError: the disk takes no more, which is no film's own fault; or the table of masks is wrong.
    """
    found: Found = writer.found
    runs, left_out, rows, sources = writer.start(), list(found.left_out), [], {}

    def row(film: Film) -> dict[str, str] | str:
        try:
            return writer.row(film, runs)
        except (BundleError, OSError) as error:
            if is_full(error):
                raise
            return f"{error.filename}: {error.strerror}" if getattr(error, "filename", None) else str(error)

    with ThreadPoolExecutor(max(1, num_workers)) as pool:
        try:
            work = zip(found.films, pool.map(row, found.films))
            for film, done in tqdm(work, f"Films of {writer.layout.dataset}", len(found.films)):
                if isinstance(done, str):
                    left_out.append((film.image, done))
                else:
                    rows.append(done)
                    sources[film.id] = film.image
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return rows, sources, left_out


def without_failed(rows: Rows, failed: Mapping[str, str], dataset: str) -> tuple[Rows, list[tuple[dict, str]]]:
    """Rows whose images could be read, and those of `dataset` whose images could not, with the reason.

    Args:
        rows: of the manifest.
        failed: image -> message.
        dataset: that is being prepared.

    Raises:
        BundleError: an image of another data set, which was whole when that was prepared.
    """
    damaged = [(row, failed[row["image"]]) for row in rows if row["image"] in failed]
    for row, message in damaged:
        if row.get("dataset") != dataset:
            name = row.get("dataset") or "its data set"
            raise BundleError(f"{message}; prepare {name} again, or take it out of the manifest")
    return [row for row in rows if row["image"] not in failed], damaged


def described(rows: Rows, copies: Sequence[Copy]) -> list[dict[str, object]]:
    """Copies as rows of `duplicates.csv`: ids, identical or similar (inverted), bits, correlation of ranks, group."""
    lines = []
    for copy in copies:
        first, second = rows[copy.first], rows[copy.second]
        kind = "identical" if copy.identical else "similar" if copy.correlation > 0 else "inverted"
        names = (first["id"], second["id"], first.get("dataset", ""), second.get("dataset", ""))
        values = (*names, kind, copy.distance, f"{copy.correlation:.4f}", first["group"])
        lines.append(dict(zip(PAIR_COLUMNS, values)))
    return lines


def without_contradictions(rows: Rows, drop: bool) -> tuple[Rows, list[tuple[Mapping[str, str], str]]]:
    """Rows in which every group has one fixed part at most, and those left out for it, with the reason.

    Raises:
        BundleError: there are such rows and they are not to be left out.
    """
    pairs = contradicting(rows)
    if pairs and not drop:
        one, other = pairs[0]
        raise BundleError(
            f"{one['id']} is fixed in {one['part']} and {other['id']} in {other['part']}, but they are copies or of "
            f"one patient ({len(pairs)} such images); pass --drop_contradictions True, or prepare without --keep_parts"
        )
    gone = {row["id"] for row, _ in pairs}
    kept = [row for row in rows if row["id"] not in gone]
    return kept, [(row, f"copy or patient of {other['id']}, which is in {other['part']}") for row, other in pairs]


def report(
    rows: Rows, pairs: Sequence[Mapping], left_out: Sequence[Mapping], dataset: str, paths: Mapping[str, Path]
) -> None:
    """Log what is in the manifest, what its masks show, copies, and what was left out."""
    for (name, target), count in sorted(
        Counter((row.get("dataset", ""), row.get("target", "")) for row in rows).items()
    ):
        log.info("%s: %d images, masks of the %s", name, count, target or "(not said)")
    if any(row.get("dataset") == dataset and row.get("target") == "lesion" for row in rows):
        log.warning("%s: these masks show lesions, not lungs; train on them apart, with --datasets", dataset)
    across = sum(pair["first_dataset"] != pair["second_dataset"] for pair in pairs)
    log.info("Copies: %d pairs within data sets, %d across: %s", len(pairs) - across, across, paths["duplicates"])
    sizes = Counter(row["group"] for row in rows)
    log.info("%d groups that no split divides, the largest of %d images", len(sizes), max(sizes.values()))
    if left_out:
        first = left_out[0]
        message = "%d files left out, first: %s: %s; all: %s"
        log.warning(message, len(left_out), first["file"], first["reason"], paths["left_out"])
    log.info("%s", paths["manifest"])
