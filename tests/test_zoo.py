"""The bundle as the model zoo takes it: packed, unpacked elsewhere with weights from a server, and checked there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import monai.bundle
import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow, verify_metadata
from PIL import Image

from scripts.errors import BundleError
from scripts.files import sha256
from scripts.phantoms import generate_phantom, write_phantoms
from scripts.publish import publish

ROOT = Path(__file__).parents[1]
NAME = "cxr_lung_segmentation"
SCHEMA = Path(__file__).parent / "zoo_metadata_schema.json"
SETTINGS = yaml.safe_load((ROOT / "configs" / "publish.yaml").read_text())["publish"]
WEIGHTS = [entry["path"] for entry in yaml.safe_load((ROOT / "large_files.yml").read_text())["large_files"]]
SMALL = {"image_size": 64, "window_size": 4}


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


def bundle_verb(folder: Path, *words: str) -> str:
    """``python -m monai.bundle`` in `folder`, with nothing of this checkout on its path."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-m", "monai.bundle", *map(str, words)]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout + result.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[tuple[Path, str]]:
    """A folder, and the address where its files are to be had: in place of the hub."""
    folder = tmp_path_factory.mktemp("hub")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


@pytest.fixture(scope="module")
def published(server, tmp_path_factory) -> Path:
    """What the command writes, run from another folder than the bundle's."""
    folder, address = server
    settings = ["--bundle_root", ROOT, "--output_dir", folder / "published", "--name", NAME]
    settings += ["--weights_url", f"{address}/published/hub"]
    bundle_verb(
        tmp_path_factory.mktemp("elsewhere"),
        "run",
        "publish",
        "--config_file",
        ROOT / "configs/publish.yaml",
        *settings,
    )
    return folder / "published"


@pytest.fixture(scope="module")
def unpacked(published, server, tmp_path_factory) -> Path:
    """The bundle as a user gets it: the archive and then the weights, into an empty folder."""
    folder = tmp_path_factory.mktemp("bundles")
    version = json.loads((ROOT / "configs" / "metadata.json").read_text())["version"]
    archive = f"{server[1]}/published/{NAME}_v{version}.zip"
    monai.bundle.download(name=NAME, url=archive, bundle_dir=str(folder), progress=False)
    bundle_verb(folder / NAME, "download_large_files")
    return folder / NAME


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, 8, size=96, seed=700)
    return folder


def test_archive_holds_no_weights_and_nothing_large(published):
    folder = published / "zoo" / NAME
    files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    assert max(files.values()) <= 1_000_000
    assert not set(WEIGHTS) & files.keys()
    assert not [path for path in files if "__pycache__" in path or path.endswith((".pt", ".onnx"))]
    needed = {"LICENSE", "configs/metadata.json", "configs/inference.yaml", "docs/README.md", "docs/data_license.txt"}
    assert needed <= files.keys() and "Apache License" in (folder / "LICENSE").read_text()


def test_unpacked_bundle_has_the_weights_of_this_one(unpacked):
    assert all(sha256(unpacked / path) == sha256(ROOT / path) for path in WEIGHTS)


def test_unpacked_bundle_segments_as_this_one_does(unpacked, phantoms, tmp_path):
    for backend in ("torch", "onnxruntime"):
        masks = []
        for bundle in (unpacked, ROOT):
            output = tmp_path / f"{backend}_{bundle.name}"
            settings = ["--dataset_dir", phantoms / "images", "--output_dir", output, "--backend", backend]
            bundle_verb(bundle, "run", "--config_file", "configs/inference.yaml", *settings)
            masks.append([np.asarray(Image.open(path)) for path in sorted(output.glob("*_mask.png"))])
        assert len(masks[0]) == 8 and all(mask.any() for mask in masks[0])
        assert all(np.array_equal(*pair) for pair in zip(*masks))


