"""Best weights, resuming, and what the trainer's log and curves say."""

import json
import logging
import os
import random
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import LrScheduleHandler, MeanDice, ValidationHandler, from_engine
from monai.transforms import AsDiscreted
from PIL import Image
from torch import nn

from scripts.errors import BundleError
from scripts.files import replacing, sha256, write_json
from scripts.handlers import FiniteLoss, Progress, StageCheckpoint, TrainingCurves
from scripts.handlers.checkpoints import random_state, set_random_state
from scripts.handlers.progress import format_seconds
from scripts.sam import save_weights


def train(handlers, epochs, network=None, seed=0, at_start=None):
    """A linear network on 6 points, with dropout, shuffling and augmentation from the global generators."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    network = network or nn.Sequential(nn.Dropout(0.3), nn.Linear(3, 1))

    def augment(item):
        return {"image": item["image"] + np.float32(np.random.normal(0, 0.1) + random.random()), "label": item["label"]}

    points = torch.Generator().manual_seed(1)
    items = [{"image": torch.rand(3, generator=points), "label": torch.rand(1, generator=points)} for _ in range(6)]
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.05)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
    run = SimpleNamespace(network=network, optimizer=optimizer, scheduler=scheduler, snapshots={})
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=epochs,
        train_data_loader=DataLoader(Dataset(items, augment), batch_size=2, shuffle=True),
        network=network,
        optimizer=optimizer,
        loss_function=nn.MSELoss(),
        decollate=False,
        train_handlers=[LrScheduleHandler(scheduler, epoch_level=False, print_lr=False)],
    )
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED,
        lambda engine: run.snapshots.update(
            {engine.state.epoch: {name: value.clone() for name, value in network.state_dict().items()}}
        ),
    )
    for handler in handlers(run):
        handler.attach(trainer)
    if at_start:
        at_start(trainer)
    run.trainer = trainer
    try:
        trainer.run()
    finally:
        run.epochs = trainer.state.epoch
    return run


class Scores:
    """Stands in for an evaluator: the epoch's key metric is read from a list; None: not validated."""

    def __init__(self, values):
        self.values = values
        self.state = SimpleNamespace(epoch=0, metrics={}, key_metric_name="score")

    def attach(self, trainer):
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self.validate)

    def validate(self, trainer):
        value = self.values[trainer.state.epoch - 1]
        if value is not None:
            self.state.epoch, self.state.metrics = trainer.state.epoch, {"score": value}


def train_scored(folder, values, epochs=None, **settings):
    scores = Scores(values)

    def handlers(run):
        run.checkpoint = StageCheckpoint(run.network, scores, folder / "best.pt", **settings)
        return [scores, run.checkpoint]

    return train(handlers, epochs or len(values))


def assert_same(first, second):
    assert set(first) == set(second)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def weights(path):
    return torch.load(path, weights_only=True)["model"]


# The best weights


@pytest.mark.parametrize(
    "scores, best", [([0.1, 0.9, 0.5], 2), ([0.3, 0.2, 0.1], 1), ([0.1, 0.2, 0.3], 3), ([0.4, 0.4, 0.1], 1)]
)
def test_weights_of_the_best_epoch_are_kept(tmp_path, scores, best):
    run = train_scored(tmp_path, scores)
    assert run.checkpoint.best_epoch == best and run.checkpoint.best_metric == scores[best - 1]
    assert_same(weights(tmp_path / "best.pt"), run.snapshots[best])


def test_epoch_before_the_final_budget_cannot_be_best(tmp_path):
    scores = Scores([0.9, 0.8, 0.2, 0.3])

    def handlers(run):
        allowed = lambda: run.trainer_state.epoch >= 3  # noqa: E731
        run.checkpoint = StageCheckpoint(run.network, scores, tmp_path / "best.pt", eligible=allowed)
        return [
            SimpleNamespace(attach=lambda trainer: setattr(run, "trainer_state", trainer.state)),
            scores,
            run.checkpoint,
        ]

    run = train(handlers, 4)
    assert run.checkpoint.best_epoch == 4
    assert_same(weights(tmp_path / "best.pt"), run.snapshots[4])


