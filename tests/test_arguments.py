"""Whatever a caller passes: an answer, or an error that names the argument, and soon.

A table of public functions, each with a call that is right. In it each argument in turn is replaced by each of many bad values.
"""

import contextlib
import re
import signal
import warnings
from pathlib import Path

import numpy as np
import pytest

import magbook as mb
from magbook import applied, baselines, dataset, files, llg, metrics, modes, ovf, pca, sp4
from magbook.film import Film, check_memory, unit
from magbook.trajectory import Trajectory

FILM = Film((40e-9, 20e-9, 5e-9), (8, 4))
SECONDS = 5.0  # that a call may take

BAD = {"None": None, "text": "x", "no text": "", "bytes": b"x", "nan": np.nan, "inf": np.inf, "minus inf": -np.inf, "-1": -1, "0": 0,
       "1": 1, "2": 2, "half": 0.5, "1e-30": 1e-30, "1e300": 1e300, "2**70": 2**70, "complex": 1j, "True": True, "object": object(),
       "class": Film, "module": np, "function": lambda *a, **k: "x", "dict": {}, "dict of text": {"a": "x"}, "set": {1.0, 2.0},
       "empty list": [], "list of one": [1], "list of text": ["x", "y"], "list of None": [None, None], "ragged": [[1.0], [1.0, 2.0]],
       "pair of nan": (np.nan, 0.0), "pair of inf": (np.inf, 0.0), "pair of texts": ("1", "2"), "pair": (-1.0, 2.0), "seven": np.arange(7.0),
       "empty array": np.array([]), "wrong shape": np.zeros((2, 3, 7)), "state of nan": np.full((4, 8, 3), np.nan),
       "one state": np.broadcast_to([1.0, 0, 0], (4, 8, 3)), "states of nan": np.full((3, 4, 8, 3), np.nan), "array of text": np.array(["a"]),
       "array of objects": np.array([None, {}], object), "float32 nan": np.float32("nan"), "int64": np.int64(-3), "uint8": np.uint8(200),
       "booleans": np.array([True, False]), "complex array": np.ones(3, complex), "huge whole numbers": np.array([2**62, -2**62]),
       "path": Path("nowhere/at/all"), "zero-dimensional": np.array(3.0), "range": range(3), "exception": ValueError("x")}


class Late(BaseException):
    """A call took too long."""


def late(*_):
    raise Late


@contextlib.contextmanager
def seconds(limit):
    """Raise `Late` in a block that takes longer."""
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fault(function, arguments, name, value, nouns=()):
    """What is wrong with the answer to a bad value: a text, or None."""
    try:
        with seconds(SECONDS), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            function(**arguments | {name: value})
    except (ValueError, TypeError, FileNotFoundError, MemoryError) as error:
        if not re.search(rf"\b({'|'.join([name, *nouns])})\b", str(error)):
            return f"{type(error).__name__} does not name it: {error}"
    except Late:
        return f"took longer than {SECONDS:g} s"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def example(nt=3):
    m = np.random.default_rng(1).standard_normal((nt, FILM.ny, FILM.nx, 3))
    return Trajectory(np.arange(nt) * 1e-11, unit(m).astype(np.float32), (-0.02, 0.01), FILM)


RUN = example()
OTHER = example()
M = RUN.m[1].astype(float)
FIELDS = applied.fan(6)
QUICK = dict(progress=False)
STEP = dict(duration=2e-12, every=1e-12)


def stored(folder):
    """A small data set."""
    data = folder / "set"
    with contextlib.closing(mb.dataset.concurrent.futures.ThreadPoolExecutor(1)) if False else contextlib.nullcontext():
        import concurrent.futures
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            return dataset.generate(data, FIELDS[:3], FILM, executor=executor, progress=False, **STEP)


