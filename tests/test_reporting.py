"""Pictures of a run, checked by their pixels and numbers."""

import base64
import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from scripts.evaluation import METRICS, Report, summarize
from scripts.reporting import overlay_panel, overlay_sheet, plot_curves, plot_rank_pattern, rank_pattern, write_report

GREEN, RED = (60, 220, 90), (255, 70, 70)


def opened(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        image.load()
        return np.asarray(image.convert("RGB"))


def boxed(top, left, bottom, right, size=64):
    mask = np.zeros((1, size, size), dtype=bool)
    mask[0, top:bottom, left:right] = True
    return mask


def where(panel, colour):
    return {tuple(spot) for spot in np.argwhere((np.asarray(panel) == colour).all(axis=-1))}


def frame(top, left, bottom, right):
    """Border pixels of a rectangle."""
    return {
        (row, column)
        for row in range(top, bottom)
        for column in range(left, right)
        if row in (top, bottom - 1) or column in (left, right - 1)
    }


@pytest.fixture
def figures(monkeypatch):
    """The figures that the rank pattern module draws."""
    drawn, make = [], rank_pattern.new_figure

    def keep(*args):
        drawn.append(make(*args))
        return drawn[-1]

    monkeypatch.setattr(rank_pattern, "new_figure", keep)
    return drawn


def test_curves_are_written_though_a_metric_lacks_in_some_epochs(tmp_path):
    history = [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.5, "val_dice": 0.7}, {"epoch": 3, "loss": 0.4}]
    plot_curves(history, tmp_path / "deep" / "curves.png", "stage 1")
    picture = opened(tmp_path / "deep" / "curves.png")
    assert picture.shape[1] > picture.shape[0] > 100 and picture.std() > 5
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["curves.png"]  # no partial file left


def test_curves_of_a_first_epoch_without_metrics_are_written(tmp_path):
    plot_curves([{"epoch": 1, "loss": 1.0}], tmp_path / "curves.png", "x")
    assert opened(tmp_path / "curves.png").std() > 1


def test_rank_pattern_has_one_row_a_block_and_one_column_a_projection(tmp_path, figures):
    ranks = {f"image_encoder.blocks.{i}.attn.qkv.{p}": i + 2 * k for i in range(5) for k, p in enumerate("qkv")}
    plot_rank_pattern({"budget": sum(ranks.values()), "ranks": ranks}, tmp_path / "ranks.png")
    axes = figures[0].axes[0]
    assert axes.images[0].get_array().tolist() == [[i, i + 2, i + 4] for i in range(5)]
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"blocks.{i}" for i in range(5)]
    assert [label.get_text() for label in axes.get_xticklabels()] == [f"attn.qkv.{p}" for p in "qkv"]
    assert [int(text.get_text()) for text in axes.texts] == [i + 2 * k for i in range(5) for k in range(3)]
    assert str(sum(ranks.values())) in axes.get_title()
    assert opened(tmp_path / "ranks.png").std() > 5


def test_rank_pattern_of_ragged_projections_leaves_the_missing_cells_blank(tmp_path, figures):
    ranks = {"blocks.0.attn.q": 4, "blocks.0.attn.v": 0, "blocks.1.mlp.lin1": 2}
    plot_rank_pattern({"budget": 6, "ranks": ranks}, tmp_path / "ranks.png")
    axes = figures[0].axes[0]
    assert np.ma.masked_invalid(axes.images[0].get_array()).count() == 3
    assert sorted(text.get_text() for text in axes.texts) == ["0", "2", "4"]
    opened(tmp_path / "ranks.png")


def test_rank_pattern_of_which_nothing_is_left_is_drawn(tmp_path):
    plot_rank_pattern({"budget": 0, "ranks": {"blocks.0.attn.q": 0}}, tmp_path / "ranks.png")
    opened(tmp_path / "ranks.png")


def test_overlay_outlines_truth_green_and_prediction_red():
    image = np.linspace(0, 1, 64 * 64).reshape(64, 64)
    panel = overlay_panel(image, boxed(5, 6, 20, 25), boxed(30, 31, 50, 45), side=64)
    assert where(panel, RED) == frame(5, 6, 20, 25)
    assert where(panel, GREEN) == frame(30, 31, 50, 45)


def test_prediction_lies_over_truth():
    panel = overlay_panel(np.zeros((64, 64)), boxed(5, 6, 20, 25), boxed(5, 6, 20, 25), side=64)
    assert where(panel, RED) == frame(5, 6, 20, 25) and not where(panel, GREEN)


def test_overlay_without_truth_draws_the_prediction_alone():
    panel = overlay_panel(np.zeros((64, 64)), boxed(5, 6, 20, 25), side=64)
    assert where(panel, RED) == frame(5, 6, 20, 25) and not where(panel, GREEN)


