"""What holds for every box, policy, schedule, split, table and frame, on drawn examples.

The same examples every time; HYPOTHESIS_PROFILE=long draws many more.
"""

from __future__ import annotations

import csv
import json
import os
import random
from collections import Counter
from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from PIL import Image

from scripts.adapters import RankSchedule
from scripts.data import Letterboxd, ScaleByPercentilesd, load_datalist, split_by_patient
from scripts.data.prompts import PROMPT_BOX, checked_box, clip_box
from scripts.errors import BundleError
from scripts.output import Results
from scripts.quantization.policy import Precision, PrecisionPolicy

SHARED = {
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}
settings.register_profile("short", derandomize=True, max_examples=60, **SHARED)
settings.register_profile("long", max_examples=5000, **SHARED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))

# Boxes

SIDES = st.integers(1, 3000)
CORNER = st.floats(-1e4, 1e4)


@given(st.tuples(CORNER, CORNER, CORNER, CORNER), SIDES, SIDES)
def test_a_clipped_box_lies_in_the_image_and_has_an_inside(box, width, height):
    x0, y0, x1, y1 = clipped = clip_box(np.array(box), width, height)
    assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
    assert x1 - x0 >= min(2, width) - 1e-9 and y1 - y0 >= min(2, height) - 1e-9
    np.testing.assert_array_equal(clip_box(clipped, width, height), clipped)


@st.composite
def boxes_in(draw, width: int, height: int, least: float = 2.0):
    """A box of at least `least` pixels within an image."""
    x0, y0 = draw(st.floats(0, width - least)), draw(st.floats(0, height - least))
    return [x0, y0, draw(st.floats(x0 + least, width)), draw(st.floats(y0 + least, height))]


@given(st.data(), st.integers(3, 3000), st.integers(3, 3000))
def test_a_box_that_lies_in_the_image_is_left_alone_and_passes(data, width, height):
    box = data.draw(boxes_in(width, height))
    np.testing.assert_allclose(clip_box(np.array(box), width, height), box, atol=1e-9)
    assert checked_box(box, width, height) == box


ANY = st.one_of(st.floats(), st.integers(), st.booleans(), st.none(), st.text(max_size=3), st.just("7"))


@given(st.one_of(st.lists(ANY, max_size=5), ANY), st.integers(1, 9), st.integers(1, 9))
def test_a_box_passes_if_and_only_if_it_is_one(box, width, height):
    def number(value) -> float | None:
        try:
            return None if isinstance(value, bool) or value is None else float(value)
        except (ValueError, OverflowError):
            return None

    values = [number(value) for value in box] if isinstance(box, list) else []
    good = len(values) == 4 and None not in values
    if good:
        x0, y0, x1, y1 = values
        good = 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
    if good:
        assert checked_box(box, width, height) == values
    else:
        with pytest.raises(BundleError):
            checked_box(box, width, height)


@given(st.data(), st.integers(4, 160), st.integers(4, 160), st.integers(16, 128))
def test_a_box_is_where_it_was_after_framing_and_back(data, height, width, size):
    box = data.draw(boxes_in(width, height, least=3.0))
    meta = {PROMPT_BOX: torch.tensor(box, dtype=torch.float32)}
    framed = Letterboxd("image", size)({"image": MetaTensor(torch.zeros(1, height, width), meta=meta)})["image"]
    scale = size / max(height, width)
    moved = framed.meta[PROMPT_BOX].double().numpy()
    expected = np.array(box) * scale
    assert (moved >= 0).all() and (moved <= size).all()
    if (expected[2:] - expected[:2]).min() >= 2:  # smaller ones are kept at 2 pixels
        np.testing.assert_allclose(moved / scale, box, atol=1e-3)


@given(st.integers(1, 200), st.integers(1, 200), st.integers(8, 96), st.floats(0, 1))
def test_framing_undone_has_the_size_of_the_film_and_its_mean(height, width, size, value):
    transform = Letterboxd("image", size)
    framed = transform({"image": MetaTensor(torch.full((1, height, width), value))})
    assert framed["image"].shape == (1, size, size)
    inner = (framed["image"][0] > value / 2).sum() if value > 0.01 else None
    rows, columns = max(1, round(height * size / max(height, width))), max(1, round(width * size / max(height, width)))
    assert inner is None or inner == rows * columns, "zeros around the film, nothing else"
    back = transform.inverse(framed)["image"]
    assert back.shape == (1, height, width)
    torch.testing.assert_close(back.as_tensor(), torch.full((1, height, width), value), atol=1e-5, rtol=0)


@given(st.integers(4, 60), st.integers(4, 60), st.integers(1, 3), st.floats(-1, 1), st.floats(-1, 1))
def test_enlarging_undone_gives_a_ramp_back(height, width, times, along, down):
    ramp = along * torch.arange(width) + down * torch.arange(height)[:, None]
    transform = Letterboxd("image", max(height, width) * times)
    back = transform.inverse(transform({"image": MetaTensor(ramp[None].float())}))["image"]
    inside = (slice(None), slice(1, -1), slice(1, -1))  # at its edges an interpolated image is flat
    torch.testing.assert_close(back.as_tensor()[inside], ramp[None].float()[inside], atol=1e-3, rtol=1e-4)


