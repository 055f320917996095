"""The data set: a fan of applied fields, one trajectory for each, on disk. Chapter 2 introduces it."""

import concurrent.futures
import contextlib
import errno
import inspect
import json
import multiprocessing
import os
import pickle
import signal
import threading
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from numpy.typing import ArrayLike

from . import applied, llg
from ._arguments import array, check_counts, choice, listed, said
from ._progress import bar
from .applied import Field
from .files import alone, as_json, as_path, cache
from .film import Film, check_memory
from .trajectory import Trajectory

if TYPE_CHECKING:  # it and zarr take half a second, and the processes that compute need neither
    import xarray as xr

SCALE = 32767
"""States are stored as whole numbers of 16 bits, m = stored/SCALE: off by at most 1.5e-5, where float16, of the same
size, is off by up to 2.4e-4."""

SETS: dict[str, dict[str, Any]] = {"paper": {"n": 200}, "small": {"n": 20}, "large": {"n": 1000},
        "blade": {"n": 200, "seed": 2020, "angle": 186.0, "opening": 14.0},
        "driven": {"n": 600, "seed": 2021, "duration": 4e-9},
        "reversals": {"n": 400, "seed": 2023, "duration": 4e-9, "kinds": ["reversal"]},
        "kicks": {"n": 400, "seed": 2024, "duration": 4e-9, "kinds": ["kick"]}}
"""Named data sets, as arguments of `applied.fan`: the paper's 200 fields, its first 20, five times as many, of which the first are
the paper's, and 200 more where 360 degree walls are made. And of `applied.driven`: fields in time,
on the film `COARSE`, of every kind, those that turn it over, and those that are over before it has followed."""

COARSE = Film(cells=(128, 32))
"""Standard problem 4's film in a quarter of the cells, where 4 ns take a second."""

# ---------------------------------------------------------------------------- how runs are split


def split(n: int) -> dict[str, np.ndarray]:
    """Split n fields 8:1:1: {"train", "validation", "test"} -> indices. Of 200: 160, 20 and 20.

    By field: all states of a test field are unseen. Of every ten fields the ninth validates and the tenth tests,
    so a field keeps its part when a data set grows. The fields are random, so their order carries nothing.
    """
    check_counts(0, n=n)
    check_memory(16 * n, "n: so many indices")
    i = np.arange(n)
    return {"train": i[i % 10 < 8], "validation": i[i % 10 == 8], "test": i[i % 10 == 9]}


def split_states(n: int, nt: int, seed: int = applied.SEED) -> dict[str, np.ndarray]:
    """The split that flatters: n * nt single states at random, 8:1:1, as pairs of indices (k, 2) of field and time.

    Neighbours in time of nearly every test state are then in the training set. Offered for that lesson; chapter 2.
    """
    check_counts(n=n, nt=nt)
    check_counts(0, seed=seed)
    check_memory(32 * n * nt, "n, nt: so many pairs")
    pairs = np.stack(np.divmod(np.random.default_rng(seed).permutation(n * nt), nt), axis=1)
    a, b = round(0.8 * n * nt), round(0.9 * n * nt)
    return {"train": pairs[:a], "validation": pairs[a:b], "test": pairs[b:]}


# ---------------------------------------------------------------------------- making it


