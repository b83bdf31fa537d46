"""How far a long step is, as lines of the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from ..handlers.progress import format_seconds

EVERY_S = 10.0
Item = TypeVar("Item")


class Announcer:
    """Logs a bar, a count and the time left, every few seconds and at the end.

    Args:
        name: what is done, at the start of each line.
        total: number of steps.
        log: to write to.
    """

    def __init__(self, name: str, total: int, log: logging.Logger) -> None:
        self.name, self.total, self.log = name, total, log
        self._begun = self._last = time.monotonic()

    def reached(self, done: int) -> None:
        """Say that `done` steps are done, if it is time to."""
        now = time.monotonic()
        if done >= self.total or now - self._last >= EVERY_S:
            self._last = now
            filled = 20 * done // max(1, self.total)
            left = format_seconds((now - self._begun) / max(1, done) * (self.total - done))
            bar = "#" * filled + "." * (20 - filled)
            self.log.info("%s %d/%d [%s] %s left", self.name, done, self.total, bar, left)


def announced(items: Sequence[Item], name: str, log: logging.Logger) -> Iterator[Item]:
    """The `items`, with an `Announcer`."""
    announcer = Announcer(name, len(items), log)
    for done, item in enumerate(items, start=1):
        yield item
        announcer.reached(done)
