"""Start MONAI Label on a folder of X-rays with a copy of this bundle.

    python -m scripts.label.server --studies DIR

It needs MONAI Label's own virtual environment, see docs/monai_label.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from ..errors import BundleError, report_in_one_line
from ..films.suffixes import IMAGE_SUFFIXES

ROOT = Path(__file__).resolve().parents[2]
NAME = "cxr_lung_segmentation"  # MONAI Label reads the task from the name
BUNDLE = ("configs", "scripts", "models", "LICENSE")


def make_app(folder: Path, stock: bool = False) -> Path:
    """An app folder with a copy of this bundle, so that training there leaves the original as it is.

    A bundle that is there already stays, with what was trained in it.

    Args:
        folder: to make.
        stock: take MONAI Label's own app `monaibundle`, which has no scoring for this network.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if stock:
        found = sorted(Path(sys.prefix).rglob("sample-apps/monaibundle/main.py"))
        if not found:
            raise BundleError(f"{sys.prefix}: MONAI Label's app monaibundle is not there; install monailabel")
        shutil.copytree(found[0].parent, folder, dirs_exist_ok=True)
    else:
        shutil.copy(Path(__file__).with_name("app.py"), folder / "main.py")
    bundle = folder / "model" / NAME
    if not bundle.is_dir():
        partial = bundle.with_name(f"{NAME}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name in BUNDLE:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, partial / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, partial / name)
        partial.rename(bundle)
    return folder


def environment() -> dict[str, str]:
    """Environment variables for the server.

    PATH leads to the programs of this virtual environment (dcmqi, which MONAI Label would download), and PYTHONPATH to
    one more folder where torchvision cannot be imported. Every film that the bundle reads is listed.
    """
    variables = dict(os.environ)
    variables["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), variables.get("PATH", "")])
    variables.setdefault("MONAI_LABEL_DICOMWEB_SEARCH_FILTER", '{"Modality": "CR"}')  # it would look for CT
    names = [f"*{case}" for suffix in IMAGE_SUFFIXES for case in (suffix, suffix.upper())]
    variables.setdefault("MONAI_LABEL_DATASTORE_FILE_EXT", json.dumps(names))  # it would pass over DICOM
    probe = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, text=True)
    if probe.returncode and "torchvision::nms" in probe.stderr:
        paths = [str(Path(__file__).with_name("torchvision_on_cpu")), variables.get("PYTHONPATH", "")]
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    elif probe.returncode:
        reason = probe.stderr.strip().splitlines()[-1]
        raise BundleError(f"torchvision cannot be imported ({reason}); install MONAI Label as in docs/monai_label.md")
    return variables


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run the server until it is stopped; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.label.server", description=__doc__.splitlines()[0])
    parser.add_argument("--studies", required=True, help="folder of X-rays, or URL of a DICOMweb server")
    parser.add_argument("--app", default="monailabel_app", help="folder to keep the server's copy of the bundle in")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other computers in: there is no password")
    parser.add_argument("--port", default=8000, type=int)
    parser.add_argument("--stock", action="store_true", help="MONAI Label's own app monaibundle, without scoring")
    options = parser.parse_args(arguments)
    if not options.studies.startswith(("http://", "https://")) and not Path(options.studies).is_dir():
        raise BundleError(f"{options.studies}: no such folder of X-rays")
    settings = {"models": NAME, "zoo_source": "local", "sam2": "false"}
    command = [
        sys.executable,
        "-m",
        "monailabel.main",
        "start_server",
        "--app",
        str(make_app(Path(options.app), options.stock)),
    ]
    command += ["--studies", options.studies, "--host", options.host, "--port", str(options.port)]
    command += [word for name, value in settings.items() for word in ("--conf", name, value)]
    return subprocess.run(command, env=environment()).returncode


if __name__ == "__main__":
    report_in_one_line()
    sys.exit(main())