def test_hub_folder_is_the_bundle_with_weights_and_its_card(published):
    hub = published / "hub"
    assert all(sha256(hub / path) == sha256(ROOT / path) for path in WEIGHTS)
    _, head, card = (hub / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(head)["license"] == "apache-2.0" and yaml.safe_load(head)["library_name"] == "monai"
    links = [link for link in re.findall(r"\]\(([^)#]+)", card) if not link.startswith("http")]
    assert len(links) > 4 and not [link for link in links if not (hub / link).is_file()]


def test_model_card_has_the_sections_of_the_zoo_in_its_order():
    headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / "README.md").read_text(), re.M)
    wanted = ["Model Overview", "Data", "Preprocessing", "Training configuration", "Input", "Output", "Memory"]
    wanted += ["Performance", "MONAI Bundle Commands", "References", "License"]
    assert [heading for heading in headings if heading in wanted] == wanted


def test_metadata_has_what_the_zoo_asks_for(unpacked, tmp_path):
    shutil.copy(SCHEMA, tmp_path / "schema.json")
    verify_metadata(meta_file=str(unpacked / "configs" / "metadata.json"), filepath=str(tmp_path / "schema.json"))
    metadata = json.loads((unpacked / "configs" / "metadata.json").read_text())
    assert metadata["version"] in metadata["changelog"]


@pytest.mark.parametrize("key", ["required_packages_version", "changelog", "network_data_format"])
def test_metadata_that_lack_something_are_refused(key, tmp_path):
    metadata = json.loads((ROOT / "configs" / "metadata.json").read_text())
    del metadata[key]
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    shutil.copy(SCHEMA, tmp_path / "schema.json")
    with pytest.raises(ValueError, match="against schema"):
        verify_metadata(meta_file=str(tmp_path / "metadata.json"), filepath=str(tmp_path / "schema.json"))


@pytest.fixture(params=["root", "elsewhere"])
def place(request, unpacked, tmp_path) -> tuple[Path, Path, list[str]]:
    """A folder to type commands in, the bundle seen from there, and what has to be added to the commands."""
    if request.param == "root":
        return unpacked, Path(), []
    return tmp_path, unpacked, ["--bundle_root", str(unpacked)]


def test_network_maps_what_the_metadata_say(place):
    folder, bundle, settings = place
    files = ["--config_file", bundle / "configs/inference.yaml", "--meta_file", bundle / "configs/metadata.json"]
    said = bundle_verb(folder, "verify_net_in_out", "--net_id", "network_def", *files, *settings)
    assert "data shape of network is verified with no error" in said


@pytest.mark.parametrize(
    "verb, file, options",
    [
        ("ckpt_export", "model.ts", ["--use_trace", "True"]),
        ("onnx_export", "model.onnx", ["--converter_kwargs", "{'opset_version': 21}"]),
    ],
)
def test_exported_network_gives_the_logits_of_the_shipped_one(place, verb, file, options, unpacked, tmp_path):
    folder, bundle, settings = place
    files = ["--config_file", bundle / "configs/inference.yaml", "--meta_file", bundle / "configs/metadata.json"]
    files += ["--ckpt_file", bundle / "models/model.pt", "--key_in_ckpt", "model"]
    shape = ["--input_shape", "[1, 1, 384, 384]"]
    bundle_verb(
        folder, verb, "--net_id", "network_def", "--filepath", tmp_path / file, *files, *shape, *options, *settings
    )
    image = torch.from_numpy(generate_phantom(7, 384).image)[None, None]
    with torch.no_grad():
        expected = shipped_network(unpacked)(image).numpy()
        if verb == "ckpt_export":
            logits = torch.jit.load(str(tmp_path / file))(image).numpy()
        else:
            session = onnxruntime.InferenceSession(str(tmp_path / file))
            (logits,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    # Kernels add up in another order, and a value halfway between two integers may fall on the other side
    assert logits.shape == expected.shape and np.abs(logits - expected).mean() < 0.01 * expected.std()
    assert ((logits > 0) == (expected > 0)).mean() > 0.998


def shipped_network(bundle: Path) -> torch.nn.Module:
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.yaml"))
    parser.update({"bundle_root": str(bundle)})
    return parser.get_parsed_content("network").eval()


def test_load_gives_the_shipped_network(unpacked):
    parser = ConfigParser()
    parser.read_config(str(unpacked / "configs" / "inference.yaml"))
    parser.update({"bundle_root": str(unpacked)})
    loaded = monai.bundle.load(
        name=NAME,
        bundle_dir=str(unpacked.parent),
        model=parser.get_parsed_content("network_def"),
        key_in_ckpt="model",
        source="github",
    )
    expected = shipped_network(unpacked).state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in loaded.state_dict().items())


