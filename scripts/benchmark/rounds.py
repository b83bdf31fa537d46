"""Interleaved rounds of processes that each hold one variant."""

from __future__ import annotations

import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..errors import BundleError


@dataclass(frozen=True)
class Figures:
    """What was measured of one variant.

    Attributes:
        name: of the variant.
        median_ms: of one call, over all rounds.
        p95_ms: the same, 95th percentile; None of fewer than 20 calls.
        ratio: median over the rounds of (peer's time / this one's time): above 1 is faster than the peer.
        peak_mib: largest resident memory of the process.
        load_s: seconds from the files to the first call, process start and imports excluded.
        megabytes: files on disk; None for a variant without files of its own.
        batch: images a call.
    """

    name: str
    median_ms: float
    p95_ms: float | None
    ratio: float
    peak_mib: float
    load_s: float
    megabytes: float | None
    batch: int

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class Worker:
    """A process that loads one variant and calls it on demand.

    Args:
        spec: what `worker.build` takes.
        threads: of the process.
        root: the bundle's folder.
    """

    def __init__(self, spec: Mapping[str, object], threads: int, root: Path) -> None:
        self.spec = dict(spec)
        count = str(threads)
        # A file, since a pipe that nobody empties would stop a process that warns a lot
        self.messages = tempfile.TemporaryFile(mode="w+")
        environment = {**os.environ, "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "scripts.benchmark.worker", json.dumps(dict(spec, threads=threads))],
            cwd=root,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.messages,
            text=True,
        )
        self.load_s = self._answer()["load_s"]

    def _answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.messages.seek(0)
            reason = self.messages.read().strip().splitlines()
            raise BundleError(f"benchmark: {self.spec['name']} stopped: {reason[-1] if reason else 'no message'}")
        return json.loads(line)

    def call(self, times: int) -> list[float]:
        """Seconds of each of `times` calls."""
        self.process.stdin.write(f"{times}\n")
        self.process.stdin.flush()
        return self._answer()["seconds"]

    def close(self) -> float:
        """End the process; its peak memory in MiB."""
        self.process.stdin.write("0\n")
        self.process.stdin.flush()
        peak = self._answer()["peak_mib"]
        self.process.wait()
        return peak


def interleave(
    specs: Sequence[Mapping[str, object]], peer: str, rounds: int, calls: int, threads: int, root: str | Path
) -> list[Figures]:
    """Measure variants in turns, so that all meet the same machine.

    Args:
        specs: of the variants (see `worker.build`), each with "name".
        peer: name of the variant that the ratios refer to.
        rounds: at least 3; each calls every variant `calls` times. One round before them is not counted.
        calls: in a round.
        threads: of each process.
        root: the bundle's folder.

    Raises:
        BundleError: too few rounds, an unknown peer, or a variant that fails.
    """
    names = [spec["name"] for spec in specs]
    if rounds < 3 or calls < 1:
        raise BundleError(f"benchmark: at least 3 rounds of 1 call are needed, got {rounds} of {calls}")
    if peer not in names:
        raise BundleError(f"benchmark: the peer {peer!r} is none of {', '.join(names)}")
    log, workers = logging.getLogger("benchmark"), []
    try:
        for spec in specs:
            log.info("loading %s", spec["name"])
            workers.append(Worker(spec, threads, Path(root)))
        seconds: dict[str, list[list[float]]] = {name: [] for name in names}
        for number in range(rounds + 1):
            started = time.monotonic()
            for worker in workers:
                measured = worker.call(calls)
                if number:
                    seconds[worker.spec["name"]].append(measured)
            log.info("round %d/%d, %.0f s", number, rounds, time.monotonic() - started)
        peaks = [worker.close() for worker in workers]
    finally:
        for worker in workers:
            worker.process.kill()
    return [_figures(worker, peak, seconds, peer) for worker, peak in zip(workers, peaks)]


def _figures(worker: Worker, peak: float, seconds: Mapping[str, list[list[float]]], peer: str) -> Figures:
    own = seconds[worker.spec["name"]]
    calls = sorted(value for measured in own for value in measured)
    medians = [[statistics.median(measured) for measured in seconds[name]] for name in (peer, worker.spec["name"])]
    files = [Path(path) for path in worker.spec.get("files", ())]
    return Figures(
        name=worker.spec["name"],
        median_ms=1000 * statistics.median(calls),
        p95_ms=1000 * float(np.quantile(calls, 0.95)) if len(calls) >= 20 else None,
        ratio=statistics.median(theirs / ours for theirs, ours in zip(*medians)),
        peak_mib=peak,
        load_s=worker.load_s,
        megabytes=sum(path.stat().st_size for path in files) / 1e6 if files else None,
        batch=worker.spec.get("batch", 1),
    )