# Gray values


@given(
    st.one_of(
        st.lists(st.integers(-70_000, 70_000), min_size=1, max_size=60),
        st.lists(st.integers(0, 255), min_size=1, max_size=60),
        st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60),
    ),
    st.floats(0, 50),
    st.floats(50.5, 100),
)
def test_percentiles_are_those_of_numpy(values, lower, upper):
    image = np.array(values, dtype=np.float32).reshape(1, 1, -1)
    low, high = np.percentile(image.astype(np.float64), (lower, upper))
    scaled = ScaleByPercentilesd("image", lower, upper)({"image": torch.from_numpy(image)})["image"].numpy()
    assert scaled.min() >= 0 and scaled.max() <= 1
    assume(high - low > 1e-3 * max(1, abs(low), abs(high)))  # below that float32 itself is coarser
    np.testing.assert_allclose(scaled, np.clip((image - low) / (high - low), 0, 1), atol=2e-3)


# Policies

NAMES = st.lists(st.sampled_from(["a", "b", "ab", "qkv"]), min_size=1, max_size=3).map(".".join)
GLOBS = st.lists(st.sampled_from(["a", "b", "*", "?", ".", "qkv", "*.qkv"]), min_size=1, max_size=4).map("".join)
BITS = st.one_of(st.none(), st.integers(2, 8))


def globbed(pattern: str, name: str) -> bool:
    """Whether a glob of * and ? covers a name, by the definition."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return globbed(pattern[1:], name) or bool(name) and globbed(pattern, name[1:])
    return bool(name) and pattern[0] in ("?", name[0]) and globbed(pattern[1:], name[1:])


@given(st.lists(NAMES, min_size=1, max_size=5, unique=True), st.lists(st.tuples(GLOBS, BITS), min_size=1, max_size=5))
def test_the_first_rule_that_matches_decides_and_what_none_matches_is_an_error(names, rules):
    policy = PrecisionPolicy(
        [{"modules": glob, **({"precision": "fp32"} if bits is None else {"weight": bits})} for glob, bits in rules]
    )
    idle = any(not any(globbed(glob, name) for name in names) for glob, _ in rules)
    unmatched = any(not any(globbed(glob, name) for glob, _ in rules) for name in names)
    if idle or unmatched:
        with pytest.raises(BundleError):
            policy.resolve(names)
        return
    first = {name: next(bits for glob, bits in rules if globbed(glob, name)) for name in names}
    assert policy.resolve(names) == {name: Precision(weight=bits) for name, bits in first.items()}
    # With a rule for all of them in front, that one decides: order is what counts
    every = PrecisionPolicy([{"modules": "*", "weight": 5}, *({"modules": g, "weight": 3} for g, _ in rules)])
    assert set(every.resolve(names).values()) == {Precision(weight=5)}


# The schedule of ranks


@given(st.integers(0, 2000), st.integers(0, 2000), st.integers(0, 200), st.integers(0, 200), st.integers(1, 400))
def test_the_budget_falls_by_the_cubic_formula_and_never_rises(target, more, warmup, final, between):
    initial, total = target + more, warmup + between + final
    schedule = RankSchedule(initial, target, total, warmup, final)
    budgets = [schedule.budget(step) for step in range(1, total + 1)]
    assert all(later <= earlier for earlier, later in zip([initial, *budgets], budgets))
    assert set(budgets[:warmup]) <= {initial} and set(budgets[warmup + between - 1 :]) == {target}
    for step in range(warmup + 1, warmup + between):  # eq. 12, in exact numbers
        exact = more * (1 - Fraction(step - warmup, between)) ** 3 + target
        assert floor(exact - Fraction(1, 10**6)) <= budgets[step - 1] <= floor(exact + Fraction(1, 10**6))


@given(st.integers(1, 60), st.integers(0, 60), st.integers(1, 60), st.integers(1, 9))
def test_masks_are_renewed_at_intervals_and_last_when_the_budget_is_reached(between, warmup, final, interval):
    schedule = RankSchedule(9, 3, warmup + between + final, warmup, final, interval)
    steps = [step for step in range(1, schedule.total + 1) if schedule.renews(step)]
    assert steps[-1] == schedule.frozen_from and schedule.budget(steps[-1]) == 3
    assert all(step % interval == 0 and step > warmup for step in steps[:-1])


# The split by patient

FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}
FILMS = st.lists(st.tuples(st.integers(0, 30), st.sampled_from("ab")), min_size=30, max_size=90)


def as_items(films) -> list[dict]:
    """A patient belongs to one data set."""
    return [
        {"id": f"film{number}", "patient": f"{dataset}{patient}", "dataset": dataset}
        for number, (patient, dataset) in enumerate(films)
    ]


@given(FILMS, st.integers(0, 99))
def test_no_patient_stands_in_two_parts_and_parts_have_their_shares(films, seed):
    items = as_items(films)
    try:
        parts = split_by_patient(items, FRACTIONS, seed)
    except BundleError:
        # A part is empty only where a few patients have most of the images
        assert len({item["patient"] for item in items}) < 20
        return
    assert Counter(item["id"] for part in parts.values() for item in part) == Counter(item["id"] for item in items)
    of = {item["patient"]: part for part, members in parts.items() for item in members}
    assert all(of[item["patient"]] == part for part, members in parts.items() for item in members)
    for dataset in {item["dataset"] for item in items}:
        own = [item for item in items if item["dataset"] == dataset]
        most = max(Counter(item["patient"] for item in own).values())  # images of one patient
        for part, share in FRACTIONS.items():
            count = sum(item["dataset"] == dataset for item in parts[part])
            # Whoever is furthest below its share gets the next patient: above by less than a patient, so that what the
            # two others may have too much is what one part can lack
            assert share * len(own) - 2 * most < count < share * len(own) + most


@given(FILMS, st.integers(0, 99), st.randoms(use_true_random=False))
def test_the_split_depends_on_the_seed_and_not_on_the_order(films, seed, shuffled):
    items = as_items(films)
    other = list(items)
    shuffled.shuffle(other)
    try:
        first = split_by_patient(items, FRACTIONS, seed)
    except BundleError:
        with pytest.raises(BundleError):
            split_by_patient(other, FRACTIONS, seed)
        return
    random.seed(seed + 1)  # of no account
    second = split_by_patient(other, FRACTIONS, seed)
    assert {part: {item["id"] for item in members} for part, members in first.items()} == {
        part: {item["id"] for item in members} for part, members in second.items()
    }


# Tables

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)  # all but half characters, which UTF-8 has not


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Eight images with masks, without a list."""
    folder = tmp_path_factory.mktemp("pairs")
    for kind in ("images", "masks"):
        (folder / kind).mkdir()
        for number in range(8):
            Image.new("L", (3, 2)).save(folder / kind / f"{number}.png")
    return folder


