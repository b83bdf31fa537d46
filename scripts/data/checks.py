"""Looking into every file before a long run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm


def check_files(items: Sequence[Mapping], transform: Callable, num_workers: int = 0) -> None:
    """Run each item through `transform` once, so that damaged pixels or wrong mask values stop a run before it trains.

    For data that are not cached: caching reads everything at the start anyway.

    Args:
        items: from `load_datalist`.
        transform: what reads and checks one item; its result is dropped.
        num_workers: threads; 0 reads in this one.

    Raises:
        BundleError: of the first item at fault.
    """
    with ThreadPoolExecutor(max(1, num_workers)) as pool:
        try:
            for _ in tqdm(pool.map(lambda item: transform(item) and None, items), "Checking files", len(items)):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