def check_workflow(files: list[str], workflow_type: str, bundle: Path, **overrides) -> None:
    """Initialize, look for the properties that MONAI asks for, run, finalize: what the zoo does with each config."""
    workflow = ConfigWorkflow(
        config_file=[str(bundle / "configs" / name) for name in files],
        workflow_type=workflow_type,
        logging_file=str(bundle / "configs" / "logging.conf"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        bundle_root=str(bundle),
        **overrides,
    )
    workflow.initialize()
    assert not workflow.check_properties()
    workflow.run()
    workflow.finalize()


def test_workflows_of_the_three_configs_run(unpacked, phantoms, tmp_path):
    paths = {"dataset_dir": str(phantoms), "model_dir": str(tmp_path / "models"), "output_dir": str(tmp_path / "out")}
    base = str(unpacked / "models" / "sam_vit_ti_phantom.pt")
    epochs = {"epochs": 1, "qat_epochs": 1, "batch_size": 2}
    check_workflow(["train.yaml"], "train", unpacked, run_id="training", base_weights=base, **paths, **epochs, **SMALL)
    scores = {**paths, "output_dir": str(tmp_path / "scores")}
    check_workflow(["evaluate.yaml"], "infer", unpacked, run_id="evaluating", **scores, **SMALL)
    assert json.loads((tmp_path / "scores" / "summary.json").read_text())["groups"]
    masks = {**paths, "dataset_dir": str(phantoms / "images"), "output_dir": str(tmp_path / "masks")}
    check_workflow(["inference.yaml"], "infer", unpacked, **masks, **SMALL)
    assert len(list((tmp_path / "masks").glob("*_mask.png"))) == 8


@pytest.fixture
def copied(tmp_path) -> Path:
    """A bundle of few files, which a test may damage."""
    for path in ("LICENSE", "configs/metadata.json", "docs/README.md"):
        (tmp_path / "bundle" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / "bundle" / path)
    (tmp_path / "bundle" / "model.pt").write_bytes(b"weights")
    entry = {"path": "model.pt", "url": "", "hash_val": sha256(tmp_path / "bundle" / "model.pt"), "hash_type": "sha256"}
    (tmp_path / "bundle" / "large_files.yml").write_text(yaml.safe_dump({"large_files": [entry]}))
    return tmp_path / "bundle"


def changed_weight(bundle: Path) -> None:
    (bundle / "model.pt").write_bytes(b"others")


def missing_weight(bundle: Path) -> None:
    (bundle / "model.pt").unlink()


def large_document(bundle: Path) -> None:
    (bundle / "docs" / "film.png").write_bytes(bytes(1_000_001))


def unknown_version(bundle: Path) -> None:
    path = bundle / "configs" / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": "9.9.9"}))


@pytest.mark.parametrize(
    "harm, settings, message",
    [
        (changed_weight, {}, "model.pt is not the file that .*large_files.yml lists; run configs/release.yaml"),
        (missing_weight, {}, "model.pt: no such file"),
        (large_document, {}, "film.png: 1.0 MB, but the zoo takes at most 1 MB a file"),
        (unknown_version, {}, "version 9.9.9 is missing in the changelog"),
        (None, {"name": "Lungs"}, "name 'Lungs': the zoo asks for"),
        (None, {"weights_url": None}, "weights_url None: give the address"),
        (None, {"output_dir": ROOT / "docs"}, "docs is not empty"),
        (None, {"contents": ["notes"]}, "notes: no such file or folder to pack"),
    ],
)
def test_what_cannot_be_published_is_named(harm, settings, message, copied, tmp_path):
    if harm:
        harm(copied)
    arguments = {"output_dir": tmp_path / "out", "name": NAME, "weights_url": "https://hub/x", **settings}
    arguments = {"contents": ["LICENSE", "configs", "docs"], "leave_out": [], "card": SETTINGS["card"], **arguments}
    with pytest.raises(BundleError, match=message):
        publish(copied, **arguments)
    assert not (tmp_path / "out").exists()
