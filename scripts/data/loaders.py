"""Loaders that draw the same images in the same way whoever shares the work, and that name what they failed on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import ignite.distributed as idist
import numpy as np
import torch
from monai.data import DataLoader, DistributedSampler
from monai.transforms import Randomizable
from torch.utils.data import Dataset, get_worker_info

from ..errors import BundleError, root_cause


class Watched(Dataset):
    """Items of `dataset`, with a note of which one each worker process is at.

    An error in bad input comes out as the `BundleError` that caused it, which crosses process borders in one piece.

    Args:
        dataset: indexed from 0.
        num_workers: of the loader.
    """

    def __init__(self, dataset: Dataset, num_workers: int) -> None:
        self.dataset = dataset
        # A row a worker, in memory that all processes share: process id, and index of the item or -1
        self.places = torch.full((max(1, num_workers), 2), -1, dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> object:
        worker = get_worker_info()
        if worker is not None:
            self.places[worker.id] = torch.tensor([os.getpid(), index])
        try:
            item = self.load(index)
        except Exception as error:
            cause = root_cause(error)
            if cause is None or worker is None:
                raise
            raise BundleError(str(cause)) from None
        if worker is not None:
            self.places[worker.id, 1] = -1
        return item

    def load(self, index: int) -> object:
        """The item at `index`."""
        return self.dataset[index]

    def name(self, index: int) -> str:
        """File or id of the item at `index`."""
        data = getattr(self.dataset, "data", None)
        item = data[index] if data is not None else None
        return str(item.get("image", item.get("id", index))) if isinstance(item, Mapping) else f"item {index}"

    def left_at(self, message: str) -> list[str]:
        """Names of the items that the worker processes were at whose ids `message` holds."""
        return [self.name(index) for process, index in self.places.tolist() if index >= 0 and str(process) in message]


class ImageLoader(DataLoader):
    """MONAI's loader; where a worker process dies, the error names the image that it was at.

    Args:
        dataset: a MONAI `Dataset` of dictionaries.
        num_workers: worker processes; 0 loads in this one.
        kwargs: arguments of `torch.utils.data.DataLoader`.
    """

    def __init__(self, dataset: Dataset, num_workers: int = 0, **kwargs) -> None:
        watched = dataset if isinstance(dataset, Watched) else Watched(dataset, num_workers)
        super().__init__(watched, num_workers=num_workers, **kwargs)

    def __iter__(self) -> Iterator:
        try:
            yield from super().__iter__()
        except RuntimeError as error:
            if isinstance(error, BundleError) or "DataLoader worker" not in str(error):
                raise
            names = ", ".join(self.dataset.left_at(str(error))) or "no image"
            raise BundleError(
                f"{names}: the worker process that was at it died ({str(error).splitlines()[0]}); if memory is short, "
                "lower num_workers or batch_size, else look at the file"
            ) from error


class Augmented(Watched):
    """Items whose random transforms are seeded with seed, epoch and index.

    Args:
        dataset: indexed from 0; its random states are those of its `transform`.
        num_workers: of the loader.
        seed: not negative.
        sampler: says which epoch it is.
    """

    def __init__(self, dataset: Dataset, num_workers: int, seed: int, sampler: DistributedSampler) -> None:
        super().__init__(dataset, num_workers)
        self.seed = seed
        self.sampler = sampler

    def load(self, index: int) -> object:
        """The item at `index`, as it is drawn in this epoch."""
        transform = self.dataset.transform
        if isinstance(transform, Randomizable):
            mixed = np.random.SeedSequence([self.seed, self.sampler.epoch, index]).generate_state(1)
            transform.set_random_state(seed=int(mixed[0]))
        return super().load(index)


class TrainingLoader(ImageLoader):
    """Shuffled batches whose order and augmentation follow from seed, epoch and image alone.

    So a resumed run, several processes with the same global batch, and any number of workers all draw the same. MONAI's
    trainer tells the sampler the epoch.

    Args:
        dataset: a MONAI `Dataset` of dictionaries, whose `transform` may draw at random.
        batch_size: images a batch in each process.
        seed: not negative.
        num_workers: worker processes; 0 loads in this one.
    """

    def __init__(self, dataset: Dataset, batch_size: int, seed: int, num_workers: int = 0) -> None:
        sampler = DistributedSampler(
            dataset, num_replicas=idist.get_world_size(), rank=idist.get_rank(), shuffle=True, seed=seed
        )
        drawn = Augmented(dataset, num_workers, seed, sampler)
        super().__init__(drawn, num_workers, batch_size=batch_size, sampler=sampler)


class EachOnce(DistributedSampler):
    """The share of this process of all images: in order, each in one process, so that shares may differ by one.

    Args:
        dataset: indexed from 0.

    Raises:
        BundleError: fewer images than processes: one would have none.
    """

    def __init__(self, dataset: Dataset) -> None:
        processes = idist.get_world_size()
        if len(dataset) < processes:
            raise BundleError(
                f"{len(dataset)} images to validate or test on are too few for {processes} processes: start at most "
                f"{len(dataset)} with torchrun --nproc_per_node"
            )
        super().__init__(dataset, even_divisible=False, num_replicas=processes, rank=idist.get_rank(), shuffle=False)
