"""Files: whole or not at all, and what ships is what the manifest says."""

import contextlib
import errno
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from magbook import demag, files
from magbook.files import atomic

ROOT = Path(files.__file__).resolve().parents[1]
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
    assert sum(p.stat().st_size for p in files.DATA.iterdir() if p.is_file()) < 22e6  # no big files in the repository


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


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_modes(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))
    monkeypatch.setattr("os.chmod", refuse)
    with files.atomic(tmp_path / "a") as file:
        file.write(b"a")
    assert (tmp_path / "a").read_bytes() == b"a"


# ---------------------------------------------------------------------------- odd places


def elsewhere(code, tmp_path, *before, **environment):
    """What a line of Python prints in another process, whose environment is this and nothing else, in an empty folder."""
    (tmp_path / "work").mkdir(exist_ok=True)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run([*before, sys.executable, "-c", code], cwd=tmp_path / "work", env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


TINY = "film = mb.Film((40e-9, 20e-9, 5e-9), (8, 4)); run = mb.simulate((0.01, 0), film, start=(1, 0.1, 0), duration=2e-12, every=1e-12, progress=False)"


@pytest.mark.slow
def test_without_a_home(tmp_path):
    code = f"import magbook as mb; {TINY}; print(mb.files.cache())"
    cache = Path(elsewhere(code, tmp_path).strip())
    assert cache.is_absolute() and "~" not in cache.parts
    # and where the system knows no home of this user either
    nobody = "import pathlib, os.path; os.path.expanduser = lambda path: path; "
    cache = Path(elsewhere(nobody + code, tmp_path, TMPDIR=str(tmp_path)).strip())
    assert cache == tmp_path / "magbook" and everything(tmp_path / "work") == []


def twice(x):
    return 2 * x


def test_a_full_disk_where_numba_keeps_what_it_compiles(small_disk, fill, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(small_disk))
    function = demag.compiled(twice)
    function(1.5)
    assert list(small_disk.glob("*/*.nbc"))
    function = demag.compiled(twice)
    monkeypatch.setattr(demag._Cache, "full", False)
    fill()
    with pytest.warns(RuntimeWarning, match=f"compiles anew: No space left on device, {small_disk}"):
        assert function(2) == 4


@pytest.fixture
def sealed(tmp_path):
    """A command that runs another where the folder `tmp_path` can't be written to; not even by root."""
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c",
               f"mount --bind '{tmp_path}' '{tmp_path}' && mount -o remount,ro,bind '{tmp_path}' && cd '{tmp_path}/work' && exec \"$@\"", "sh"]
    (tmp_path / "work").mkdir()
    try:
        if subprocess.run([*command, "touch", tmp_path / "work" / "x"], capture_output=True).returncode and not everything(tmp_path / "work"):
            subprocess.run([*command, "true"], check=True, capture_output=True)
            return command
    except (OSError, subprocess.CalledProcessError):
        pass
    pytest.skip("this machine lets nobody mount")


@pytest.mark.slow
def test_where_nothing_can_be_written(tmp_path, sealed):
    """Package, home and working folder: what computes runs; what writes says which file could not be written, and why."""
    shutil.copytree(ROOT / "magbook", tmp_path / "site" / "magbook", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "data", tmp_path / "site" / "magbook" / "data")
    code = f"""
import magbook as mb, numpy as np
film = mb.Film((40e-9, 20e-9, 5e-9), (8, 4))
m = np.broadcast_to(np.eye(3)[0], (4, 8, 3))
run = mb.Trajectory([0, 1e-12], np.stack([m, m]), (0, 0), film)
assert mb.__file__.startswith({str(tmp_path)!r}) and -8e5 < mb.llg.demag_field(m, film)[..., 0].mean() < 0
writes = {{"run.npz": lambda: run.save("run.npz"), "m000000.ovf": lambda: run.to_ovf("ovf"), ".cache": lambda: mb.dataset.generate(
    mb.files.cache() / "set", [(0, 0.01)], film, duration=1e-11, workers=1)}}
for name, write in writes.items():
    try:
        write()
    except OSError as error:
        assert "Read-only file system" in str(error) and name in str(error), error
        print(name)
print(mb.load_rom("atlas").averages((-0.03, 0.005), duration=2e-11).shape)
"""
    # no place for what numba compiles, so that this is little
    said = elsewhere(code, tmp_path, *sealed, HOME=str(tmp_path), PYTHONPATH=str(tmp_path / "site"))
    assert said.split() == ["run.npz", "m000000.ovf", ".cache", "(3,", "3)"]


