"""Nothing that is loaded can run code, and what shipped is compared with its hash before it is used."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path

import pytest
import torch
import yaml

from scripts.errors import BundleError
from scripts.files import sha256
from scripts.release import MADE_HERE, check_shipped, listed_files, note_made, verify, write_large_files
from scripts.sam import build_sam
from scripts.sam import weights as weights_module
from scripts.sam.weights import read_checkpoint, save_weights

ROOT = Path(__file__).resolve().parents[1]
# Modules that turn bytes into objects of any class
UNPICKLE = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
# Calls that do, unless an argument forbids it
GUARDED = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}
UNSAFE = {
    *(f"yaml.{name}" for name in ("load", "load_all", "unsafe_load", "unsafe_load_all", "full_load", "full_load_all")),
    *("torch.jit.load", "torch.hub.load", "torch.package.PackageImporter", "torch.serialization.add_safe_globals"),
    *("eval", "exec", "compile", "__import__", "pandas.read_pickle", "pd.read_pickle"),
}


def unsafe_loads(source: str) -> list[str]:
    """What in a module's source may run code that a file brings; names as the module's imports resolve them."""
    tree = ast.parse(source)
    aliases, found = {}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                aliases[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
                found += [f"import {alias.name}"] * (alias.name.split(".")[0] in UNPICKLE)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
            found += [f"from {node.module}"] * (node.module.split(".")[0] in UNPICKLE)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        head, *rest = ast.unparse(node.func).split(".")
        name = ".".join([aliases.get(head, head), *rest])
        if name in GUARDED:
            argument, value = GUARDED[name]
            given = {keyword.arg: keyword.value for keyword in node.keywords}.get(argument)
            if not (isinstance(given, ast.Constant) and given.value is value):
                found.append(f"{name} without {argument}={value}")
        elif name in UNSAFE:
            found.append(name)
    return found


def test_no_module_loads_what_can_run_code():
    modules = sorted((ROOT / "scripts").rglob("*.py"))
    assert len(modules) > 70
    found = {str(path.relative_to(ROOT)): unsafe_loads(path.read_text()) for path in modules}
    assert {name: loads for name, loads in found.items() if loads} == {}
    assert any("torch.load(" in path.read_text() for path in modules), "the scan sees the loads there are"


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load('a')",
        "import torch\ntorch.load('a', weights_only=False)",
        "import torch\nsafe = True\ntorch.load('a', weights_only=safe)",
        "from torch import load as read\nread('a')",
        "import torch as t\nt.load('a')",
        "import numpy as np\nnp.load('a', allow_pickle=True)",
        "import numpy as np\nnp.load('a')",
        "import pickle",
        "from pickle import loads",
        "def f():\n    import joblib",
        "import yaml\nyaml.load(text, Loader=yaml.Loader)",
        "from yaml import unsafe_load\nunsafe_load(text)",
        "eval(text)",
    ],
)
def test_the_scan_sees(source):
    assert unsafe_loads(source)


def test_the_scan_passes_what_is_safe():
    assert unsafe_loads("import torch\ntorch.load('a', map_location='cpu', weights_only=True)") == []
    assert unsafe_loads("import yaml\nyaml.safe_load(text)\nnetwork.eval()\nimport json\njson.load(file)") == []


def test_configs_load_nothing_by_themselves():
    """Expressions of a config are code of the bundle: they, too, call no loader."""
    for path in (ROOT / "configs").rglob("*.yaml"):
        text = path.read_text()
        for name in ("torch.load", "np.load", "pickle", "yaml.load", "weights_only"):
            assert name not in text, f"{path.name}: {name}"


# Hashes


@pytest.fixture
def bundle(tmp_path) -> Path:
    """A bundle that ships one file of weights."""
    (tmp_path / "models").mkdir()
    torch.save({"a": torch.ones(3)}, tmp_path / "models" / "base.pt")
    write_large_files(tmp_path, ["models/base.pt"])
    return tmp_path


@pytest.fixture
def at_home(bundle, monkeypatch) -> Path:
    """`bundle` as the one that the code lies in."""
    monkeypatch.setattr(weights_module, "check_shipped", lambda path: check_shipped(path, bundle))
    monkeypatch.setattr(weights_module, "note_made", lambda path, digest: note_made(path, digest, bundle))
    return bundle


def test_the_bundles_own_weights_are_compared_with_their_hash():
    for name in listed_files(ROOT):
        if name.endswith(".pt"):
            assert check_shipped(ROOT / name) in ("shipped", "made here")


def test_replaced_weights_are_refused_before_they_are_read(at_home):
    path = at_home / "models" / "base.pt"
    assert torch.equal(read_checkpoint(path)["a"], torch.ones(3))
    torch.save({"a": torch.zeros(3)}, path)
    with pytest.raises(BundleError, match="base.pt: damaged or replaced, neither the file that large_files.yml lists"):
        read_checkpoint(path)
    write_large_files(at_home, ["models/base.pt"])
    assert torch.equal(read_checkpoint(path)["a"], torch.zeros(3)), "what was done about it, as the message says"


def test_weights_that_a_run_writes_are_no_false_alarm(at_home):
    path = at_home / "models" / "base.pt"
    for value in range(3):
        save_weights({"a": torch.full((3,), float(value))}, path)
        assert read_checkpoint(path)["a"].tolist() == [value] * 3
        assert check_shipped(path, at_home) == "made here"
    record = json.loads((at_home / "models" / MADE_HERE).read_text())
    assert record["base.pt"][-1] == sha256(path) and len(record["base.pt"]) == 2
    torch.save({"a": torch.full((3,), 7.0)}, path)  # by something else
    with pytest.raises(BundleError, match="damaged or replaced"):
        read_checkpoint(path)


def test_a_crash_while_weights_are_written_leaves_a_file_that_is_known(at_home, monkeypatch):
    path = at_home / "models" / "base.pt"
    save_weights({"a": torch.ones(3) * 2}, path)

    replace = os.replace

    def power_cut(source, target):
        if Path(target) == path:  # the record is written by then
            raise KeyboardInterrupt
        replace(source, target)

    for _ in range(2):  # a repeated run is cut off at the same file
        with monkeypatch.context() as cut, pytest.raises(KeyboardInterrupt):
            cut.setattr(os, "replace", power_cut)
            save_weights({"a": torch.ones(3) * 3}, path)
        assert read_checkpoint(path)["a"].tolist() == [2, 2, 2]


def test_weights_elsewhere_are_not_compared(at_home, tmp_path_factory):
    path = tmp_path_factory.mktemp("elsewhere") / "base.pt"
    save_weights({"a": torch.ones(1)}, path)
    assert check_shipped(path, at_home) is None and read_checkpoint(path)
    assert not path.with_name(MADE_HERE).exists()


def test_a_link_to_a_shipped_file_is_compared_as_well(at_home, tmp_path_factory):
    link = tmp_path_factory.mktemp("link") / "other.pt"
    link.symlink_to(at_home / "models" / "base.pt")
    assert read_checkpoint(link)
    torch.save({"a": torch.zeros(3)}, at_home / "models" / "base.pt")
    with pytest.raises(BundleError, match="damaged or replaced"):
        read_checkpoint(link)


def test_verify_names_each_file_and_stops_at_the_first_that_is_not_whole(bundle, capsys):
    verify(bundle)
    assert capsys.readouterr().out.split() == ["models/base.pt", "shipped"]
    (bundle / "models" / "base.pt").write_bytes(b"other")
    with pytest.raises(BundleError, match="damaged or replaced"):
        verify(bundle)
    (bundle / "models" / "base.pt").unlink()
    with pytest.raises(BundleError, match="no such file, but large_files.yml lists it"):
        verify(bundle)


@pytest.mark.parametrize("content", ["large_files: 3", "- a", "large_files: [{path: a}]", "large_files:"])
def test_a_list_of_something_else_is_refused(bundle, content):
    (bundle / "large_files.yml").write_text(content)
    with pytest.raises(BundleError, match="large_files.yml: expected large_files"):
        check_shipped(bundle / "models" / "base.pt", bundle)


def test_a_base_with_one_flipped_bit_is_refused_wherever_it_lies(tmp_path):
    """Its checksum says so: no list is needed."""
    content = bytearray((ROOT / "models" / "sam_vit_ti_phantom.pt").read_bytes())
    content[len(content) // 3] ^= 4
    (tmp_path / "base.pt").write_bytes(content)
    torch.load(tmp_path / "base.pt", weights_only=True)  # torch alone takes it
    with pytest.raises(BundleError, match="base.pt: damaged, the checksum of"):
        build_sam("vit_ti", 64, window_size=4, weights=tmp_path / "base.pt")


def test_release_lists_what_it_says(bundle):
    listed = yaml.safe_load((bundle / "large_files.yml").read_text())["large_files"]
    assert listed_files(bundle) == {entry["path"]: entry["hash_val"] for entry in listed}
