"""What the package, the book and the tests need: said once, and locked."""

import re
import tomllib

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import magbook


def requirements(root):
    """All ranges: those of the package, and those of its extras but for the extras that they contain."""
    lines = (line.split(" #")[0].strip() for line in (root / "requirements.txt").read_text().splitlines())
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    listed = [line for line in lines if line and not line.startswith("#")] + sum(extras.values(), [])
    return [one for one in map(Requirement, listed) if one.name != "magbook"]


def test_a_range_is_said_once(root):
    names = [canonicalize_name(requirement.name) for requirement in requirements(root)]
    assert len(set(names)) == len(names), sorted(names)


def test_the_version_to_cite_is_the_package_s(root):
    assert yaml.safe_load((root / "CITATION.cff").read_text())["version"] == magbook.__version__


def test_the_lock_file_satisfies_the_requirements(root):
    text = (root / "requirements.lock").read_text()
    pins = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.M):
        pins.setdefault(canonicalize_name(name), set()).add(version)
    for requirement in requirements(root):
        versions = pins.get(canonicalize_name(requirement.name))
        assert versions, f"{requirement.name} is not in requirements.lock: make lock"
        assert all(map(requirement.specifier.contains, versions)), f"{requirement} against {versions}: make lock"


def test_the_lock_file_works_on_any_machine(root):
    text = (root / "requirements.lock").read_text()
    assert "://" not in text and " @ " not in text and "--find-links" not in text and "index-url" not in text
    for entry in re.split(r"\n(?=[A-Za-z0-9])", text)[1:]:
        assert "--hash=sha256:" in entry, entry.splitlines()[0]
