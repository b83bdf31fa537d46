"""Films of a DICOMweb server: MONAI Label on a real Orthanc."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
import requests
from monai_label.odd_films import FORMS
from monai_label.serving import Server, dice, free_port, phantom

PLUGINS = sorted(Path("/usr/share/orthanc/plugins").glob("*OrthancDicomWeb*"))
ODD = ["mirrored", "turned", "inverse"]


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory) -> str:
    """Address of an Orthanc with DICOMweb."""
    if not shutil.which("Orthanc") or not PLUGINS:
        pytest.skip("needs Orthanc and its DICOMweb plugin (Debian: orthanc, orthanc-dicomweb)")
    folder, port = tmp_path_factory.mktemp("orthanc"), free_port()
    storage = {"StorageDirectory": str(folder / "films"), "IndexDirectory": str(folder / "films")}
    ports = {"HttpPort": port, "DicomPort": free_port(), "RemoteAccessAllowed": False, "AuthenticationEnabled": False}
    web = {"Plugins": [str(PLUGINS[0])], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}}
    (folder / "orthanc.json").write_text(json.dumps({**storage, **ports, **web}))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(["Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    for _ in range(60):
        try:
            requests.get(f"{url}/system", timeout=5)
            break
        except requests.ConnectionError:
            time.sleep(0.5)
    yield url
    process.terminate()
    process.wait(30)


@pytest.fixture(scope="module")
def series(orthanc, tmp_path_factory) -> dict[str, str]:
    """UID of each film's series, by the film's form."""
    folder = tmp_path_factory.mktemp("films")
    gray, _ = phantom(3)
    for name in ("mirrored", "turned", "width_0"):
        FORMS[name].write(folder, gray)
    inverse = pydicom.dcmread(folder / "width_0.dcm")
    inverse.PixelData = (0xFF0 - np.frombuffer(inverse.PixelData, "<u2")).astype("<u2").tobytes()
    inverse.PhotometricInterpretation = "MONOCHROME1"
    inverse.SOPInstanceUID = inverse.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    inverse.SeriesInstanceUID = pydicom.uid.generate_uid()
    inverse.save_as(folder / "inverse.dcm")
    uids = {}
    for path in folder.iterdir():
        assert requests.post(f"{orthanc}/instances", data=path.read_bytes(), timeout=60).status_code == 200
        uids[path.stem] = str(pydicom.dcmread(path).SeriesInstanceUID)
    return uids


@pytest.fixture(scope="module")
def server(orthanc, series, tmp_path_factory) -> Server:
    started = Server(tmp_path_factory.mktemp("server"), remote=f"{orthanc}/dicom-web")
    yield started
    started.stop()


@pytest.mark.parametrize("name", ODD)
def test_the_header_counts_although_monai_label_converts_to_nifti(server, series, name):
    store = FORMS[name].store if name in FORMS else np.array
    first = server.infer(series[name], output="json").json()  # the film has not been fetched yet
    if name in FORMS:
        assert FORMS[name].pose in first["film"]["pose"] and FORMS[name].source in first["film"]["pose"]
    assert dice(server.mask(series[name]), store(server.mask(series["width_0"]))) >= 0.99
    picture, said = server.picture(series[name])
    assert np.abs(picture.astype(int) - server.picture(series["width_0"])[0]).max() <= 1
    assert said["flags"] == []


def test_scoring_goes_by_the_header(server, series):
    summary = server.post("/scoring/cxr_lung_segmentation?run_sync=true").json()
    assert summary["executed"] == 4 and summary["failed"] == []
    infos = [
        requests.get(f"{server.url}/datastore/image/info?image={uid}", timeout=60).json() for uid in series.values()
    ]
    scores = [info["expected_dice"] for info in infos]
    assert max(scores) - min(scores) <= 0.01
