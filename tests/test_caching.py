"""The disk cache: the same batches as from memory, and nothing stale or damaged in them."""

import errno
import importlib
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import CacheDataset, DataLoader
from monai.data.utils import set_rnd
from monai.transforms import Compose, Lambdad, RandAdjustContrastd, RandAffined
from PIL import Image

from scripts.data import (
    CanonicalFilmd,
    DiskCachedDataset,
    Letterboxd,
    LoadRadiographd,
    MaskChannelsd,
    PromptBoxd,
    ScaleByPercentilesd,
    cache_keys,
    cached_dataset,
    caching,
    load_datalist,
    rate_within,
)
from scripts.errors import BundleError
from scripts.films.decoding import DECODERS
from scripts.films.looking import WEIGHTS
from scripts.phantoms import write_phantoms

ROOT = Path(__file__).parents[1]
SIZE = 64


def transforms(upper=99.5, random=True):
    """A short form of train.yaml's."""
    steps = [
        LoadRadiographd(["image", "label"]),
        MaskChannelsd("label"),
        CanonicalFilmd(["image", "label"], WEIGHTS),
        ScaleByPercentilesd("image", lower=0.5, upper=upper),
        Letterboxd(["image", "label"], size=SIZE),
    ]
    if random:
        affine = RandAffined(["image", "label"], prob=0.9, rotate_range=0.2, padding_mode="zeros")
        steps += [affine, RandAdjustContrastd("image", prob=0.6), PromptBoxd("label", probability=0.5, jitter=5)]
    return Compose(steps)


@pytest.fixture
def films(tmp_path):
    write_phantoms(tmp_path / "films", 5, size=SIZE, seed=60)
    return load_datalist(tmp_path / "films")


@pytest.fixture
def reads(monkeypatch):
    """Paths of the files that are read."""
    paths, load_one = [], LoadRadiographd.load_one

    def counted(self, path):
        paths.append(path)
        return load_one(self, path)

    monkeypatch.setattr(LoadRadiographd, "load_one", counted)
    return paths


def batches(dataset, num_workers=0):
    set_rnd(dataset, 7)
    torch.manual_seed(7)
    return list(DataLoader(dataset, batch_size=2, num_workers=num_workers))


def assert_equal(first, second):
    """Same entries, of the same types: values, boxes, metadata and traces."""
    assert type(first) is type(second) or isinstance(first, str)  # MONAI's enumerations of text come back as text
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first.keys() - {"id"}:  # of the transform's instance, which a cache cannot know
            assert_equal(first[key], second[key])
        return
    if isinstance(first, (list, tuple)):
        assert len(first) == len(second)
        for one, other in zip(first, second):
            assert_equal(one, other)
    elif isinstance(first, (torch.Tensor, np.ndarray)):
        np.testing.assert_array_equal(first, second)
        if hasattr(first, "meta"):
            assert_equal(first.meta, second.meta)
    else:
        assert first == second or first != first


# The same as from memory


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_equal_those_of_the_memory_cache(films, tmp_path, num_workers):
    expected = batches(CacheDataset(films, transforms(), progress=False), num_workers)
    for state in ("made", "found"):
        found = batches(cached_dataset(films, transforms(), cache_dir=tmp_path / "cache"), num_workers)
        assert len(found) == len(expected) == 3, state
        for one, other in zip(found, expected):
            assert_equal(one, other)


def test_without_a_folder_films_are_kept_in_memory(films):
    dataset = cached_dataset(films, transforms(), cache_rate=0.4)
    assert type(dataset) is CacheDataset and dataset.cache_num == 2


@pytest.mark.parametrize(("processes", "rate"), [(None, 1.0), (1, 1.0), (2, 1.0), (4, 0.5), (16, 0.125)])
def test_processes_of_a_machine_share_the_memory(monkeypatch, processes, rate):
    """1,024 films of 2 MiB: 2 GiB a process, of 4 that there are."""
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if processes is not None:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert rate_within(1.0, 4, films=1024, film_bytes=2**21) == rate


def test_a_second_run_reads_no_film(films, tmp_path, reads):
    first = DiskCachedDataset(films, transforms(), tmp_path / "cache")
    assert len(reads) == 10 and len(list((tmp_path / "cache").iterdir())) == 5
    second = DiskCachedDataset(films, transforms(), tmp_path / "cache")
    for dataset in (first, second):
        assert len([dataset[index] for index in range(5)]) == 5
    assert len(reads) == 10


# What makes an entry another one


