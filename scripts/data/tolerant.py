"""Loading a folder of films of which some may be broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from torch.utils.data import Dataset
from tqdm import tqdm

from ..errors import root_cause
from .loaders import ImageLoader


class Guarded(Dataset):
    """Items of `dataset`; one that raises a `BundleError` becomes {"image": path, "error": message}."""

    def __init__(self, dataset: Dataset, items: Sequence[dict]) -> None:
        self.dataset = dataset
        self.data = items

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict:
        try:
            return self.dataset[index]
        except Exception as error:  # MONAI wraps what a transform raises
            cause = root_cause(error)
            if cause is None:
                raise
            return {"image": self.data[index]["image"], "error": str(cause)}


class TolerantLoader:
    """Batches of one film, with a progress bar. A film that cannot be read is reported and passed over.

    It has no length: how many films can be read is known at the end.

    Args:
        dataset: a MONAI `Dataset` of {"image": path}.
        on_failure: called with path and message of each film that a `BundleError` kept out.
        num_workers: of the loader.
    """

    def __init__(self, dataset: Dataset, on_failure: Callable[[str, str], None], num_workers: int = 0) -> None:
        self.loader = ImageLoader(Guarded(dataset, dataset.data), batch_size=1, num_workers=num_workers)
        self.on_failure = on_failure

    def __iter__(self) -> Iterator[dict]:
        for batch in tqdm(self.loader, "Segmenting", unit=" films", disable=not len(self.loader)):
            if "error" in batch:
                self.on_failure(batch["image"][0], batch["error"][0])
            else:
                yield batch
