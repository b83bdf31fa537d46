"""Checkpoints of a training stage: the best weights, and the last full state to resume from."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import nn

from ..errors import BundleError
from ..files import remove_partials, sha256, write_json
from ..sam.weights import check_fit, read_checkpoint, save_weights


class StageCheckpoint:
    """Keep the best weights of a stage and everything needed to resume it.

    `best_path` is written whenever the evaluator's key metric improves; `last_path` after every epoch. Both are
    written beside and renamed, so that a crash leaves the previous file whole.

    A run that starts anew removes the `last_path` of an earlier one, and the states of later stages that started from
    the weights which it is to replace.

    Args:
        network: what is trained; a DistributedDataParallel wrapper is looked through.
        evaluator: its key metric decides what is best. Its state holds the best value so far.
        best_path: file for the weights, {"model": state dict}.
        last_path: file for the full state; None keeps none.
        state: further objects with state_dict and load_state_dict to keep: optimizer, lr_scheduler, allocator.
        eligible: epochs for which it returns False cannot be best (the rank budget is not reached yet).
        patience: stop after so many eligible validations without improvement; None never stops early.
        export: turns the network into the one whose weights `best_path` gets (merged adapters); None takes it as is.
        records: JSON files that belong to the best weights and are written with them: mappings of "path" and
            "content" (or a function that returns it).
        origin: file that the stage started from (stage 1's weights). A last state that started from another file is
            left aside.
        later: last states of the stages that follow.
        settings: what a resumed run must have in common with the one that it continues: numbers, and mappings of a part
            to ids. The number of processes is one of them.
        resume: continue from `last_path` if it exists.
    """

    def __init__(
        self,
        network: nn.Module,
        evaluator: Engine,
        best_path: str | Path,
        last_path: str | Path | None = None,
        state: Mapping[str, object] | None = None,
        eligible: Callable[[], bool] | None = None,
        patience: int | None = None,
        export: Callable[[nn.Module], nn.Module] | None = None,
        records: Sequence[Mapping[str, object]] = (),
        origin: str | Path | None = None,
        later: Sequence[str | Path] = (),
        settings: Mapping[str, object] | None = None,
        resume: bool = False,
    ) -> None:
        self.network = getattr(network, "module", network)
        self.evaluator = evaluator
        self.best_path = Path(best_path)
        self.last_path = Path(last_path) if last_path is not None else None
        self.state = dict(state or {})
        self.eligible = eligible
        self.patience = patience
        self.export = export
        self.records = list(records)
        self.origin = Path(origin) if origin is not None else None
        self.later = list(map(Path, later))
        self.settings = {**(settings or {}), "processes": idist.get_world_size()}
        self.resume = resume
        self.fingerprint = ""  # SHA-256 of `origin`
        self.best_metric: float | None = None
        self.best_epoch = 0
        self.without_improvement = 0
        self.log = logging.getLogger("checkpoint")

    def attach(self, trainer: Engine) -> None:
        """Register on the trainer; attach it after the validation handler, so that it sees the epoch's metric."""
        trainer.add_event_handler(Events.STARTED, self.load_last)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)
        trainer.add_event_handler(Events.COMPLETED, self.completed)

    def epoch_completed(self, trainer: Engine) -> None:
        # ValidationHandler runs the evaluator with the trainer's epoch as its own: another epoch was not validated.
        validated = trainer.state.epoch == self.evaluator.state.epoch
        if validated and (self.eligible is None or self.eligible()):
            self.compare(float(self.evaluator.state.metrics[self.evaluator.state.key_metric_name]), trainer)
        if self.last_path is not None:
            self.save_last(trainer)

    def compare(self, metric: float, trainer: Engine) -> None:
        """Save if `metric` is the best so far; stop the run when patience is at its end."""
        if math.isnan(metric):
            raise BundleError(
                f"the validation metric of epoch {trainer.state.epoch} is not a number; lower learning rates"
            )
        if self.best_metric is None or metric > self.best_metric:
            self.best_metric, self.best_epoch, self.without_improvement = metric, trainer.state.epoch, 0
            self.save_best()
            return
        self.without_improvement += 1
        if self.patience is not None and self.without_improvement >= self.patience:
            self.log.info("no improvement in %d validations: stopping early", self.without_improvement)
            trainer.terminate()

    def completed(self, trainer: Engine) -> None:
        if self.best_metric is None:
            raise BundleError(
                f"{self.best_path}: not written, since no epoch was validated with the final rank budget; "
                "train longer or end the budget's schedule earlier"
            )
        idist.barrier()  # the next stage reads the file in every process
        self.log.info("best: %.4f after epoch %d, in %s", self.best_metric, self.best_epoch, self.best_path)

    def save_best(self) -> None:
        if idist.get_rank() > 0:
            return
        network = self.network if self.export is None else self.export(self.network)
        for record in self.records:
            content = record["content"]
            write_json(record["path"], content() if callable(content) else content)
        save_weights({"model": network.state_dict()}, self.best_path)

    def save_last(self, trainer: Engine) -> None:
        """Write the full state of the run; one process of several does."""
        if idist.get_rank() > 0:
            return
        save_weights(
            {
                "model": self.network.state_dict(),
                "trainer": trainer.state_dict(),
                "best": {
                    "metric": self.best_metric,
                    "epoch": self.best_epoch,
                    "without_improvement": self.without_improvement,
                },
                "random": random_state(),
                "origin": self.fingerprint,
                "settings": self.settings,
                **{name: value.state_dict() for name, value in self.state.items()},
            },
            self.last_path,
        )

    def load_last(self, trainer: Engine) -> None:
        """Continue from `last_path` if `resume` is set and the file is there and of this run."""
        if self.origin is not None:
            self.fingerprint = sha256(self.origin)
        if idist.get_rank() == 0:
            for path in {self.best_path, self.last_path or self.best_path}:
                remove_partials(path.parent)
        if self.last_path is None:
            return
        if not self.resume or not self.last_path.is_file():
            if self.resume:
                self.log.info("nothing to resume at %s: starting with the first epoch", self.last_path)
            if idist.get_rank() == 0:
                self.remove_states()
            return
        content = read_checkpoint(self.last_path)
        missing = {"model", "trainer", "best", "random", "origin", "settings", *self.state} - set(content)
        if missing:
            raise BundleError(
                f"{self.last_path}: holds no {sorted(missing)[0]!r}; it is of another kind of run, or of an "
                "earlier version; start anew without resume"
            )
        if content["origin"] != self.fingerprint:
            self.log.info("%s started from other weights than %s: starting anew", self.last_path, self.origin)
            return
        for name, value in self.settings.items():
            if content["settings"].get(name) != value:
                raise BundleError(
                    f"{self.last_path}: {difference(name, content['settings'].get(name), value)}; resume with the data "
                    "and settings of the run that wrote it, or start anew without resume"
                )
        check_fit(self.network, content["model"], source=str(self.last_path))
        self.network.load_state_dict(content["model"])
        for name, value in self.state.items():
            value.load_state_dict(content[name])
        max_epochs = trainer.state.max_epochs
        trainer.load_state_dict(content["trainer"])
        trainer.state.max_epochs = max_epochs
        best = content["best"]
        self.best_metric, self.best_epoch = best["metric"], best["epoch"]
        self.without_improvement = best["without_improvement"]
        set_random_state(content["random"])
        self.log.info("resumed %s after epoch %d", self.last_path, trainer.state.epoch)
        if self.patience is not None and self.without_improvement >= self.patience:
            trainer.terminate()  # it had stopped early

    def remove_states(self) -> None:
        """Remove what an earlier run left to resume from: the same weights may come out again, with other settings."""
        self.last_path.unlink(missing_ok=True)
        replaced = sha256(self.best_path) if self.best_path.is_file() else None
        for path in self.later:
            if replaced is not None and path.is_file() and origin_of(path) == replaced:
                path.unlink()


def origin_of(path: Path) -> str | None:
    """Fingerprint of the weights that the stage of a last state started from; None where that cannot be read."""
    try:
        return read_checkpoint(path).get("origin")
    except BundleError:
        return None


def difference(name: str, then: object, now: object) -> str:
    """What a resumed run has differently: a value, or the first id that stands in another part or place."""
    if not isinstance(now, Mapping) or not isinstance(then, Mapping):
        return f"{name} was {then} and is {now}"
    parts_then, parts_now = ({i: part for part in parts for i in parts[part]} for parts in (then, now))
    moved = (i for i in {**parts_then, **parts_now} if parts_then.get(i) != parts_now.get(i))
    for i in moved:
        return f"{i} was in {parts_then.get(i, 'no part')} of the {name} and is in {parts_now.get(i, 'no part')}"
    return f"the {name} has another order"


def random_state() -> dict[str, object]:
    """State of the random generators of torch, NumPy and Python, in types that load without pickle."""
    name, keys, position, has_gauss, cached = np.random.get_state()
    version, internal, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        "python": [version, list(internal), gauss],
    }


def set_random_state(state: Mapping[str, object]) -> None:
    """Restore what `random_state` returned."""
    torch.set_rng_state(state["torch"])
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
