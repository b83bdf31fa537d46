"""The configs, run as a user runs them, on small phantoms."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from dicom_files import write_dicom
from monai.bundle import ConfigParser, ConfigWorkflow, verify_net_in_out
from PIL import Image

from scripts.adapters import AdaLoRALinear, adapted_layers
from scripts.errors import BundleError, root_cause
from scripts.phantoms import write_phantoms
from scripts.quantization import integer_layers
from scripts.sam import build_sam
from scripts.sam.weights import read_weights

ROOT = Path(__file__).parents[1]
TARGET_RANK = 3
SMALL = {
    "image_size": 64,
    "window_size": 4,
    "rank": 6,
    "target_rank": TARGET_RANK,
    "epochs": 3,
    "qat_epochs": 1,
    "batch_size": 4,
    "calibration_batches": 2,
}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, 24, size=64, seed=500)
    return folder


def run(files: list[str], workflow_type: str, tracking: str | None = None, **overrides) -> ConfigWorkflow:
    """Run a config in this process and return the workflow, whose parser holds every object of the run."""
    workflow = ConfigWorkflow(
        config_file=[str(ROOT / "configs" / name) for name in files],
        workflow_type=workflow_type,
        tracking=tracking,
        logging_file=str(ROOT / "configs" / "logging.conf"),
        meta_file=str(ROOT / "configs" / "metadata.json"),
        **{"bundle_root": str(ROOT), **overrides},
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return workflow


@pytest.fixture(scope="module")
def trained(phantoms, tmp_path_factory) -> dict:
    """Both stages, run once for all tests of this module."""
    folder = tmp_path_factory.mktemp("run")
    paths = {
        "dataset_dir": str(phantoms),
        "model_dir": str(folder / "models"),
        "output_dir": str(folder / "eval"),
        "base_weights": str(ROOT / "models" / "sam_vit_ti_phantom.pt"),
    }
    workflow = run(["train.yaml"], "train", run_id="training", tracking="mlflow", **paths, **SMALL)
    return {"paths": paths, "folder": folder, "workflow": workflow}


def test_training_writes_what_the_design_names(trained):
    models, logs = trained["folder"] / "models", trained["folder"] / "eval"
    assert {path.name for path in models.iterdir()} == {"stage1.pt", "model.pt", "rank_pattern.json", "split.json"}
    for stage in ("stage1", "stage2"):
        assert (logs / stage / "curves.png").stat().st_size > 1000
        assert list((logs / stage).glob("events.out.tfevents.*"))
    assert (logs / "stage1" / "rank_pattern.png").stat().st_size > 1000


def test_mlflow_tracks_both_stages(trained):
    client = mlflow.MlflowClient(f"sqlite:///{trained['folder']}/eval/mlruns.db")
    experiment = client.get_experiment_by_name("monai_experiment")
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    epochs = [(len(client.get_metric_history(run.info.run_id, "val_dice")), run.info.status) for run in runs]
    assert epochs == [(SMALL["epochs"], "FINISHED"), (SMALL["qat_epochs"], "FINISHED")]
    assert all(client.get_metric_history(run.info.run_id, "train_loss") for run in runs)


def test_budget_is_met_over_all_layers_together(trained):
    pattern = json.loads((trained["folder"] / "models" / "rank_pattern.json").read_text())
    ranks = list(pattern["ranks"].values())
    assert len(ranks) == 6 * 6
    assert sum(ranks) == pattern["budget"] == TARGET_RANK * len(ranks)
    assert len(set(ranks)) > 1, "an adaptive budget leaves layers with different ranks"


def test_stage2_keeps_rank_masks_and_moves_singular_values(trained):
    stage1 = read_weights(trained["folder"] / "models" / "stage1.pt")
    last = torch.load(trained["folder"] / "eval" / "stage2" / "last.pt", weights_only=True)
    stage2 = last["model"]
    moved = 0
    for block in range(6):
        name = f"image_encoder.blocks.{block}.attn.qkv"
        mask = stage1[f"{name}.rank_mask"]
        kept, final = stage1[f"{name}.adapter_lambda"][mask], stage2[f"{name}.adapter_lambda"]
        assert final.shape == kept.shape and stage2[f"{name}.rank_mask"].all()
        assert torch.equal(stage1[f"{name}.adapter_P"][:, mask], stage2[f"{name}.adapter_P"])
        assert torch.equal(stage1[f"{name}.adapter_Q"][mask], stage2[f"{name}.adapter_Q"])
        moved += int((kept != final).sum())
    assert moved > 0


def test_base_encoder_is_untouched_by_both_stages(trained):
    base = read_weights(trained["paths"]["base_weights"])
    stage1 = read_weights(trained["folder"] / "models" / "stage1.pt")
    for key in ("image_encoder.blocks.3.attn.qkv.weight", "image_encoder.blocks.0.mlp.lin1.weight"):
        assert torch.equal(base[key], stage1[key])
    assert not torch.equal(base["mask_decoder.mask_tokens.weight"], stage1["mask_decoder.mask_tokens.weight"])


def test_shipped_network_equals_the_trained_one(trained):
    """model.pt, in the network that inference.yaml builds, against stage 2's network with its adapters."""
    last = torch.load(trained["folder"] / "eval" / "stage2" / "last.pt", weights_only=True)
    network = trained["workflow"].parser.get_parsed_content("qat::network_def").eval()
    network.load_state_dict(last["model"])
    overrides = {key: SMALL[key] for key in ("image_size", "window_size")}
    parser = ConfigParser()
    parser.read_config(str(ROOT / "configs" / "inference.yaml"))
    parser.update({"bundle_root": str(ROOT), "model_dir": trained["paths"]["model_dir"], **overrides})
    shipped = parser.get_parsed_content("network").eval()
    image = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    # One epoch only, so the best weights are the last
    for name, layer in integer_layers(shipped).items():
        quantized = network.get_submodule(name)
        plain = quantized.layer
        weight = plain.merged_weight() if isinstance(plain, AdaLoRALinear) else plain.weight
        scale = quantized.weight_quantizer.scale(weight)
        steps = weight / scale.view([-1 if axis == layer.axis else 1 for axis in range(weight.ndim)])
        assert (steps - layer.weight).abs().max() < 0.501, name
    with torch.no_grad():
        # Merging rounds W + dW differently: a weight halfway between two integers may fall on the other side, and the
        # activations behind it, too
        difference = (shipped(image) - network(image)).abs()
        assert difference.mean() < 0.02 * network(image).std() and difference.max() < 0.2 * network(image).std()