def generate(path: str | Path, fields: Iterable[Field], film: Film = Film(), *, duration: float = 1e-9, every: float = 1e-11,
             solver: Callable = llg.simulate, executor: concurrent.futures.Executor | None = None, workers: int | None = None,
             seed: int | None = None, progress: bool = True, **settings: Any) -> "xr.Dataset":
    """Compute one trajectory for each field, in parallel, into a Zarr store; returns it as `load` does.

    Whatever is there already, whole and undamaged, is kept, and what was lost or damaged is made anew: a run that was stopped or killed resumes. Each trajectory
    is one file that appears when it is complete, so that a kill loses only what was being computed.
    path: the folder. fields: (n, 2) or (n, 3), mu0*H in T; or a list that holds functions of t in s too, such as the signals of
    `applied`, which other processes must be able to import. film, duration, every: as `llg.simulate` takes them;
    the common start, the film's S-state, is not stored. settings: more arguments of the solver (accuracy, precision).
    solver: `llg.simulate`, `fidimag.simulate`, or anything with these arguments.
    executor: a `concurrent.futures.Executor` to run on, such as `dask.distributed.Client().get_executor()` or
        `mpi4py.futures.MPIPoolExecutor()`; by default one process on each core, or `workers` of them.
    seed: what the fields were drawn with. The store's attribute `manifest` records it, with the film, the solver, its
        settings and the version of magbook.
    Raises ValueError or TypeError for bad arguments, and where the folder holds a data set with other settings or
    something else; OSError if the disk is full, RuntimeError naming the field where the solver fails. Everything that was
    complete stays in place.
    """
    from . import __version__  # the package imports this module

    if getattr(multiprocessing.current_process(), "_inheriting", False):
        os._exit(1)  # a worker runs the main script again because that has no main guard: the parent says so
    settings = {name: value.item() if isinstance(value, np.generic) else value for name, value in settings.items()}
    path = as_path(path)
    if workers is not None:
        check_counts(workers=workers)
        workers = int(workers)
    if seed is not None:
        check_counts(0, seed=seed)
    if not callable(solver):
        raise TypeError(f"solver: got {said(solver)}; a function such as llg.simulate is needed")
    if not (executor is None or callable(getattr(executor, "submit", None)) and not isinstance(executor, type)):
        raise TypeError(f"executor: got {said(executor)}; a concurrent.futures.Executor is needed")
    what = "an array (n, 2) or (n, 3) in T, or a list of fields,"
    if callable(fields):
        raise TypeError(f"fields: got {said(fields)}; {what} is needed")
    fields = [b if callable(b) else applied.vector(b) for b in listed("fields", fields, what)]
    if not fields:
        raise ValueError("fields: there is none; an array (n, 2) or (n, 3) in T is needed")
    driven = any(map(callable, fields))
    for i, b in enumerate(fields):
        if callable(b):
            try:
                pickle.dumps(b)
            except Exception as error:  # of several kinds
                raise TypeError(f"fields: field {i}, {b!r}, cannot be sent to another process ({error}); use a signal of "
                                "`applied`, or a function at the top of a module") from error
    # Checks the arguments before any process starts. The start is made here once, not in every process.
    t, *_, start = llg.check_run(fields[0], film, None, duration, every, settings.get("accuracy", 1.0),
                                 settings.get("precision", "single"))
    duration, every = float(duration), float(every)
    # constant fields are stored once, fields in time at the time of each state
    stored = np.stack([applied.sample(b, t[1:] if driven else t[:1]) for b in fields])
    between = np.stack([applied.means(b, t) for b in fields]) if driven else None
    arguments = dict(film=film, start=start, duration=duration, every=every, **settings)
    try:
        inspect.signature(solver).bind(fields[0], progress=False, **arguments)
    except (TypeError, ValueError) as error:  # a setting that it does not know; a function that does not say what it takes
        raise TypeError(f"solver: {_name(solver)} does not take the arguments of llg.simulate and these settings: {error}") from error
    defaults = {name: p.default for name, p in inspect.signature(solver).parameters.items()
                if p.kind is p.KEYWORD_ONLY and name != "progress"}
    manifest = {"film": film.describe(), "duration": duration, "every": every,
                "solver": _name(solver), "settings": defaults | settings,
                "seed": None if seed is None else int(seed), "version": __version__} | ({"signals": [applied.describe(b) for b in fields]} if driven else {})
    try:
        manifest = json.loads(as_json(manifest))
    except TypeError as error:
        raise TypeError(f"settings: {error}; numbers, texts and lists of them are needed, which the manifest can hold") from error
    with alone(path):
        return _fill(path, solver, fields, film, stored if driven else stored[:, 0], between, t[1:], manifest, arguments, executor, workers, progress)


