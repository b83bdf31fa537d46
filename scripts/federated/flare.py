"""The federation under NVFLARE: the server's component, and jobs for its simulator. Needs requirements-flare.txt."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from monai.bundle import ConfigParser
from nvflare.apis.dxo import DXO, DataKind, from_shareable
from nvflare.apis.fl_constant import ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.abstract.aggregator import Aggregator
from nvflare.app_common.abstract.model import ModelLearnable, make_model_learnable
from nvflare.app_common.abstract.model_locator import ModelLocator
from nvflare.app_common.abstract.model_persistor import ModelPersistor

from ..errors import BundleError
from ..files import write_json
from .federation import config_files, configured_server, save_models
from .server import Server


class FlareServer(ModelPersistor, Aggregator, ModelLocator):
    """`Server` as the components of NVFLARE's ScatterAndGather and GlobalModelEval.

    Args:
        bundle_root: folder of the bundle.
        stage: 1 or 2.
        settings: of train.yaml and its overlays; model_dir gets the models.
        overlays: on train.yaml, names in configs/.
    """

    def __init__(
        self, bundle_root: str, stage: int, settings: Mapping[str, object], overlays: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.bundle_root = bundle_root
        self.stage = stage
        self.settings = dict(settings)
        self.overlays = list(overlays)
        self.server: Server | None = None
        self.updates: dict[str, dict[str, torch.Tensor]] = {}

    def load_model(self, fl_ctx: FLContext) -> ModelLearnable:
        """The state that the first round starts from."""
        parser = ConfigParser()
        parser.read_config([str(Path(self.bundle_root) / name) for name in config_files(self.overlays, self.stage)])
        parser.update({**self.settings, "bundle_root": self.bundle_root})
        self.server = configured_server(parser, self.stage)
        return make_model_learnable(self.message(), {})

    def save_model(self, model: ModelLearnable, fl_ctx: FLContext) -> None:
        """Write the models of the stage; those of stage 2 exist once ranges are calibrated."""
        if self.stage == 1 or self.server.round > 1:
            save_models(self.server, self.stage, self.settings["model_dir"])

    def accept(self, shareable: Shareable, fl_ctx: FLContext) -> bool:
        """Keep a site's update until the round ends."""
        name = shareable.get_peer_prop(ReservedKey.IDENTITY_NAME, "?")
        self.updates[name] = {key: torch.as_tensor(value) for key, value in from_shareable(shareable).data.items()}
        return True

    def aggregate(self, fl_ctx: FLContext) -> Shareable:
        """End the round; an update that does not fit ends the job."""
        updates, self.updates = self.updates, {}
        self.server.aggregate(updates)
        return DXO(DataKind.WEIGHTS, data=self.message()).to_shareable()

    def get_model_names(self, fl_ctx: FLContext) -> list[str]:
        """One model: the global one."""
        return ["global"]

    def locate_model(self, model_name: str, fl_ctx: FLContext) -> DXO:
        """The global state, for all sites to validate and to end the stage with."""
        return DXO(DataKind.WEIGHTS, data=self.message())

    def message(self) -> dict:
        return {name: value.numpy() for name, value in self.server.broadcast().items()}


def write_job(
    folder: Path,
    stage: int,
    sites: Mapping[str, Mapping[str, object]],
    output_dir: Path,
    bundle_root: Path,
    settings: Mapping[str, object],
    overlays: Sequence[str],
) -> None:
    """Write NVFLARE's job of one stage: an app for the server and one for each site."""
    rounds = settings["rounds" if stage == 1 else "qat_rounds"]
    common = {**settings, "bundle_root": str(bundle_root)}
    server = {"bundle_root": str(bundle_root), "stage": stage, "overlays": list(overlays)}
    server["settings"] = {**common, "model_dir": str(output_dir / "models")}
    gather = {"min_clients": len(sites), "num_rounds": rounds, "ignore_result_error": False}
    gather |= {"aggregator_id": "server", "persistor_id": "server", "shareable_generator_id": "generator"}
    workflows = "nvflare.app_common.workflows"
    write_json(
        folder / "app_server" / "config" / "config_fed_server.json",
        {
            "format_version": 2,
            "components": [
                {"id": "server", "path": "scripts.federated.flare.FlareServer", "args": server},
                {
                    "id": "generator",
                    "path": "nvflare.app_common.shareablegenerators.full_model_shareable_generator."
                    "FullModelShareableGenerator",
                    "args": {},
                },
            ],
            "workflows": [
                {"id": "rounds", "path": f"{workflows}.scatter_and_gather.ScatterAndGather", "args": gather},
                {
                    "id": "result",
                    "path": f"{workflows}.global_model_eval.GlobalModelEval",
                    "args": {"model_locator_id": "server"},
                },
            ],
        },
    )
    for name, own in sites.items():
        place = str(output_dir / name)
        args = {
            "bundle_root": str(bundle_root),
            "config_train_filename": config_files(overlays, stage),
            "train_kwargs": {**common, **own, "output_dir": place, "model_dir": place},
            "local_epochs": settings["local_epochs"],
        }
        executor = "monai_nvflare.client_algo_executor.ClientAlgoExecutor"
        write_json(
            folder / f"app_{name}" / "config" / "config_fed_client.json",
            {
                "format_version": 2,
                "executors": [
                    {
                        "tasks": ["train", "validate", "submit_model"],
                        "executor": {"path": executor, "args": {"client_algo_id": "site", "key_metric": "val_dice"}},
                    }
                ],
                "components": [{"id": "site", "path": "scripts.federated.site.Site", "args": args}],
            },
        )
    deployed = {"app_server": ["server"], **{f"app_{name}": [name] for name in sites}}
    write_json(folder / "meta.json", {"name": f"stage{stage}", "deploy_map": deployed, "min_clients": len(sites)})


def run_simulator(
    sites: Mapping[str, Mapping[str, object]],
    output_dir: str | Path,
    bundle_root: str | Path,
    settings: Mapping[str, object],
    overlays: Sequence[str] = (),
) -> None:
    """Run both stages in NVFLARE's simulator, every site in a process of its own.

    Args:
        sites, bundle_root, settings, overlays: see `Federation`; paths in them absolute, since NVFLARE changes folders.
        output_dir: gets models/, SITE/ for each site, and NVFLARE's jobs and workspaces.

    Raises:
        BundleError: the simulator failed, or a stage left no model; names the folder of its logs.
    """
    output_dir, bundle_root = Path(output_dir).resolve(), Path(bundle_root).resolve()
    for stage, left in ((1, "stage1.pt"), (2, "model.pt")):
        job, workspace = output_dir / f"job_stage{stage}", output_dir / f"workspace_stage{stage}"
        (output_dir / "models" / left).unlink(missing_ok=True)
        write_job(job, stage, sites, output_dir, bundle_root, settings, overlays)
        command = [sys.executable, "-m", "nvflare.cli", "simulator", str(job), "-w", str(workspace)]
        command += ["-c", ",".join(sites), "-t", str(len(sites))]
        code = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(bundle_root)}).returncode
        if code != 0 or not (output_dir / "models" / left).is_file():
            raise BundleError(
                f"{workspace}: stage {stage} failed (status {code}); see the logs of server and sites there"
            )
