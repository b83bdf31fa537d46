"""Loaders: what they draw does not depend on who shares the work, and what they fail on is named."""

from __future__ import annotations

import os
import signal

import ignite.distributed as idist
import pytest
import torch
from monai.data import Dataset
from monai.transforms import Compose, MapTransform, Randomizable

from scripts.data import EachOnce, ImageLoader, TrainingLoader
from scripts.errors import BundleError


class Noise(MapTransform, Randomizable):
    """Adds a random number to the image."""

    def __call__(self, data):
        d = dict(data)
        d["drawn"] = torch.tensor([d["value"] + self.R.random()])
        return d


def items(count: int) -> list[dict]:
    return [{"image": f"/films/film_{i}.png", "id": f"film_{i}", "value": float(i)} for i in range(count)]


def draw(epochs: int = 2, batch_size: int = 4, num_workers: int = 0, seed: int = 3) -> list[list[dict]]:
    """The batches of each epoch, as MONAI's trainer would ask for them."""
    loader = TrainingLoader(Dataset(items(12), Compose([Noise("image")])), batch_size, seed, num_workers)
    drawn = []
    for epoch in range(1, epochs + 1):
        loader.sampler.set_epoch(epoch)
        drawn.append([dict(zip(batch["id"], batch["drawn"].flatten().tolist())) for batch in loader])
    return drawn


def test_epochs_and_seeds_differ_and_repeat():
    first, second = draw()
    assert first != second and set(first[0]) != set(second[0])
    assert draw() == [first, second] and draw(seed=4)[0] != first


def test_worker_processes_draw_the_same():
    assert draw(num_workers=2) == draw(num_workers=0)


def test_two_processes_share_the_batches_of_one(monkeypatch):
    whole = draw(batch_size=4)
    shares = []
    for rank in range(2):
        monkeypatch.setattr(idist, "get_world_size", lambda: 2)
        monkeypatch.setattr(idist, "get_rank", lambda rank=rank: rank)
        shares.append(draw(batch_size=2))
    for epoch, batches in enumerate(whole):
        assert batches == [{**first, **second} for first, second in zip(shares[0][epoch], shares[1][epoch])]


def shares(count: int, processes: int, monkeypatch) -> list[list[int]]:
    """What each process draws of `count` images."""
    monkeypatch.setattr(idist, "get_world_size", lambda: processes)
    drawn = []
    for rank in range(processes):
        monkeypatch.setattr(idist, "get_rank", lambda rank=rank: rank)
        drawn.append(list(EachOnce(Dataset(items(count)))))
    return drawn


def test_each_image_is_drawn_once_by_all_processes_together(monkeypatch):
    assert shares(5, 2, monkeypatch) == [[0, 2, 4], [1, 3]]
    assert shares(3, 3, monkeypatch) == [[0], [1], [2]]
    assert shares(2, 1, monkeypatch) == [[0, 1]]


def test_fewer_images_than_processes_say_what_to_do(monkeypatch):
    with pytest.raises(BundleError, match="^2 images .* too few for 3 processes: start at most 2 with torchrun"):
        shares(2, 3, monkeypatch)


class Fails(MapTransform):
    def __call__(self, data):
        if data["id"] == "film_5":
            raise BundleError(f"{data['image']}: cannot be read as an image")
        return dict(data)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_image_that_fails_in_the_middle_of_an_epoch_is_named(num_workers):
    loader = ImageLoader(Dataset(items(8), Compose([Fails("image")])), num_workers, batch_size=2)
    with pytest.raises(Exception) as caught:
        list(loader)
    text = str(caught.value.__cause__ or caught.value) if num_workers == 0 else str(caught.value)
    assert text.strip().splitlines()[-1].endswith("/films/film_5.png: cannot be read as an image")


class Dies(MapTransform):
    def __call__(self, data):
        if data["id"] == "film_6":
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory is short
        return dict(data)


def test_dead_worker_names_the_image_it_was_at():
    loader = ImageLoader(Dataset(items(8), Compose([Dies("image")])), 2, batch_size=1)
    with pytest.raises(BundleError, match=r"^/films/film_6.png: the worker process that was at it died .*lower num_w"):
        list(loader)
