"""Images that are copies of one another, among tens of thousands, and groups that no split may divide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..data.splits import PARTS
from ..errors import BundleError
from .fingerprints import Fingerprint
from .perceptual_hash import BITS, THUMBNAIL_SIDE

ROWS = 256  # images that are compared with all others at once: 65,000 others take 67 MB
PAIRS = 1 << 14  # pairs that are looked at at once
COARSE = 16  # side of the thumbnails that most pairs are dropped by
SLACK = 0.03  # by which these may correlate less than the fine ones


@dataclass(frozen=True)
class Copy:
    """Two images of which one is a copy of the other.

    Attributes:
        first, second: indices.
        distance: bits of their hashes that differ, after inverting one of them if that makes it fewer.
        correlation: of their thumbnails, negative if the grays of one are inverted.
        identical: values and shape are equal.
    """

    first: int
    second: int
    distance: int
    correlation: float
    identical: bool


def check_bounds(distance: int, correlation: float) -> None:
    """Raise `BundleError` unless these can say what counts as a copy."""
    if not 0 <= distance < BITS // 2 or not 0 < correlation <= 1:
        raise BundleError(
            f"distance must lie in 0..{BITS // 2 - 1} and correlation in 0..1, got {distance}, {correlation}"
        )


def find_copies(fingerprints: Sequence[Fingerprint], distance: int, correlation: float) -> list[Copy]:
    """Every pair of equal values, or whose hashes differ in `distance` bits at most and whose thumbnails correlate.

    The correlation decides, since chest films look alike in 64 bits; the hash saves computing it for all pairs.

    Args:
        fingerprints: one an image.
        distance: in bits, 0..31; inverted grays count as well.
        correlation: of ranks, above 0 and up to 1; the least that counts.

    Raises:
        BundleError: see `check_bounds`.
    """
    check_bounds(distance, correlation)
    if len(fingerprints) < 2:
        return []
    hashes = np.array([entry.hash for entry in fingerprints], dtype=np.uint64)
    digests = np.array([entry.digest for entry in fingerprints])
    ranks = np.stack([entry.thumbnail.ravel() for entry in fingerprints])
    cell = THUMBNAIL_SIDE // COARSE
    cells = ranks.reshape(len(ranks), COARSE, cell, COARSE, cell)
    coarse = centred(cells.mean(axis=(2, 4), dtype=np.float32).reshape(len(ranks), -1))
    copies = []
    for all_first, all_second, all_bits in alike(hashes, distance):
        for start in range(0, len(all_first), PAIRS):
            first, second, bits = (values[start : start + PAIRS] for values in (all_first, all_second, all_bits))
            same = digests[first] == digests[second]
            near = np.abs(np.einsum("np,np->n", coarse[first], coarse[second])) >= correlation - SLACK
            first, second, bits, same = (values[near | same] for values in (first, second, bits, same))
            values = np.einsum("np,np->n", centred(ranks[first]), centred(ranks[second]))
            for i in np.flatnonzero((np.abs(values) >= correlation) | same):
                copies.append(Copy(int(first[i]), int(second[i]), int(bits[i]), float(values[i]), bool(same[i])))
    return copies


def alike(hashes: np.ndarray, distance: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pairs i < j of hashes that differ in at most `distance` bits, or in at most `distance` from the inverted one.

    With bits as +1 and -1, the product of two hashes is 64 - 2 x distance: comparing all pairs is a matrix product,
    which takes seconds for 65,000 images. An index (bands, trees) saves little at the distances that copies need.

    Args:
        hashes: N 64-bit integers.
        distance: below 32.

    Yields:
        First indices, second indices and distances of some of the pairs.
    """
    bits = np.unpackbits(hashes.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)
    signs = bits.astype(np.float32) * 2 - 1
    for start in range(0, len(signs), ROWS):
        products = signs[start : start + ROWS] @ signs[start:].T
        np.abs(products, out=products)
        first, second = np.nonzero(products >= BITS - 2 * distance)
        upper = second > first
        first, second = first[upper], second[upper]
        if len(first):
            yield first + start, second + start, ((BITS - products[first, second]) / 2).astype(int)


def centred(rows: np.ndarray) -> np.ndarray:
    """N x P values with mean 0 and norm 1 in each row: products of rows are correlations. Equal values become 0."""
    rows = rows.astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return rows


def group(patients: Sequence[str], copies: Sequence[Copy]) -> list[str]:
    """A name for each image, the same for all that hang together by patient or copy: the first of their patients."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(patients))}
    nodes = np.array([numbers[name] for name in patients], dtype=int)
    ends = np.array([[nodes[copy.first], nodes[copy.second]] for copy in copies], dtype=int).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(numbers), len(numbers)))
    _, components = connected_components(graph, directed=False)
    names: dict[int, str] = {}
    for name, number in numbers.items():
        component = int(components[number])
        names[component] = min(name, names.get(component, name))
    return [names[int(components[node])] for node in nodes]


def contradicting(rows: Sequence[Mapping[str, str]]) -> list[tuple[Mapping[str, str], Mapping[str, str]]]:
    """Images whose part is fixed less held back than that of another image of their group, each with that image.

    Test is held back more than validation, and validation more than train.
    """
    fixed = [row for row in rows if row.get("part") in PARTS]
    held_back: dict[str, Mapping[str, str]] = {}
    for row in sorted(fixed, key=lambda row: -PARTS.index(row["part"])):
        held_back.setdefault(row["group"], row)
    return [(row, held_back[row["group"]]) for row in fixed if row["part"] != held_back[row["group"]]["part"]]
