"""What the package, the book and the tests need: said once, and locked."""

import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
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


@pytest.mark.slow
def test_a_folder_called_like_the_package_does_not_hide_it(tmp_path):
    """As the clone itself does from the folder that it stands in, where students keep their homework."""
    (tmp_path / "magbook").mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, "-c", "import magbook; magbook.Film"], cwd=tmp_path, env=environment, check=True)


def test_the_version_to_cite_is_the_package_s(root):
    assert yaml.safe_load((root / "CITATION.cff").read_text())["version"] == magbook.__version__


def test_the_lock_file_satisfies_the_requirements(root):
    text = (root / "requirements.lock").read_text()
    pins = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", text, re.M):
        pins.setdefault(canonicalize_name(name), set()).add(version)
    for requirement in requirements(root):
        versions = pins.get(canonicalize_name(requirement.name))
        assert versions, f"{requirement.name} is not in requirements.lock: make lock"
        assert all(map(requirement.specifier.contains, versions)), f"{requirement} against {versions}: make lock"


@pytest.mark.parametrize("python, system, machine, asked", [
    ("3.11", "linux", "x86_64", True), ("3.13", "linux", "aarch64", True), ("3.13", "darwin", "arm64", True), ("3.12", "win32", "AMD64", True),
    ("3.14", "linux", "x86_64", False), ("3.14", "darwin", "arm64", False), ("3.12", "darwin", "x86_64", False)])
def test_tensorflow_is_asked_for_where_it_has_a_wheel(root, python, system, machine, asked):
    (given,) = (one for one in requirements(root) if one.name == "tensorflow")
    locked = Requirement(re.search(r"^tensorflow==[^\\]+", (root / "requirements.lock").read_text(), re.M)[0])
    place = {"python_version": python, "python_full_version": f"{python}.1", "sys_platform": system, "platform_machine": machine}
    assert given.marker.evaluate(place) == locked.marker.evaluate(place) == asked


def test_the_lock_file_works_on_any_machine(root):
    text = (root / "requirements.lock").read_text()
    assert "://" not in text and " @ " not in text and "--find-links" not in text and "index-url" not in text
    for entry in re.split(r"\n(?=[A-Za-z0-9])", text)[1:]:
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
@pytest.mark.parametrize("version, works", [((3, 10, 14), False), ((3, 11, 0), True), ((3, 13, 9), True), ((3, 14, 0), False), ((3, 15, 1), False)])
def test_make_says_which_python_it_needs(root, tmp_path, version, works):
    """With an interpreter that says it is of this version, and that can set nothing up."""
    for name in ("Makefile", "requirements.lock", "requirements.txt", "pyproject.toml"):
        shutil.copy(root / name, tmp_path)
    (tmp_path / "magbook").mkdir()
    shutil.copy(root / "magbook" / "__init__.py", tmp_path / "magbook")
    said = ".".join(map(str, version))
    python = tmp_path / "python"
    python.write_text(f"""#!{sys.executable}
import sys
sys.version_info, sys.version = {version}, "{said} (main)"
if sys.argv[1] == "-V":
    print("Python {said}")
elif sys.argv[1] == "-c":
    exec(sys.argv[2])
else:
    sys.exit("it begins")
""")
    python.chmod(0o755)
    done = subprocess.run(["make", "setup", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode and ("it begins" in done.stderr) == works and not (tmp_path / ".venv").exists()
    if not works:
        assert f"Python 3.11, 3.12 or 3.13 is needed (TensorFlow has no wheel for others); this is {said}. Choose another: make PYTHON=" in done.stderr