def test_metric_of_an_earlier_epoch_does_not_count_for_one_without_validation(tmp_path):
    run = train_scored(tmp_path, [0.5, None, None, 0.4, None], patience=2)
    assert run.epochs == 5 and run.checkpoint.best_epoch == 1 and run.checkpoint.without_improvement == 1


def test_patience_stops_the_run(tmp_path):
    run = train_scored(tmp_path, [0.1, 0.5, 0.4, 0.3, 0.9, 0.9], patience=2)
    assert run.epochs == 4 and run.checkpoint.best_epoch == 2


def test_patience_does_not_count_epochs_that_cannot_be_best(tmp_path):
    epoch = iter(range(1, 20))
    run = train_scored(tmp_path, [0.9] * 6 + [0.1, 0.2], patience=2, eligible=lambda: next(epoch) > 6)
    assert run.epochs == 8 and run.checkpoint.best_epoch == 8


def test_export_is_what_the_best_file_holds(tmp_path):
    def doubled(network):
        linear = nn.Linear(3, 1)
        linear.load_state_dict({name: value * 2 for name, value in network[1].state_dict().items()})
        return linear

    run = train_scored(tmp_path, [0.1, 0.9, 0.2], export=doubled)
    expected = {name.removeprefix("1."): value * 2 for name, value in run.snapshots[2].items()}
    assert_same(weights(tmp_path / "best.pt"), expected)
    assert_same(run.network.state_dict(), run.snapshots[3])  # training went on with the network itself


def test_run_without_an_eligible_epoch_says_so(tmp_path):
    with pytest.raises(BundleError, match="best.pt: not written.*final rank budget"):
        train_scored(tmp_path, [0.9, 0.9], eligible=lambda: False)
    assert not (tmp_path / "best.pt").exists()


# Resuming


class Interrupted(Exception):
    pass


def train_validated(folder, epochs, resume=False, interrupt=None, seed=0, **options):
    """With MONAI's own validation; `interrupt` is the iteration that fails."""

    def handlers(run):
        label = torch.tensor([1.0, 0.0, 1.0]).reshape(3, 1, 1)
        items = [{"image": torch.full((1, 3), 0.3 * i), "label": label[i]} for i in range(3)]
        evaluator = SupervisedEvaluator(
            device=torch.device("cpu"),
            val_data_loader=DataLoader(Dataset(items), batch_size=3),
            network=run.network,
            postprocessing=AsDiscreted("pred", threshold=0.4),
            key_val_metric={"val_dice": MeanDice(output_transform=from_engine(["pred", "label"]))},
        )
        run.checkpoint = StageCheckpoint(
            run.network,
            evaluator,
            folder / "best.pt",
            folder / "last.pt",
            {"optimizer": run.optimizer, "lr_scheduler": run.scheduler},
            resume=resume,
            **options,
        )
        curves = TrainingCurves(folder, evaluator, "test")
        return [ValidationHandler(1, evaluator, epoch_level=True), curves, run.checkpoint]

    def fail(trainer):
        def strike(engine):
            raise Interrupted

        if interrupt:
            trainer.add_event_handler(Events.ITERATION_COMPLETED(once=interrupt), strike)

    return train(handlers, epochs, seed=seed, at_start=fail)


@pytest.mark.parametrize("interrupt", [7, 8, 9])  # 3 iterations an epoch: in the third epoch
def test_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, interrupt):
    whole = train_validated(tmp_path / "whole", 5)
    with pytest.raises(Interrupted):
        train_validated(tmp_path / "cut", 5, interrupt=interrupt)
    assert torch.load(tmp_path / "cut" / "last.pt", weights_only=True)["trainer"]["epoch_length"] == 3
    resumed = train_validated(tmp_path / "cut", 5, resume=True, seed=99)  # its own start does not matter
    assert sorted(resumed.snapshots) == [3, 4, 5]
    assert_same(resumed.network.state_dict(), whole.network.state_dict())
    assert_same(weights(tmp_path / "cut" / "best.pt"), weights(tmp_path / "whole" / "best.pt"))
    assert resumed.checkpoint.best_epoch == whole.checkpoint.best_epoch
    assert resumed.checkpoint.without_improvement == whole.checkpoint.without_improvement
    whole_curves, cut_curves = (json.loads((tmp_path / name / "curves.json").read_text()) for name in ("whole", "cut"))
    assert cut_curves == whole_curves and [row["epoch"] for row in cut_curves] == [1, 2, 3, 4, 5]


