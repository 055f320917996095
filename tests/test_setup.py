"""requirements.txt, requirements.lock and pyproject.toml agree."""

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def requirements(root):
    lines = (line.split(" #")[0].strip() for line in (root / "requirements.txt").read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_the_package_asks_for_what_the_requirements_say(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    listed = {str(requirement) for requirement in requirements(root)}
    asked = {str(Requirement(line)) for line in sum(project["optional-dependencies"].values(), project["dependencies"])}
    assert asked - {"magbook[export]"} <= listed


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
