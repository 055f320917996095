"""What the tests of the book share."""

import contextlib
import gc
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]

# Fixtures that take more than a second or two: all tests that use them are left to `make test`, as those marked `slow` are.
SLOW_FIXTURES = {"browser", "known", "onnx", "ringing", "solved", "sp4_double", "sp4_runs", "stepless", "stepped", "trained", "undisturbed"}
# The longest, so that no worker is left with one of them in the end.
FIRST = ["test_lab", "test_site", "test_course", "test_explorer", "test_dataset", "test_arguments", "test_checks_learning", "test_files"]


gc.disable()  # what is imported stays


def pytest_collection_finish():
    """What is there by now is looked at for garbage no more, which would take a sixth of all time."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items):
    for item in items:
        if SLOW_FIXTURES & set(item.fixturenames):
            item.add_marker("slow")
    items.sort(key=lambda item: FIRST.index(item.path.stem) if item.path.stem in FIRST else len(FIRST))


def pytest_generate_tests(metafunc):
    """A test with an argument `chapter` runs once for each notebook of the book."""
    if "chapter" in metafunc.fixturenames:
        metafunc.parametrize("chapter", sorted((ROOT / "book").glob("*.ipynb")), ids=lambda path: path.stem)


@pytest.fixture(scope="session")
def root():
    """The folder of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def browser():
    names = ["chromium", "chromium-browser", "google-chrome"]
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        reason = f"no browser: install Debian's chromium, or name one in $CHROMIUM (looked for {', '.join(names)})"
        pytest.fail(reason) if os.environ.get("MAGBOOK_NEEDS_BROWSER") else pytest.skip(reason)
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB, where this machine lets us have one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting takes root on Linux")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def fill(small_disk):
    """Takes all room on the small disk; returns the file that does."""
    def fill():
        with contextlib.suppress(OSError), open(small_disk / "filler", "wb", buffering=0) as file:
            while True:
                file.write(b"0" * 512)
        return small_disk / "filler"

    return fill