def test_evaluation_writes_one_row_an_image_and_a_summary(trained):
    output = trained["folder"] / "scores"
    network = {key: SMALL[key] for key in ("image_size", "window_size")}
    paths = {**trained["paths"], "output_dir": str(output)}
    del paths["base_weights"]
    run(["evaluate.yaml"], "infer", run_id="evaluating", **paths, **network)
    with (output / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    split = json.loads((trained["folder"] / "models" / "split.json").read_text())
    assert {row["id"]: row["part"] for row in rows} == {name: part for part, names in split.items() for name in names}
    assert {"id", "dataset", "part", "prompt", "dice", "iou", "nsd", "hd95", "assd"} <= set(rows[0])
    groups = {group["part"]: group for group in json.loads((output / "summary.json").read_text())["groups"]}
    for part, names in split.items():
        scores = [float(row["dice"]) for row in rows if row["part"] == part]
        assert groups[part]["n"] == len(names)
        assert groups[part]["metrics"]["dice"]["mean"] == pytest.approx(np.mean(scores))
    assert Image.open(output / "overlays.png").size[0] > 256


def test_box_prompts_are_said_so_in_the_table(trained):
    output = trained["folder"] / "box"
    network = {key: SMALL[key] for key in ("image_size", "window_size")}
    paths = {**trained["paths"], "output_dir": str(output)}
    del paths["base_weights"]
    run(["evaluate.yaml"], "infer", run_id="evaluating", prompt="box", part="test", **paths, **network)
    with (output / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["prompt"] for row in rows} == {"box"} and {row["part"] for row in rows} == {"test"}


def test_inference_keeps_resolution_and_geometry(trained, tmp_path):
    import nibabel

    films = tmp_path / "films"
    (films / "ward").mkdir(parents=True)
    wide = np.random.default_rng(0).integers(0, 4000, (90, 130)).astype(np.uint16)
    Image.fromarray(wide).save(films / "wide.png")
    Image.fromarray(np.repeat((wide[..., None] / 16).astype(np.uint8), 3, 2)).save(films / "ward" / "colour.jpg")
    affine = np.diag([0.7, 0.8, 1.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(wide.T.astype(np.int16)[..., None], affine), films / "slice.nii.gz")
    nibabel.save(nibabel.Nifti1Image(wide.T.astype(np.int16), affine), films / "flat.nii")
    network = {key: SMALL[key] for key in ("image_size", "window_size")}
    out = tmp_path / "masks"
    paths = {"dataset_dir": str(films), "output_dir": str(out), "model_dir": trained["paths"]["model_dir"]}
    write_dicom(films / "film.dcm", wide, "MONOCHROME1", PixelSpacing=[0.2, 0.2])
    run(["inference.yaml"], "infer", **paths, **network)
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    masks = ["film_mask.png", "flat_mask.nii.gz", "slice_mask.nii.gz", "ward/colour_mask.png", "wide_mask.png"]
    assert sorted([*masks, "results.csv"]) == written
    with (out / "results.csv").open() as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert len(rows) == 5 and {row["status"] for row in rows.values()} == {"done"}
    shown = np.asarray(Image.open(out / "film_mask.png")) > 0
    assert float(rows["film.dcm"]["area_cm2"] or 0) == pytest.approx(shown.sum() * 0.0004, abs=0.06)
    for name in ("film_mask.png", "wide_mask.png", "ward/colour_mask.png"):
        assert Image.open(out / name).size == (130, 90)
        assert set(np.unique(np.asarray(Image.open(out / name)))) <= {0, 255}
    for name, shape in (("slice", (130, 90, 1)), ("flat", (130, 90))):
        mask = nibabel.load(out / f"{name}_mask.nii.gz")
        assert mask.shape == shape
        np.testing.assert_allclose(mask.affine, affine)


def test_folder_with_a_broken_film_is_done_to_the_end_and_fails(tmp_path):
    """As a user runs it, with the shipped network."""
    films = tmp_path / "films"
    write_phantoms(films, 1, size=96, seed=3)
    write_dicom(films / "images" / "other.dcm", np.zeros((9, 9), np.uint8), Modality="CT")
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/inference.yaml"]
    command += ["--dataset_dir", str(films), "--output_dir", str(tmp_path / "out"), "--formats", "['png','overlay']"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 1
    assert "error: 1 of 2 films failed" in result.stderr and "modality CT" in result.stderr
    written = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {name.split("_")[-1] for name in written} == {"mask.png", "overlay.png", "results.csv"}


def test_domain_is_trained_packed_and_switched_to(trained, tmp_path):
    paths = {**trained["paths"], "model_dir": str(tmp_path), "output_dir": str(tmp_path / "eval")}
    run(["train.yaml", "domain.yaml"], "train", run_id="domain", **paths, **{**SMALL, "epochs": 1})
    network = {key: SMALL[key] for key in ("image_size", "window_size")}
    files = {**paths, "adapter": str(tmp_path / "adapter.pt"), "output_dir": str(tmp_path / "scores")}
    run(["evaluate.yaml", "switched.yaml"], "infer", run_id="evaluating", part="test", **files, **network)
    with (tmp_path / "scores" / "metrics.csv").open() as file:
        scores = {row["id"]: float(row["dice"]) for row in csv.DictReader(file)}
    files["output_dir"] = str(tmp_path / "masks")
    run(["inference.yaml", "switched.yaml"], "infer", **files, **network)
    split = json.loads((tmp_path / "split.json").read_text())
    assert sorted(scores) == sorted(split["test"])
    assert len(list((tmp_path / "masks").rglob("*_mask.png"))) == sum(map(len, split.values()))


def test_stage2_alone_starts_from_a_stage1_checkpoint(trained, tmp_path):
    paths = {**trained["paths"], "model_dir": str(tmp_path), "output_dir": str(tmp_path / "eval")}
    stage1 = trained["folder"] / "models" / "stage1.pt"
    run(["train.yaml"], "train", run_id="stage2", stage1_weights=str(stage1), **paths, **SMALL)
    assert (tmp_path / "model.pt").is_file() and not (tmp_path / "stage1.pt").exists()


def test_full_policy_trains_and_its_weights_do_not_fit_the_paper_policy(trained, tmp_path):
    paths = {**trained["paths"], "model_dir": str(tmp_path), "output_dir": str(tmp_path / "eval")}
    stage1 = trained["folder"] / "models" / "stage1.pt"
    policy = str(ROOT / "configs" / "policies" / "full.yaml")
    run(["train.yaml"], "train", run_id="stage2", stage1_weights=str(stage1), policy=policy, **paths, **SMALL)
    network = {key: SMALL[key] for key in ("image_size", "window_size")}
    with pytest.raises(RuntimeError) as caught:
        run(
            ["inference.yaml"],
            "infer",
            dataset_dir=trained["paths"]["dataset_dir"],
            output_dir=str(tmp_path / "out"),
            model_dir=str(tmp_path),
            **network,
        )
    cause = root_cause(caught.value)
    assert isinstance(cause, BundleError) and "model.pt" in str(cause) and "attn.qkv" in str(cause)


@pytest.mark.parametrize(
    ("training", "scoring", "changed"),
    [
        (["finetune.yaml"], "base.yaml", ["mask_decoder.iou_token.weight"]),
        (["finetune.yaml", "unet.yaml"], "unet.yaml", None),
        (["finetune.yaml", "segresnet.yaml"], "segresnet.yaml", None),
    ],
)
def test_methods_to_compare_with_train_and_are_scored(trained, training, scoring, changed, tmp_path):
    paths = {**trained["paths"], "model_dir": str(tmp_path), "output_dir": str(tmp_path / "eval")}
    small = {key: SMALL[key] for key in ("image_size", "window_size", "batch_size")}
    run(["train.yaml", *training], "train", run_id="stage1", epochs=1, **paths, **small)
    weights = read_weights(tmp_path / "stage1.pt")
    if changed is not None:
        base = read_weights(trained["paths"]["base_weights"])
        assert all(not torch.equal(weights[key], base[key]) for key in changed)
        key = "image_encoder.blocks.3.mlp.lin1.weight"
        assert torch.equal(weights[key], base[key]), "the encoder is frozen"
    del paths["base_weights"], small["batch_size"]
    weights_file = {"model_weights": str(tmp_path / "stage1.pt"), "part": "test"}
    run(["evaluate.yaml", scoring], "infer", run_id="evaluating", **weights_file, **paths, **small)
    with (tmp_path / "eval" / "metrics.csv").open() as file:
        assert {row["part"] for row in csv.DictReader(file)} == {"test"}


def test_calibration_alone_makes_a_model_that_inference_loads(trained, tmp_path):
    paths = {**trained["paths"], "model_dir": str(tmp_path), "output_dir": str(tmp_path / "eval")}
    stage1 = str(trained["folder"] / "models" / "stage1.pt")
    run(["train.yaml", "post_training.yaml"], "train", run_id="post_training", stage1_weights=stage1, **paths, **SMALL)
    network = {key: SMALL[key] for key in ("image_size", "window_size")}
    del paths["base_weights"]
    run(["inference.yaml"], "infer", **{**paths, "output_dir": str(tmp_path / "masks")}, **network)
    assert len(list((tmp_path / "masks").rglob("*_mask.png"))) == 24


def test_masks_can_move_in_stage2_within_the_budget_of_stage1(trained, tmp_path):
    paths = {**trained["paths"], "model_dir": str(tmp_path), "output_dir": str(tmp_path / "eval")}
    stage1, split = (str(trained["folder"] / "models" / name) for name in ("stage1.pt", "split.json"))
    files = {"stage1_weights": stage1, "split_record": split}
    workflow = run(["train.yaml", "moving_masks.yaml"], "train", run_id="stage2", **files, **paths, **SMALL)
    network, allocator = (workflow.parser.get_parsed_content(f"qat::{name}") for name in ("network_def", "allocator"))
    reached = trained["workflow"].parser.get_parsed_content("train::allocator").budget
    assert allocator.finished and allocator.budget == reached
    for layer in adapted_layers(network).values():
        assert (layer.adapter_lambda[~layer.rank_mask] == 0).all()
    assert sum(len(layer.rank_mask) for layer in adapted_layers(network).values()) > reached
    assert (tmp_path / "model.pt").is_file()


def test_policy_of_weights_alone_trains(trained, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text("- {modules: prompt_encoder.*, precision: fp32}\n- {modules: '*', weight: 8}\n")
    paths = {**trained["paths"], "model_dir": str(tmp_path), "output_dir": str(tmp_path / "eval")}
    stage1, split = (str(trained["folder"] / "models" / name) for name in ("stage1.pt", "split.json"))
    files = {"stage1_weights": stage1, "split_record": split, "policy": str(policy)}
    run(["train.yaml"], "train", run_id="stage2", **files, **paths, **SMALL)
    assert (tmp_path / "model.pt").is_file()


def test_stage2_alone_refuses_a_split_that_trains_on_held_back_images(trained, tmp_path):
    paths = {**trained["paths"], "output_dir": str(tmp_path / "eval"), "model_weights": str(tmp_path / "model.pt")}
    with pytest.raises(Exception) as caught:
        run(["train.yaml"], "train", run_id="stage2", split_seed=5, **paths, **SMALL)
    cause = root_cause(caught.value)
    assert isinstance(cause, BundleError) and "split.json: stage 1 held" in str(cause)
    assert not (tmp_path / "model.pt").exists()


def test_bundle_runs_from_another_folder(trained, tmp_path):
    command = [sys.executable, "-m", "monai.bundle", "run", "account", "--bundle_root", str(ROOT)]
    command += ["--config_file", str(ROOT / "configs" / "train.yaml")]
    command += ["--meta_file", str(ROOT / "configs" / "metadata.json")]
    command += ["--logging_file", str(ROOT / "configs" / "logging.conf")]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    assert "base / trainable, pruned" in result.stdout


def damaged_image(folder: Path, film: Path, mask: Path) -> Path:
    film.write_bytes(film.read_bytes()[:200])
    return film


def mask_of_three_values(folder: Path, film: Path, mask: Path) -> Path:
    values = np.array(Image.open(mask))
    values[:2] = 77
    Image.fromarray(values).save(mask)
    return mask


def mask_of_another_size(folder: Path, film: Path, mask: Path) -> Path:
    Image.open(mask).resize((50, 64)).save(mask)
    return mask


def image_without_mask(folder: Path, film: Path, mask: Path) -> Path:
    mask.unlink()
    return mask


def policy_that_matches_nothing(folder: Path, film: Path, mask: Path) -> Path:
    path = folder / "policy.yaml"
    path.write_text("- {modules: no.such.layer, precision: fp32}\n- {modules: '*', weight: 8}\n")
    return path


HARM = [damaged_image, mask_of_three_values, mask_of_another_size, image_without_mask, policy_that_matches_nothing]


@pytest.mark.parametrize("cache_rate", [1.0, 0.0])
@pytest.mark.parametrize("harm", HARM)
def test_bad_input_is_named_before_training_starts(harm, cache_rate, tmp_path):
    data = tmp_path / "data"
    write_phantoms(data, 12, size=64, seed=700)
    culprit = harm(tmp_path, data / "images" / "phantom_00003.png", data / "masks" / "phantom_00003.png")
    overrides = {"policy": str(culprit)} if culprit.suffix == ".yaml" else {}
    with pytest.raises(Exception) as caught:  # MONAI wraps it; the cause is what a user sees
        run(
            ["train.yaml"],
            "train",
            run_id="training",
            dataset_dir=str(data),
            model_dir=str(tmp_path / "models"),
            output_dir=str(tmp_path / "eval"),
            base_weights=str(ROOT / "models" / "sam_vit_ti_phantom.pt"),
            cache_rate=cache_rate,
            **overrides,
            **SMALL,
        )
    cause = root_cause(caught.value)
    assert cause is not None and culprit.name in str(cause) and "\n" not in str(cause)
    assert not list((tmp_path / "eval").rglob("events*"))


def test_pretraining_makes_a_base_that_training_accepts(tmp_path):
    base = tmp_path / "base.pt"
    run(
        ["pretrain.yaml"],
        "train",
        run_id="pretraining",
        base_weights=str(base),
        output_dir=str(tmp_path / "eval"),
        phantoms=8,
        validation_phantoms=4,
        epochs=1,
        batch_size=4,
        image_size=64,
        window_size=4,
    )
    trained, shipped = read_weights(base), read_weights(ROOT / "models" / "sam_vit_ti_phantom.pt")
    path = {key for key in trained if key.startswith("mask_decoder.detail.")}
    assert path and set(trained) - path == set(shipped), "the shipped base has no detail path"
    network = build_sam("vit_ti", 64, window_size=4, weights=base)
    assert torch.equal(network.state_dict()[min(path)], trained[min(path)])


def test_several_classes_train_and_are_scored_one_by_one(tmp_path):
    """With run_id "", as MONAI Label runs a bundle: the whole config, in which each stage must stand once."""
    write_phantoms(tmp_path / "data", 16, size=64, seed=900, classes="organs")
    paths = {
        "dataset_dir": str(tmp_path / "data"),
        "model_dir": str(tmp_path / "models"),
        "output_dir": str(tmp_path / "eval"),
    }
    base = str(ROOT / "models" / "sam_vit_ti_phantom.pt")
    run(["train.yaml"], "train", run_id="", base_weights=base, classes=3, **paths, **{**SMALL, "epochs": 2})
    for stage, epochs in (("stage1", 2), ("stage2", 1)):
        assert len(json.loads((tmp_path / "eval" / stage / "curves.json").read_text())) == epochs
        assert (
            torch.load(tmp_path / "eval" / stage / "last.pt", weights_only=True)["trainer"]["iteration"] == 3 * epochs
        )
    network = {key: SMALL[key] for key in ("image_size", "window_size")}
    names = ["right_lung", "left_lung", "heart"]
    run(["evaluate.yaml"], "infer", run_id="evaluating", classes=3, class_names=names, **paths, **network)
    with (tmp_path / "eval" / "metrics.csv").open() as file:
        assert {f"dice_{name}" for name in names} <= set(next(csv.DictReader(file)))


def test_vit_b_trains_at_least_16_6_times_fewer_parameters():
    parser = ConfigParser()
    parser.read_config([str(ROOT / "configs" / name) for name in ("train.yaml", "sam_vit_b.yaml")])
    parser.update({"bundle_root": str(ROOT)})
    with torch.device("meta"):
        account = parser.get_parsed_content("account")
    assert account["ratio_pruned"] >= 16.6
    assert 85e6 < account["base"] < 95e6


@pytest.mark.parametrize("policy", ["paper", "full"])
def test_network_def_maps_one_image_to_logits_as_the_metadata_say(policy):
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(ROOT / "configs" / "metadata.json"),
        config_file=str(ROOT / "configs" / "inference.yaml"),
        bundle_root=str(ROOT),
        policy=str(ROOT / "configs" / "policies" / f"{policy}.yaml"),
        device="cpu",
    )


@pytest.mark.parametrize(
    ("files", "workflow_type"), [(["train.yaml"], "train"), (["inference.yaml"], "infer"), (["evaluate.yaml"], "infer")]
)
def test_configs_have_the_properties_that_monai_requires(trained, files, workflow_type):
    overrides = {key: SMALL[key] for key in ("image_size", "window_size")}
    workflow = ConfigWorkflow(
        config_file=[str(ROOT / "configs" / name) for name in files],
        workflow_type=workflow_type,
        logging_file=str(ROOT / "configs" / "logging.conf"),
        meta_file=str(ROOT / "configs" / "metadata.json"),
        bundle_root=str(ROOT),
        **{**trained["paths"], **overrides},
    )
    workflow.initialize()
    workflow.check_properties()