def test_overlay_of_a_tall_image_keeps_the_aspect_and_is_centred():
    mask = np.zeros((1, 80, 40), dtype=bool)
    mask[0, :, :] = True
    panel = overlay_panel(np.ones((80, 40)), mask, side=40)
    assert panel.size[0] == 40 and panel.size[1] >= 40
    assert where(panel, RED) == {(row, column + 10) for row, column in frame(0, 0, 40, 20)}


def test_overlay_shows_the_image_between_its_percentiles():
    image = np.random.default_rng(0).normal(1000, 50, (64, 64))
    panel = np.asarray(overlay_panel(image, np.zeros((1, 64, 64), dtype=bool), side=64))[:64, :, 0].astype(float)
    low, high = np.percentile(image, (0.5, 99.5))
    assert np.abs(panel - np.clip((image - low) / (high - low), 0, 1) * 255).max() <= 1


def test_sheet_places_panels_row_by_row(tmp_path):
    panels = [Image.new("RGB", (20, 30), (10 * i, 0, 255 - 10 * i)) for i in range(5)]
    overlay_sheet(panels, tmp_path / "new" / "sheet.png", columns=3)
    sheet = opened(tmp_path / "new" / "sheet.png")
    assert sheet.shape == (60, 60, 3)
    for i in range(5):
        cell = sheet[i // 3 * 30 : i // 3 * 30 + 30, i % 3 * 20 : i % 3 * 20 + 20]
        assert (cell == (10 * i, 0, 255 - 10 * i)).all()
    assert (sheet[30:, 40:] == 0).all()


def test_failed_writing_leaves_the_old_picture(tmp_path):
    class Broken:
        size = (4, 4)

    overlay_sheet([Image.new("RGB", (4, 4), (9, 9, 9))], tmp_path / "sheet.png")
    with pytest.raises(Exception, match=""):  # whatever PIL raises
        overlay_sheet([Broken()], tmp_path / "sheet.png")
    assert (opened(tmp_path / "sheet.png") == 9).all()


# The report


def scored(count=6):
    rows = [
        {"id": f"film_{i}", "dataset": "a<b", "part": "test", "prompt": "full", "dice": 0.9 + 0.01 * i, "hd95": 3.0}
        for i in range(count)
    ]
    rows[0]["hd95"] = float("nan")
    return rows


def test_report_is_one_file_with_its_pictures_inside(tmp_path):
    rows = scored()
    Image.new("RGB", (20, 10), "red").save(tmp_path / "curves.png")
    pictures = [("stage1: curves", tmp_path / "curves.png"), ("absent", tmp_path / "absent.png")]
    overlays = [("a<b: best", Image.new("RGB", (30, 20)))]
    write_report(tmp_path / "report.html", "T & t", rows, summarize(rows), ["dice", "hd95"], overlays, pictures)
    text = (tmp_path / "report.html").read_text()
    sources = re.findall(r'src="([^"]*)"', text)
    assert len(sources) == 3 and all(source.startswith("data:image/png;base64,") for source in sources)
    sizes = [Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).size for source in sources]
    assert sizes[1:] == [(30, 20), (20, 10)] and sizes[0][0] > 300
    assert "0.9250 \u00b1 0.0187 (0.9250)" in text and "hd95: film_0" in text
    assert "a&lt;b" in text and "T &amp; t" in text and "a<b" not in text
    assert "http" not in text.replace("data:image", "")


def test_report_shows_best_median_and_worst_images_of_each_data_set(tmp_path):
    count, side = 9, 40
    rows = []
    table = SimpleNamespace(latest=[], rows=lambda: iter(rows))
    report = Report(tmp_path / "report.html", table, "title", count=2)
    report.started(None)
    for i in range(count):
        path = tmp_path / f"film_{i}.png"
        Image.fromarray(np.arange(side * side, dtype=np.uint16).reshape(side, side)).save(path)
        image = MetaTensor(torch.zeros(1, side, side), meta={"filename_or_obj": str(path)})
        mask = torch.zeros(1, side, side)
        mask[:, 5:20, 5 : 10 + i] = 1
        rows.append(
            {"id": f"film_{i}", "dataset": "a", "part": "test", "prompt": "full", **dict.fromkeys(METRICS, 0.1 * i)}
        )
        table.latest = rows[-1:]
        state = SimpleNamespace(batch=[{"image": image}], output=[{"pred": mask, "label": mask}])
        report.iteration_completed(SimpleNamespace(state=state))
    assert [image.caption[:6] for image in report.extremes["a, test"]] == ["film_0", "film_1", "film_7", "film_8"]
    names = [name for name, _ in report.overlays()]
    assert names == ["a, test: best", "a, test: median", "a, test: worst"]
    report.completed(None)
    assert (tmp_path / "report.html").stat().st_size > 10_000
