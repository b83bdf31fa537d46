"""Tables of a study from the files that its runs wrote."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..errors import BundleError
from ..evaluation import METRICS
from ..files import replacing, write_json
from .statistics import bootstrap_interval, holm, paired_difference


def read_scores(folder: Path) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Figures of one row: data set -> metric -> image id -> one figure a seed, from seed_*/metrics.csv."""
    scores: dict = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for run in sorted(folder.glob("seed_*")):
        if not (run / "done.json").is_file() or not (run / "metrics.csv").is_file():
            continue
        with (run / "metrics.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                for metric in METRICS:
                    scores[row["dataset"]][metric][row["id"]].append(float(row[metric]))
    return scores


def summary_cells(images: Mapping[str, Sequence[float]]) -> dict[str, object]:
    """Mean over seeds of each image, then mean, standard deviation, median, n and interval over images.

    Images for which the metric is undefined with any seed are named and left out.
    """
    values = {name: float(np.mean(figures)) for name, figures in images.items()}
    defined = [value for value in values.values() if np.isfinite(value)]
    seeds = min(len(figures) for figures in images.values())
    means = [float(np.nanmean([figures[k] for figures in images.values()])) for k in range(seeds)]
    low, high = bootstrap_interval(defined)
    return {
        "mean": float(np.mean(defined)),
        "std": float(np.std(defined, ddof=1)),
        "median": float(np.median(defined)),
        "low": low,
        "high": high,
        "n": len(defined),
        "undefined": [name for name, value in values.items() if not np.isfinite(value)],
        "seeds": seeds,
        "seed_means": means,
    }


def compare(scores: Mapping[str, Mapping], comparisons: Sequence[Mapping], margin: float) -> list[dict]:
    """Paired tests of Dice, data set by data set, corrected by Holm over all of them.

    Args:
        scores: row name -> `read_scores`.
        comparisons: mappings of "method" and "reference", names of rows; those not run yet are left out.
        margin: of non-inferiority, in Dice.
    """
    results = []
    for pair in comparisons:
        method, reference = scores.get(pair["method"]), scores.get(pair["reference"])
        for dataset in sorted(set(method or ()) & set(reference or ())):
            figures = [
                {name: float(np.mean(seeds)) for name, seeds in side[dataset]["dice"].items()}
                for side in (method, reference)
            ]
            results.append(dict(pair, dataset=dataset, **paired_difference(*figures, margin)))
    for key in ("p_wilcoxon", "p_noninferior", "p_equivalent"):
        for result, p in zip(results, holm([result[key] for result in results])):
            result[f"{key}_holm"] = p
    return results


def weights_size(folder: Path, name: str) -> int | None:
    """Bytes of the weights of a row, of its first seed."""
    files = sorted(folder.glob(f"seed_*/{name}"))
    return files[0].stat().st_size if files else None


def write_tables(
    rows: Sequence[Mapping], comparisons: Sequence[Mapping], margin: float, output_dir: str | Path
) -> dict[str, object]:
    """Write `study.json` and `study.md` from what the runs in `output_dir` left.

    Args:
        rows: of the study (see `Study`), with "title" and optionally "weights", the name of the file that ships.
        comparisons, margin: see `compare`.
        output_dir: of the study.

    Raises:
        BundleError: no run is finished.
    """
    root = Path(output_dir)
    scores = {row["name"]: read_scores(root / row["name"]) for row in rows}
    if not any(scores.values()):
        raise BundleError(f"{root}: no row of the study is finished; run the study first")
    table = [
        {
            "name": row["name"],
            "title": row["title"],
            "dataset": dataset,
            "bytes": weights_size(root / row["name"], row["weights"]) if "weights" in row else None,
            "metrics": {metric: summary_cells(metrics[metric]) for metric in METRICS},
        }
        for row in rows
        for dataset, metrics in sorted(scores[row["name"]].items())
    ]
    missing = [row["name"] for row in rows if not scores[row["name"]]]
    content = {"rows": table, "comparisons": compare(scores, comparisons, margin), "margin": margin, "missing": missing}
    write_json(root / "study.json", content)
    with replacing(root / "study.md") as partial:
        partial.write_text(markdown(content), encoding="utf-8")
    return content


def markdown(content: Mapping[str, object]) -> str:
    """The tables as Markdown."""
    lines = []
    for dataset in dict.fromkeys(row["dataset"] for row in content["rows"]):
        lines += [f"### {dataset}", "", f"| method | seeds | n | {' | '.join(METRICS)} | MB |", "| --- " * 9 + "|"]
        for row in content["rows"]:
            if row["dataset"] != dataset:
                continue
            figures = row["metrics"]
            cells = [
                f"{cell['mean']:.4f} ± {cell['std']:.4f} ({cell['median']:.4f}) [{cell['low']:.4f}, {cell['high']:.4f}]"
                + (f", {len(cell['undefined'])} undefined" if cell["undefined"] else "")
                for cell in (figures[metric] for metric in METRICS)
            ]
            size = "-" if row["bytes"] is None else f"{row['bytes'] / 1e6:.1f}"
            dice = figures["dice"]
            lines.append(f"| {row['title']} | {dice['seeds']} | {dice['n']} | {' | '.join(cells)} | {size} |")
        lines.append("")
    if content["comparisons"]:
        lines += [
            f"### Paired tests of Dice, margin {content['margin']}, p values after Holm's correction",
            "",
            "| method | reference | data set | n | difference | 90 % interval | Wilcoxon | non-inferior | equivalent |",
            "| --- " * 9 + "|",
        ]
        for test in content["comparisons"]:
            lines.append(
                f"| {test['method']} | {test['reference']} | {test['dataset']} | {test['n']} | {test['mean']:+.4f} | "
                f"[{test['low']:+.4f}, {test['high']:+.4f}] | {test['p_wilcoxon_holm']:.3g} | "
                f"{test['p_noninferior_holm']:.3g} | {test['p_equivalent_holm']:.3g} |"
            )
        lines.append("")
    if content["missing"]:
        lines += [f"Not run: {', '.join(content['missing'])}.", ""]
    return "\n".join(lines)