def test_run_can_be_lengthened_by_resuming(tmp_path):
    whole = train_validated(tmp_path / "whole", 5)
    train_validated(tmp_path / "cut", 2)
    resumed = train_validated(tmp_path / "cut", 5, resume=True, seed=99)
    assert sorted(resumed.snapshots) == [3, 4, 5]
    assert_same(resumed.network.state_dict(), whole.network.state_dict())


def test_without_resume_the_run_starts_anew(tmp_path):
    first = train_validated(tmp_path, 2)
    again = train_validated(tmp_path, 2)
    assert sorted(again.snapshots) == [1, 2]
    assert_same(first.network.state_dict(), again.network.state_dict())


def test_resuming_without_a_file_starts_at_the_first_epoch(tmp_path):
    assert sorted(train_validated(tmp_path, 2, resume=True).snapshots) == [1, 2]


def test_run_that_does_not_resume_leaves_no_state_of_an_earlier_one(tmp_path):
    train_validated(tmp_path, 2)
    with pytest.raises(Interrupted):
        train_validated(tmp_path, 2, interrupt=2)
    assert sorted(train_validated(tmp_path, 2, resume=True).snapshots) == [1, 2]


def test_state_that_started_from_other_weights_is_left_aside(tmp_path):
    origin = tmp_path / "stage1.pt"
    origin.write_bytes(b"first")
    train_validated(tmp_path, 2, origin=origin)
    assert sorted(train_validated(tmp_path, 3, resume=True, origin=origin).snapshots) == [3]
    origin.write_bytes(b"second")
    assert sorted(train_validated(tmp_path, 3, resume=True, origin=origin).snapshots) == [1, 2, 3]


@pytest.mark.parametrize("resume", [False, True])
def test_run_that_starts_anew_removes_the_states_of_later_stages(tmp_path, resume):
    later, other = tmp_path / "stage2.pt", tmp_path / "another.pt"
    (tmp_path / "best.pt").write_bytes(b"of an earlier run")
    save_weights({"origin": sha256(tmp_path / "best.pt")}, later)
    save_weights({"origin": "of other weights"}, other)
    train_validated(tmp_path, 1, resume=resume, later=[later, other])
    assert not later.exists() and other.exists()
    save_weights({"origin": sha256(tmp_path / "best.pt")}, later)
    train_validated(tmp_path, 2, resume=True, later=[later, other])
    assert later.exists()


PARTS = {"train": ["a", "b", "c"], "validation": ["d"], "test": []}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 4}, "last.pt: batch_size was 2 and is 4; resume with"),
        ({"split": {**PARTS, "train": ["a", "b"], "test": ["c"]}}, "c was in train of the split and is in test"),
        ({"split": {**PARTS, "test": ["e"]}}, "e was in no part of the split and is in test"),
        ({"split": {**PARTS, "train": ["b", "a", "c"]}}, "the split has another order"),
        ({"seed": 1}, "seed was None and is 1"),
    ],
)
def test_run_is_resumed_with_its_own_settings_and_data_alone(tmp_path, change, message):
    settings = {"batch_size": 2, "split": PARTS}
    train_validated(tmp_path, 1, settings=settings)
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(BundleError, match=message):
        train_validated(tmp_path, 2, resume=True, settings={**settings, **change})
    assert (tmp_path / "last.pt").read_bytes() == before
    assert sorted(train_validated(tmp_path, 2, resume=True, settings=settings).snapshots) == [2]


def test_run_is_resumed_with_as_many_processes(tmp_path, monkeypatch):
    train_validated(tmp_path, 1)
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 2)
    with pytest.raises(BundleError, match="last.pt: processes was 1 and is 2"):
        train_validated(tmp_path, 2, resume=True)


@pytest.mark.parametrize("damage", [lambda whole: whole[:500], lambda whole: b""])
def test_damaged_state_is_refused_by_name(tmp_path, damage):
    train_validated(tmp_path, 1)
    (tmp_path / "last.pt").write_bytes(damage((tmp_path / "last.pt").read_bytes()))
    with pytest.raises(BundleError, match="last.pt: not a readable checkpoint"):
        train_validated(tmp_path, 2, resume=True)


