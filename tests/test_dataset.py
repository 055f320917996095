"""The data set: its fields, how they are split, and a store that survives whatever happens to the run that fills it."""

import concurrent.futures
import errno
import functools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import zarr
from zarr.storage import LocalStore

import magbook
from magbook import applied, dataset, llg, sp4
from magbook.applied import fan
from magbook.dataset import check, generate, load, split, split_states
from magbook.film import Film

FILM = Film((64e-9, 32e-9, 3e-9), (16, 8))
SHORT = dict(film=FILM, duration=4e-11, every=1e-11, progress=False)
ROOT = Path(dataset.__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MAGBOOK_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def threads():
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        yield executor


def chunk(path, i):
    """The one file of trajectory i."""
    (file,) = [p for p in (Path(path) / "m" / "c" / str(i)).rglob("*") if p.is_file()]
    return file


def make(path, threads, n=6, **changes):
    return generate(path, fan(n), **{**SHORT, "executor": threads, **changes})


# ---------------------------------------------------------------------------- the fan


def polar(fields):
    return np.degrees(np.arctan2(fields[:, 1], fields[:, 0])) % 360, np.hypot(fields[:, 0], fields[:, 1])


@pytest.mark.slow
def test_named_sets(monkeypatch):
    asked = {}
    monkeypatch.setattr(dataset, "generate", lambda path, fields, seed, **options: asked.update({path.name: (fields, seed), **options}))
    for name in dataset.SETS:
        dataset.generate_named(name)
    assert asked.pop("film") == dataset.COARSE and asked.pop("duration") == 4e-9  # of the driven one
    assert {name: len(fields) for name, (fields, _) in asked.items()} == {"paper": 200, "small": 20, "large": 1000, "blade": 200, "driven": 600, "reversals": 400, "kicks": 400}
    assert asked["driven"] == (applied.driven(600, 2021, 4e-9), 2021) and dataset.fields("driven") == asked["driven"][0]
    for name in ("small", "paper"):
        np.testing.assert_array_equal(asked["large"][0][:len(asked[name][0])], asked[name][0])
    fields, seed = asked["blade"]
    angles = np.rad2deg(np.arctan2(fields[:, 1], fields[:, 0])) % 360
    assert 179 <= angles.min() < 180 and 192 < angles.max() <= 193
    assert seed == 2020 and np.array_equal(fields, fan(200, seed=2020, angle=186, opening=14))
    others = np.concatenate([asked["large"][0], [sp4.FIELD_1, sp4.FIELD_2]])
    assert np.linalg.norm(fields[:, None] - others, axis=-1).min() > 0  # none of the fields that test


# ---------------------------------------------------------------------------- the split


@pytest.mark.parametrize("n", [10, 20, 200, 1000])
def test_split_by_field(n):
    parts = split(n)
    assert {k: len(v) for k, v in parts.items()} == {"train": 8 * n // 10, "validation": n // 10, "test": n // 10}
    assert sorted(np.concatenate(list(parts.values()))) == list(range(n))  # disjoint, and nothing left out


def test_a_field_keeps_its_part_when_the_set_grows():
    small, large = split(50), split(500)
    for part in small:
        assert np.array_equal(small[part], large[part][large[part] < 50])


@pytest.mark.parametrize("sampling", ["random", "sobol"])
def test_sp4_is_in_no_part(sampling):
    fields = fan(1000, sampling=sampling)
    for field in (sp4.FIELD_1, sp4.FIELD_2):
        assert np.linalg.norm(fields - field, axis=1).min() > 1e-6


def test_test_fields_are_spread_over_the_fan():
    """So they can be interpolated to, and test what they should."""
    angle, strength = polar(fan()[split(200)["test"]])
    assert np.ptp(angle) > 30 and np.ptp(strength) > 12e-3
    assert abs(angle.mean() - 180) < 8 and abs(strength.mean() - 31.5e-3) < 4e-3


def test_split_of_states_leaks():
    n, nt = 200, 100
    parts = split_states(n, nt)
    assert {k: v.shape for k, v in parts.items()} == {"train": (16000, 2), "validation": (2000, 2), "test": (2000, 2)}
    everything = np.concatenate(list(parts.values()))
    assert len(np.unique(everything[:, 0] * nt + everything[:, 1])) == n * nt
    assert everything.min() == 0 and everything[:, 0].max() == n - 1 and everything[:, 1].max() == nt - 1
    train = {tuple(p) for p in parts["train"]}
    neighbours = [((i, t - 1) in train) or ((i, t + 1) in train) for i, t in parts["test"]]
    assert np.mean(neighbours) > 0.9  # the lesson
    assert {tuple(p) for p in split_states(n, nt)["train"]} == train
    assert {tuple(p) for p in split_states(n, nt, seed=1)["train"]} != train
    # by field there is no such neighbour, by construction
    assert not set(split(n)["test"]) & set(split(n)["train"])


# ---------------------------------------------------------------------------- what is stored


@pytest.mark.slow
def test_content_is_what_simulate_gives(tmp_path, threads):
    data = make(tmp_path / "set", threads)
    start = llg.s_state(FILM)
    assert data["m"].dims == ("run", "t", "y", "x", "component") and data["m"].shape == (6, 4, 8, 16, 3)
    np.testing.assert_allclose(data["field"], fan(6), atol=0)
    np.testing.assert_allclose(data["t"], np.arange(1, 5) * 1e-11)  # the common start is not stored
    np.testing.assert_allclose(data["x"], FILM.x)
    np.testing.assert_allclose(data["y"], FILM.y)
    assert {k: data[k].attrs["units"] for k in ("m", "field", "t", "x", "y")} == {
        "m": "1", "field": "T", "t": "s", "x": "m", "y": "m"}
    for i in (0, 5):
        run = llg.simulate(fan(6)[i], FILM, start, 4e-11, progress=False)
        assert np.abs(run.m[-1] - run.m[0]).max() > 0.01
        stored = dataset.trajectory(data, i)
        assert stored.film == FILM and np.array_equal(stored.field, run.field) and stored.info["run"] == i
        np.testing.assert_allclose(stored.m, run.m[1:], atol=1.6e-5)
        np.testing.assert_array_equal(stored.t, run.t[1:])
    assert np.array_equal(dataset.trajectory(data, -1).m, dataset.trajectory(data, 5).m)
    for run in (6, -7):
        with pytest.raises(ValueError, match=f"^run: got {run}; the data set has 6"):
            dataset.trajectory(data, run)


def test_sixteen_bits_beat_float16():
    """What the store costs in accuracy, as chapter 2 says it."""
    m = np.random.default_rng(0).standard_normal((1000, 3))
    m = (m / np.linalg.norm(m, axis=1, keepdims=True)).astype(np.float32)
    m[:3] = np.eye(3)
    m[3:6] = -np.eye(3)

    class Solver:
        def __call__(self, field, progress):
            class Run:
                pass

            Run.m = np.concatenate([m[:1], m])
            return Run

    stored = dataset._states(Solver(), None, {})
    assert stored.dtype == np.int16
    back = stored / dataset.SCALE
    assert np.abs(back - m).max() <= 0.51 / 32767 < np.abs(m.astype(np.float16) - m).max() / 10
    assert np.array_equal(back[:6], m[:6])


def test_one_chunk_a_trajectory_opened_lazily(tmp_path, threads):
    make(tmp_path / "set", threads)
    assert [chunk(tmp_path / "set", i).is_file() for i in range(6)] == [True] * 6
    raw = zarr.open_group(tmp_path / "set", mode="r")["m"]
    assert raw.chunks == (1, 4, 8, 16, 3) and raw.dtype == np.int16
    assert sum(p.stat().st_size for p in (tmp_path / "set").rglob("*") if p.is_file()) < 6 * 4 * 8 * 16 * 3 * 2 + 20_000
    # what is not asked for is not read
    chunk(tmp_path / "set", 3).write_bytes(b"damaged")
    assert np.isfinite(load(tmp_path / "set")["m"][2].values).all()


def test_masked_film(tmp_path, threads):
    film = FILM.replace(mask=lambda x, y: (x / 32e-9) ** 2 + (y / 16e-9) ** 2 <= 1)
    data = make(tmp_path / "set", threads, n=2, film=film)
    run = dataset.trajectory(data, 1)
    assert run.film == film and np.array_equal(data["inside"].values, film.inside)
    assert not run.m[:, ~film.inside].any() and run.m[:, film.inside].any()


def test_manifest(tmp_path, threads):
    manifest = make(tmp_path / "set", threads, n=2, accuracy=2.0, seed=7).attrs["manifest"]
    assert manifest["film"]["cells"] == [16, 8] and manifest["film"]["Ms"] == 8e5
    assert (manifest["duration"], manifest["every"]) == (4e-11, 1e-11)
    assert manifest["settings"] == {"accuracy": 2.0, "precision": "single"}  # also what was left as it was
    assert manifest["solver"] == "magbook.llg.simulate" and manifest["seed"] == 7
    assert manifest["version"] == magbook.__version__


# ---------------------------------------------------------------------------- states, for training


def test_states_of_a_part_are_those_of_its_fields(tmp_path, threads):
    data = make(tmp_path / "set", threads, n=20, duration=2e-11)
    for part, runs in split(20).items():
        m = dataset.states(data, part)
        assert m.shape == (2 * len(runs), 8, 16, 3) and m.dtype == np.int16
        want = np.concatenate([dataset.trajectory(data, i).m for i in runs])
        np.testing.assert_allclose(m / dataset.SCALE, want, atol=1e-7)


def test_states_of_some_runs_and_times(tmp_path, threads):
    data = make(tmp_path / "set", threads)
    everything = dataset.states(data, range(6)).reshape(6, 4, 8, 16, 3)
    assert len(np.unique(everything.reshape(24, -1), axis=0)) == 24
    assert np.array_equal(dataset.states(data, [4, 1]), everything[[4, 1]].reshape(8, 8, 16, 3))
    assert np.array_equal(dataset.states(data, 3), everything[3])
    assert np.array_equal(dataset.states(data, -1), everything[5])
    assert np.array_equal(dataset.states(data, [2, 5], every=2), everything[[2, 5], ::2].reshape(4, 8, 16, 3))
    assert np.array_equal(dataset.states(data, [2, 5], every=3), everything[[2, 5], ::3].reshape(4, 8, 16, 3))
    assert np.array_equal(dataset.states(data, [2], every=9), everything[2, :1])
    # a data set of which runs were chosen is counted as it is
    assert np.array_equal(dataset.states(data.isel(run=[3, 5]), 1), everything[5])


@pytest.mark.parametrize("match, change", [
    ("^part: got 'tset'; 'train', 'validation', 'test' or indices of runs, of which there are 6", dict(part="tset")),
    ("^part: got 6;", dict(part=6)), (r"^part: got \[0, -7\]", dict(part=[0, -7])), (r"^part: got \[\]", dict(part=[])),
    ("^every: got 0; a whole number", dict(every=0)), ("^every: got -1", dict(every=-1)), ("^every: got 1.5", dict(every=1.5))])
def test_states_that_there_are_not(tmp_path, threads, match, change):
    with pytest.raises(ValueError, match=match):
        dataset.states(make(tmp_path / "set", threads), **change)


def test_states_that_are_damaged(tmp_path, threads):
    data = make(tmp_path / "set", threads)
    chunk(tmp_path / "set", 3).write_bytes(b"damaged")
    assert dataset.states(data, [2, 4]).any()
    with pytest.raises(ValueError, match="run 3 of the data set can't be read.*make it anew"):
        dataset.states(data, [2, 3])


def test_states_beyond_memory_are_refused(tmp_path, threads, monkeypatch):
    data, asked = make(tmp_path / "set", threads), []
    monkeypatch.setattr(dataset, "check_memory", lambda needed, what: asked.append(needed))
    m = dataset.states(data, [0, 1], every=2)
    assert asked == [m.nbytes]


# ---------------------------------------------------------------------------- resuming


def stamps(path, indices):
    return {i: chunk(path, i).stat().st_mtime_ns for i in indices}


def test_what_is_complete_is_not_computed_again(tmp_path, threads):
    fields, computed = fan(6), []

    def solver(field, **arguments):
        computed.append(field)
        return llg.simulate(field, **arguments)

    generate(tmp_path / "set", fields, solver=solver, executor=threads, **SHORT)
    assert len(computed) == 6
    for i in (1, 4):
        chunk(tmp_path / "set", i).unlink()
    assert check(tmp_path / "set") == {"complete": [0, 2, 3, 5], "missing": [1, 4], "damaged": []}
    before = stamps(tmp_path / "set", (0, 2, 3, 5))
    generate(tmp_path / "set", fields, solver=solver, executor=threads, **SHORT)
    assert len(computed) == 8 and {tuple(f) for f in computed[6:]} == {tuple(fields[1]), tuple(fields[4])}
    assert stamps(tmp_path / "set", (0, 2, 3, 5)) == before
    generate(tmp_path / "set", fields, solver=solver, executor=threads, **SHORT)
    assert len(computed) == 8


@pytest.mark.slow
@pytest.mark.parametrize("i", [0, 3, 5])
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_damage_is_found_and_mended(tmp_path, threads, i, damage):
    data = make(tmp_path / "set", threads)
    want, file = data["m"].values, chunk(tmp_path / "set", i)
    whole = file.read_bytes()
    bad = {"cut": whole[: len(whole) // 2], "empty": b"", "other": b"x" * len(whole),
           "flipped": whole[:100] + bytes([whole[100] ^ 1]) + whole[101:]}[damage]
    file.write_bytes(bad)
    others = [k for k in range(6) if k != i]
    assert check(tmp_path / "set") == {"complete": others, "missing": [], "damaged": [i]}
    with pytest.raises(ValueError, match=f"run {i} of the data set can't be read.*make it anew"):
        dataset.trajectory(load(tmp_path / "set"), i)
    before = stamps(tmp_path / "set", others)
    assert np.array_equal(make(tmp_path / "set", threads)["m"].values, want)
    assert stamps(tmp_path / "set", others) == before and file.read_bytes() == whole


def test_runs_that_changed_places_are_found(tmp_path, threads):
    """Also where their checksums went with them: these are of the fields too."""
    make(tmp_path / "set", threads, n=3)
    for folder in ("m", "checksum"):
        one, other = (chunk(tmp_path / "set", i) if folder == "m" else tmp_path / "set" / folder / "c" / str(i) for i in (0, 1))
        whole = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(whole)
    assert check(tmp_path / "set") == {"complete": [2], "missing": [], "damaged": [0, 1]}


@pytest.mark.slow
def test_any_flipped_bit_is_found(tmp_path, threads):
    make(tmp_path / "set", threads, n=1)
    file, rng = chunk(tmp_path / "set", 0), np.random.default_rng(0)
    whole = file.read_bytes()
    for i in rng.choice(len(whole), 100, replace=False):
        file.write_bytes(whole[:i] + bytes([whole[i] ^ 1 << rng.integers(8)]) + whole[i + 1:])
        assert check(tmp_path / "set")["damaged"] == [0], i


def test_an_incomplete_set_is_not_loaded(tmp_path, threads):
    make(tmp_path / "set", threads)
    chunk(tmp_path / "set", 2).unlink()
    with pytest.raises(ValueError, match="is not complete: 1 of 6 trajectories are missing.*resumes"):
        load(tmp_path / "set")


@pytest.mark.parametrize("name, change", [
    ("film", dict(film=FILM.replace(Ms=7e5))), ("film", dict(film=FILM.replace(mask=np.tri(8, 16, 12, dtype=bool)))),
    ("duration", dict(duration=2e-11)), ("every", dict(every=2e-11)), ("settings", dict(accuracy=2.0)),
    ("settings", dict(precision="double")), ("fields", dict(n=5)), ("solver", dict(solver=sp4.reference))])
def test_other_settings_are_refused(tmp_path, threads, name, change, monkeypatch):
    want = make(tmp_path / "set", threads, n=4)["m"].values
    before = stamps(tmp_path / "set", range(4))
    if name == "solver":
        change = dict(solver=another_solver)
    with pytest.raises(ValueError, match=f"set holds a data set that differs in [^;]*{name}.*another folder"):
        make(tmp_path / "set", threads, **{"n": 4, **change})
    assert stamps(tmp_path / "set", range(4)) == before and np.array_equal(load(tmp_path / "set")["m"].values, want)


def another_solver(field, **arguments):
    return llg.simulate(field, **arguments)


def test_the_same_settings_in_other_words_are_the_same(tmp_path, threads):
    make(tmp_path / "set", threads, n=3)
    same = Film([np.float64(64e-9), 32e-9, 3e-9], np.array([16, 8]))
    generate(str(tmp_path / "set"), [tuple(f[:2]) for f in fan(3)], **{**SHORT, "film": same}, executor=threads,
             accuracy=1.0, precision="single")


def test_a_folder_of_something_else_is_left_alone(tmp_path, threads):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty and holds no data set"):
        make(tmp_path, threads, n=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt"]
    store = zarr.create_group(tmp_path / "other")
    store.create_array("precious", data=np.arange(5))
    with pytest.raises(ValueError, match="holds something other than a data set"):
        make(tmp_path / "other", threads, n=1)
    assert zarr.open_group(tmp_path / "other")["precious"][:].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("left", ["zarr.json", "m", "nothing", "partial"])
def test_killed_while_the_store_was_made(tmp_path, threads, left, monkeypatch):
    path = tmp_path / "set"
    if left == "partial":
        path.mkdir()
        (path / "zarr.0123.partial").write_bytes(b"{")
    elif left == "nothing":
        path.mkdir()
    else:
        create = zarr.Group.create_array

        def killed(self, name, **arguments):
            if left == "zarr.json" or name == "t":
                raise KeyboardInterrupt
            return create(self, name, **arguments)

        monkeypatch.setattr(zarr.Group, "create_array", killed)
        with pytest.raises(KeyboardInterrupt):
            make(path, threads, n=2)
        monkeypatch.undo()
        monkeypatch.setenv("MAGBOOK_CACHE", str(tmp_path / "cache"))
        for function in (load, check):
            with pytest.raises(FileNotFoundError, match="holds no data set.*python -m magbook generate"):
                function(path)
    assert make(path, threads, n=2).sizes["run"] == 2
    assert not list(path.rglob("*.partial"))


def test_what_a_kill_left_of_a_write_is_removed(tmp_path, threads):
    make(tmp_path / "set", threads, n=2)
    file = chunk(tmp_path / "set", 1)
    half = file.with_name("0.0123456789abcdef.partial")
    half.write_bytes(file.read_bytes()[:50])
    file.unlink()
    make(tmp_path / "set", threads, n=2)
    assert not half.exists() and check(tmp_path / "set")["complete"] == [0, 1]


def test_nowhere(tmp_path):
    for function in (load, check):
        with pytest.raises(FileNotFoundError, match="nowhere holds no data set"):
            function(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="python -m magbook generate"):
        load("paper")


# ---------------------------------------------------------------------------- killed

SLOW = """
import sys, time, pathlib
import magbook.dataset as d, magbook.llg as llg
from magbook import applied
from magbook.film import Film

def solver(field, film=None, start=None, duration=0, every=0, *, progress=True):
    run = llg.simulate(field, film, start, duration, every, progress=False)
    time.sleep({pause})
    return run

if __name__ == "__main__":
    import slow
    film = Film((64e-9, 32e-9, 3e-9), (16, 8))
    d.generate(sys.argv[1], applied.fan({n}), film, duration=4e-11, solver=slow.solver, workers=2, progress=False)
"""


def start_slow(folder, path, n=16, pause=0.3):
    (folder / "slow.py").write_text(SLOW.format(n=n, pause=pause))
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    return subprocess.Popen([sys.executable, folder / "slow.py", path], env=environment, stderr=subprocess.PIPE)


def running(process):
    """Whether it runs: one that has ended and waits for its parent to notice does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def all_end(processes, timeout=20):
    deadline = time.monotonic() + timeout
    while any(map(running, processes)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(running, processes))


def workers_of(pid):
    def command(process):
        try:
            return " ".join(process.cmdline())
        except psutil.Error:  # gone, or a zombie
            return ""

    return [p for p in psutil.Process(pid).children(recursive=True) if "spawn_main" in command(p)]


def complete_files(path):
    return sorted(p for p in Path(path).glob("m/c/*/0/0/0/0") if p.is_file())


@pytest.mark.slow
def test_killed_and_resumed(tmp_path, threads):
    """SIGKILL at several moments: nothing is computed twice, nothing is lost, nothing is left running."""
    path, rng, seen, killed = tmp_path / "set", np.random.default_rng(5), {}, 0
    for already in (0, 4, 9):
        process, deadline = start_slow(tmp_path, path), time.monotonic() + 90
        while len(complete_files(path)) <= already and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.2))
        assert process.poll() is None, process.stderr.read().decode()
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 2, f"{len(complete_files(path))} are complete"
        process.kill()
        process.wait()
        killed += 1
        assert all_end(family)
        now = {p: p.stat().st_mtime_ns for p in complete_files(path)}
        assert seen.items() <= now.items() and already < len(now) < 16  # what was complete was not touched
        seen = now
        with pytest.raises(ValueError, match="is not complete"):
            load(path)
    process = start_slow(tmp_path, path)
    errors = process.communicate(timeout=120)[1].decode()
    assert process.returncode == 0, errors
    now = {p: p.stat().st_mtime_ns for p in complete_files(path)}
    assert seen.items() <= now.items() and len(now) == 16 and killed == 3
    assert check(path) == {"complete": list(range(16)), "missing": [], "damaged": []}
    assert not list(path.rglob("*.partial"))
    undisturbed = make(tmp_path / "undisturbed", threads, n=16)
    for name in ("m", "field", "t", "x", "y", "inside"):
        assert np.array_equal(load(path)[name].values, undisturbed[name].values)
    for p in complete_files(path):
        assert p.read_bytes() == (tmp_path / "undisturbed" / p.relative_to(path)).read_bytes()


@pytest.mark.slow
def test_a_killed_worker_is_an_error_that_says_so(tmp_path):
    process, path = start_slow(tmp_path, tmp_path / "set", n=8, pause=0.5), tmp_path / "set"
    deadline = time.monotonic() + 90
    while not complete_files(path) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    workers_of(process.pid)[0].kill()
    errors = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1
    assert "RuntimeError: a process that computed trajectories was killed (too little memory?)" in errors
    assert len(complete_files(path)) >= 1


# ---------------------------------------------------------------------------- a full disk


def test_a_full_disk_is_said(tmp_path, threads, monkeypatch):
    """A write that finds no space: which file, how many are complete; and it resumes."""
    put, written = LocalStore.set, []

    async def full(self, key, value):
        if key.startswith("m/c/"):
            written.append(key)
            if len(written) == 4:
                raise OSError(errno.ENOSPC, "No space left on device")
        await put(self, key, value)

    monkeypatch.setattr(LocalStore, "set", full)
    with pytest.raises(OSError, match=r"the disk is full: field \d could not be written, 3 of 6 are complete; free") as caught:
        make(tmp_path / "set", threads)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(tmp_path / "set")
    assert len(check(tmp_path / "set")["complete"]) == 3
    make(tmp_path / "set", threads)
    assert len(written) == 7 and len(check(tmp_path / "set")["complete"]) == 6


def test_a_full_disk_has_no_room_for_a_new_set(threads, small_disk, fill):
    filler = fill()
    with pytest.raises(OSError, match="the disk is full: the data set could not be created; free some space") as caught:
        make(small_disk / "set", threads, n=1)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(small_disk / "set")
    filler.unlink()
    assert make(small_disk / "set", threads, n=1).sizes["run"] == 1


@pytest.mark.slow
def test_a_disk_that_is_really_full(tmp_path, threads, small_disk):
    filler = small_disk / "filler"
    filler.write_bytes(b"0" * 780_000)
    film = Film((128e-9, 64e-9, 3e-9), (32, 16))
    options = dict(film=film, duration=2e-10)
    with pytest.raises(OSError, match=r"the disk is full: field \d+ could not be written, [1-9]\d? of 12 are complete") as caught:
        make(small_disk / "set", threads, n=12, **options)
    assert caught.value.errno == errno.ENOSPC
    state = check(small_disk / "set")
    assert 0 < len(state["complete"]) < 12 and not state["damaged"]
    before = stamps(small_disk / "set", state["complete"])
    filler.unlink()
    a, b = (make(folder / "set", threads, n=12, **options)["m"].values for folder in (small_disk, tmp_path))
    assert np.array_equal(a, b)
    assert stamps(small_disk / "set", state["complete"]) == before


# ---------------------------------------------------------------------------- executors


@pytest.mark.slow
def test_own_processes(tmp_path, threads):
    """As most will run it. Small solvers start slowly: what counts here is that the result is the same."""
    data = generate(tmp_path / "set", fan(3), workers=2, **SHORT)
    assert np.array_equal(data["m"].values, make(tmp_path / "threads", threads, n=3)["m"].values)
    assert all_end(workers_of(os.getpid()))


def test_an_executor_is_not_shut_down(tmp_path, threads):
    make(tmp_path / "set", threads, n=2)
    assert threads.submit(lambda: 3).result() == 3


@pytest.mark.slow
def test_a_local_dask_cluster(tmp_path, threads):
    distributed = pytest.importorskip("distributed")
    cluster = dict(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with distributed.LocalCluster(**cluster, local_directory=str(tmp_path)) as local, distributed.Client(local) as client:
        data = make(tmp_path / "set", client.get_executor(), n=5)
        assert np.array_equal(data["m"].values, make(tmp_path / "threads", threads, n=5)["m"].values)
        (tmp_path / "set" / "m" / "c" / "4" / "0" / "0" / "0" / "0").unlink()
        with pytest.raises(RuntimeError, match="field 4, .* could not be computed: mine"):
            make(tmp_path / "set2", client.get_executor(), n=5, solver=fails_at_the_fifth)


def fails_at_the_fifth(field, **arguments):
    if np.array_equal(field, fan(5)[4]):
        raise FloatingPointError("mine")
    return llg.simulate(field, **arguments)


def test_a_failure_of_the_solver_names_the_field(tmp_path, threads):
    with pytest.raises(RuntimeError, match=r"field 4, mu0\*H = \[-0.0.*\] T, could not be computed: mine; .*kept") as caught:
        make(tmp_path / "set", threads, n=5, solver=fails_at_the_fifth)
    assert isinstance(caught.value.__cause__, FloatingPointError)
    assert 4 in check(tmp_path / "set")["missing"]


def test_results_waiting_in_memory_are_bounded(tmp_path, monkeypatch):
    """However many fields there are: a result is 10 MB at full size."""
    alive = 0

    class Eager(concurrent.futures.Executor):
        def submit(self, function, *arguments):
            nonlocal alive
            alive += 1
            future = concurrent.futures.Future()
            future.set_result(function(*arguments))
            return future

    written, most = [], 0
    put = LocalStore.set

    async def count(self, key, value):
        nonlocal most
        if key.startswith("m/c/"):
            most = max(most, alive - len(written))
            written.append(key)
        await put(self, key, value)

    monkeypatch.setattr(LocalStore, "set", count)
    make(tmp_path / "set", Eager(), n=80, duration=1e-11)
    assert len(written) == 80 and most <= 64


def test_a_cluster_has_work_for_all_its_workers(tmp_path):
    """A stand-in for dask's executor, which tells through its client: nothing is done before 100 wait."""
    class Cluster(concurrent.futures.Executor):
        class _client:
            nthreads = staticmethod(lambda: {"tcp://one": 40, "tcp://two": 40})

        waiting, most = [], 0

        def submit(self, function, *arguments):
            future = concurrent.futures.Future()
            self.waiting.append((future, function, arguments))
            self.most = max(self.most, len(self.waiting))
            if len(self.waiting) == 100:
                while self.waiting:
                    one, function, arguments = self.waiting.pop()
                    one.set_result(function(*arguments))
            return future

    cluster = Cluster()
    run = threading.Thread(target=make, args=(tmp_path / "set", cluster, 100), kwargs={"duration": 1e-11}, daemon=True)
    run.start()
    run.join(30)
    assert cluster.most == 100 and not run.is_alive() and len(check(tmp_path / "set")["complete"]) == 100


# ---------------------------------------------------------------------------- bad arguments


@pytest.mark.parametrize("error, match, change", [
    (ValueError, "^fields: there is none", dict(fields=[])),
    (ValueError, "^field: got", dict(fields=[(0.01, np.nan)])),
    (ValueError, "^field: got", dict(fields=(0.01, 0.02))),
    (TypeError, "^field: got", dict(fields=["x"])),
    (TypeError, "^film: got", dict(film="permalloy")),
    (ValueError, "^duration: got .* multiple", dict(duration=3.5e-11)),
    (ValueError, "^duration: got", dict(duration=-1e-11)),
    (ValueError, "^every: got", dict(every=0)),
    (ValueError, "^accuracy: got", dict(accuracy=-1)),
    (ValueError, "^precision: got", dict(precision="half")),
    (TypeError, "acuracy", dict(acuracy=2)),
    (MemoryError, "GB are available", dict(film=Film(cells=(2_000_000, 1_000_000)))),
])
def test_bad_arguments_leave_nothing_behind(tmp_path, threads, error, match, change):
    """Refused before any process starts, and before a folder is made that the corrected call would then find taken."""
    with pytest.raises(error, match=match):
        generate(tmp_path / "set", **{"fields": [(0.01, 0)], **SHORT, "executor": threads, **change})
    assert not (tmp_path / "set").exists()


# ---------------------------------------------------------------------------- named sets


@pytest.fixture
def small_small(monkeypatch, threads):
    """`small`, but of a film that takes no time."""
    made = []

    def quick(path, fields, **options):
        made.append(len(fields))
        return generate(path, fields, film=FILM, duration=2e-11, executor=threads, progress=False, **options)

    monkeypatch.setattr(dataset, "generate", quick)
    return made


def test_small_is_made_once_and_cached(tmp_path, small_small):
    data = load("small")
    assert small_small == [20] and np.array_equal(data["field"].values, fan(200)[:20])
    assert (tmp_path / "cache" / "small" / "zarr.json").exists()
    load("small")
    assert small_small == [20]
    # a run that was killed had not made them in order
    chunk(tmp_path / "cache" / "small", 7).unlink()
    assert load("small")["m"].shape[0] == 20 and small_small == [20, 20]


# ---------------------------------------------------------------------------- memory


@pytest.mark.slow
def test_memory_of_a_run_at_full_size(tmp_path):
    """All processes together, at 256 x 64 cells: far below 2 GB."""
    command = [sys.executable, "-m", "magbook", "generate", "--fields", "2", "--workers", "2", "--out", tmp_path / "set"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    family, most = psutil.Process(process.pid), 0
    while process.poll() is None:
        total = 0
        for p in [family, *family.children(recursive=True)]:
            try:
                total += p.memory_info().rss
            except psutil.NoSuchProcess:
                pass
        most = max(most, total)
        time.sleep(0.05)
    assert process.returncode == 0, process.stderr.read().decode()
    assert 2e8 < most < 1.5e9, f"{most / 1e9:.2f} GB"
    data = load(tmp_path / "set")
    # and these are the data set's: a state every 0.01 ns of 64 x 256 x 3
    assert data["m"].shape == (2, 100, 64, 256, 3)
    assert data["m"][0, -1].mean(("y", "x")).values[0] < 0


def test_states_as_they_are_stored():
    m = np.random.default_rng(0).uniform(-1, 1, (2, 4, 8, 3)).astype(np.float32)
    back = dataset.as_float(np.rint(m * dataset.SCALE).astype(np.int16))
    assert back.dtype == np.float32 and np.abs(back - m).max() < 1.6e-5
    assert dataset.as_float(np.int16([dataset.SCALE, -dataset.SCALE, 0])).tolist() == [1, -1, 0]
    assert dataset.as_float(m) is m and dataset.as_float(m.astype(float)).dtype == np.float32


# ---------------------------------------------------------------------------- fields in time

SIGNALS = [applied.rotating(40e-3, 5e9), (-30e-3, 4e-3), applied.pulse((0, 60e-3), 3e-11, at=1e-11)]


def driven(path, executor, fields=SIGNALS):
    return generate(path, fields, FILM, duration=1e-10, executor=executor, progress=False)


def test_a_data_set_of_fields_in_time(tmp_path, threads):
    data = driven(tmp_path / "set", threads)
    assert data["field"].dims == data["between"].dims == ("run", "t", "component") and data["field"].shape == (3, 10, 3)
    for i, b in enumerate(SIGNALS):
        np.testing.assert_array_equal(data["between"][i], applied.means(b, np.arange(11) * 1e-11))
        np.testing.assert_array_equal(data["field"][i], applied.sample(b, data["t"].values))
        want = llg.simulate(b, FILM, duration=1e-10, progress=False)
        run = dataset.trajectory(data, i)
        np.testing.assert_allclose(run.m, want.m[1:], atol=2e-5)
        np.testing.assert_array_equal(run.field, np.broadcast_to(want.field, (11, 3))[1:])
    assert data.attrs["manifest"]["signals"] == [applied.describe(b) for b in SIGNALS]


def test_it_resumes_and_refuses_other_signals(tmp_path, threads):
    m = driven(tmp_path / "set", threads)["m"].values
    dataset.states_file(tmp_path / "set", 1).unlink()
    np.testing.assert_array_equal(driven(tmp_path / "set", threads)["m"].values, m)
    for other in ([applied.rotating(40e-3, 4e9), *SIGNALS[1:]], [(-30e-3, 4e-3)] * 3):
        with pytest.raises(ValueError, match="differs in .*fields"):
            driven(tmp_path / "set", threads, other)


def late(t):
    return (-30e-3, 4e-3) if t > 2e-11 else (0, 0)


def test_signals_that_differ_between_the_samples_are_others(tmp_path, threads):
    spike = lambda size: applied.piecewise([0, 12e-12, 15e-12, 18e-12, 1e-10], [(0, 0), (0, 0), (size, 0), (0, 0), (0, 0)])
    driven(tmp_path / "set", threads, [spike(90e-3)])
    with pytest.raises(ValueError, match="differs in signals"):
        driven(tmp_path / "set", threads, [spike(-90e-3)])


def test_a_function_of_a_module_resumes_in_another_process(tmp_path, threads):
    driven(tmp_path / "set", threads, [late])
    again = type(late)(late.__code__, late.__globals__, "late", late.__defaults__)  # the same function, elsewhere in memory
    again.__module__, again.__qualname__ = late.__module__, late.__qualname__
    assert applied.describe(again) == applied.describe(late) == f"{__name__}.late"

    class Nameless:
        def __call__(self, t):
            return 0, 0

    with pytest.raises(TypeError, match="__repr__"):
        applied.describe(Nameless())


def test_a_set_of_constant_fields_is_kept_as_ever(tmp_path, threads):
    """Sets that were made before fields in time were stored load and resume."""
    data = generate(tmp_path / "set", [(-30e-3, 4e-3), (-25e-3, 0)], executor=threads, **SHORT)
    assert data["field"].dims == ("run", "component") and "signals" not in data.attrs["manifest"]


def test_a_function_that_no_other_process_can_have_is_named(tmp_path, threads):
    with pytest.raises(TypeError, match="^fields: field 1, <function .*lambda.*cannot be sent to another process"):
        driven(tmp_path / "set", threads, [(0, 0), lambda t: (0, 0)])
    assert not (tmp_path / "set").exists()


# ---------------------------------------------------------------------------- what was seen to go wrong


@pytest.mark.parametrize("match, change", [
    ("^workers: got 0", dict(workers=0)), ("^workers: got '2'", dict(workers="2")), ("^seed: got 1.5", dict(seed=1.5)),
    ("^solver: got 'llg'", dict(solver="llg")), ("^executor: got 5", dict(executor=5)), ("^fields: got None", dict(fields=None)),
    ("^fields: got .*pulse", dict(fields=applied.pulse((0, 1e-3), 1e-11)))])
def test_arguments_are_named(tmp_path, match, change):
    with pytest.raises((ValueError, TypeError), match=match):
        dataset.generate(**{"path": tmp_path / "set", "fields": applied.fan(2), "film": FILM, "duration": 2e-11, **change})
    assert not (tmp_path / "set").exists()


def test_numpys_numbers_and_partials(tmp_path, threads):
    options = dict(film=FILM, duration=2e-11, executor=threads, progress=False)
    dataset.generate(tmp_path / "set", applied.fan(2), seed=np.int64(3), accuracy=np.float32(1), **options)
    dataset.generate(tmp_path / "set", applied.fan(2), seed=3, accuracy=1.0, **options)
    dataset.generate(tmp_path / "other", applied.fan(2), solver=functools.partial(llg.simulate, accuracy=np.float32(2)), **options)
    single = options | dict(duration=np.float32(2e-11), every=np.float32(1e-11))
    data = dataset.generate(tmp_path / "single", applied.fan(2), **single)
    assert dataset.generate(tmp_path / "single", applied.fan(2), **single).attrs == data.attrs and len(dataset.trajectory(data, 1)) == 2


def odd_setting(field, film=None, start=None, duration=0, every=0, *, how=print, progress=True):
    raise AssertionError


def test_a_setting_that_the_manifest_cannot_hold_is_refused_first(tmp_path, threads):
    with pytest.raises(TypeError, match="^settings: got <built-in function print>, for which JSON has no place"):
        make(tmp_path / "set", threads, solver=odd_setting)
    assert not (tmp_path / "set").exists()


def test_masks_choose_runs(tmp_path, threads):
    data = make(tmp_path / "set", threads)
    mask = np.arange(6) % 2 == 1
    assert np.array_equal(dataset.states(data, mask), dataset.states(data, [1, 3, 5]))
    for part in ([0.7], mask[:3], ["1"]):
        with pytest.raises(ValueError, match="^part: got"):
            dataset.states(data, part)


@pytest.mark.parametrize("name", ["t", "field", "inside", "x"])
def test_coordinates_that_are_lost_or_damaged(tmp_path, threads, name):
    there = make(tmp_path / "set", threads).load()
    file = next(path for path in (tmp_path / "set" / name / "c").rglob("*") if path.is_file())
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    for damage, why in ((lambda: file.write_bytes(raw), "checksum"), (file.unlink, "a file is missing")):
        damage()
        for read in (load, check):
            with pytest.raises(ValueError, match=rf"set has lost its {name} \(.*{why}.*; run what made it again"):
                read(tmp_path / "set")
        before = stamps(tmp_path / "set", range(6))
        assert make(tmp_path / "set", threads).identical(there) and stamps(tmp_path / "set", range(6)) == before


def test_a_lost_field_is_not_taken_from_others(tmp_path, threads):
    make(tmp_path / "set", threads)
    shutil.rmtree(tmp_path / "set" / "field" / "c")
    for fields in (fan(6, seed=1), fan(7)):
        with pytest.raises(ValueError, match=r"set has lost its field \(a file is missing\), and its trajectories are not those of these"):
            generate(tmp_path / "set", fields, executor=threads, **SHORT)
    with pytest.raises(ValueError, match="has lost its field"):
        load(tmp_path / "set")


@pytest.mark.parametrize("name", ["field", "between"])
def test_one_of_many_files_of_a_coordinate_is_lost(tmp_path, threads, name, monkeypatch):
    create = zarr.Group.create_array
    monkeypatch.setattr(zarr.Group, "create_array", lambda self, name, **options: create(
        self, name, **options | ({"chunks": (2, 5, 3)} if name in ("field", "between") else {})))  # as of a large set
    there = driven(tmp_path / "set", threads).load()
    files = sorted(path for path in (tmp_path / "set" / name / "c").rglob("*") if path.is_file())
    assert len(files) == 4
    files[1].unlink()
    for read in (load, check):
        with pytest.raises(ValueError, match=rf"has lost its {name} \(a file is missing\)"):
            read(tmp_path / "set")
    assert driven(tmp_path / "set", threads).identical(there)


TWO = """
import sys, concurrent.futures
sys.path.insert(0, sys.argv[2])
from magbook import applied, dataset
from magbook.film import Film
if __name__ == "__main__":
    dataset.generate(sys.argv[1], applied.fan(int(sys.argv[3])), Film((64e-9, 32e-9, 3e-9), (16, 8)), duration=float(sys.argv[4]), workers=2)
"""


def script(tmp_path, root, fields, duration, text=TWO):
    (tmp_path / "script.py").write_text(text)
    return subprocess.Popen([sys.executable, tmp_path / "script.py", tmp_path / "set", root, str(fields), str(duration)],
                            stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_at_once_on_one_new_folder(tmp_path, root):
    both = [script(tmp_path, root, 6, 1e-10) for _ in range(2)]
    said = [process.communicate(timeout=100)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("another process is at work on" in one for one in said) == 1
    assert dataset.load(tmp_path / "set").sizes["run"] == 6


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_ctrl_c_twice_ends_it(tmp_path, root):
    process = script(tmp_path, root, 3000, 5e-9)
    until = time.monotonic() + 60
    while time.monotonic() < until and not any((tmp_path / "set").glob("m/c/*")):
        time.sleep(0.05)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.03)
    process.communicate(timeout=20)
    assert process.returncode != 0


@pytest.mark.slow
def test_a_script_without_a_main_guard_is_told_so(tmp_path, root):
    process = script(tmp_path, root, 2, 2e-11, TWO.replace('if __name__ == "__main__":\n    ', ""))
    said = process.communicate(timeout=100)[1]
    assert process.returncode == 1 and said.count("Traceback") <= 2 and 'if __name__ == "__main__":' in said
    assert len(said.splitlines()) < 40


# ---------------------------------------------------------------------------- a run in the place of another


def test_files_that_change_places_are_noticed_and_mended(tmp_path, threads):
    there = make(tmp_path / "set", threads)["m"].values
    one, other = chunk(tmp_path / "set", 1), chunk(tmp_path / "set", 4)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    assert check(tmp_path / "set") == {"complete": [0, 2, 3, 5], "missing": [], "damaged": [1, 4]}
    data = load(tmp_path / "set")
    for read in (lambda: dataset.trajectory(data, 1), lambda: dataset.trajectory(data, -2), lambda: dataset.states(data, [0, 4], every=2)):
        with pytest.raises(ValueError, match="run (1|-2|4) of the data set can't be read .*another field.*make it anew"):
            read()
    assert np.array_equal(make(tmp_path / "set", threads)["m"].values, there)
    assert check(tmp_path / "set")["damaged"] == []


def test_a_set_of_an_older_version_has_no_such_checksums_and_is_read(tmp_path, threads):
    there = make(tmp_path / "set", threads)["m"].values
    shutil.rmtree(tmp_path / "set" / "checksum")
    chunk(tmp_path / "set", 2).unlink()
    assert check(tmp_path / "set") == {"complete": [0, 1, 3, 4, 5], "missing": [2], "damaged": []}
    data = make(tmp_path / "set", threads)
    assert np.array_equal(data["m"].values, there) and len(dataset.states(data, 2)) == 4


# ---------------------------------------------------------------------------- odd solvers and executors


def cut(field, **arguments):
    run = llg.simulate(field, **arguments)
    return magbook.Trajectory(run.t[:-1], run.m[:-1], run.field, run.film)


def not_finite(field, **arguments):
    run = llg.simulate(field, **arguments)
    run.m[2, 0, 0, 0] = np.nan
    return run


@pytest.mark.parametrize("solver, says", [
    (lambda field, **arguments: 3, "field 0.*could not be computed: the solver gave 3, which is no Trajectory"),
    (not_finite, "field 0.*the solver gave states that are not finite"), (cut, r"field 0: the solver gave states of shape \(3, 8, 16, 3\); \(4, 8, 16, 3\)")])
def test_what_an_odd_solver_gives_is_not_stored(tmp_path, threads, solver, says):
    with pytest.raises(RuntimeError, match=says):
        make(tmp_path / "set", threads, n=1, solver=solver)
    assert check(tmp_path / "set")["missing"] == [0]


class Odd:
    """Looks like an executor."""

    submit = staticmethod(lambda function, *arguments: function(*arguments))


@pytest.mark.parametrize("name, value", [("executor", Odd()), ("executor", "dask"), ("executor", concurrent.futures.ThreadPoolExecutor), ("solver", print),
                                         ("solver", lambda field: None), ("solver", "llg"), ("seed", -1), ("workers", True)])
def test_odd_solvers_and_executors_are_named(tmp_path, name, value):
    with pytest.raises((ValueError, TypeError), match=f"^{name}: "):
        generate(tmp_path / "set", fan(1), **SHORT | {name: value})
