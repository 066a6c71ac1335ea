"""One JupyterLab and one Chromium for all tests in this folder; see harness.py for what one can do with them."""

from __future__ import annotations

import shutil

import pytest

# The harness is imported where it is used: without Playwright these tests can still be collected, and left out.


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/browser/" in item.path.as_posix():
            item.add_marker("browser")


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A JupyterLab over a folder with data_samples/ and notebooks/images/ in it: `lab.folder`, `lab.url`, `lab.token`."""
    from harness import ROOT, start_lab

    with start_lab(tmp_path_factory.mktemp("lab")) as running:
        (running.folder / "data_samples").symlink_to(ROOT / "data_samples")
        shutil.copytree(ROOT / "notebooks" / "images", running.folder / "notebooks" / "images")  # the server follows no links
        yield running


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    from harness import start_browser

    with start_browser() as running:
        yield running


@pytest.fixture
def open_lab(lab, browser):
    """Opens a notebook: `open_lab(notebook([code("1 + 1")])) -> LabPage`. Kernels end with the test."""
    from harness import open_notebook

    opened = []

    def open_one(content, name=None):
        opened.append(open_notebook(browser, lab, content, name))
        return opened[-1]

    yield open_one
    for page in opened:
        page.close()