def _fill(path, solver, fields, film, stored, between, t, manifest, arguments, executor, workers, progress):
    """Compute what the store lacks, and load it."""
    with _room(path, "the data set could not be created"):
        store = _create(path, manifest, film, stored, between, t)
    m, checksum = store["m"], store.get("checksum")  # a set of an older version has none
    for partial in path.glob("**/*.partial"):  # what a kill left of a write
        partial.unlink()
    state = check(path)
    todo = state["missing"] + state["damaged"]
    check_memory(4 * m.nbytes // len(fields) * (workers or joblib.cpu_count()), "Computing trajectories in parallel")
    complete = len(state["complete"])
    # closing: whatever ends the loop ends the workers too
    with (_one_interrupt(), contextlib.closing(_compute(solver, fields, todo, arguments, executor, workers)) as computed,
          bar(total=len(fields), initial=complete, desc="LLG", unit="field", show=progress) as done):
        for i, states in computed:
            if states.shape != m.shape[1:]:
                raise RuntimeError(f"field {i}: the solver gave states of shape {states.shape}; {m.shape[1:]} is needed")
            with _room(path, f"field {i} could not be written, {complete} of {len(fields)} are complete"):
                if checksum is not None:
                    checksum[i] = _checksum(states, store["field"][i])
                m[i] = states  # last: it says that the run is complete
            complete += 1
            done.update()
    return load(path)


@contextlib.contextmanager
def _room(path, what):
    """Says of a full disk which data set it stopped, and what of it."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(error.errno, f"the disk is full: {what}; free some space and run the same again", str(path)) from error


@contextlib.contextmanager
def _one_interrupt():
    """The first Ctrl-C interrupts; while what it leaves is tidied up, another is not heard."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT) or signal.default_int_handler

    def once(*_):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _name(solver):
    inner = getattr(solver, "func", solver)  # of a functools.partial
    return f"{getattr(inner, '__module__', None)}.{getattr(inner, '__qualname__', type(inner).__qualname__)}"


def _create(path, manifest, film, fields, between, t):
    """A new store, or the one that is there, if it has the same manifest."""
    import zarr

    if (path / "zarr.json").exists():
        store = zarr.open_group(path, mode="r+")
        if "manifest" not in store.attrs:
            raise ValueError(f"{path} holds something other than a data set; give another folder")
        there = store.attrs["manifest"]  # None if the store was never finished being created
        # the fields are compared themselves, and a new version does not make old trajectories wrong
        compared = [k for k in manifest if k not in ("seed", "version")]
        other = [k for k in compared if there and manifest[k] != there.get(k)]
        lost = _lost(store) if there else {}
        if "field" in lost and not other and not _computed_with(store, fields):
            raise ValueError(f"{path} has lost its field ({lost['field']}), and its trajectories are not those of these fields; "
                             "give those that it was made with, or another folder")
        # up to the last digit: Sobol's numbers differ there where a processor multiplies and adds at once
        if there and "field" not in lost and not (
                store["field"].shape == fields.shape and np.allclose(store["field"][:], fields, rtol=1e-12, atol=1e-15)):
            other.append("fields")
        if other:
            raise ValueError(f"{path} holds a data set that differs in {', '.join(other)}; "
                             "give another folder, or delete this one to start anew")
        if there:
            _write_coordinates(store, film, fields, between, t, lost)
            return store
    elif path.exists() and any(p.suffix != ".partial" for p in path.iterdir()):
        raise ValueError(f"{path} is not empty and holds no data set; give another folder")
    store = zarr.create_group(path, overwrite=True, attributes={"manifest": None})
    shape = (len(fields), len(t), film.ny, film.nx, 3)
    dimensions = ("run", "t", "y", "x", "component")
    store.create_array(
        "m", shape=shape, chunks=(1, *shape[1:]), dtype="int16", dimension_names=dimensions,
        compressors=[zarr.codecs.BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"), zarr.codecs.Crc32cCodec()],
        attributes={"scale_factor": 1 / SCALE, "long_name": "magnetization / Ms", "units": "1"})
    _write_coordinates(store, film, fields, between, t)
    store.create_array("checksum", shape=(len(fields),), chunks=(1,), dtype="int64", fill_value=-1, dimension_names=("run",),
                       compressors=[zarr.codecs.Crc32cCodec()], attributes={"long_name": "CRC-32 of the states of a run, after its field"})
    store.attrs["manifest"] = manifest
    return store


def _write_coordinates(store, film, fields, between, t, only=None):
    """What a data set holds beside its states. only: those that were lost, to be written anew."""
    import zarr

    names = ("run", "t", "component") if fields.ndim == 3 else ("run", "component")
    coordinates = {"field": (fields, names, "T", "applied field mu0 H"), "t": (t, ("t",), "s", "time"),
                   "y": (film.y, ("y",), "m", "y"), "x": (film.x, ("x",), "m", "x"),
                   "inside": (film.inside, ("y", "x"), None, "where there is magnetic material")}
    if between is not None:
        coordinates["between"] = (between, names, "T", "applied field mu0 H, its mean over the interval that ends at t")
    whole = {"write_empty_chunks": True}  # so that a file that is missing was lost
    for name, (values, names, units, long_name) in coordinates.items():
        if only is None or name in only:
            store.create_array(name, data=values, dimension_names=names, compressors=[zarr.codecs.Crc32cCodec()], config=whole, overwrite=True,
                               attributes=({"units": units} if units else {}) | {"long_name": long_name})


def _lost(store):
    """Which coordinates of a store can't be read whole -> why."""
    lost = {}
    for name in sorted({"field", "t", "y", "x", "inside", *store.array_keys()} - {"m", "checksum"}):
        try:
            values = store[name]
            if values.nchunks_initialized < values.nchunks:  # Zarr would read zeros
                raise FileNotFoundError("a file is missing")
            values[...]
        except Exception as error:  # each codec raises its own kind
            lost[name] = str(error)
    return lost


def _check_coordinates(path, store):
    if lost := _lost(store):
        raise ValueError(f"{path} has lost its {', '.join(f'{name} ({why})' for name, why in lost.items())}; "
                         "run what made it again, with the same fields, which writes it anew")


def _computed_with(store, fields):
    """Whether the trajectories of a store are those of these fields: all that are there and whole, by their checksums."""
    m, checksum = store["m"], store.get("checksum")
    if checksum is None or m.shape[0] != len(fields):
        return False
    for i, field in enumerate(fields):
        try:
            known, states = checksum[i], m[i]
        except Exception:  # a damaged one says nothing
            continue
        if known not in (-1, _checksum(states, field)):
            return False
    return True


def _checksum(states, field):
    """Of the states of a run as they are stored, and of its field, so that files that change places are noticed."""
    return zlib.crc32(np.ascontiguousarray(states), zlib.crc32(np.ascontiguousarray(field)))


def _compute(solver, fields, todo, arguments, executor, workers):
    """Yield (index, stored states) as they are ready, with a bounded number of them waiting in memory."""
    own = executor is None
    if own:
        # "spawn": a fork of a process with threads, as a notebook's is, can hang
        # joblib counts the cores that this process may use, in a container too
        executor = concurrent.futures.ProcessPoolExecutor(workers or joblib.cpu_count(), initializer=_begin_worker,
                                                          mp_context=multiprocessing.get_context("spawn"))
    todo, running = list(todo), {}
    try:
        while todo or running:
            most = 2 * max(16, _workers_of(executor))  # at once: their results wait in memory
            while todo and len(running) < most:
                i = todo.pop(0)
                future = executor.submit(_states, solver, fields[i], arguments)
                if not isinstance(future, concurrent.futures.Future):
                    raise TypeError(f"executor: its submit gave {said(future)}; a concurrent.futures.Future is needed")
                running[future] = i
            done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                i = running.pop(future)
                try:
                    states = future.result()
                except concurrent.futures.BrokenExecutor as error:
                    raise RuntimeError("a process that computed trajectories was killed (too little memory?); "
                                       "what is complete is kept, run the same again. In a script, call generate under "
                                       "`if __name__ == \"__main__\":`") from error
                except Exception as error:
                    which = repr(fields[i]) if callable(fields[i]) else f"mu0*H = {fields[i].tolist()} T,"
                    raise RuntimeError(f"field {i}, {which} could not be computed: {error}; "
                                       "what is complete is kept") from error
                yield i, states
    except BaseException:
        if own:  # nothing is worth waiting for
            for process in list((executor._processes or {}).values()):
                process.kill()
        raise
    finally:
        for future in running:
            future.cancel()
        if own:
            executor.shutdown(cancel_futures=True)


def _workers_of(executor):
    """How many workers an executor has, 0 if it does not tell. Those of a dask cluster may become more."""
    if hasattr(client := getattr(executor, "_client", None), "nthreads"):
        return sum(client.nthreads().values())
    return getattr(executor, "_max_workers", None) or 0


def _states(solver, field, arguments):
    """One trajectory as it is stored, (nt, ny, nx, 3) int16, without its start. Runs in another process."""
    run = solver(field, progress=False, **arguments)
    if not hasattr(run, "m"):
        raise TypeError(f"the solver gave {said(run)}, which is no Trajectory")
    if not np.isfinite(run.m).all():
        raise FloatingPointError("the solver gave states that are not finite")
    return np.rint(run.m[1:] * np.float32(SCALE)).astype(np.int16)


def _begin_worker():
    """Ctrl-C is the parent's to answer, and a worker whose parent was killed would wait for work for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


# ---------------------------------------------------------------------------- reading it


def check(path: str | Path) -> dict[str, list[int]]:
    """Read every trajectory of a data set: {"complete", "missing", "damaged"} -> lists of field indices.

    A checksum (CRC-32C) in each file tells a damaged one, and another one that belongs to another field. Raises FileNotFoundError where there
    is no data set, ValueError where it has lost something other than states, such as its times, or that is damaged.
    """
    import zarr

    path = _existing(path)
    store = zarr.open_group(path, mode="r")
    _check_coordinates(path, store)
    m, checksum = store["m"], store.get("checksum")
    state = {"complete": [], "missing": [], "damaged": []}
    for i in range(m.shape[0]):
        if not states_file(path, i).exists():
            state["missing"].append(i)
            continue
        try:
            states = m[i]
            whole = checksum is None or checksum[i] == _checksum(states, store["field"][i])
        except Exception:  # each codec raises its own kind at bytes that it can't decode
            whole = False
        state["complete" if whole else "damaged"].append(i)
    return state


def load(name: str | Path) -> "xr.Dataset":
    """A data set as an `xarray.Dataset`: m (run, t, y, x, component), field (run, component), t, y, x, inside.

    The field of a set with fields in time is (run, t, component), at the time of each state, and `between`, of the same shape,
    its mean over the interval that ends there.

    States are read from the disk when they are used. name: a folder that `generate` filled; or "paper", the paper's
    200 fields (made by `python -m magbook generate`), or "small", its first 20, made here on first use (under a minute), or
    another of `SETS` (made by `python -m magbook generate --set`).
    Raises FileNotFoundError where there is none, ValueError where it is not complete, or what it holds beside states is lost or damaged.
    """
    import xarray as xr
    import zarr

    path = as_path(name, "name")
    if isinstance(name, str) and name in SETS:
        path = cache() / name
    if name == "small" and not all(states_file(path, i).exists() for i in range(SETS[name]["n"])):
        generate_named(name)
    path = _existing(path)
    _check_coordinates(path, zarr.open_group(path, mode="r"))
    data = xr.open_zarr(path, chunks=None, consolidated=False)
    missing = [i for i in range(data.sizes["run"]) if not states_file(path, i).exists()]
    if missing:  # Zarr would read them as zeros
        raise ValueError(f"{path} is not complete: {len(missing)} of {data.sizes['run']} trajectories are missing; "
                         "run what made it again, and it resumes")
    return data


def generate_named(name: str, **options: Any) -> "xr.Dataset":
    """Make, or complete, one of `SETS` in the cache folder. options: as `generate` takes."""
    if not (isinstance(name, str) and name in SETS):
        raise ValueError(f"name: got {said(name)}; one of {', '.join(SETS)} is needed")
    if "duration" in SETS[name]:
        options = {"film": COARSE, "duration": SETS[name]["duration"]} | options
    return generate(cache() / name, fields(name), seed=SETS[name].get("seed", applied.SEED), **options)


def fields(name: str) -> Any:
    """The fields of one of `SETS`: (n, 3) in T, or a list of signals."""
    options = SETS[choice("name", name, *SETS)]
    return applied.driven(**options) if "duration" in options else applied.fan(**options)


def trajectory(data: "xr.Dataset", run: int) -> Trajectory:
    """One run of a data set as a `Trajectory`. data: from `load`. run: its index."""
    _check_data(data)
    if not (isinstance(run, (int, np.integer)) and -data.sizes["run"] <= run < data.sizes["run"]):
        raise ValueError(f"run: got {said(run)}; the data set has {data.sizes['run']}, counted from 0")
    film = Film(**(data.attrs["manifest"]["film"] | {"mask": data["inside"].values}))
    m = _read(data, run).astype(np.float32)
    return Trajectory(data["t"].values, m, data["field"][run].values, film, {"solver": "data set", "run": int(run)})


def states(data: "xr.Dataset", part: str | int | Iterable[int] = "train", every: int = 1) -> np.ndarray:
    """The states of one part of a data set, in memory, for training: (n, ny, nx, 3) int16, `SCALE` times m.

    data: from `load`. part: "train", "validation" or "test", split by field (`split`), or the indices of runs, or a
    boolean array (run,). every: 2 takes each second state in time, and so on. All 16,000 training states of the paper's set take 1.6 GB.
    Raises ValueError, naming the argument, or the run that can't be read.
    """
    n = _check_data(data)
    try:
        runs = np.atleast_1d(split(n).get(part, []) if isinstance(part, str) else part)
    except ValueError:  # lists of different lengths
        runs = np.array([])
    if runs.dtype.kind == "b" and runs.shape == (n,):
        runs = np.flatnonzero(runs)
    if not len(runs) or runs.ndim != 1 or runs.dtype.kind not in "iu" or not all(-n <= i < n for i in runs):
        raise ValueError(f"part: got {said(part)}; 'train', 'validation', 'test' or indices of runs, of which there are {n}, "
                         "are needed")
    check_counts(every=every)
    every = int(every)
    check_memory(2 * len(runs) * data["m"][0].size // every, "Loading states")
    m = np.empty((len(runs), *data["m"][0, ::every].shape), np.int16)
    for k, i in enumerate(runs):
        m[k] = _whole_numbers(_read(data, int(i))[::every])
    return m.reshape(-1, *m.shape[2:])


def _check_data(data):
    """How many runs a data set has."""
    import xarray as xr

    if not (isinstance(data, xr.Dataset) and "run" in data.sizes):
        raise TypeError(f"data: got {said(data)}; what `load` returns is needed")
    return data.sizes["run"]


def _read(data, i):
    """The states of run i, (nt, ny, nx, 3), as xarray decodes them."""
    try:
        m = data["m"][i].values
        made = data.attrs["manifest"]
        whole = (round(made["duration"] / made["every"]), *made["film"]["cells"][::-1], 3)
        if "checksum" in data and m.shape == whole and int(data["checksum"][i]) != _checksum(_whole_numbers(m), data["field"][i].values):
            raise ValueError("its states are those of another field")
    except Exception as error:
        raise ValueError(f"run {i} of the data set can't be read ({error}); make it anew: `generate` with the same "
                         "arguments finds and replaces it") from error
    return m


def _whole_numbers(m):
    """States as they are stored; of those that xarray has decoded this is exact."""
    return np.rint(m * SCALE).astype(np.int16)


def decoded(states: ArrayLike) -> np.ndarray:
    """States as they are, or as float32 where they come in the 16-bit whole numbers of a data set."""
    states = array("states", states)
    return states * np.float32(1 / SCALE) if states.dtype == np.int16 else states


def as_float(states: ArrayLike) -> np.ndarray:
    """States as float32, whether they come as floats or as a data set stores them, in 16-bit whole numbers."""
    return decoded(states).astype(np.float32, copy=False)


def states_file(path: str | Path, i: int) -> Path:
    """The file that holds the states of run i of a data set: there once it is complete."""
    return as_path(path) / "m" / "c" / str(i) / "0" / "0" / "0" / "0"


def _existing(path):
    import zarr

    path = as_path(path)
    if not (path / "zarr.json").exists() or not zarr.open_group(path, mode="r").attrs.get("manifest"):
        raise FileNotFoundError(f"{path} holds no data set; `python -m magbook generate` makes the paper's")
    return path
