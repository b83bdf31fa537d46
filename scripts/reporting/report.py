"""An evaluation as one HTML file with its pictures inside."""

from __future__ import annotations

import base64
import io
from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import jinja2
import numpy as np
from PIL import Image

from ..files import TEXT, replacing
from .figures import new_figure


def data_uri(png: bytes) -> str:
    """A PNG as the source of an HTML image."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def picture_uri(picture: Image.Image) -> str:
    """A picture as the source of an HTML image."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return data_uri(buffer.getvalue())


def format_figures(figures: Mapping[str, object] | None, metric: str) -> str:
    """Mean, standard deviation and median of one metric, as `summarize` gives them; distances to two decimals."""
    if not figures or figures["mean"] is None:
        return "–"
    digits = 2 if metric in ("hd95", "assd") else 4
    mean, std, median = (
        "" if figures[key] is None else f"{figures[key]:.{digits}f}" for key in ("mean", "std", "median")
    )
    missing = f", {len(figures['undefined'])} undefined" if figures["undefined"] else ""
    return f"{mean}{f' ± {std}' if std else ''} ({median}{missing})"


def plot_distributions(rows: Iterable[Mapping[str, object]], metrics: Sequence[str]) -> bytes:
    """Box plots with every image as a point, one field a metric and one box a data set, as PNG."""
    groups: dict[str, dict[str, array]] = {}
    for row in rows:
        values = groups.setdefault(f"{row['dataset']}\n{row['part']}", {metric: array("d") for metric in metrics})
        for metric in metrics:
            if np.isfinite(row[metric]):
                values[metric].append(row[metric])
    figure = new_figure(2.6 * len(metrics), 3.4)
    jitter = np.random.default_rng(0)
    for axes, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics):
        values = [np.asarray(group[metric]) for group in groups.values()]
        axes.boxplot(values, widths=0.6, showfliers=False)
        for position, numbers in enumerate(values, start=1):
            axes.plot(position + jitter.uniform(-0.18, 0.18, len(numbers)), numbers, ".", markersize=3, alpha=0.4)
        axes.set_xticks(range(1, len(groups) + 1), groups, fontsize=7)
        axes.set_title(metric, fontsize=10)
        axes.grid(axis="y", alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def write_report(
    path: str | Path,
    title: str,
    rows: Iterable[Mapping[str, object]],
    groups: Sequence[Mapping[str, object]],
    metrics: Sequence[str],
    overlays: Sequence[tuple[str, Image.Image]] = (),
    pictures: Sequence[tuple[str, Path]] = (),
) -> None:
    """Write the report.

    Args:
        path: HTML file.
        title: heading.
        rows: one mapping an image, with dataset, part and the metrics.
        groups: from `evaluation.summarize`.
        metrics: names of the metrics to show.
        overlays: heading and picture.
        pictures: caption and PNG file; files that do not exist are left out.
    """
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True)
    environment.filters["figures"] = format_figures
    undefined = {
        metric: sorted({name for group in groups for name in group["metrics"].get(metric, {}).get("undefined", ())})
        for metric in metrics
    }
    text = environment.get_template("report.html.j2").render(
        title=title,
        groups=groups,
        metrics=metrics,
        undefined={metric: names for metric, names in undefined.items() if names},
        distributions=data_uri(plot_distributions(rows, metrics)),
        overlays=[(name, picture_uri(picture)) for name, picture in overlays],
        pictures=[(name, data_uri(file.read_bytes())) for name, file in pictures if file.is_file()],
    )
    with replacing(path) as partial:
        partial.write_text(text, **TEXT)
