"""Files: whole or not at all, and what ships is what the manifest says."""

import errno
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from magbook import files
from magbook.files import atomic

# Runs a line of Python with this module alone, without the seconds that all of magbook takes to import
ALONE = [sys.executable, "-c", "import os, signal, sys, importlib.util as u; s = u.spec_from_file_location('f', sys.argv[2]);"
         "files = u.module_from_spec(s); s.loader.exec_module(files); del sys.argv[2]; exec(sys.argv[1])"]


def everything(folder):
    return sorted(p.name for p in Path(folder).iterdir())


# ---------------------------------------------------------------------------- writing


def test_atomic_makes_folders_and_replaces(tmp_path):
    path = tmp_path / "a" / "b.bin"
    for content in (b"first", b"2"):
        with atomic(path) as file:
            file.write(content)
        assert path.read_bytes() == content and everything(path.parent) == ["b.bin"]


def test_nothing_shows_before_it_is_whole(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with atomic(path) as file:
        file.write(b"new" * 100_000)
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new" * 100_000


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_a_failure_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(error), atomic(path) as file:
        file.write(b"half of it")
        raise error("no")
    assert path.read_bytes() == b"old" and everything(tmp_path) == ["x"]


def test_a_failed_rename_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def refuse(*args):
        raise PermissionError(errno.EACCES, "refused")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError), atomic(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old" and everything(tmp_path) == ["x"]


def test_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError, match="while writing.*result.npz") as caught, atomic(tmp_path / "result.npz") as file:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.errno == errno.ENOSPC and everything(tmp_path) == []


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    code = "with files.atomic(sys.argv[2]) as f: f.write(b'new'); f.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    assert subprocess.run([*ALONE, code, files.__file__, path]).returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path, umask, mode):
    subprocess.run([*ALONE, "with files.atomic(sys.argv[2]) as f: f.write(b'x')", files.__file__, tmp_path / "x"],
                   check=True, umask=umask)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == mode


# ---------------------------------------------------------------------------- what ships


def test_manifest_and_folder_agree():
    manifest = json.loads((files.DATA / "manifest.json").read_text())
    there = {p.name for p in files.DATA.iterdir() if not p.name.startswith((".", "__"))} - {"manifest.json"}
    assert there == set(manifest)
    for name, entry in manifest.items():
        assert files.shipped(name) == files.DATA / name
        assert {"sha256", "what", "command", "seed", "version"} <= set(entry), name
    assert sum(p.stat().st_size for p in files.DATA.iterdir() if p.is_file()) < 20e6  # no big files in the repository


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder of shipped files of our own."""
    monkeypatch.setattr(files, "DATA", tmp_path)
    (tmp_path / "a.npz").write_bytes(b"some bytes")
    files.ship("a.npz", what="a", command="python -m a", seed=3, version="0")
    return tmp_path


def test_ship_enters_a_file(data):
    (data / "b").write_bytes(b"")
    files.ship("b", command="make b")
    manifest = json.loads((data / "manifest.json").read_text())
    assert list(manifest) == ["a.npz", "b"] and manifest["a.npz"]["seed"] == 3
    # SHA-256 of nothing, as the standard's test vectors have it
    assert manifest["b"]["sha256"] == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert files.shipped("a.npz") == data / "a.npz"


@pytest.mark.parametrize("content", [b"some bytez", b"some byte", b"", b"some bytes\n"])
def test_damage_is_found(data, content):
    (data / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match="a.npz is damaged.*python -m a"):
        files.shipped("a.npz")


def test_an_unknown_file_is_named(data):
    with pytest.raises(FileNotFoundError, match="c.npz is not in .*a.npz"):
        files.shipped("c.npz")


# ---------------------------------------------------------------------------- the cache


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("MAGBOOK_CACHE", str(tmp_path / "here"))
    assert files.cache() == tmp_path / "here"
    monkeypatch.delenv("MAGBOOK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "magbook" in files.cache().name and files.cache().is_absolute()


def test_nothing_is_pickled():
    for path in files.DATA.glob("*.npz"):
        with np.load(path, allow_pickle=False) as z:
            assert all(z[k].dtype.kind in "fiubU" for k in z.files)


def test_a_link_goes_on_leading_there_and_a_mode_stays(tmp_path):
    (tmp_path / "there").write_bytes(b"old")
    (tmp_path / "there").chmod(0o600)
    (tmp_path / "link").symlink_to(tmp_path / "there")
    with files.atomic(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there").read_bytes() == b"new"
    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o600


def test_home_is_where_it_is_meant(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with files.atomic("~/a") as file:
        file.write(b"a")
    monkeypatch.setenv("MAGBOOK_CACHE", "~/b")
    assert (tmp_path / "a").exists() and files.cache() == tmp_path / "b" and not (tmp_path / "~").exists()


def test_a_file_system_without_modes(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError
    monkeypatch.setattr("os.chmod", refuse)
    with files.atomic(tmp_path / "a") as file:
        file.write(b"a")
    assert (tmp_path / "a").read_bytes() == b"a"
