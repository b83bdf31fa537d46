"""What ships in models/."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from monai.apps.utils import HashCheckError
from monai.bundle import download_large_files

from scripts.errors import BundleError
from scripts.files import sha256
from scripts.release import write_large_files

ROOT = Path(__file__).parents[1]


def test_every_shipped_file_is_listed_with_its_hash_and_small_enough():
    listed = yaml.safe_load((ROOT / "large_files.yml").read_text())["large_files"]
    for entry in listed:
        assert entry["hash_type"] == "sha256" and sha256(ROOT / entry["path"]) == entry["hash_val"], entry["path"]
    sizes = [(ROOT / entry["path"]).stat().st_size for entry in listed]
    assert max(sizes) <= 25_000_000 and sum(sizes) <= 60_000_000
    configured = yaml.safe_load((ROOT / "configs" / "release.yaml").read_text())["run"]["paths"]
    assert [entry["path"] for entry in listed] == configured


def test_monai_accepts_the_list_and_finds_a_changed_file(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a.pt").write_bytes(b"weights")
    write_large_files(tmp_path, ["models/a.pt"])
    download_large_files(str(tmp_path))
    (tmp_path / "models" / "a.pt").write_bytes(b"other")
    with pytest.raises(HashCheckError, match="existing file"):
        download_large_files(str(tmp_path))


def test_files_that_cannot_ship_are_named(tmp_path):
    with pytest.raises(BundleError, match="a.pt: no such file"):
        write_large_files(tmp_path, ["a.pt"])
    for name in ("a.pt", "b.pt", "c.pt"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(24_000_000)
    with pytest.raises(BundleError, match="72.0 MB to ship, at most 60 MB"):
        write_large_files(tmp_path, ["a.pt", "b.pt", "c.pt"])
    with (tmp_path / "a.pt").open("wb") as file:
        file.truncate(25_000_001)
    with pytest.raises(BundleError, match="a.pt: 25.0 MB"):
        write_large_files(tmp_path, ["a.pt"])
    assert not (tmp_path / "large_files.yml").exists()