@given(
    st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=8, unique_by=lambda row: row[0]),
    st.booleans(),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_a_manifest_holds_what_was_written_to_it(pairs, rows, mark, quoting, end):
    rows = [(name or "unnamed", patient, finding) for name, patient, finding in rows]
    assume(len({name for name, _, _ in rows}) == len(rows))
    with (pairs / "manifest.csv").open("w", newline="", encoding="utf-8-sig" if mark else "utf-8") as file:
        writer = csv.writer(file, quoting=quoting, lineterminator=end)
        writer.writerow(["image", "mask", "id", "patient", "finding"])
        writer.writerows([f"images/{i}.png", f"masks/{i}.png", *row] for i, row in enumerate(rows))
    try:
        items = load_datalist(pairs)
    finally:
        (pairs / "manifest.csv").unlink()
    assert [(item["id"], item["patient"], item["finding"]) for item in items] == [
        (name, patient or name, finding) for name, patient, finding in rows
    ]
    assert [item["image"] for item in items] == [str(pairs / "images" / f"{i}.png") for i in range(len(rows))]


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8, unique_by=lambda row: row[0]), st.booleans())
def test_a_datalist_holds_what_was_written_to_it(pairs, rows, ascii_alone):
    rows = [(name or "unnamed", patient) for name, patient in rows]
    assume(len({name for name, _ in rows}) == len(rows))
    entries = [
        {"image": f"images/{i}.png", "label": f"masks/{i}.png", "id": name, "patient": patient}
        for i, (name, patient) in enumerate(rows)
    ]
    (pairs / "datalist.json").write_text(json.dumps({"training": entries}, ensure_ascii=ascii_alone), encoding="utf-8")
    try:
        items = load_datalist(pairs)
    finally:
        (pairs / "datalist.json").unlink()
    assert [(item["id"], item["patient"]) for item in items] == [(name, patient or name) for name, patient in rows]


# Any name that a file can have, UTF-8 or not
FILE_NAMES = st.binary(min_size=1, max_size=20).map(
    lambda name: os.fsdecode(name.replace(b"/", b"_").replace(b"\0", b"_")) + ".png"
)


@given(st.lists(st.tuples(FILE_NAMES, st.booleans(), TEXT), max_size=8, unique_by=lambda row: row[0]))
def test_a_resumed_run_finds_in_its_table_what_was_done(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("results")
    table = Results(folder / "results.csv", folder / "films", ("lungs",))
    for name, done, text in rows:
        path = str(folder / "films" / name)
        if done:
            table.add({"file": table.name(path), "status": "done", "flags": text})
        else:
            table.failed(path, text)
    try:
        table.finish()
    except BundleError:
        assert not all(done for _, done, _ in rows)
    again = Results(folder / "results.csv", folder / "films", ("lungs",), resume=True)
    assert [(row["file"], row["flags"]) for row in again.rows] == [(name, text) for name, done, text in rows if done]
    films = [{"image": str(folder / "films" / name)} for name, _, _ in rows]
    assert again.pending(films) == [film for film, (_, done, _) in zip(films, rows) if not done]