def calls(folder):
    """{name: (function, valid arguments)}"""
    data = stored(folder)
    RUN.save(folder / "run.npz")
    RUN.to_ovf(folder / "ovf")
    ovf_file = folder / "ovf" / "m000001.ovf"
    found = modes.find(FILM, k=2)
    basis = pca.fit(np.random.default_rng(2).standard_normal((6, 4, 8, 3)).astype(np.float32), 2)
    wave = dict(fields=FIELDS, values=np.arange(6.0))
    return {
        "vector": (applied.vector, dict(field=(0.1, 0.2))),
        "from_polar": (applied.from_polar, dict(strength=[0.1, 0.2], direction=[3.0, 4.0])),
        "to_polar": (applied.to_polar, dict(fields=FIELDS)),
        "sample": (applied.sample, dict(field=(0.1, 0), t=[0.0, 1e-12])),
        "fan": (applied.fan, dict(n=3, seed=1, angle=180.0, opening=40.0, strength=(0.01, 0.02), sampling="random")),
        "sobol": (applied.fan, dict(n=3, seed=1, angle=180.0, opening=40.0, strength=(0.01, 0.02), sampling="sobol")),
        "step": (applied.step, dict(field=(0.1, 0), at=1e-12, rise=1e-12, before=(0, 0))),
        "pulse": (applied.pulse, dict(field=(0.1, 0), width=1e-11, at=1e-12, rise=1e-12, bias=(0, 0))),
        "ramp": (applied.ramp, dict(start=(0, 0), end=(0.1, 0), duration=1e-11, at=1e-12, back=True)),
        "piecewise": (applied.piecewise, dict(times=[0, 1e-12], fields=[(0, 0), (0.1, 0)])),
        "rotating": (applied.rotating, dict(strength=0.1, frequency=1e9, direction=0.0, bias=(0, 0))),
        "noise": (applied.noise, dict(strength=0.1, duration=1e-9, cutoff=3e9, seed=0, bias=(0, 0))),
        "describe": (applied.describe, dict(field=(0.1, 0))),
        "Film": (Film, dict(size=(4e-8, 2e-8, 5e-9), cells=(8, 4), Ms=8e5, A=1.3e-11, alpha=0.02, gamma0=2.211e5, mask=None)),
        "state": (FILM.state, dict(m=M)),
        "unit": (unit, dict(m=M)),
        "check_memory": (check_memory, dict(needed=1.0)),
        "exchange_field": (llg.exchange_field, dict(m=M, film=FILM)),
        "demag_field": (llg.demag_field, dict(m=M, film=FILM)),
        "effective_field": (llg.effective_field, dict(m=M, film=FILM, field=(0, 0))),
        "energies": (llg.energies, dict(m=M, film=FILM, field=(0, 0))),
        "llg": (llg.llg, dict(m=M, h=M, film=FILM)),
        "max_torque": (llg.max_torque, dict(m=M, film=FILM, field=(0, 0))),
        "simulate": (llg.simulate, dict(field=(0.01, 0), film=FILM, start=(1, 0.2, 0), duration=2e-12, every=1e-12, accuracy=1.0,
                                        precision="single", **QUICK)),
        "relax": (llg.relax, dict(film=FILM, field=(0, 0), start=(1, 0.2, 0), torque=1e-4, iterations=1000, **QUICK)),
        "s_state": (llg.s_state, dict(film=FILM, **QUICK)),
        "reference": (sp4.reference, dict(name="fidimag", field=1)),
        "Trajectory": (Trajectory, dict(t=RUN.t, m=RUN.m, field=RUN.field, film=FILM, info={})),
        "at": (RUN.at, dict(t=1e-11)),
        "save": (RUN.save, dict(path=folder / "other.npz")),
        "load": (Trajectory.load, dict(path=folder / "run.npz")),
        "to_ovf": (RUN.to_ovf, dict(folder=folder / "ovf2", representation="text")),
        "from_ovf": (Trajectory.from_ovf, dict(paths=folder / "ovf", field=(0, 0), Ms=8e5, A=1e-11, alpha=0.1)),
        "ovf.write": (ovf.write, dict(path=folder / "a.ovf", m=M, cell=(1e-9, 1e-9, 1e-9), time=0.0, title="m", representation="text")),
        "ovf.read": (ovf.read, dict(path=ovf_file)),
        "is_magnetization": (ovf.is_magnetization, dict(path=ovf_file)),
        "split": (dataset.split, dict(n=10)),
        "split_states": (dataset.split_states, dict(n=3, nt=4, seed=1)),
        "generate": (dataset.generate, dict(path=folder / "set", fields=FIELDS[:3], film=FILM, solver=llg.simulate, executor=None, workers=1,
                                            seed=1, progress=False, accuracy=1.0, precision="single", **STEP)),
        "generate_named": (dataset.generate_named, dict(name="small", workers=0)),
        "check": (dataset.check, dict(path=folder / "set")),
        "dataset.load": (dataset.load, dict(name=folder / "set")),
        "trajectory": (dataset.trajectory, dict(data=data, run=0)),
        "states": (dataset.states, dict(data=data, part=[0], every=1)),
        "decoded": (dataset.decoded, dict(states=M)),
        "as_float": (dataset.as_float, dict(states=M)),
        "states_file": (dataset.states_file, dict(path=folder, i=0)),
        "compare": (metrics.compare, dict(run=RUN, reference=OTHER, rom=None)),
        "film_average_error": (metrics.film_average_error, dict(mean=RUN.mean, reference=RUN.mean)),
        "first_zero": (metrics.first_zero, dict(t=RUN.t, values=np.array([1, 0.5, -1]))),
        "switching_time": (metrics.switching_time, dict(t=RUN.t, mx=np.array([1, 0.5, -1]), level=-0.5)),
        "relative_l2": (metrics.relative_l2, dict(m=RUN.m, reference=RUN.m, axis=(-4, -3, -2, -1))),
        "split_l2": (metrics.split_l2, dict(m=RUN.m, reference=RUN.m, rom=None)),
        "angle_error": (metrics.angle_error, dict(m=RUN.m, reference=RUN.m)),
        "length_error": (metrics.length_error, dict(m=RUN.m)),
        "horizon": (metrics.horizon, dict(t=RUN.t, error=np.zeros(3), level=0.1)),
        "twist": (metrics.twist, dict(m=RUN.m)),
        "kind": (metrics.kind, dict(mx=np.array([1, 0.5, -1]), twist=np.zeros(3))),
        "metrics.energies": (metrics.energies, dict(run=RUN)),
        "energy_error": (metrics.energy_error, dict(energy=np.arange(3.0), reference=np.arange(3.0))),
        "energy_rises": (metrics.energy_rises, dict(energy=np.arange(3.0), tolerance=1e-4)),
        **{name: (method, wave) for name, method in baselines.METHODS.items()},
        "kernel ridge": (baselines.kernel_ridge, wave | dict(width=3.0, ridge=1e-2)),
        "spline_left_out": (baselines.spline_left_out, wave),
        "spline_coefficients": (baselines.spline_coefficients, wave | dict(values=np.zeros((6, 2)))),
        "weights": (baselines.weights, dict(method=baselines.mean, fields=FIELDS, new=FIELDS[:2])),
        "coordinates": (baselines.coordinates, dict(fields=FIELDS, name="fields", middle=180.0)),
        "a baseline": (baselines.spline(**wave), dict(new=FIELDS)),
        "find": (modes.find, dict(film=FILM, field=(0, 0), state=llg.s_state(FILM), k=2)),
        "amplitudes": (found.amplitudes, dict(v=M)),
        "decay": (found.decay, dict(alpha=0.02)),
        "modes.save": (modes.save, dict(modes=found, path=folder / "modes.npz")),
        "pca.fit": (pca.fit, dict(states=np.array(RUN.m), k=2)),
        "pca.encode": (basis.encode, dict(m=M, k=2)),
        "pca.decode": (basis.decode, dict(c=np.zeros(2), unit=True)),
        "atomic": (lambda path: files.atomic(path).__enter__(), dict(path=folder / "x")),
        "shipped": (files.shipped, dict(name="modes.npz")),
    }