def test_state_of_another_network_is_refused_by_name_and_key(tmp_path):
    train_validated(tmp_path, 1)
    content = torch.load(tmp_path / "last.pt", weights_only=True)
    content["model"]["1.weight"] = torch.zeros(1, 7)
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(BundleError, match="last.pt does not fit.*1.weight"):
        train_validated(tmp_path, 2, resume=True)


def test_records_are_those_of_the_best_epoch(tmp_path):
    calls = []
    records = [
        {"path": tmp_path / "fixed.json", "content": [1, 2]},
        {"path": tmp_path / "made.json", "content": lambda: calls.append(0) or {"call": len(calls)}},
    ]
    train_scored(tmp_path, [0.1, 0.9, 0.5], records=records)
    assert json.loads((tmp_path / "fixed.json").read_text()) == [1, 2]
    assert json.loads((tmp_path / "made.json").read_text()) == {"call": 2}


def test_records_of_an_earlier_run_stay_until_there_is_something_better(tmp_path):
    (tmp_path / "split.json").write_text('"old"')
    with pytest.raises(BundleError, match="not written"):
        records = [{"path": tmp_path / "split.json", "content": "new"}]
        train_scored(tmp_path, [0.9], eligible=lambda: False, records=records)
    assert json.loads((tmp_path / "split.json").read_text()) == "old"


def test_state_of_another_kind_of_run_is_refused_by_name(tmp_path):
    train_scored(tmp_path, [0.1], last_path=tmp_path / "last.pt")
    with pytest.raises(BundleError, match="last.pt: holds no 'lr_scheduler'"):
        train_validated(tmp_path, 2, resume=True)


def test_random_state_restores_all_three_generators(tmp_path):
    def draw():
        return torch.rand(3).tolist(), np.random.normal(size=3).tolist(), random.random(), random.gauss(0, 1)

    np.random.normal()  # leaves a cached second normal
    random.gauss(0, 1)
    torch.save(random_state(), tmp_path / "state.pt")
    drawn = draw()
    set_random_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert draw() == drawn


# Files


