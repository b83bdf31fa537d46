"""Errors that a user can act on, and how they reach the terminal."""

from __future__ import annotations

import sys
import traceback

# MONAI Label answers a request with status and message of an HTTPException, and with a bare "500" for all else. It has
# loaded this module by the time that it loads a bundle.
_served = sys.modules.get("starlette.exceptions")
_BASES = (ValueError, _served.HTTPException) if _served else (ValueError,)


class BundleError(*_BASES):
    """Bad input. The message is one line: it names the file, id or value at fault and what to do."""

    status_code = 400  # what a server answers with
    headers = None

    def __init__(self, message: str) -> None:
        message = one_line(message)
        super().__init__(message)

    @property
    def detail(self) -> str:
        return str(self.args[0])

    __str__ = ValueError.__str__  # not the server's, which begins with the status


class CheckpointMismatch(BundleError):
    """A checkpoint does not fit the network; the message names the first keys that differ."""


def one_line(message: str) -> str:
    """`message` without line ends, which a file name may hold."""
    if message.startswith("Caught "):  # a data loader's worker sends its error as text, with the traceback
        message = message.strip().splitlines()[-1].split(": ", 1)[-1]
    return " ".join(message.splitlines())


def root_cause(error: BaseException) -> BundleError | None:
    """The first `BundleError` in the chain of causes of `error`, or None."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, BundleError):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def _print_in_one_line(kind, error, trace) -> None:
    cause = root_cause(error)
    if cause is None:
        traceback.print_exception(kind, error, trace)
    else:
        print(f"error: {cause}", file=sys.stderr)


def report_in_one_line() -> None:
    """Print a `BundleError` as one line instead of the traceback of the config machinery around it.

    MONAI wraps whatever a config item raises ("Failed to instantiate component ..."), which buries the cause. Other
    errors keep their full traceback. Listed under ``initialize`` of every config.
    """
    sys.excepthook = _print_in_one_line
