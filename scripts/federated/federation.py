"""One federation from the first round to the model that ships, with all sites in this process."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from monai.bundle import ConfigParser
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject
from monai.utils import set_determinism

from ..adapters import rank_pattern
from ..data import split_ids
from ..errors import BundleError
from ..files import write_json
from ..handlers.checkpoints import random_state, set_random_state
from ..quantization import to_integer
from ..sam.weights import save_weights
from .exchange import from_bytes, to_bytes
from .server import Server
from .site import Site

STAGES = {1: ["federated_stage1.yaml"], 2: ["federated_stage1.yaml", "federated_stage2.yaml"]}


def config_files(overlays: Sequence[str], stage: int) -> list[str]:
    """Files of a stage that sites and server read, relative to the bundle's root."""
    return [f"configs/{name}" for name in ("train.yaml", *overlays, *STAGES[stage])]


def configured_server(parser: ConfigParser, stage: int) -> Server:
    """The server of a stage, with the network that its sites train."""
    base, seed = (parser.get_parsed_content(name) for name in ("base_weights", "seed"))
    set_determinism(seed=seed)  # adapters start at random
    if stage == 1:
        return Server(parser.get_parsed_content("network_def"), base, parser.get_parsed_content("train::schedule"))
    return Server(parser.get_parsed_content("qat::network_def"), base)


def save_models(server: Server, stage: int, folder: str | Path) -> None:
    """Write what a stage of train.yaml leaves in `folder`: stage1.pt and rank_pattern.json, or model.pt."""
    folder = Path(folder)
    if stage == 1:
        save_weights({"model": server.network.state_dict()}, folder / "stage1.pt")
        write_json(folder / "rank_pattern.json", rank_pattern(server.network))
    else:
        save_weights({"model": to_integer(server.network).state_dict()}, folder / "model.pt")


class Federation:
    """Trains one model with the data of several sites, stage 1 and then stage 2.

    Server and sites hold networks of their own and meet in serialised messages only. Each site draws its random numbers
    from a state of its own, as a process of its own would.

    Args:
        name: for the log and the table.
        sites: name of each site -> its settings of train.yaml (its data).
        folder: gets models/ (stage1.pt, model.pt, rank_pattern.json), and SITE/ for each site: what it keeps.
        bundle_root: folder of the bundle.
        settings: of train.yaml and its overlays, the same for all sites and the server.
        overlays: on train.yaml, names in configs/.
    """

    def __init__(
        self,
        name: str,
        sites: Mapping[str, Mapping[str, object]],
        folder: str | Path,
        bundle_root: str | Path,
        settings: Mapping[str, object],
        overlays: Sequence[str] = (),
    ) -> None:
        if not sites:
            raise BundleError("a federation needs at least one site")
        self.name = name
        self.sites = {site: dict(own) for site, own in sites.items()}
        self.folder = Path(folder).resolve()
        self.root = Path(bundle_root).resolve()
        self.settings = dict(settings)
        self.overlays = list(overlays)
        self.rounds: list[dict] = []  # one row for each round and site
        self.images: dict[str, int] = {}
        self.full_bytes = 0  # of the whole network's state dict: what MonaiAlgo sends by itself
        self._random: dict[str, dict] = {}
        self.log = logging.getLogger("federation")

    def run(self) -> None:
        """Run both stages and write the models."""
        for stage in STAGES:
            server, sites = self.run_stage(stage)
            save_models(server, stage, self.folder / "models")
            for name, site in sites.items():
                site.finalize()
                parts = site.train_workflow.parser.get_parsed_content("parts")
                write_json(self.site_folder(name) / "split.json", split_ids(parts))

    def run_stage(self, stage: int) -> tuple[Server, dict[str, Site]]:
        """All rounds of a stage; both sides hold the result afterwards."""
        files = config_files(self.overlays, stage)
        parser = self.server_config(stage)
        if stage == 1:
            plain = self.server_config(stage).get_parsed_content("network_def::network")
            self.full_bytes = len(to_bytes(plain.state_dict()))
        server = configured_server(parser, stage)
        sites = {name: self.site(name, files) for name in self.sites}
        rounds = parser.get_parsed_content("rounds" if stage == 1 else "qat_rounds")
        for _ in range(rounds):
            self.run_round(stage, rounds, server, sites)
        return server, sites

    def run_round(self, stage: int, rounds: int, server: Server, sites: Mapping[str, Site]) -> None:
        """Send the global state, train at each site, aggregate, and validate the new global state at each site."""
        number, message, updates, sent = server.round, to_bytes(server.broadcast()), {}, {}
        for name, site in sites.items():
            with self.randomness_of(name):
                site.train(ExchangeObject(weights=from_bytes(message)))
                reply = to_bytes(site.get_weights().weights)
            updates[name], sent[name] = from_bytes(reply), len(reply)
        server.aggregate(updates)
        result = to_bytes(server.broadcast())
        budget = rank_pattern(server.network)["budget"]
        for name, site in sites.items():
            with self.randomness_of(name):
                metrics = site.evaluate(ExchangeObject(weights=from_bytes(result))).metrics
            row = {"federation": self.name, "stage": stage, "round": number, "site": name, "images": self.images[name]}
            row |= {"rank_budget": budget, "dice": float(metrics["val_dice"])}
            self.rounds.append(row | {"bytes_down": len(message), "bytes_up": sent[name]})
        figures = ", ".join(f"{row['site']} {row['dice']:.4f}" for row in self.rounds[-len(sites) :])
        self.log.info(
            "%s, stage %d, round %d/%d: rank budget %d; validation Dice %s; a site received %s and sent %s MB "
            "(full fine-tuning: %s each way)",
            *(self.name, stage, number, rounds, budget, figures, megabytes(len(message))),
            *(megabytes(max(sent.values())), megabytes(self.full_bytes)),
        )

    def site_folder(self, name: str) -> Path:
        return self.folder / name

    def site(self, name: str, files: Sequence[str]) -> Site:
        folder = self.site_folder(name)
        own = {"output_dir": str(folder), "model_dir": str(folder), "bundle_root": str(self.root)}
        settings = {**self.settings, **self.sites[name], **own}
        site = Site(str(self.root), list(files), settings, settings["local_epochs"])
        with warnings.catch_warnings():
            # That a site runs the configs it is given: here they are this bundle's own.
            warnings.filterwarnings("ignore", message="executing the bundle config")
            site.initialize({ExtraItems.CLIENT_NAME: name})
        self.images[name] = site.images
        self._random[name] = random_state()
        return site

    def server_config(self, stage: int) -> ConfigParser:
        """The configs of the sites with the server's own folder."""
        parser = ConfigParser()
        parser.read_config([str(self.root / name) for name in config_files(self.overlays, stage)])
        parser.update({**self.settings, "model_dir": str(self.folder / "models"), "bundle_root": str(self.root)})
        return parser

    @contextmanager
    def randomness_of(self, name: str) -> Iterator[None]:
        """Go on with a site's own random numbers."""
        set_random_state(self._random[name])
        yield
        self._random[name] = random_state()


def megabytes(count: int) -> str:
    """Bytes for people, in millions."""
    return f"{count / 1e6:.2f}"