@pytest.mark.parametrize("key", ["image", "label"])
def test_changed_file_is_read_again(films, tmp_path, reads, key):
    dataset = DiskCachedDataset(films, transforms(random=False), tmp_path / "cache")
    before = dataset[2][key].clone()
    changed = np.asarray(Image.open(films[2][key])).copy()
    changed[: SIZE // 2] = 0
    Image.fromarray(changed).save(films[2][key])
    reads.clear()
    assert not torch.equal(dataset[2][key], before)
    assert set(reads) == {films[2]["image"], films[2]["label"]}
    assert len([dataset[1], dataset[2]]) == 2 and len(reads) == 2


def test_file_of_the_same_size_is_known_by_its_time(films, tmp_path, reads):
    dataset = DiskCachedDataset(films, transforms(random=False), tmp_path / "cache")
    before = os.stat(films[0]["image"])
    os.utime(films[0]["image"], ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    reads.clear()
    dataset[0]
    assert len(reads) == 2


def test_changed_setting_of_a_transform_makes_other_entries(films, tmp_path):
    folder = tmp_path / "cache"
    before = DiskCachedDataset(films, transforms(random=False), folder)[0]["image"]
    after = DiskCachedDataset(films, transforms(upper=80.0, random=False), folder)[0]["image"]
    direct = transforms(upper=80.0, random=False)(films[0])["image"]
    assert torch.equal(after, direct) and not torch.equal(after, before)
    assert len(list(folder.iterdir())) == 10  # both sets stay, and are found


def test_random_transforms_share_entries(films, tmp_path):
    for random in (False, True):
        DiskCachedDataset(films, transforms(random=random), tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 5


@pytest.mark.parametrize("part", ["code", "versions"])
def test_other_code_makes_other_entries(films, tmp_path, monkeypatch, part):
    first = DiskCachedDataset(films, transforms(), tmp_path / "cache")
    original = getattr(cache_keys, part)
    changed = {"code": lambda path: original(path)[::-1], "versions": lambda: original() | {"pillow": "0.1"}}
    monkeypatch.setattr(cache_keys, part, changed[part])
    second = DiskCachedDataset(films, transforms(), tmp_path / "cache")
    assert {first.entry(item) for item in films}.isdisjoint(second.entry(item) for item in films)


def test_a_new_split_leaves_entries_valid(films, tmp_path):
    dataset = DiskCachedDataset(films, transforms(), tmp_path / "cache")
    marked = dict(films[0], part="test", group="g")
    assert dataset.entry(marked) == dataset.entry(films[0])
    assert DiskCachedDataset([marked], transforms(), tmp_path / "cache")[0]["part"] == "test"


def test_descriptions_are_the_same_in_every_process():
    """Sets of strings come in another order there, and what ran often has other instructions inside."""
    code = (
        "import json, runpy, sys; from functools import partial;"
        "described = runpy.run_path('scripts/data/cache_keys.py')['described'];"
        "among = lambda x: [json.dumps(x), x in {'a', 'b', 'c', 'd'}, x + x];"
        "[among('a') for _ in range(1000 * int(sys.argv[1]))];"
        "print(json.dumps(described([{'a', 'b', 'c', 'd'}, {'y': 1, 'x': (2, json.dumps)}, partial(int, base=2),"
        "among, 'a'.join])))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code, seed],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "12"
    }
    assert len(texts) == 1 and "json.dumps" in texts.pop()


def power(exponent):
    return lambda x: x**exponent


class Power:
    def __init__(self, exponent):
        self.exponent = exponent

    def of(self, x):
        return x**self.exponent


def with_global(exponent):
    return eval("lambda x: (lambda y: y**exponent)(x)", {"exponent": exponent})


def of_a_config(exponent):
    parser = ConfigParser({"exponent": exponent, "twice": "$2 * @exponent", "unread": "$object()"})
    parser.set("$lambda x: x**@twice", "function")
    parser.get_parsed_content("unread")
    return parser.get_parsed_content("function")


FUNCTIONS = {
    "constant": lambda exponent: eval(f"lambda x: x**{exponent}"),
    "constant of a function in it": lambda exponent: eval(f"lambda x: (lambda y: y**{exponent})(x)"),
    "attribute": lambda exponent: eval(f"lambda x: x.{'sqrt' if exponent == 0.5 else 'square'}()"),
    "default": lambda exponent: eval("lambda x, e=exponent: x**e", {"exponent": exponent}),
    "default of a keyword": lambda exponent: eval("lambda x, *, e=exponent: x**e", {"exponent": exponent}),
    "closure": power,
    "closure in a partial": lambda exponent: partial(power(exponent)),
    "global": with_global,
    "reference in a config": of_a_config,
    "method": lambda exponent: Power(exponent).of,
    "method of Python's": lambda exponent: str(exponent).join,
    "descriptor": lambda exponent: torch.Tensor.sqrt if exponent == 0.5 else torch.Tensor.square,
    "function of NumPy": lambda exponent: np.sqrt if exponent == 0.5 else np.square,
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions_are_told_apart(function):
    first, again, other = (cache_keys.recipe([Lambdad("image", function(e))]) for e in (0.5, 0.5, 0.7))
    assert first == again != other


def test_a_changed_module_of_the_user_makes_another_key(tmp_path, monkeypatch):
    """Also where the function that runs is another's, around that of the user."""
    text = "import torch\nGAMMA = 0.5\n\n@torch.no_grad()\ndef bend(x):\n    return x**GAMMA\n"
    monkeypatch.syspath_prepend(tmp_path)
    recipes = []
    for gamma in ("0.5", "0.7"):
        (tmp_path / "of_a_user.py").write_text(text.replace("0.5", gamma))
        module = importlib.import_module("of_a_user")
        recipes += [
            cache_keys.recipe([Lambdad("image", f)]) for f in (module.bend, eval("lambda x: m.bend(x)", {"m": module}))
        ]
        cache_keys.code.cache_clear()
    sys.modules.pop("of_a_user")
    assert len(set(recipes)) == 4


def test_versions_of_all_decoders_are_part_of_the_key():
    assert set(DECODERS.values()) <= set(cache_keys.LIBRARIES)
    assert all(cache_keys.versions().values())


def test_a_setting_that_cannot_be_described_is_refused(films, tmp_path):
    source = iter([1])  # only its address would tell it from another
    steps = Compose([*transforms(random=False).transforms, Lambdad("image", lambda x: x + next(source))])
    with pytest.raises(BundleError, match="^cache_dir: Lambdad: a value of type list_iterator cannot be part of"):
        DiskCachedDataset(films, steps, tmp_path / "cache")


# Damage


def cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


def emptied(path):
    path.write_bytes(b"")


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)


def foreign(path):
    torch.save({"image": torch.zeros(1)}, path)


@pytest.mark.parametrize("damage", [cut, emptied, flipped, foreign])
def test_damaged_entry_is_made_again(films, tmp_path, reads, damage):
    dataset = DiskCachedDataset(films, transforms(random=False), tmp_path / "cache")
    expected, path = dataset[3], dataset.entry(films[3])
    whole = path.read_bytes()
    damage(path)
    assert path.read_bytes() != whole
    reads.clear()
    assert_equal(dataset[3], expected)
    assert len(reads) == 2 and path.read_bytes() == whole


def test_workers_make_entries_that_are_gone(films, tmp_path):
    dataset = DiskCachedDataset(films, transforms(), tmp_path / "cache")
    expected = batches(dataset)
    for path in (tmp_path / "cache").iterdir():
        path.unlink()
    assert_equal([batch["image"].shape for batch in batches(dataset, 2)], [batch["image"].shape for batch in expected])
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".entry"}
    assert len(list((tmp_path / "cache").iterdir())) == 5


def test_processes_begin_at_different_films(films, tmp_path, monkeypatch, reads):
    monkeypatch.setattr(caching.idist, "get_rank", lambda: 1)
    monkeypatch.setattr(caching.idist, "get_world_size", lambda: 2)
    DiskCachedDataset(films, transforms(), tmp_path / "cache", num_workers=1)
    assert reads[0] == films[2]["image"] and len(reads) == 10


# Errors


def test_damaged_film_is_named_when_the_cache_is_filled(films, tmp_path):
    Path(films[1]["image"]).write_bytes(Path(films[1]["image"]).read_bytes()[:200])
    with pytest.raises(Exception) as caught:
        DiskCachedDataset(films, transforms(), tmp_path / "cache")
    assert films[1]["image"] in str(caught.value.__cause__ or caught.value)


def test_full_disk_is_named_and_leaves_no_part_of_an_entry(films, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BundleError, match="cache.*entry: not written, no space left on the disk"):
        DiskCachedDataset(films, transforms(), tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_folder_that_is_a_file_is_refused(films, tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(BundleError, match="cache: cannot be used as a cache_dir"):
        DiskCachedDataset(films, transforms(), tmp_path / "cache")


def test_other_data_leave_entries_of_the_former(films, tmp_path):
    dataset = DiskCachedDataset(films[:3], transforms(), tmp_path / "cache")
    dataset.set_data(films[3:])
    assert len(dataset) == 2 and len(list((tmp_path / "cache").iterdir())) == 5


# In the config


@pytest.mark.parametrize(("processes", "kept"), [(1, 4), (2, 2)])
def test_train_config_gives_each_process_its_part_of_the_memory(films, monkeypatch, processes, kept):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    parser = ConfigParser()
    parser.read_config(str(ROOT / "configs" / "train.yaml"))
    memory = 5 * 2 * 4 * SIZE**2 / 2**30  # of five films and their masks
    parser.update({"bundle_root": str(ROOT), "image_size": SIZE, "cache_gb": memory})
    parser.update({"train#dataset#data": films[:4], "validate#dataset#data": films[4:]})
    assert parser.get_parsed_content("train::dataset").cache_num == kept
    # What is not kept is read before training starts
    assert parser.get_parsed_content("data_check::_disabled_") == (processes == 1)


def test_train_config_takes_a_folder_and_data_of_a_host(films, tmp_path):
    parser = ConfigParser()
    parser.read_config(str(ROOT / "configs" / "train.yaml"))
    parser.update({"bundle_root": str(ROOT), "image_size": SIZE, "cache_dir": str(tmp_path / "cache")})
    parser.update({"train#dataset#data": films[:3], "validate#dataset#data": films[3:]})  # as MONAI Label does
    train, validation = (parser.get_parsed_content(f"{part}::dataset") for part in ("train", "validate"))
    assert isinstance(train, DiskCachedDataset) and isinstance(validation, DiskCachedDataset)
    assert train[0]["image"].shape == validation[1]["image"].shape == (1, SIZE, SIZE)
    assert parser.get_parsed_content("data_check") is None  # filling the cache has read every film