@pytest.mark.slow
def test_users_who_put_channels_first(tmp_path):
    """Keras reads that from a file in the home folder."""
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps({"image_data_format": "channels_first", "backend": "tensorflow", "floatx": "float32"}))
    code = "import magbook as mb, numpy as np; rom = mb.load_rom('paper'); m = mb.s_state()[None].astype('f4'); "
    code += "c = rom.encode(m); print(*np.round(c[0].astype(float), 3), rom.decode(c).shape)"
    with contextlib.redirect_stdout(io.StringIO()) as here:
        exec(code, {})
    assert here.getvalue().endswith("(1, 64, 256, 3)\n") and elsewhere(code, tmp_path, HOME=str(tmp_path)) == here.getvalue()


@pytest.mark.slow
def test_without_tensorflow(tmp_path):
    """The solver runs; what needs a network says what is missing and how to get it."""
    (tmp_path / "sitecustomize.py").write_text("""
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "jax", "torch"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Nothing())
""")
    code = f"""
import magbook as mb
{TINY}
print(len(run), len(mb.applied.fan(3)), mb.metrics.compare(run, run)["L2"])
for use in (lambda: mb.load_rom("paper"), lambda: mb.autoencoder, lambda: mb.pca):
    try:
        use()
    except ImportError as error:
        print(error)
"""
    said = elsewhere(code, tmp_path, HOME=str(tmp_path), PYTHONPATH=f"{tmp_path}:{ROOT}").splitlines()
    assert said[0] == "3 3 0.0" and len(said) == 4
    assert all(line.startswith("the networks need Keras and one of TensorFlow, JAX or PyTorch (No module named 'tensorflow')") and
               "pip install tensorflow" in line for line in said[1:])


WORKERS = """
import concurrent.futures, magbook as mb
class Seen(Exception): ...
def pool(workers, **options):
    raise Seen(workers)
concurrent.futures.ProcessPoolExecutor = pool
film = mb.Film((40e-9, 20e-9, 5e-9), (8, 4))
try:
    mb.dataset.generate("set", [(0, 0.01)] * 3, film, duration=1e-11, progress=False)
except Seen as seen:
    print(seen)
"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("taskset"), reason="needs Linux's taskset")
def test_workers_are_as_many_as_the_cores_that_a_process_may_use(tmp_path):
    core = str(min(os.sched_getaffinity(0)))
    assert elsewhere(WORKERS, tmp_path, "taskset", "-c", core, HOME=str(tmp_path)) == "1\n"


@pytest.mark.slow
def test_a_container_of_one_core_and_little_memory(tmp_path):
    (tmp_path / "groups").mkdir()
    for name, text in {"cpu.max": "100000 100000", "memory.max": "3000000000", "memory.current": "2000000000"}.items():
        (tmp_path / "groups" / name).write_text(text)
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", f"mount --bind '{tmp_path}/groups' /sys/fs/cgroup && exec \"$@\"", "sh"]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine lets nobody mount")
    code = WORKERS + "from magbook.film import check_memory\ncheck_memory(0.8e9, 'a film')\ntry: check_memory(1e9, 'a film')\nexcept MemoryError as e: print(e)"
    assert elsewhere(code, tmp_path, *command, HOME=str(tmp_path)) == "1\na film needs about 1.0 GB; 1.0 GB are available\n"
