"""What the tests of MONAI Label share; where it is not installed they are left out."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from monai_label.odd_films import FORMS
from monai_label.serving import Server, phantom

SEED = 3  # of the phantom


@pytest.fixture(scope="session", autouse=True)
def monai_label():
    if find_spec("monailabel") is None:
        pytest.skip("MONAI Label is not installed here: run `make test-label`")


@pytest.fixture(scope="session")
def odd_server(tmp_path_factory) -> Server:
    """A server of one phantom in every form, and of its plain film under "plain"."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "studies").mkdir()
    for form in FORMS.values():
        form.write(folder / "studies", phantom(SEED)[0])
    started = Server(folder)
    yield started
    started.stop()