def test_partial_file_never_replaces_a_good_one(tmp_path):
    save_weights({"model": {"w": torch.ones(2)}}, tmp_path / "best.pt")
    with pytest.raises(Exception, match="pickle|local object|lambda"):
        save_weights({"model": {"w": torch.zeros(2), "x": lambda: None}}, tmp_path / "best.pt")
    assert weights(tmp_path / "best.pt")["w"].tolist() == [1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["best.pt"]


def test_file_appears_under_its_name_only_when_whole(tmp_path):
    target = tmp_path / "deep" / "file"
    with replacing(target) as partial:
        partial.write_text("half")
        assert not target.exists() and partial.parent == target.parent
    assert target.read_text() == "half" and [path.name for path in target.parent.iterdir()] == ["file"]


def test_best_file_survives_a_crash_while_the_next_one_is_written(tmp_path):
    calls = []

    def export(network):
        calls.append(1)
        if len(calls) == 2:
            broken = nn.Linear(3, 1)
            broken.register_load_state_dict_post_hook(lambda *_: None)
            broken.state_dict = lambda: {"w": lambda: None}
            return broken
        return network

    with pytest.raises(Exception, match="pickle|local object|lambda"):
        train_scored(tmp_path, [0.1, 0.2], export=export)
    assert set(weights(tmp_path / "best.pt")) == {"1.weight", "1.bias"}
    assert [path.name for path in tmp_path.iterdir()] == ["best.pt"]


def test_full_disk_is_said_and_leaves_the_old_files_whole(small_disk):
    save_weights({"model": {"w": torch.ones(2)}}, small_disk / "best.pt")
    write_json(small_disk / "record.json", [1])
    for write in (
        lambda: save_weights({"model": {"w": torch.zeros(1_000_000)}}, small_disk / "best.pt"),
        lambda: write_json(small_disk / "record.json", ["x" * 2_000_000]),
    ):
        with pytest.raises(BundleError, match="no space left on the disk .the file of that name is whole, as it was"):
            write()
    assert weights(small_disk / "best.pt")["w"].tolist() == [1, 1]
    assert json.loads((small_disk / "record.json").read_text()) == [1]
    assert sorted(path.name for path in small_disk.iterdir()) == ["best.pt", "record.json"]


def test_what_killed_processes_left_beside_is_removed(tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    for name in (f"best.pt.{ended.pid}.partial", f"curves.json.{os.getppid()}.partial", "notes.partial"):
        (tmp_path / name).write_bytes(b"half")
    train_scored(tmp_path, [0.1])
    others = [f"curves.json.{os.getppid()}.partial", "notes.partial"]  # of a living process, and not ours
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", *others]


def test_stage_that_had_stopped_early_does_not_go_on_when_resumed(tmp_path):
    run = train_scored(tmp_path, [0.5, 0.4, 0.3, 0.9, 0.9], patience=2, last_path=tmp_path / "last.pt")
    again = train_scored(tmp_path, [0.5, 0.4, 0.3, 0.9, 0.9], patience=2, last_path=tmp_path / "last.pt", resume=True)
    assert run.epochs == again.epochs == 3 and again.snapshots == {}
    assert_same(weights(tmp_path / "best.pt"), run.snapshots[1])


# Curves and log


def test_curves_hold_the_mean_loss_of_every_epoch(tmp_path):
    scores, losses = Scores([0.1, None, 0.3]), {}

    def handlers(run):
        return [scores, TrainingCurves(tmp_path, scores, "test")]

    def record(trainer):
        trainer.add_event_handler(
            Events.ITERATION_COMPLETED,
            lambda engine: losses.setdefault(engine.state.epoch, []).append(engine.state.output["loss"].item()),
        )

    train(handlers, 3, at_start=record)
    history = json.loads((tmp_path / "curves.json").read_text())
    assert [row["epoch"] for row in history] == [1, 2, 3]
    for row in history:
        assert row["loss"] == pytest.approx(np.mean(losses[row["epoch"]]))
    assert [row.get("score") for row in history] == [0.1, None, 0.3]
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.format == "PNG"


def test_progress_says_where_the_run_stands(caplog):
    with caplog.at_level(logging.INFO, logger="progress"):
        train(lambda run: [Progress("stage 1", interval_s=0)], 2)
    lines = [record.getMessage() for record in caplog.records if record.name == "progress"]
    assert len([line for line in lines if ", iteration " in line]) == 6
    for place, line in zip(["1/3", "2/3", "3/3"], lines):
        assert line.startswith("stage 1: epoch 1/2 [") and f"iteration {place}, loss " in line
    assert len([line for line in lines if "done, loss" in line]) == 2
    assert lines[-1].startswith("stage 1: finished, 6 iterations in ")


def test_progress_within_the_interval_is_silent_but_for_epochs_and_end(caplog):
    with caplog.at_level(logging.INFO, logger="progress"):
        train(lambda run: [Progress("stage 1", interval_s=3600)], 2)
    lines = [record.getMessage() for record in caplog.records if record.name == "progress"]
    assert ["done" in line for line in lines] == [True, True, False] and "finished" in lines[2]


@pytest.mark.parametrize(
    "seconds, text",
    [(0.4, "0 s"), (59.6, "1 min 00 s"), (750, "12 min 30 s"), (3599.7, "1 h 00 min"), (11130, "3 h 05 min")],
)
def test_durations_are_rounded_for_people(seconds, text):
    assert format_seconds(seconds) == text


# What a run must not do unnoticed


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_loss_that_is_no_number_stops_before_the_weights_change_and_names_the_images(value):
    torch.manual_seed(0)
    network = nn.Linear(3, 1)
    before = network.weight.clone()
    items = [{"id": f"film_{i}", "image": torch.rand(3), "label": torch.rand(1)} for i in range(2)]
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=DataLoader(Dataset(items), batch_size=2),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), 0.1),
        loss_function=lambda logits, label: (logits - label).sum() * value,
        decollate=False,
        train_handlers=[FiniteLoss()],
    )
    with pytest.raises(BundleError, match=r"epoch 1, iteration 1, on the images film_0, film_1; look at them"):
        trainer.run()
    assert torch.equal(network.weight, before)
