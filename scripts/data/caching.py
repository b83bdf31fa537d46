"""What the deterministic transforms make of each film, kept in memory or on disk."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path

import ignite.distributed as idist
from monai.data import CacheDataset, Dataset, PersistentDataset
from monai.transforms import Compose, MapTransform, RandomizableTrait, Transform
from tqdm import tqdm

from ..errors import BundleError
from .cache_files import Damaged, read_entry, write_entry
from .cache_keys import digest, file_stamps, recipe


def rate_within(cache_rate: float, cache_gb: float, films: int, film_bytes: int) -> float:
    """Share of the films that this process may keep, so that all of its machine keep no more than `cache_gb` together.

    Each process draws from all films, epoch by epoch, and keeps the same ones. torchrun says how many run here.

    Args:
        cache_rate: the share at most.
        cache_gb: memory for films in GiB.
        films: number of films.
        film_bytes: of one, preprocessed, with its mask.
    """
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return min(cache_rate, cache_gb * 2**30 / (processes * films * film_bytes))


def cached_dataset(
    data: Sequence[Mapping],
    transform: Compose,
    cache_rate: float = 1.0,
    cache_dir: str | Path | None = None,
    num_workers: int = 2,
) -> Dataset:
    """A data set whose items have passed the transforms before the first random one already.

    Args:
        data: from `load_datalist`, or of a host that brings its own.
        transform: of one item.
        cache_rate: share of the items that is kept in memory; without meaning where there is a `cache_dir`.
        cache_dir: folder to keep all of them in, see `DiskCachedDataset`; None keeps them in memory.
        num_workers: threads that fill the cache.
    """
    if cache_dir is None:
        return CacheDataset(data, transform, cache_rate=cache_rate, num_workers=num_workers)
    return DiskCachedDataset(data, transform, cache_dir, num_workers=num_workers)


class DiskCachedDataset(PersistentDataset):
    """MONAI's `PersistentDataset`, whose entries are found only as long as nothing that they are made of has changed.

    An entry is named after the paths, sizes and modification times of an item's files, the deterministic transforms
    with all their settings, the code that runs them and the versions of the libraries below it. Another name means
    another file, so that several runs, processes and image sizes may share a folder; what no run needs any more can be
    deleted at any time. Entries hold tensors and plain values alone, are written in one piece and carry a checksum: a
    damaged one is made again.

    Like `CacheDataset`, it reads every item that is not there yet when it is built, so that a damaged film stops a run
    before it trains. Each of several processes begins at another place, so that they share this work.

    Args:
        data, transform: as for `CacheDataset`.
        cache_dir: made if it is missing.
        num_workers: threads that fill the cache.

    Raises:
        BundleError: the folder cannot be written to, a transform has a setting that cannot be told from another, or
            what a transform raises.
    """

    def __init__(
        self, data: Sequence[Mapping], transform: Compose, cache_dir: str | Path, num_workers: int = 2
    ) -> None:
        try:
            super().__init__(data, transform, cache_dir, track_meta=True)
        except (OSError, ValueError) as error:
            raise BundleError(f"{cache_dir}: cannot be used as a cache_dir ({error})") from error
        self.num_workers = max(1, num_workers)
        self.deterministic = list(self.transform.transforms)[: self.transform.get_index_of_first(is_random)]
        try:
            self.recipe = recipe(self.deterministic)
        except TypeError as error:
            raise BundleError(f"cache_dir: {error}; change the transform or leave cache_dir out") from error
        self.fill()

    def set_data(self, data: Sequence[Mapping]) -> None:
        """Take other items; entries of the former ones stay in the folder."""
        self.data = data
        self.fill()

    def fill(self) -> None:
        """Make every entry that is not there."""
        share = len(self.data) * idist.get_rank() // idist.get_world_size()
        items = [*self.data[share:], *self.data[:share]]
        missing = {path: item for item in items if not (path := self.entry(item)).is_file()}
        if not missing:
            return
        with ThreadPoolExecutor(self.num_workers) as pool:
            try:
                work = pool.map(self.make_if_missing, missing, missing.values())
                for _ in tqdm(work, f"Caching in {self.cache_dir}", len(missing)):
                    pass
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def entry(self, item: Mapping) -> Path:
        """The file that holds what the deterministic transforms make of `item` as its files are now."""
        inputs = self.inputs(item)
        return self.cache_dir / f"{digest([self.recipe, inputs, file_stamps(inputs)])}.entry"

    def inputs(self, item: Mapping) -> dict:
        """What the deterministic transforms see of `item`.

        Parts, groups and the like are no concern of theirs: drawing a split anew leaves entries valid.
        """
        if not all(isinstance(step, MapTransform) for step in self.deterministic):
            return dict(item)
        keys = {key for step in self.deterministic for key in step.keys}
        return {key: value for key, value in item.items() if key in keys}

    def make_if_missing(self, path: Path, item: Mapping) -> None:
        # Another process may have made it in the meantime
        if not path.is_file():
            self.make(path, item)

    def make(self, path: Path, item: Mapping) -> dict:
        """Run the deterministic transforms and keep what they change and add; what the entry will give."""
        done, inputs = self._pre_transform(deepcopy(dict(item))), self.inputs(item)
        return {**item, **write_entry(path, {key: done[key] for key in done if key in inputs or key not in item})}

    def _cachecheck(self, item: Mapping) -> dict:
        path = self.entry(item)
        try:
            return {**item, **read_entry(path)}
        except (FileNotFoundError, Damaged):  # written anew over what is there
            return self.make(path, item)


def is_random(transform: object) -> bool:
    """Where MONAI's caches stop."""
    return isinstance(transform, RandomizableTrait) or not isinstance(transform, Transform)
