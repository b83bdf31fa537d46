"""How well copies are told from films that look alike, and how long it takes: ``python tests/measure_copies.py DIR``.

DIR holds a manifest of films without copies among them. Figures of docs/data_sets.md.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from test_duplicates import CHANGES, LIMITS

from scripts.data import load_datalist
from scripts.datasets.conversion import read_gray
from scripts.datasets.duplicates import alike, centred, find_copies
from scripts.datasets.fingerprints import Fingerprint, fingerprint

MANY = 65_000


def main(folder: str) -> None:
    films = [read_gray(item["image"]) for item in load_datalist(folder)]
    films = [(film - film.min()) / max(np.ptp(film), 1) for film in films]
    started = time.perf_counter()
    marks = [fingerprint(film) for film in films]
    print(f"{len(films)} films, {(time.perf_counter() - started) / len(films) * 1000:.1f} ms a fingerprint")
    ranks = centred(np.stack([mark.thumbnail.ravel() for mark in marks]))
    hashes = np.array([mark.hash for mark in marks], dtype=np.uint64)
    values = np.abs(ranks @ ranks.T)[np.triu_indices(len(marks), 1)]
    near = sum(len(pair[0]) for pair in alike(hashes, LIMITS["distance"]))
    print(f"{len(values)} pairs: {near} within {LIMITS['distance']} bits; highest correlations", end=" ")
    print(np.sort(values)[-3:].round(4), "taken for copies", len(find_copies(marks, **LIMITS)))
    for name, change in CHANGES.items():
        changed = [fingerprint(change(film)) for film in films[::4]]
        pairs = list(zip(marks[::4], changed))
        bits = [min(n := (a.hash ^ b.hash).bit_count(), 64 - n) for a, b in pairs]
        theirs = centred(np.stack([mark.thumbnail.ravel() for mark in changed]))
        alikeness = np.abs((ranks[::4] * theirs).sum(1))
        found = np.mean((np.array(bits) <= LIMITS["distance"]) & (alikeness >= LIMITS["correlation"]))
        print(f"| {name} | {100 * found:.1f} % | {max(bits)} | {alikeness.min():.4f} |")
    crowd(marks)


def crowd(marks: list[Fingerprint]) -> None:
    """Time for many films that are as much alike as these: theirs with up to 4 other bits and other thumbnails."""
    rng = np.random.default_rng(0)
    many = []
    for i in range(MANY):
        mark = marks[i % len(marks)]
        flips = sum({1 << int(bit) for bit in rng.integers(0, 64, i % 5)})
        noisy = mark.thumbnail + rng.integers(-70, 71, (64, 64), dtype=np.int16)
        many.append(Fingerprint(str(i), mark.hash ^ flips, noisy.clip(0, 255).astype(np.uint8)))
    hashes = np.array([mark.hash for mark in many], dtype=np.uint64)
    started = time.perf_counter()
    near = sum(len(pair[0]) for pair in alike(hashes, LIMITS["distance"]))
    hashed = time.perf_counter() - started
    copies = find_copies(many, **LIMITS)
    total = time.perf_counter() - started - hashed
    print(f"{MANY} films: {near} pairs within the distance in {hashed:.1f} s; {len(copies)} copies in {total:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1])
