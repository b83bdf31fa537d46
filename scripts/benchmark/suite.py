"""The benchmark: prepares the files of each variant, measures them, and writes the tables."""

from __future__ import annotations

import hashlib
import logging
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import torch

from ..errors import BundleError
from ..export import export_graphs
from ..files import replacing, write_json
from ..quantization import calibrate, prepare, to_integer
from ..sam import build_sam, save_weights
from .rounds import Figures, interleave

BUILDING = ("sam", "adapters", "quantization", "export")  # packages that shape a graph


class Benchmark:
    """Measures groups of variants of one network at one size.

    A group is a mapping of "name", "task" (inference, training or data; inference if absent), "architecture",
    "image_size", "window_size" (null: the dividing one), "batch", "peer" and "variants", each a mapping of "name",
    "variant" and any of these for itself alone. Further keys, of the group or of a variant:

    - inference, see `worker.load`: "graph" (fp32 or the name of a policy, for the runtimes and integers); with
      "film_size" the group is measured from a PNG of that side to the mask on disk
    - training, see `steps.build_step`; "policy" is the name of one
    - data, see `worker.data`

    Networks have random weights: speed does not depend on them.

    Args:
        groups: what to measure.
        policies: name -> YAML file.
        output_dir: gets graphs/ (kept between runs), benchmark.json and benchmark.md.
        rounds, calls: see `interleave`.
        threads: of each process.
        bundle_root: folder of the bundle.
    """

    def __init__(
        self,
        groups: Sequence[Mapping],
        policies: Mapping[str, str | Path],
        output_dir: str | Path,
        rounds: int,
        calls: int,
        threads: int,
        bundle_root: str | Path,
    ) -> None:
        self.groups = list(groups)
        self.policies = dict(policies)
        self.output_dir = Path(output_dir).resolve()
        self.rounds = rounds
        self.calls = calls
        self.threads = threads
        self.root = Path(bundle_root).resolve()
        self.log = logging.getLogger("benchmark")

    def run(self) -> None:
        """Measure all groups, one after the other; the files are rewritten after each."""
        results: list[dict] = []
        for group in self.groups:
            specs = [self.spec(group, variant) for variant in group["variants"]]
            rounds, calls = group.get("rounds", self.rounds), group.get("calls", self.calls)
            self.log.info("%s: %d variants, %d rounds of %d calls", group["name"], len(specs), rounds, calls)
            figures = interleave(specs, group["peer"], rounds, calls, self.threads, self.root)
            results.append({"group": group, "rounds": rounds, "figures": [figure.as_dict() for figure in figures]})
            content = {"machine": machine(self.threads), "results": results}
            write_json(self.output_dir / "benchmark.json", content)
            text = markdown(content)
            with replacing(self.output_dir / "benchmark.md") as partial:
                partial.write_text(text)
            print(table(group, figures), flush=True)

    def spec(self, group: Mapping, variant: Mapping) -> dict[str, object]:
        """What a worker needs for a variant; files are made if they are not there."""
        common = {key: value for key, value in group.items() if key not in ("variants", "peer", "rounds", "calls")}
        spec = {"task": "inference", "batch": 1, "window_size": None, "device": "cpu", **common, **variant}
        if spec["variant"] in ("onnxruntime", "openvino"):
            spec["files"] = [str(path) for path in self.graphs(spec, spec["graph"])]
        if spec["variant"] == "integers":
            spec["policy"] = spec["graph"]
            spec["files"] = [str(self.graphs(spec, spec["graph"])[0].with_name("model.pt"))]
        if "policy" in spec:
            spec["policy"] = str(self.policy(spec["policy"]))
        return spec

    def policy(self, name: str) -> Path:
        if name not in self.policies:
            raise BundleError(f"benchmark: unknown policy {name!r}; known: fp32, {', '.join(self.policies)}")
        return Path(self.policies[name]).resolve()

    def version(self, graph: str) -> str:
        """Digest of all that shapes a graph beside its size: policy, this bundle's code, versions of the exporter."""
        sources = sorted(path for name in BUILDING for path in (self.root / "scripts" / name).glob("*.py"))
        content = [path.read_bytes() for path in sources] + [torch.__version__.encode(), onnx.__version__.encode()]
        if graph != "fp32":
            content.append(self.policy(graph).read_bytes())
        return hashlib.sha256(b"".join(content)).hexdigest()[:8]

    def graphs(self, spec: Mapping, graph: str) -> list[Path]:
        """Encoder and decoder graph of a random network; kept until policy, code or versions change."""
        window = spec["window_size"] or "dividing"
        name = f"{spec['architecture']}_{spec['image_size']}_{window}_{graph}_{self.version(graph)}"
        folder = self.output_dir / "graphs" / name
        paths = [folder / "encoder.onnx", folder / "decoder.onnx"]
        if all(path.is_file() for path in paths):
            return paths
        self.log.info("exporting %s", folder.name)
        torch.manual_seed(0)
        build = {
            "architecture": spec["architecture"],
            "image_size": spec["image_size"],
            "window_size": spec["window_size"],
        }
        network = build_sam(**build).eval()
        if graph != "fp32":
            image = torch.rand(1, 1, spec["image_size"], spec["image_size"])
            quantized = prepare(network, self.policy(graph))
            calibrate(quantized, [image], quantized, 1)
            network = to_integer(quantized)
            save_weights({"model": network.state_dict()}, folder / "model.pt")
        folder.mkdir(parents=True, exist_ok=True)
        export_graphs(network, *paths)
        return paths


def machine(threads: int) -> dict[str, object]:
    """The machine that the figures are of."""
    flags, model = "", platform.processor()
    if Path("/proc/cpuinfo").is_file():
        lines = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
        lines = {key.strip(): value.strip() for key, value in lines.items()}
        flags, model = lines.get("flags", ""), lines.get("model name", model)
    telling = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
    return {
        "cpu": model,
        "flags": [flag for flag in telling if flag in flags.split()],
        "threads": threads,
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def table(group: Mapping, figures: Sequence[Figures]) -> str:
    """One group as a Markdown table."""
    head = f"| variant | faster than {group['peer']} | p50 ms | p95 ms | images/s | peak MiB | load s | MB on disk |"
    lines = [f"### {group['name']}", "", head, "| --- " * 8 + "|"]
    for figure in figures:
        size = "-" if figure.megabytes is None else f"{figure.megabytes:.1f}"
        p95 = "-" if figure.p95_ms is None else f"{figure.p95_ms:.1f}"
        lines.append(
            f"| {figure.name} | {figure.ratio:.2f} x | {figure.median_ms:.1f} | {p95} | "
            f"{1000 * figure.batch / figure.median_ms:.2f} | {figure.peak_mib:.0f} | {figure.load_s:.1f} | {size} |"
        )
    return "\n".join([*lines, ""])


def markdown(content: Mapping[str, object]) -> str:
    """All groups, and the machine."""
    about = content["machine"]
    lines = [
        f"{about['cpu']} ({', '.join(about['flags'])}), {about['threads']} threads, {about['system']}, "
        f"Python {about['python']}, torch {about['torch']}",
        "",
    ]
    for result in content["results"]:
        lines.append(table(result["group"], [Figures(**figures) for figures in result["figures"]]))
    return "\n".join(lines)
