"""A site: MONAI's `MonaiAlgo` client on this bundle's configs, which keeps the base and its optimiser to itself."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from ignite.engine import Engine
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import FlPhase
from monai.fl.utils.exchange_object import ExchangeObject
from monai.fl.utils.filters import Filter

from ..adapters import RankAllocator, adapted_layers
from ..handlers import Calibration
from ..quantization import activation_quantizers
from ..sam.weights import save_weights
from .exchange import (
    FROZEN,
    IMAGES,
    IMPORTANCE,
    ROUND,
    check_exchange,
    exchanged_names,
    exchanged_state,
    frozen_fingerprint,
)


class SiteAllocator(RankAllocator):
    """Scores triplets at every optimiser step, and leaves the masks to the server.

    A masked triplet may regrow within a round, as it may between two renewals in AdaLoRA; the importance that it has by
    then is sent. Its schedule counts rounds, and `steps` the rounds whose masks the server has decided.
    """

    def step(self) -> None:
        """Call after each optimiser step, before the gradients are cleared."""
        if self.finished:
            self.clear_masked()
        else:
            self.update_importance()


class CalibrationRound(Calibration):
    """Makes the first round of stage 2 one of calibration alone: no step is taken before sites share their ranges."""

    def started(self, trainer: Engine) -> None:
        if not any(quantizer.active for quantizer in activation_quantizers(self.network).values()):
            super().started(trainer)
            trainer.terminate()


class FromServer(Filter):
    """Checks what the server sent, and takes its header off.

    Args:
        site: whose network gets the weights.
    """

    def __init__(self, site: Site) -> None:
        self.site = site

    def __call__(self, data: ExchangeObject, extra: Mapping | None = None) -> ExchangeObject:
        state = {name: torch.as_tensor(value) for name, value in data.weights.items()}
        expected = exchanged_state(self.site.trainer.network)
        expected |= {ROUND: state.get(ROUND, torch.tensor(0)), FROZEN: self.site.frozen}
        check_exchange(state, expected, "the server")
        self.site.enter_round(int(state.pop(ROUND)))
        state.pop(FROZEN)
        return ExchangeObject(weights=state, weight_type=data.weight_type)


class ToServer(Filter):
    """Leaves of all weights what is exchanged; adds the header, and the importance of triplets while masks may change.

    Args:
        site: whose weights are sent.
    """

    def __init__(self, site: Site) -> None:
        self.site = site

    def __call__(self, data: ExchangeObject, extra: Mapping | None = None) -> ExchangeObject:
        site = self.site
        state = {name: data.weights[name].detach().cpu().clone() for name in exchanged_names(site.trainer.network)}
        state |= {ROUND: torch.tensor(site.round), FROZEN: site.frozen, IMAGES: torch.tensor(site.images)}
        if site.allocator is not None and not site.allocator.finished:
            state |= {f"{name}{IMPORTANCE}": score.cpu() for name, score in site.allocator.scores().items()}
        return ExchangeObject(weights=state, weight_type=data.weight_type, statistics=data.statistics)


class Site(MonaiAlgo):
    """`MonaiAlgo` on train.yaml with federated_stage1.yaml, and federated_stage2.yaml for stage 2.

    Trainer and evaluator share one network and one copy of the data. Filters of `config_filters_filename` (differential
    privacy, encryption) see what is exchanged: they come after this bundle's when weights leave, and before it when
    they arrive.

    Args:
        bundle_root: folder of the bundle.
        config_train_filename: config files, relative to it.
        train_kwargs: settings of these configs: the site's data and folders.
        local_epochs: passes over the site's images in a round.
        config_filters_filename: see `MonaiAlgo`.
    """

    def __init__(
        self,
        bundle_root: str,
        config_train_filename: list[str],
        train_kwargs: Mapping[str, object] | None = None,
        local_epochs: int = 1,
        config_filters_filename: str | list[str] | None = None,
    ) -> None:
        super().__init__(
            bundle_root=bundle_root,
            local_epochs=local_epochs,
            send_weight_diff=False,  # masks are booleans, which have no difference
            config_train_filename=config_train_filename,
            train_kwargs=dict(train_kwargs or {}),
            config_evaluate_filename=None,
            config_filters_filename=config_filters_filename,
        )
        self.allocator: SiteAllocator | None = None
        self.images = 0
        self.round = 0  # the one that the server's last message belongs to

    def initialize(self, extra: Mapping | None = None) -> None:
        """Build network, data and engines; see `MonaiAlgo`."""
        super().initialize(extra)
        self.evaluator = self.train_workflow.evaluator
        parser = self.train_workflow.parser
        self.frozen = frozen_fingerprint(self.trainer.network, parser.get_parsed_content("base_weights"))
        self.images = len(self.train_workflow.train_dataset)
        if any(layer.adapter_P.requires_grad for layer in adapted_layers(self.trainer.network).values()):
            self.allocator = parser.get_parsed_content("train::allocator")
        self.pre_filters = [*(self.pre_filters or []), FromServer(self)]
        self.post_weight_filters = [ToServer(self), *(self.post_weight_filters or [])]

    def enter_round(self, number: int) -> None:
        """Go on with round `number`, the first is 1: masks of all rounds before it are decided."""
        self.round = number
        if self.allocator is not None:
            self.allocator.steps = number - 1

    def finalize(self, extra: Mapping | None = None) -> None:
        """End the stage. Stage 1 leaves the server's last state, with this site's base, for stage 2 to start from."""
        if self.phase == FlPhase.EVALUATE and self.allocator is not None:
            path = self.train_workflow.parser.get_parsed_content("stage1_weights")
            save_weights({"model": self.trainer.network.state_dict()}, path)
        super().finalize(extra)
