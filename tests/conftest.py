"""What the tests of the book share."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def pytest_generate_tests(metafunc):
    """A test with an argument `chapter` runs once for each notebook of the book."""
    if "chapter" in metafunc.fixturenames:
        metafunc.parametrize("chapter", sorted((ROOT / "book").glob("*.ipynb")), ids=lambda path: path.stem)


@pytest.fixture(scope="session")
def root():
    """The folder of the repository."""
    return ROOT
