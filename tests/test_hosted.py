"""Hosted notebooks: the buttons of a page, and the cell that installs magbook where it is not there yet."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import IPython
import nbformat
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from test_site import build

pytestmark = pytest.mark.slow

ADDRESS = "https://github.com/someone/magbook"


def first_cell(chapter):
    return next(cell for cell in nbformat.read(chapter, as_version=4).cells if cell.cell_type == "code")


@pytest.fixture
def bootstrap(root):
    return first_cell(root / "book/01_llg_and_sp4.ipynb").source


def test_each_chapter_begins_with_the_same_bootstrap_cell(root, chapter, bootstrap):
    cell = first_cell(chapter)
    assert cell.metadata["tags"] == ["bootstrap", "remove-cell"]
    assert cell.source == bootstrap
    url = yaml.safe_load((root / "_config.yml").read_text())["repository"]["url"]
    assert f'"MAGBOOK_REPOSITORY", "{url}"' in cell.source, "make hosted"


def run(source, monkeypatch):
    """Run a cell, and return the magics that it calls."""
    called = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: None)

    class Shell:
        def run_line_magic(self, name, line):
            called.append((name, line))

    exec(TransformerManager().transform_cell(source), {"get_ipython": Shell})
    return called


def test_it_does_nothing_where_magbook_is(bootstrap, monkeypatch):
    assert run(bootstrap, monkeypatch) == []


def test_it_installs_magbook_or_says_what_is_missing(bootstrap, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("MAGBOOK_REPOSITORY", ADDRESS)
    ((name, line),) = run(bootstrap, monkeypatch)
    assert name == "pip" and "magbook[book] @ git+{url}" in line
    monkeypatch.delenv("MAGBOOK_REPOSITORY")
    with pytest.raises(AssertionError, match="address of the book's repository"):
        run(re.sub(r'"MAGBOOK_REPOSITORY", ".*?"', '"MAGBOOK_REPOSITORY", ""', bootstrap), monkeypatch)


def test_it_turns_on_the_widgets_of_colab(bootstrap, monkeypatch):
    class Output:
        turned_on = False

        @classmethod
        def enable_custom_widget_manager(cls):
            cls.turned_on = True

    monkeypatch.setitem(sys.modules, "google.colab", type(sys)("google.colab"))
    sys.modules["google.colab"].output = Output
    monkeypatch.setitem(sys.modules, "google", type(sys)("google"))
    run(bootstrap, monkeypatch)
    assert Output.turned_on


@pytest.fixture
def book(root, tmp_path):
    """A book of one notebook that runs nothing, with an address and a hub."""
    shutil.copytree(root / "book", tmp_path / "book", ignore=shutil.ignore_patterns("*.ipynb", "*.md"))
    shutil.copytree(root / "magbook", tmp_path / "magbook")
    config = yaml.safe_load((root / "_config.yml").read_text())
    config["execute"]["execute_notebooks"] = "off"
    config["launch_buttons"]["jupyterhub_url"] = "https://hub.example.org"
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/01_one\n")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A chapter")])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, tmp_path / "book/01_one.ipynb")
    return tmp_path, config


@pytest.mark.parametrize("address", ["", ADDRESS])
def test_buttons_lead_to_the_notebook_once_the_book_has_an_address(book, address):
    folder, config = book
    config["repository"]["url"] = address
    (folder / "_config.yml").write_text(yaml.safe_dump(config))
    built = build(folder)
    assert built.returncode == 0, built.stdout[-3000:]
    page = (folder / "_build/html/book/01_one.html").read_text()
    hosts = {"mybinder": "gh/someone/magbook/main?urlpath=lab/tree/book/01_one.ipynb",
             "colab": "github/someone/magbook/blob/main/book/01_one.ipynb",
             "hub.example": "urlpath=lab/tree/magbook/book/01_one.ipynb"}
    for host, path in hosts.items():
        links = [link.replace("&amp;", "&") for link in re.findall(r'href="([^"]*)"', page) if host in link]
        assert len(links) == bool(address) and all(path in link for link in links), links


def test_binder_gets_the_locked_environment(root):
    assert (root / ".binder/requirements.txt").read_text() == "-r ../requirements.lock\n"
    assert (root / ".binder/postBuild").stat().st_mode & 0o100, "it must be executable"


@pytest.mark.slow
def test_what_the_image_runs_after_its_environment(root, tmp_path):
    """`postBuild` in a copy, into a folder of its own: the package with its data, checks and drawings is there."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, files):
        if (root / name).exists():
            (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, tmp_path / "copy" / name)
    there = os.environ | {"PIP_TARGET": str(tmp_path / "site"), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([tmp_path / "copy/.binder/postBuild"], cwd=tmp_path / "copy", env=there, check=True, capture_output=True)
    code = ("import magbook as mb; mb.checks.exchange; print(mb.__file__); print(mb.files.shipped('rom_paper.npz').stat().st_size > 1e5);"
            "print(len(mb.drawing('wall').data) > 100)")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
                          capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(tmp_path / "site/magbook/__init__.py"), "True", "True"]
