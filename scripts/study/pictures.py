"""What a study shows beside its tables: worst images, where masks differ, and figures of the ablations."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from ..data import LoadRadiographd, load_datalist
from ..errors import BundleError
from ..files import write_json
from ..reporting import new_figure, overlay_panel, overlay_sheet, save_figure
from .scores import read_scores
from .structure import compare_structure, similarity_map
from .tables import WORST, summary_cells, worst_images

SIDE = 256


def read_mask(path: str | Path) -> np.ndarray:
    """H x W booleans of a mask that `MaskFiles` wrote."""
    return np.asarray(Image.open(path).convert("L")) > 0


def read_film(path: str | Path) -> np.ndarray:
    """H x W gray values of an image file, or numbers of a mask file, of any format that training reads."""
    return _loader().load_one(path)[0].numpy().T


@cache
def _loader() -> LoadRadiographd:
    return LoadRadiographd("image")


def write_worst(
    rows: Sequence[Mapping], output_dir: str | Path, dataset_dir: str | Path, datasets: Sequence[str] | None = None
) -> None:
    """Draw ROW/worst.png: the images of lowest Dice of each data set, worst first, with the masks of the first seed.

    Args:
        rows: of the study; those whose runs kept no masks are left out.
        output_dir: of the study.
        dataset_dir, datasets: see `load_datalist`.
    """
    items = {item["id"]: item for item in load_datalist(dataset_dir, datasets)}
    for row in rows:
        folder = Path(output_dir) / row["name"]
        scores = read_scores(folder)
        masks = folder / f"seed_{scores.seeds[0]}" / "masks" if scores.seeds else None
        if masks is None or not masks.is_dir():
            continue
        panels = []
        for dataset in sorted(scores.figures):
            for image in worst_images(scores, dataset, WORST):
                item = items[image["id"]]
                prediction, truth = read_mask(masks / f"{image['id']}.png"), read_film(item["label"]) > 0
                caption = f"{image['id']} {image['dice']:.3f}"
                panels.append(overlay_panel(read_film(item["image"]), prediction[None], truth[None], caption, SIDE))
        overlay_sheet(panels, folder / "worst.png", columns=WORST // 2)


def write_structure(
    pairs: Sequence[Sequence[str]], output_dir: str | Path, dataset_dir: str | Path, datasets: Sequence[str]
) -> dict[str, object]:
    """Write `structure.json` and, for each pair of rows, `structure_A_B.png`.

    Args:
        pairs: names of two rows each, of which the masks of the first common seed are compared; those that were not
            run yet, or kept no masks, are left out.
        output_dir: of the study.
        dataset_dir, datasets: see `load_datalist`.
    """
    root, content = Path(output_dir), {}
    items = {item["id"]: item for item in load_datalist(dataset_dir, datasets)}
    for first, second in pairs:
        folders = [sorted((root / name).glob("seed_*/masks")) for name in (first, second)]
        common = sorted({p.parent.name for p in folders[0]} & {p.parent.name for p in folders[1]})
        if not common:
            continue
        sides = [root / name / common[0] / "masks" for name in (first, second)]
        found = {}
        for dataset in datasets:
            names = [path.stem for path in sorted(sides[0].glob("*.png")) if items[path.stem]["dataset"] == dataset]
            if names:
                found[dataset] = compare_structure(masks_of(names, *sides))
        content[f"{first} and {second}"] = found
        picture = root / f"structure_{first}_{second}.png"
        draw_structure(found, items, sides, (first, second), picture)
        logging.getLogger("study").info("where masks differ: %s", picture)
    write_json(root / "structure.json", content)
    return content


def masks_of(names: Sequence[str], first: Path, second: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    for name in names:
        if not (second / f"{name}.png").is_file():
            raise BundleError(f"{second / name}.png: missing; both rows must be scored on the same images")
        yield name, read_mask(first / f"{name}.png"), read_mask(second / f"{name}.png")


def draw_structure(
    found: Mapping[str, Mapping], items: Mapping[str, Mapping], sides: Sequence[Path], names: Sequence[str], path: Path
) -> None:
    """For each data set the image of least SSIM with both outlines, its SSIM map, and the histogram of distances."""
    figure = new_figure(11, 3.6 * len(found))
    axes = figure.subplots(len(found), 3, squeeze=False)
    for (dataset, content), (film, similar, bars) in zip(found.items(), axes):
        name = content["lowest"]
        first, second = (read_mask(side / f"{name}.png") for side in sides)
        film.imshow(np.asarray(overlay_panel(read_film(items[name]["image"]), second[None], first[None], "", 384)))
        film.set_title(f"{dataset}: {name}\n{names[0]} green, {names[1]} red", fontsize=9)
        shown = similar.imshow(similarity_map(first, second), vmin=0, vmax=1, cmap="magma")
        similar.set_title(f"SSIM, mean {content['images'][name]:.4f} (least of {content['n']})", fontsize=9)
        figure.colorbar(shown, ax=similar)
        shares = content["histogram"]
        bars.bar(list(shares), list(shares.values()), color="#4477aa")
        bars.set_yscale("log")
        bars.set_xlabel("distance between outlines, pixels (up to)")
        bars.set_title("share of outline pixels", fontsize=9)
        for axis in (film, similar):
            axis.axis("off")
    save_figure(figure, path)


def write_ablations(axes: Sequence[Mapping], output_dir: str | Path) -> None:
    """Draw `ablations.png`: Dice and its 95 % interval along each axis, a panel an axis, a line a data set.

    The points of an axis are means over the seeds that all its rows have.

    Args:
        axes: mappings of "title" and "rows" (label -> name of a row); rows not run yet are left out.
        output_dir: of the study.
    """
    drawn = []
    for axis in axes:
        scores = {label: read_scores(Path(output_dir) / name) for label, name in axis["rows"].items()}
        scores = {str(label): found for label, found in scores.items() if found.seeds}
        seeds = sorted(set.intersection(*(set(found.seeds) for found in scores.values()))) if scores else []
        if seeds:
            drawn.append((f"{axis['title']} (seed {', '.join(map(str, seeds))})", seeds, scores))
    if not drawn:
        return
    columns = min(3, len(drawn))
    lines = -(-len(drawn) // columns)
    figure = new_figure(4.2 * columns, 3.2 * lines)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel, (title, seeds, scores) in zip(panels, drawn):
        for shift, dataset in enumerate(sorted({name for found in scores.values() for name in found.figures})):
            labels = [label for label, found in scores.items() if dataset in found.figures]
            dice = [scores[label].figures[dataset]["dice"].items() for label in labels]
            cells = [summary_cells({name: {s: of[s] for s in seeds} for name, of in images}) for images in dice]
            # One image has no interval: it is drawn without
            middle, low, high = np.array([[cell[key] for key in ("mean", "low", "high")] for cell in cells], float).T
            reach = np.nan_to_num([middle - low, high - middle])
            places = np.arange(len(labels)) + 0.08 * shift
            panel.errorbar(places, middle, reach, fmt="o-", capsize=3, markersize=4, label=dataset)
            panel.set_xticks(np.arange(len(labels)), labels, fontsize=8)
        panel.set_title(title, fontsize=10)
        panel.set_ylabel("Dice")
        panel.legend(fontsize=8)
    for panel in panels[len(drawn) :]:
        panel.axis("off")
    save_figure(figure, Path(output_dir) / "ablations.png")
