"""A federation beside what it is to be compared with: each site alone, and all data in one place."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from monai.bundle import ConfigWorkflow

from ..data import load_datalist
from ..errors import BundleError
from ..files import replacing, write_json
from .federation import Federation, megabytes


def sites_of(dataset_dir: str | Path) -> dict[str, dict[str, object]]:
    """One site for each data set of a folder.

    Raises:
        BundleError: there is only one data set.
    """
    names = sorted({item["dataset"] for item in load_datalist(dataset_dir)})
    if len(names) < 2:
        raise BundleError(
            f"{dataset_dir}: holds the data set {names[0]!r} alone; name the sites with --sites, as in "
            "\"{'north': {'dataset_dir': 'DIR1'}, 'south': {'dataset_dir': 'DIR2'}}\""
        )
    return {name: {"datasets": [name]} for name in names}


class Simulation:
    """Runs the federation and, for comparison, the same rounds for each site alone and for the pooled images.

    All models are scored as they ship: model.pt, by evaluate.yaml, on each site's validation images. No model or round
    is chosen by them: the last round counts.

    Args:
        sites: name of each site -> its settings of train.yaml: dataset_dir, or datasets of the common one.
        output_dir: gets a folder for each federation, federated.json and federated.md.
        bundle_root: folder of the bundle.
        settings: of train.yaml and its overlays, the same everywhere.
        overlays: on train.yaml and evaluate.yaml, names in configs/.
        compare: False runs the federation alone.
    """

    def __init__(
        self,
        sites: Mapping[str, Mapping[str, object]],
        output_dir: str | Path,
        bundle_root: str | Path,
        settings: Mapping[str, object],
        overlays: Sequence[str] = (),
        compare: bool = True,
    ) -> None:
        self.sites = {name: dict(own) for name, own in sites.items()}
        self.output_dir = Path(output_dir).resolve()
        self.root = Path(bundle_root).resolve()
        self.settings = dict(settings)
        self.overlays = list(overlays)
        self.compare = compare
        self.log = logging.getLogger("federation")

    def run(self) -> None:
        """Train and score all, and write the tables."""
        federations = list(self.federations())
        for federation in federations:
            federation.run()
        splits = {name: federations[0].site_folder(name) / "split.json" for name in self.sites}
        scores = []
        for federation in federations:
            for site in self.sites:
                row = {"federation": federation.name, "images": sum(federation.images.values()), "site": site}
                scores.append(row | self.score(federation, site, splits[site]))
        content = {
            "sites": self.sites,
            "settings": self.settings,
            "full_bytes": federations[0].full_bytes,
            "rounds": [row for federation in federations for row in federation.rounds],
            "scores": scores,
        }
        write_json(self.output_dir / "federated.json", content)
        text = report(content)
        with replacing(self.output_dir / "federated.md") as partial:
            partial.write_text(text)
        self.log.info("%s:\n%s", self.output_dir / "federated.md", text)

    def federations(self) -> Iterable[Federation]:
        """The federation itself first."""
        groups = {"federated": self.sites}
        if self.compare:
            groups |= {f"{name} alone": {name: own} for name, own in self.sites.items()}
            if all(set(own) == {"datasets"} for own in self.sites.values()):
                groups["pooled"] = {
                    "all": {"datasets": sum((list(own["datasets"]) for own in self.sites.values()), [])}
                }
            else:
                self.log.info("no pooled model to compare with: the sites' images are not in one folder")
        for name, sites in groups.items():
            folder = self.output_dir / name.replace(" ", "_")
            yield Federation(name, sites, folder, self.root, self.settings, self.overlays)

    def score(self, federation: Federation, site: str, split: Path) -> dict[str, float]:
        """Mean metrics of a model on the validation images of a site."""
        folder = federation.folder / f"scores_{site}"
        own = {"output_dir": str(folder), "model_weights": str(federation.folder / "models" / "model.pt")}
        workflow = ConfigWorkflow(
            config_file=[str(self.root / "configs" / name) for name in ("evaluate.yaml", *self.overlays)],
            workflow_type="infer",
            run_id="evaluating",
            logging_file=False,
            meta_file=None,
            **{**self.settings, **self.sites[site], **own},
            bundle_root=str(self.root),
            split_record=str(split),
            part="validation",
        )
        workflow.initialize()
        workflow.run()
        workflow.finalize()
        groups = json.loads((folder / "summary.json").read_text())["groups"]
        counts = [group["n"] for group in groups]
        means = {metric: [group["metrics"][metric]["mean"] for group in groups] for metric in ("dice", "nsd")}
        return {metric: sum(n * v for n, v in zip(counts, values)) / sum(counts) for metric, values in means.items()}


def report(content: Mapping) -> str:
    """Both tables of a simulation as Markdown."""
    sites = list(content["sites"])
    full = content["full_bytes"]
    head = ["stage", "round", "rank budget", *(f"Dice, {site}" for site in sites), "MB down", "MB up", "full, MB"]
    rows = []
    rounds = [row for row in content["rounds"] if row["federation"] == "federated"]
    for key in dict.fromkeys((row["stage"], row["round"]) for row in rounds):
        members = {row["site"]: row for row in rounds if (row["stage"], row["round"]) == key}
        first = members[sites[0]]
        sizes = [first["bytes_down"], max(row["bytes_up"] for row in members.values()), full]
        dice = [f"{members[site]['dice']:.4f}" for site in sites]
        rows.append([*map(str, key), str(first["rank_budget"]), *dice, *map(megabytes, sizes)])
    lines = ["Validation Dice of the global model after each round; megabytes that one site exchanges:", ""]
    lines += [*table(head, rows), ""]
    down_up = sum(row["bytes_down"] + row["bytes_up"] for row in rounds if row["site"] == sites[0])
    whole = 2 * full * len({(row["stage"], row["round"]) for row in rounds})
    lines += [
        f"All rounds together, a site: {megabytes(down_up)} MB; full fine-tuning: {megabytes(whole)} MB, "
        f"{whole / down_up:.1f} times as much.",
        "",
        "model.pt of each way to train, on the validation images of each site (Dice, NSD at 2 px):",
        "",
    ]
    names = dict.fromkeys(row["federation"] for row in content["scores"])
    head = ["trained", "images", *sites]
    rows = []
    for name in names:
        scores = {row["site"]: row for row in content["scores"] if row["federation"] == name}
        figures = [f"{scores[site]['dice']:.4f}, {scores[site]['nsd']:.3f}" for site in sites]
        rows.append([name, str(scores[sites[0]]["images"]), *figures])
    return "\n".join([*lines, *table(head, rows)]) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
