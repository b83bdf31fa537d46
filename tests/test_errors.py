"""Errors that a user can act on reach the terminal as one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from scripts.errors import BundleError, CheckpointMismatch, root_cause

ROOT = Path(__file__).resolve().parents[1]


def test_root_cause_is_found_under_the_layers_of_a_config(tmp_path):
    parser = ConfigParser(
        {
            "items": {"_target_": "scripts.data.load_datalist", "dataset_dir": str(tmp_path / "absent")},
            "parts": {"_target_": "scripts.data.split_by_patient", "items": "@items", "fractions": {"train": 1.0}},
        }
    )
    with pytest.raises(RuntimeError) as caught:
        parser.get_parsed_content("parts")
    assert not isinstance(caught.value, BundleError)
    cause = root_cause(caught.value)
    assert isinstance(cause, BundleError) and str(tmp_path / "absent") in str(cause)


def test_root_cause_goes_through_causes_and_contexts():
    try:
        try:
            try:
                raise CheckpointMismatch("the file")
            except CheckpointMismatch as error:
                raise RuntimeError("wrapped") from error
        except RuntimeError:
            raise KeyError("while handling")  # noqa: B904 - the implicit context is the point
    except KeyError as error:
        assert str(root_cause(error)) == "the file"


def test_other_errors_have_no_root_cause_and_loops_end():
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    assert root_cause(first) is None and root_cause(ValueError("plain")) is None


def run_python(*arguments):
    environment = dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT), CUDA_VISIBLE_DEVICES="")
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )


def test_training_on_a_missing_folder_ends_with_one_line_that_names_it(tmp_path):
    missing = tmp_path / "nonexistent"
    written = [f"--{name}={tmp_path / name}" for name in ("model_dir", "output_dir")]
    config = ["--config_file", "configs/train.yaml", "--dataset_dir", str(missing)]
    config += ["--base_weights", "models/sam_vit_ti_phantom.pt"]
    ended = run_python("-m", "monai.bundle", "run", "training", *config, *written)
    assert ended.returncode != 0
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and str(missing) in last
    assert "Traceback" not in ended.stderr


def test_programming_errors_keep_their_traceback():
    code = "from scripts.errors import report_in_one_line; report_in_one_line(); {}['key']"
    ended = run_python("-c", code)
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr and ended.stderr.strip().endswith("KeyError: 'key'")


def test_where_a_server_is_loaded_an_error_is_its_answer():
    """In MONAI Label, whose server turns an HTTPException into status and message."""
    code = (
        "import starlette.exceptions as s\nfrom scripts.errors import BundleError, CheckpointMismatch\n"
        "e = CheckpointMismatch('a.pt does not fit')\n"
        "assert isinstance(e, s.HTTPException) and isinstance(e, ValueError)\n"
        "assert (e.status_code, e.detail, str(e), e.headers) == (400, 'a.pt does not fit', 'a.pt does not fit', None)"
    )
    pytest.importorskip("starlette")
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
