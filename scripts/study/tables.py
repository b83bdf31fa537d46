"""Tables of a study from the files that its runs wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..errors import BundleError
from ..evaluation import METRICS
from ..files import replacing, write_json
from .scores import RowScores, read_scores
from .statistics import bootstrap_interval, holm, paired_difference

WORST = 10


def summary_cells(images: Mapping[str, Mapping[int, float]]) -> dict[str, object]:
    """Mean over seeds of each image, then mean, standard deviation, median, n and interval over images.

    Images for which the metric is undefined with any seed are named and left out; what is not defined for the rest
    (the spread of one image) is None.
    """
    values = {name: float(np.mean(list(figures.values()))) for name, figures in images.items()}
    defined = [value for value in values.values() if np.isfinite(value)]
    kept = [figures for name, figures in images.items() if np.isfinite(values[name])]
    seeds = sorted(next(iter(images.values())))
    low, high = bootstrap_interval(defined) if len(defined) > 1 else (None, None)
    return {
        "mean": float(np.mean(defined)) if defined else None,
        "std": float(np.std(defined, ddof=1)) if len(defined) > 1 else None,
        "median": float(np.median(defined)) if defined else None,
        "low": low,
        "high": high,
        "n": len(defined),
        "undefined": [name for name, value in values.items() if not np.isfinite(value)],
        "seeds": len(seeds),
        "seed_means": [float(np.mean([figures[seed] for figures in kept])) for seed in seeds] if kept else [],
    }


def subgroups(scores: RowScores, dataset: str) -> list[dict]:
    """Dice of the images of each finding of a data set."""
    images = scores.figures[dataset]["dice"]
    findings = sorted({scores.findings[name] for name in images if name in scores.findings})
    return [
        {
            "finding": finding,
            "dice": summary_cells({n: v for n, v in images.items() if scores.findings.get(n) == finding}),
        }
        for finding in findings
    ]


def worst_images(scores: RowScores, dataset: str, count: int = WORST) -> list[dict]:
    """The images of lowest Dice (mean over seeds), worst first."""
    dice = scores.dice(dataset, scores.seeds)
    order = sorted((value, name) for name, value in dice.items() if np.isfinite(value))
    return [{"id": name, "dice": value, "finding": scores.findings.get(name, "")} for value, name in order[:count]]


def compare(scores: Mapping[str, RowScores], comparisons: Sequence[Mapping], margin: float) -> list[dict]:
    """Paired tests of Dice, data set by data set, corrected by Holm over all of them.

    Both sides are averaged over the seeds that both have.

    Args:
        scores: row name -> its figures.
        comparisons: mappings of "method" and "reference", names of rows; those without a common seed are left out.
        margin: of non-inferiority, in Dice.

    Raises:
        BundleError: the two were scored on different images.
    """
    results = []
    for pair in comparisons:
        method, reference = scores[pair["method"]], scores[pair["reference"]]
        seeds = sorted(set(method.seeds) & set(reference.seeds))
        if not seeds:
            continue
        for dataset in sorted(set(method.figures) & set(reference.figures)):
            try:
                test = paired_difference(method.dice(dataset, seeds), reference.dice(dataset, seeds), margin)
            except ValueError as error:
                raise BundleError(f"{pair['method']} and {pair['reference']} on {dataset}: {error}") from error
            results.append(dict(pair, dataset=dataset, seeds=seeds, **test))
    for key in ("p_wilcoxon", "p_noninferior", "p_equivalent"):
        for result, p in zip(results, holm([result[key] for result in results])):
            result[f"{key}_holm"] = p
    return results


def weights_size(folder: Path, names: Sequence[str]) -> int | None:
    """Bytes of the files that a row ships, of its first seed; None before they are there."""
    for run in sorted(folder.glob("seed_*")):
        files = [run / name for name in names]
        if all(file.is_file() for file in files):
            return sum(file.stat().st_size for file in files)
    return None


def write_tables(
    rows: Sequence[Mapping], comparisons: Sequence[Mapping], margin: float, output_dir: str | Path
) -> dict[str, object]:
    """Write `study.json` and `study.md` from what the runs in `output_dir` left.

    Args:
        rows: of the study (see `Study`), with "title" and optionally "weights", the names of the files that ship.
        comparisons, margin: see `compare`.
        output_dir: of the study.

    Raises:
        BundleError: no run is finished, or two rows to compare were scored on different images.
    """
    root = Path(output_dir)
    scores = {row["name"]: read_scores(root / row["name"]) for row in rows}
    if not any(row.seeds for row in scores.values()):
        raise BundleError(f"{root}: no row of the study is finished; run the study first")
    table = []
    for row in rows:
        found = scores[row["name"]]
        size = weights_size(root / row["name"], row["weights"]) if "weights" in row else None
        for dataset, metrics in sorted(found.figures.items()):
            table.append(
                {
                    "name": row["name"],
                    "title": row["title"],
                    "dataset": dataset,
                    "seeds": found.seeds,
                    "trainable": found.trainable,
                    "bytes": size,
                    "network_seconds": float(np.median(found.seconds)) if found.seconds else None,
                    "train_seconds": float(np.median(found.train_seconds)) if found.train_seconds else None,
                    "metrics": {metric: summary_cells(metrics[metric]) for metric in METRICS},
                    "subgroups": subgroups(found, dataset),
                    "worst": worst_images(found, dataset),
                }
            )
    content = {
        "rows": table,
        "comparisons": compare(scores, comparisons, margin),
        "margin": margin,
        "missing": [name for name, found in scores.items() if not found.seeds],
    }
    write_json(root / "study.json", content)
    with replacing(root / "study.md") as partial:
        partial.write_text(markdown(content), encoding="utf-8")
    return content


def line(cells: Sequence[object]) -> str:
    """One line of a Markdown table."""
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def heading(*names: str) -> list[str]:
    """Head of a Markdown table."""
    return [line(names), line(["---"] * len(names))]


def number(value: float | None, form: str = ".4f", scale: float = 1.0) -> str:
    """A figure, or a dash where there is none."""
    return "-" if value is None else format(value * scale, form)


def cell(figures: Mapping) -> str:
    """mean ± standard deviation (median) [interval]."""
    text = f"{number(figures['mean'])} ± {number(figures['std'])} ({number(figures['median'])}) "
    text += f"[{number(figures['low'])}, {number(figures['high'])}]"
    return text + (f", {len(figures['undefined'])} undefined" if figures["undefined"] else "")


def markdown(content: Mapping[str, object]) -> str:
    """The tables as Markdown."""
    lines = []
    for dataset in dict.fromkeys(row["dataset"] for row in content["rows"]):
        rows = [row for row in content["rows"] if row["dataset"] == dataset]
        lines += [f"### {dataset}", "", "mean ± standard deviation (median) [95 % bootstrap interval] over images", ""]
        lines += heading("method", "seeds", "n", *METRICS, "trainable", "MB", "ms an image", "minutes to train")
        for row in rows:
            figures = row["metrics"]
            lines.append(
                line(
                    [
                        row["title"],
                        len(row["seeds"]),
                        figures["dice"]["n"],
                        *(cell(figures[metric]) for metric in METRICS),
                        number(row["trainable"], ",.0f"),
                        number(row["bytes"], ".1f", 1e-6),
                        number(row["network_seconds"], ".0f", 1e3),
                        number(row["train_seconds"], ".1f", 1 / 60),
                    ]
                )
            )
        lines.append("")
        findings = [group["finding"] for group in rows[0]["subgroups"]]
        if findings:
            lines += [f"Dice by finding, {dataset}:", "", *heading("method", *findings)]
            for row in rows:
                cells = [f"{cell(group['dice'])}, n {group['dice']['n']}" for group in row["subgroups"]]
                lines.append(line([row["title"], *cells]))
            lines.append("")
    if content["comparisons"]:
        lines += [
            f"### Paired tests of Dice, margin {content['margin']}, p values after Holm's correction",
            "",
            *heading(
                "method", "reference", "data set", "seeds", "n", "difference", "90 % interval",
                "Wilcoxon", "non-inferior", "equivalent",
            ),
        ]  # fmt: skip
        for test in content["comparisons"]:
            interval = f"[{test['low']:+.4f}, {test['high']:+.4f}]"
            p_values = [format(test[f"p_{name}_holm"], ".3g") for name in ("wilcoxon", "noninferior", "equivalent")]
            names = [test["method"], test["reference"], test["dataset"], len(test["seeds"]), test["n"]]
            lines.append(line([*names, f"{test['mean']:+.4f}", interval, *p_values]))
        lines.append("")
    if content["missing"]:
        lines += [f"Not run: {', '.join(content['missing'])}.", ""]
    return "\n".join(lines)
