"""The room from files to canonical films needs no torch and no MONAI: what starts in a second builds on it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from dicom_files import picture, write_dicom

ROOT = Path(__file__).parents[1]
MODULES = sorted(path.stem for path in (ROOT / "scripts" / "films").glob("*.py") if path.stem != "__init__")
HEAVY = ("torch", "monai", "ignite", "onnxruntime", "matplotlib", "pandas")


def loaded_after(code: str) -> set[str]:
    """Top-level packages in a new process after `code`."""
    code += "\nimport sys; print(*{name.split('.')[0] for name in sys.modules})"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return set(ended.stdout.splitlines()[-1].split())


def test_all_modules_import_without_torch_and_monai():
    assert len(MODULES) > 15
    loaded = loaded_after("\n".join(f"import scripts.films.{name}" for name in MODULES))
    assert loaded.isdisjoint(HEAVY)
    assert {"numpy", "scipy", "PIL"} <= loaded


def test_a_film_is_read_turned_and_looked_at_without_them(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", picture(255, shape=(96, 80)), PatientOrientation=["R", "F"])
    code = f"""
from scripts.films.canonical import canonical
from scripts.films.looking import Classifier
from scripts.films.reading import read_film
values, record = canonical(read_film({str(path)!r}), Classifier.load())
assert record.sources["pose"] == "PatientOrientation"
assert (record.restore(values).shape) == (96, 80)
"""
    assert loaded_after(code).isdisjoint(HEAVY)


@pytest.mark.parametrize("name", MODULES)
def test_nothing_of_the_room_names_them(name):
    lines = (ROOT / "scripts" / "films" / f"{name}.py").read_text().splitlines()
    imports = [line.split()[1].split(".")[0] for line in lines if line.strip().startswith(("import ", "from "))]
    assert set(imports).isdisjoint(HEAVY)
