"""Whatever a caller passes: an answer, or an error that names the argument, and soon.

A table of public functions, each with a call that is right. In it each argument in turn is replaced by each of many bad values, and one
or two of them by what hypothesis draws.
"""

import concurrent.futures
import contextlib
import functools
import io
import itertools
import os
import pkgutil
import re
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from magbook import applied, baselines, course, dataset, demag, files, llg, metrics, modes, multirate, ovf, pca, sp4
from magbook.checks._check import Late, alarm
from magbook.film import Film, unit
from magbook.trajectory import Trajectory

FILM = Film((40e-9, 20e-9, 5e-9), (8, 4))
SECONDS = 5.0  # that a call may take

BAD = {"None": None, "text": "x", "no text": "", "bytes": b"x", "nan": np.nan, "inf": np.inf, "minus inf": -np.inf, "-1": -1, "0": 0,
       "1": 1, "2": 2, "half": 0.5, "1e-30": 1e-30, "1e300": 1e300, "2**70": 2**70, "complex": 1j, "True": True, "object": object(),
       "module": np, "function": lambda *a, **k: "x", "dict": {}, "dict of text": {"a": "x"}, "set": {1.0, 2.0},
       "empty list": [], "list of one": [1], "list of text": ["x", "y"], "list of None": [None, None], "ragged": [[1.0], [1.0, 2.0]],
       "pair of nan": (np.nan, 0.0), "pair of inf": (np.inf, 0.0), "pair of texts": ("1", "2"), "pair": (-1.0, 2.0), "seven": np.arange(7.0),
       "empty array": np.array([]), "wrong shape": np.zeros((2, 3, 7)), "state of nan": np.full((4, 8, 3), np.nan),
       "one state": np.broadcast_to([1.0, 0, 0], (4, 8, 3)), "states of nan": np.full((3, 4, 8, 3), np.nan), "array of text": np.array(["a"]),
       "array of objects": np.array([None, {}], object), "float32 nan": np.float32("nan"), "int64": np.int64(-3), "uint8": np.uint8(200),
       "booleans": np.array([True, False]), "complex array": np.ones(3, complex), "huge whole numbers": np.array([2**62, -2**62]),
       "path": Path("nowhere/at/all"), "zero-dimensional": np.array(3.0), "range": range(3), "exception": ValueError("x")}


# What an error may name instead: what an argument is, or what it does not go with.
NOUNS = {"m": ["state"], "reference": ["energy", "m"], "times": ["t"], "run": ["trajectories"], "history": ["histories"], "t": ["m", "values", "mx", "error", "latents"], "mx": ["twist"], "fields": ["field", "values"],
         "name": ["manifest", "reference", "workers"], "field": ["state", "reference"], "accuracy": ["settings"], "precision": ["settings"], "seed": ["settings", "folder"], "only": ["folder"], "book": ["folder"],
         "patterns": ["start"], "film": ["m", "start", "state"], "paths": ["OVF", "t"], "latent": ["c"], "c": ["validation"], "basis": ["c", "m"],
         "states": ["validation", "shape"], "signal": ["field"], "latents": ["validation", "start"], "amplitudes": ["patterns"], "duration": ["cutoff"], "every": ["duration", "slow"], "frequencies": ["cosines"]}
# Right, and long
LONG = {("epochs", "1"), ("epochs", "2"), ("epochs", "uint8")}


# Not numbers alone are right here: labels of fields; what a path is made of
ANYTHING = {("fan", "values"), ("states_file", "i")}


def spoiled(value):
    """{what: the same numbers, complex, as text, or hidden by a mask}, to each of which any answer is wrong; none if it holds no numbers."""
    if not isinstance(value, (int, float, list, tuple, np.ndarray)):
        return {}
    try:
        numbers = np.asarray(value)
    except ValueError:  # arrays of several shapes
        return {}
    if numbers.dtype.kind not in "fiu":
        return {}
    return {"its numbers, complex": numbers + 0.5j, "its numbers as text": numbers.astype(str), "its numbers, hidden": np.ma.array(numbers, mask=True)}


def fault(function, arguments, bad, refused=False):
    """What is wrong with the answer to bad values {name: value}: a text, or None. refused: that they are answered at all is wrong."""
    try:
        with alarm(SECONDS), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            answer = function(**arguments | bad)
            if refused:
                return f"it answers {answer!r:.100}"
    except OSError as error:
        if not error.filename and not any(str(value) in str(error) or re.search(rf"\b{name}\b", str(error)) for name, value in bad.items()):
            return f"{type(error).__name__} does not name it: {error}"
    except (ValueError, TypeError, MemoryError, RuntimeError) as error:
        nouns = [noun for name in bad for noun in (name, *NOUNS.get(name, []))]
        if not re.search(rf"\b({'|'.join(nouns)})\b", str(error)) and not any(  # a text of an array takes a while
                str(error).startswith((f"{value} ", f"{value}: ")) for value in bad.values() if str(value)):
            return f"{type(error).__name__} does not name it: {error}"
    except Late:
        return f"took longer than {SECONDS:g} s"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """The solver, before a clock runs."""
    llg.simulate((0, 0), FILM, llg.relax(FILM, (0, 0), (1, 0.1, 0), progress=False), duration=1e-11, progress=False)


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
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        return dataset.generate(folder / "set", FIELDS[:3], FILM, executor=executor, progress=False, **STEP)


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
        "course": (course.write, dict(folder=folder / "course", seed=1, only=[2], book="")),
        "rehearsal": (course.rehearse, dict(folder=folder / "course")),
        "vector": (applied.vector, dict(field=(0.1, 0.2))),
        "vectors": (applied.vectors, dict(fields=FIELDS)),
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
        "joined": (applied.joined, dict(signals=[applied.step((0.1, 0)), applied.rotating(0.1, 1e9)], durations=[1e-11, 1e-11])),
        "driven": (applied.driven, dict(n=2, seed=0, duration=1e-9, largest=45e-3, kinds=["step", "reversal"])),
        "means": (applied.means, dict(field=(0.1, 0), t=[0.0, 1e-12], parts=2)),
        "Lines": (applied.Lines, dict(times=(0.0, 1e-12), fields=((0.0, 0, 0), (0.1, 0, 0)), text="x")),
        "Waves": (applied.Waves, dict(frequencies=(1e9,), cosines=((0.1, 0, 0),), sines=((0, 0.1, 0),), bias=(0, 0, 0), text="x")),
        "Joined": (applied.Joined, dict(times=(0.0, 1e-11), signals=(applied.step((0.1, 0)), applied.rotating(0.1, 1e9)), text="x")),
        "describe": (applied.describe, dict(field=(0.1, 0))),
        "Film": (Film, dict(size=(4e-8, 2e-8, 5e-9), cells=(8, 4), Ms=8e5, A=1.3e-11, alpha=0.02, gamma0=2.211e5, mask=None)),
        "replace": (FILM.replace, dict(size=(4e-8, 2e-8, 5e-9), cells=(8, 4), Ms=8e5, A=1.3e-11, alpha=0.02, gamma0=2.211e5, mask=None)),
        "state": (FILM.state, dict(m=M)),
        "tensor": (demag.tensor, dict(cells=(4, 3), cell=(1e-9, 1e-9, 2e-9))),
        "near_stencil": (demag.near_stencil, dict(n=demag.tensor((4, 3), (1e-9, 1e-9, 1e-9)))),
        "Demag": (demag.Demag, dict(film=FILM, without=np.zeros((3, 3)), dtype=np.float32)),
        "Demag.field": (demag.Demag(FILM).field, dict(m=np.moveaxis(M, -1, 0))),
        "time_steps": (multirate.time_steps, dict(film=FILM, field=0.1, accuracy=1.0)),
        "check_run": (llg.check_run, dict(field=(0.01, 0), film=FILM, start=(1, 0.2, 0), accuracy=1.0, precision="single", **STEP)),
        "unit": (unit, dict(m=M)),
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
        "from_ovf": (Trajectory.from_ovf, dict(paths=folder / "ovf", field=(0, 0), cell=(1e-9, 1e-9, 1e-9), t=[0, 1, 2], Ms=8e5, A=1e-11, alpha=0.1)),
        "resample": (RUN.resample, dict(film=FILM, every=1e-11)),
        "ovf.write": (ovf.write, dict(path=folder / "a.ovf", m=M, cell=(1e-9, 1e-9, 1e-9), time=0.0, title="m", representation="text")),
        "ovf.read": (ovf.read, dict(path=ovf_file, cell=(1e-9, 1e-9, 1e-9))),
        "is_magnetization": (ovf.is_magnetization, dict(path=ovf_file)),
        "split": (dataset.split, dict(n=10)),
        "split_states": (dataset.split_states, dict(n=3, nt=4, seed=1)),
        "generate": (dataset.generate, dict(path=folder / "set", fields=FIELDS[:3], film=FILM, solver=llg.simulate, executor=None, workers=1,
                                            seed=1, progress=False, accuracy=1.0, precision="single", **STEP)),
        "generate_named": (lambda name: dataset.generate_named(name), dict(name="no such set")),
        "fields of a set": (dataset.fields, dict(name="no such set")),
        "check": (dataset.check, dict(path=folder / "set")),
        "dataset.load": (dataset.load, dict(name=folder / "set")),
        "trajectory": (dataset.trajectory, dict(data=data, run=0)),
        "states": (dataset.states, dict(data=data, part=[0], every=1)),
        "decoded": (dataset.decoded, dict(states=M)),
        "as_float": (dataset.as_float, dict(states=M)),
        "states_file": (dataset.states_file, dict(path=folder, i=0)),
        "compare": (metrics.compare, dict(run=RUN, reference=OTHER, rom=None, energy=True)),
        "film_average_error": (metrics.film_average_error, dict(mean=RUN.mean, reference=RUN.mean)),
        "first_zero": (metrics.first_zero, dict(t=RUN.t, values=np.array([1, 0.5, -1]))),
        "switching_time": (metrics.switching_time, dict(t=RUN.t, mx=np.array([1, 0.5, -1]), level=-0.5)),
        "relative_l2": (metrics.relative_l2, dict(m=RUN.m, reference=RUN.m, axis=(-4, -3, -2, -1))),
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
        "as_path": (files.as_path, dict(path="x")),
        "shipped": (files.shipped, dict(name="modes.npz")),
        "arrays": (files.arrays, dict(name="modes.npz")),
        "keep": (files.keep, dict(path=folder / "kept.npz", make=lambda: {"a": np.ones(2)})),
    }


def pictures(folder):
    """{name: (function, valid arguments)} of what draws."""
    from magbook.show import export, look, panels, plots, text

    errors = {"L2": np.arange(6.0), "angle": np.arange(6.0)}
    history = [{"epoch": 1, "loss": 2.0, "error": 1.0}, {"epoch": 2, "loss": 1.0, "error": 0.5}]
    common, figure = dict(wheel="hsl"), plots.film(M, FILM)
    panels.field(FILM, **STEP)  # the first takes seconds
    return {
        "film": (plots.film, common | dict(m=M, film=FILM, arrows=4, title="x")),
        "states": (plots.states, common | dict(trajectories=RUN, times=[0.0, 1e-11], labels=None, arrows=4, title="x")),
        "means": (lambda run, **options: plots.means(run, **options), dict(run=RUN, labels=None, band=None, reference=None, band_label="x", reference_label="x")),
        "play": (plots.play, common | dict(trajectory=RUN, every=1, arrows=4, pixels=8, interval=60)),
        "fan": (plots.fan, dict(fields=FIELDS, values=np.arange(6.0), outline=applied.FAN, text=None, customdata=None, rays={"a": (179, 193)}, name="x")),
        "error_map": (plots.error_map, dict(fields=FIELDS, errors=errors, known=FIELDS, kinds=list("aabbab"), rays=None)),
        "losses": (lambda history, **options: plots.losses(history, **options), dict(history=history, of="error", labels=None)),
        "grid": (plots.grid, dict(pictures=RUN.m, film=FILM, labels=None, columns=2, pixels=8, wheel="hsl", slider="x")),
        "hue_colors": (look.hue_colors, dict(m=M, wheel="hsl")),
        "arrow_cells": (look.arrow_cells, dict(film=FILM, arrows=4)),
        "export": (export.save, dict(trajectory=RUN, path=folder / "a.svg", times=[0.0], fps=10, arrows=4, width=400, dark=False, **common)),
        "fade": (look.fade, dict(color="#7a7a7a", opacity=0.5)),
        "png": (look.png, dict(rgba=look.hue_colors(M), bits=6)),
        "round_length": (look.round_length, dict(nm=130.0)),
        "texts": (look.texts, dict(numbers=np.arange(3.0))),
        "table": (text.table, dict(rows={"a": {"b": 1.0}}, digits=2, corner="x")),
        "rounded": (text.rounded, dict(value=1.0, digits=2)),
        "drawing": (text.drawing, dict(name="wall")),
        "say": (text.say, dict(number=(1, 0, 2))),
        "panel": (panels.field, dict(film=FILM, signal=None, **STEP)),
        "Figure": (panels.Figure, dict(figure=figure)),
        "show": (panels.Figure(figure).show, dict(figure=figure)),
        "Losses": (panels.Losses, dict(of=("loss",))),
        "losses as they come": (panels.Losses(), dict(history=history)),
    }


def faults(table, refusing=True):
    """All that is wrong, a line each, and how many calls there were. refusing: False for what grades whatever it is given."""
    found, n = [], 0
    for name, (function, arguments) in table.items():
        for argument in arguments:
            wrongs = {} if not refusing or (name, argument) in ANYTHING else spoiled(arguments[argument])
            for label, value in (BAD | wrongs).items():
                if (argument, label) not in LONG:
                    wrong, n = fault(function, arguments, {argument: value}, label in wrongs), n + 1
                    found += [f"{name}({argument} = {label}): {wrong}"] * bool(wrong)
    return found, n


# No text or path leads out of the folder that a test is in.
LETTERS = st.characters(exclude_characters="/~.")
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.floats(-2, 2), st.integers(-3, 300), st.complex_numbers(),
                    st.text(LETTERS, max_size=4), st.binary(max_size=4), st.dates(), st.timedeltas(), st.decimals(), st.fractions(),
                    st.text(LETTERS, min_size=1, max_size=4).map(Path), st.floats(width=32).map(np.float32))
DTYPES = ["f8", "f4", "f2", "i8", "u1", "?", "c16", "S2", "U2", "O", "M8[s]", "m8[s]", [("a", "f8"), ("b", "i4")]]
FILLS = [0, 1, -1, 200, 0.5, 1e-300, 1e300, np.nan, -np.inf]


@st.composite
def arrays(draw):
    """An array of up to four axes, all of whose numbers are the same, or increase."""
    shape, dtype = draw(st.lists(st.sampled_from([0, 1, 2, 3, 4, 6, 8]), max_size=4)), np.dtype(draw(st.sampled_from(DTYPES)))
    with np.errstate(all="ignore"):
        numbers = np.full(shape, draw(st.sampled_from(FILLS))) if draw(st.booleans()) else np.arange(np.prod(shape, dtype=int)).reshape(shape) * 0.1
        return np.zeros(shape, dtype) if dtype.kind in "SUMm" else numbers.astype(dtype)


ODD = SCALARS | arrays() | st.recursive(SCALARS | arrays(), lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner)
                                       | st.dictionaries(st.text(LETTERS, max_size=2) | st.integers(0, 3), inner, max_size=3), max_leaves=4)
EXAMPLES = 12 * int(os.environ.get("MAGBOOK_EXAMPLES", 1))  # a row


def oddities(table):
    """All that is wrong with answers to what hypothesis draws, for one argument or two of each row. Many epochs or steps are right, and long."""
    found = []
    for name, (function, arguments) in table.items():
        @seed(name)
        @settings(max_examples=EXAMPLES, phases=[Phase.generate], deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(st.lists(st.sampled_from(sorted(set(arguments) - {"epochs", "steps"})), min_size=1, max_size=2, unique=True).flatmap(lambda few: st.fixed_dictionaries(dict.fromkeys(few, ODD))))
        def look(bad):
            wrong = fault(function, arguments, bad)  # noqa: B023
            found.extend([f"{name}({bad!r:.300}): {wrong}"] * bool(wrong))  # noqa: B023

        look()
    return found


HIDDEN = np.ma.array([0.01, 0.02], mask=[True, False])


@pytest.mark.parametrize("call, name", [
    (lambda: llg.simulate((0, 0), FILM, M + 0.5j, **STEP), "start"), (lambda: llg.simulate((0, 0), FILM, ("1", "0", "0"), **STEP), "start"),
    (lambda: llg.simulate((0, 0), FILM, np.ma.masked_all(M.shape), **STEP), "start"), (lambda: llg.simulate(HIDDEN, FILM, M, **STEP), "field"),
    (lambda: llg.simulate(np.array([1e-3 + 5j, 0]), FILM, M, **STEP), "field"), (lambda: llg.simulate(("0.1", "0"), FILM, M, **STEP), "field"),
    (lambda: llg.simulate(lambda t: HIDDEN, FILM, M, **STEP), "field"), (lambda: llg.relax(FILM, start=M + 1j), "start"),
    (lambda: Film(alpha=np.ma.masked), "alpha"), (lambda: llg.energies(M + 1j, FILM), "state"),
    (lambda: applied.vectors(np.array([[1e-3 + 5j, 0]])), "field"), (lambda: applied.vectors([HIDDEN]), "field"),
    (lambda: applied.piecewise(np.array([0, 1e-9j]), [(0, 0), (0, 1)]), "times"), (lambda: applied.from_polar([HIDDEN], 0), "strength"),
    (lambda: Film(size=np.ma.masked_all(3)), "size"), (lambda: Film(cells=np.ma.masked_all(2, int)), "cells"),
    (lambda: FILM.replace(mask=np.ma.array(FILM.inside, mask=True)), "mask"), (lambda: Trajectory(np.ma.masked_all(3), RUN.m, (0, 0), FILM), "t"),
    (lambda: Trajectory(RUN.t, np.ma.array(RUN.m, mask=RUN.m > 0.9), (0, 0), FILM), "m")])
def test_no_complex_hidden_or_written_number_is_cast(call, name):
    with pytest.raises((TypeError, ValueError), match=rf"^{name}: got .*(real|damping)"):
        call()


def test_a_masked_array_that_hides_nothing_is_taken():
    assert applied.vector(HIDDEN[1:].repeat(2)).tolist() == [0.02, 0.02, 0]
    assert (FILM.state(np.ma.array(M)) == FILM.state(M)).all()


@pytest.mark.slow
def test_an_answer_or_an_error_that_names_the_argument(tmp_path, monkeypatch):
    table = calls(tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")  # some bad values are names of files
    found, n = faults(table)
    found += oddities(table)
    assert not found, "\n".join(found)
    assert n > 8000


@pytest.mark.slow
def test_of_pictures_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = pictures(tmp_path)
    found, n = faults(table)
    found += oddities(table)
    assert not found, "\n".join(found)
    assert n > 2000


def kept(build):
    """The same function, which builds once from the same arguments: what trains asks for a network at each call."""
    built = {}

    def call(*arguments, **options):
        key = repr((arguments, options))
        if key not in built:
            built[key] = build(*arguments, **options)
        return built[key]

    return call


@pytest.mark.slow
def test_of_networks_too(tmp_path, monkeypatch):
    from magbook._keras import keras
    from magbook.rom import ReducedOrderModel
    from magbook.show.explorer import pack

    table = networks(tmp_path)
    whole, once = pack.pack, functools.cache(pack.pack)
    monkeypatch.setattr(pack, "pack", lambda model: (once if isinstance(model, ReducedOrderModel) else whole)(model))
    monkeypatch.setattr(keras.Model, "export", lambda *_, **__: None)  # it takes seconds, and its path is right by then
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("magbook.rom.MODELS", {})
    monkeypatch.setattr("magbook.own.seconds", lambda *_: {})  # most of what `evaluate` takes; the table has it by itself
    for builder in ("autoencoder.build", "driven.network", "driven.networks", "stepper.build"):
        monkeypatch.setattr(f"magbook.{builder}", kept(pkgutil.resolve_name(f"magbook.{builder}")))
    monkeypatch.setattr("magbook.own.time", types.SimpleNamespace(process_time=itertools.count().__next__))  # five runs are measured, and no more
    found, n = faults(table)
    found += oddities(table)
    assert not found, "\n".join(found)
    assert n > 6000


class Nobody:
    """An executor that runs nothing: whoever asks it has let every argument pass."""

    def submit(self, *_):
        raise RuntimeError("film, folder, fields, quick, seed, workers, progress, runs, duration, latent, widths, stages: none was refused")


def graded(check):
    """A check that gives at most its points, and has a sentence for whatever it refuses: none of its properties raises an error."""
    def call(**given):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            assert 0 <= check(**given) <= given["points"]
        assert "Yours stops with" not in printed.getvalue(), printed.getvalue()

    return call


def assignments(folder):
    """{name: (function, valid arguments)} of what grades: the answers are wrong, so that most end with their first property."""
    from magbook import checks

    common, of_one, mine = dict(points=1.0, seed=0), dict(f=lambda *_: None), dict(number=1)
    answers = {name: of_one for name in ("anisotropy", "coupling", "critical", "decay", "exchange", "integrate", "look_ahead", "loudest", "precession",
                                         "rollout", "step", "stray", "switching", "torque", "turns")}
    answers |= {"autoencoder": mine | dict(encode=abs, decode=abs, share=1.1), "damping": mine | dict(alpha=0.02), "descent": dict(descend=abs, loss=abs),
                "loss_gradient": dict(gradient=abs, loss=abs), "measures": dict(length=abs, rise=abs, asymmetry=abs), "named": mine | dict(found={"length"}),
                "own_run": mine | dict(folder=folder / "ovf", field=(0, 0), error=0.1), "predictor": dict(predict=abs), "ringing": mine | dict(frequency=1e9),
                "stiffening": mine | dict(frequencies=np.arange(5)), "vector_loss": dict(loss=abs), "verdict": dict(judge=abs),
                "wall": dict(m=np.broadcast_to(np.sign(FILM.x - 20e-9)[:, None] * [0.0, 0, -1], (4, 8, 3)), film=FILM, K=1e5)}
    RUN.to_ovf(folder / "ovf")
    suspect = checks.suspect(1, folder / "suspect.npz")
    return {
        **{name: (graded(getattr(checks, name)), given | common) for name, given in answers.items()},
        "film_of": (checks.film_of, mine),
        "field_of": (checks.field_of, mine),
        "latent_numbers": (checks.latent_numbers, mine),
        "suspect": (checks.suspect, mine | dict(path=folder / "suspect.npz")),
        "Suspect": (checks.Suspect, dict(path=folder / "suspect.npz")),
        "a suspect's run": (suspect.simulate, dict(field=(0, 0))),
    }


@pytest.fixture
def solved_before(monkeypatch):
    """What checks ask the solver takes seconds, and no argument is looked at there. What they keep of it is lost."""
    from magbook.checks import drawn, judging, learning

    for module, name in ((judging, "_sound"), (judging, "_model"), (learning, "_runs")):
        monkeypatch.setattr(module, name, functools.lru_cache(getattr(module, name).__wrapped__))
    run = llg.simulate((0, 0), learning.FILM, progress=False)
    energy = metrics.energies(run)
    # checks exchange the code of what is out of order, which takes functions without free variables
    monkeypatch.setattr(llg, "simulate", lambda *_, run=run, **__: run)
    monkeypatch.setattr(metrics, "energies", lambda _, energy=energy: energy)
    monkeypatch.setattr(drawn, "_rings", lambda *_: 5e9)
    monkeypatch.setattr(drawn, "_most_turns", lambda *_: 1.0)


@pytest.mark.slow
def test_of_checks_too(tmp_path, monkeypatch, solved_before):
    table = assignments(tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    found, n = faults(table, refusing=False)
    found += oddities(table)
    assert not found, "\n".join(found)
    assert n > 4000


def networks(folder):
    """{name: (function, valid arguments)} of what learns."""
    from magbook import (
        atlas,
        autoencoder,
        bench,
        closure,
        driven,
        dynamics,
        lookup,
        own,
        readout,
        rom,
        stepper,
        training,
    )
    from magbook._keras import keras
    from magbook.show.explorer import Explorer

    rng = np.random.default_rng(3)
    latents = rng.standard_normal((6, 12, 3)).astype(np.float32)
    t = np.arange(1, 13) * 1e-11
    encoder, decoder = autoencoder.build(3, (4, 8, 3), (4,))
    predictor = stepper.Stepper(stepper.build(3, (4,)), 1.0)
    ensemble = dynamics.Ensemble([predictor, stepper.Stepper(stepper.build(3, (4,), seed=1), 1.0)])
    model = rom.ReducedOrderModel(encoder, decoder, ensemble, film=FILM)
    model.save(folder / "rom.npz")
    basis = pca.fit(unit(rng.standard_normal((12, 4, 8, 3))).astype(np.float32), 6)
    c = rng.standard_normal((20, 6)).astype(np.float32)
    rest, _ = closure.train(basis, c, c, latent=3, widths=(4,), epochs=0, progress=False)
    run = dict(field=(-0.03, 0.01), start=None, duration=6e-11)
    common = dict(folder=None, epochs=0, batch=4, learning_rate=1e-3, warmup=0.02, seed=0, callback=None, progress=False)
    of_field_and_time = atlas.train(latents, FIELDS, t, (latents, FIELDS), latents[0, 0], widths=(4,), epochs=0, progress=False)[0]
    spline = dict(fields=FIELDS, amplitudes=np.zeros((6, 2)), patterns=np.zeros((2, 12, 3)), start=np.zeros(3), every=1e-11)
    parities, linear, steps = np.array([[-1, 1], [1, -1], [1, 1]]), np.diag([1.0, 1.0, 0.0]), [dict(steps=2, epochs=0, updates=1, batch=2, learning_rate=1e-3)]
    stepping, whole = driven.network(np.ones(3), (4,)), rng.standard_normal((3, *FILM.cells[::-1], 3))
    in_time = dict(latents=latents, fields=np.zeros((6, 12, 2)))
    signals = applied.driven(2, 0, 1.1e-10)
    smooth = atlas.Spline(**spline)
    hybrid = atlas.Hybrid(smooth, atlas.Atlas(of_field_and_time.network, np.zeros(3), 1e-9), 1.0)
    one = dict(first=np.zeros((2, 1, 3), np.float32), fields=np.zeros((2, 7, 2)))
    five = one | dict(first=np.zeros((2, 5, 3), np.float32))
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        runs = dataset.generate(folder / "in time", signals, FILM, duration=1.1e-10, executor=executor, progress=False)
    film_of_one = own.assemble(driven.Driven(stepping, parities, linear), whole, FILM, 0.03, 3.0, 1.0, {})
    film_of_one.averages((0.01, 0.0), duration=1e-11)  # compiled before a clock runs, as is the solver for strong fields
    llg.simulate((-1, 2), FILM, M, **QUICK | STEP)
    learn = lambda **given: own.learn(executor=Nobody(), **given)
    table = dict(most=0.03, numbers=np.ones((4, 4, 1), np.int16), precision=0.1, curves=np.ones((1, 2, 3)), mean=np.zeros((2, 3)), every=1e-11)
    lookup.Lookup(**table).save(folder / "table.npz")
    own_film = dict(film=FILM, folder=folder / "own", fields=0.03, quick=True, seed=0, workers=None, progress=False, runs=10, duration=1e-10, latent=3,
                    widths=(4,), stages=steps)
    with contextlib.suppress(RuntimeError):
        learn(**own_film)  # makes the folder
    return {
        "image": (driven.image, dict(m=RUN.m, x=1, y=-1)),
        "components": (driven.components, dict(states=RUN.m, k=2)),
        "network that steps": (driven.network, dict(scale=np.ones(3), widths=(4,), seed=0, field_scale=0.02)),
        "step": (driven.step, dict(network=stepping, parities=parities)),
        "look far ahead": (driven.look_ahead, dict(one=driven.step(stepping, parities), steps=2)),
        "images": (driven.images, in_time | dict(parities=parities)),
        "Driven": (driven.Driven, dict(network=stepping, parities=parities, readout=linear, every=1e-11)),
        "Projected": (driven.Projected, dict(whole=whole, film=FILM, every=1e-11, substeps=1, weights=np.ones((4, 8)))),
        "networks that are driven": (driven.networks, dict(whole=whole)),
        "rollout_errors": (driven.rollout_errors, in_time | dict(dynamics=driven.Driven(stepping, parities, linear), nt=5)),
        "train a step": (driven.train, in_time | dict(validation=(latents, np.zeros((6, 12, 2))), parities=parities, readout=linear, folder=None,
                                                      widths=(4,), stages=steps, noise=0.0, weight=1.0, seed=0, every=1e-11, field_scale=0.02, callback=None, progress=False)),
        "fit what steps": (driven.fit, dict(ahead=lambda steps: driven.look_ahead(driven.step(stepping, parities), steps), dynamics=lambda: None,
                                            known=(latents, np.zeros((6, 12, 2))), validation=(latents, np.zeros((6, 12, 2))), readout=linear, folder=None,
                                            stages=steps, noise=0.0, weight=1.0, seed=0, settings=None, callback=None, progress=False)),
        "scales": (driven.scales, dict(latents=latents)),
        "turned": (driven.turned, dict(c=keras.Input((3,)), parities=parities)),
        "check_stages": (driven.check_stages, dict(stages=steps, nt=5)),
        "learn": (learn, own_film),
        "latents": (own.latents, dict(data=runs, whole=whole, film=FILM, progress=False)),
        "read": (model.read, dict(c=latents[0])),
        "of_cells": (readout.of_cells, dict(decoder=closure.networks(basis, rest)[1], c=c[:, :3], mean=c[:, 3:], cells=(2, 2))),
        "train a readout": (readout.train, common | dict(c=c[:, :3], mean=c[:, 3:], validation=(c[:, :3], c[:, 3:]), widths=(4,))),
        "Lookup": (lookup.Lookup, table),
        "read a table": (lookup.Lookup(**table).averages, dict(field=[(0.01, 0.0)])),
        "tabulate": (lookup.tabulate, dict(rom=film_of_one, most=0.03, n=4, k=2, precision=0.01, start=(1.0, 0.1, 0.0), duration=1e-11)),
        "load a table": (lookup.load, dict(name=folder / "table.npz")),
        "assemble": (own.assemble, dict(dynamics=film_of_one.dynamics, whole=whole, film=FILM, fields=0.03, largest=3.0, held=1.0, info={})),
        "coarser": (own.coarser, dict(film=FILM, n=2)),
        "evaluate": (own.evaluate, dict(rom=film_of_one, signals=signals, c=latents[:2], fields=np.zeros((2, 12, 2)), mean=np.zeros((2, 12, 3)), progress=False)),
        "seconds": (own.seconds, dict(rom=film_of_one, others={"one": own.solver(FILM)}, name="it", n=2)),
        "coarsely": (own.coarsely, dict(film=FILM, signals=signals, mean=np.zeros((2, 12, 3)), every=1e-11, progress=False)),
        "solver": (own.solver, dict(film=FILM, accuracy=0.1)),
        "Explorer": (Explorer, dict(model=film_of_one, panels=["field", "latent"], field=(0, 0), time=1e-10, latent=[0.0, 0, 0])),
        "to_onnx": (model.to_onnx, dict(folder=folder / "onnx")),
        "to_fmu": (film_of_one.to_fmu, dict(path=folder / "a.fmu", start=None)),
        "build": (autoencoder.build, dict(latent=3, shape=(4, 8, 3), filters=(4,), activation="elu", dropout=0.1, seed=0)),
        "train an autoencoder": (autoencoder.train, common | dict(states=RUN.m, validation=RUN.m, latent=3, filters=(4,), weights=(1, 1, 1), length=1.0,
                                                                 dropout=0.1, without_dropout=0.0, updates=None, activation="elu", begin=None)),
        "predictor": (stepper.build, dict(latent=3, widths=(4,), residual=False, activation="elu", dropout=0.1, seed=0)),
        "look_ahead": (stepper.look_ahead, dict(network=predictor.network, steps=2, residual=False)),
        "Stepper": (stepper.Stepper, dict(network=predictor.network, scale=1.0, residual=False, every=1e-11)),
        "train a stepper": (stepper.train, common | dict(latents=latents, fields=FIELDS, validation=(latents, FIELDS), steps=2, widths=(4,), residual=False,
                                                         dropout=0.0, without_dropout=0.0, noise=0.0, updates=2, every=1e-11)),
        "fold": (closure.fold, dict(states=RUN.m)),
        "coefficients": (closure.coefficients, dict(basis=basis, states=RUN.m, chunk=2)),
        "train a closure": (closure.train, common | dict(basis=basis, c=c, validation=c, latent=3, widths=(4,))),
        "networks of a closure": (closure.networks, dict(basis=basis, closure=rest)),
        "networks of components": (pca.networks, dict(basis=basis, offset=np.zeros(6))),
        "compress": (atlas.compress, dict(latents=latents, k=2)),
        "inputs": (atlas.inputs, dict(fields=FIELDS, t=t)),
        "Atlas": (atlas.Atlas, dict(network=of_field_and_time.network, start=np.zeros(3), last=1e-9, every=1e-11)),
        "Spline": (atlas.Spline, spline),
        "Hybrid": (atlas.Hybrid, dict(slow=atlas.Spline(**spline), fast=of_field_and_time, limit=1.0, coverage=2.0)),
        "train an atlas": (atlas.train, common | dict(latents=latents, fields=FIELDS, t=t, validation=(latents, FIELDS), start=latents[0, 0],
                                                      widths=(4,), detail=3.0)),
        "roughness": (smooth.roughness, dict(fields=FIELDS)),
        "asks_fast": (hybrid.asks_fast, dict(fields=FIELDS)),
        **{f"rollout of {type(part).__name__}": (part.rollout, one) for part in (smooth, hybrid)},
        "rollouts of two": (hybrid.rollouts, one),
        "rollout of a stepper": (predictor.rollout, five),
        "rollouts of an ensemble": (ensemble.rollouts, five),
        "checked": (ensemble.checked, five),
        "Ensemble": (dynamics.Ensemble, dict(members=ensemble.members, coverage=2.0)),
        "seconds of the solver": (bench.solver, dict(film=FILM, duration=1e-11, accuracy=1.0, repeats=1)),
        "bare FFTs": (bench.ffts, dict(film=FILM)),
        "nadam": (training.nadam, dict(learning_rate=1e-3, steps=10, warmup=0.02, clip=1.0)),
        "ReducedOrderModel": (rom.ReducedOrderModel, dict(encoder=encoder, decoder=decoder, dynamics=ensemble, largest=np.inf, held=np.inf, film=FILM,
                                                          fan=None, info=None)),
        "encode": (model.encode, dict(m=RUN.m)),
        "decode": (model.decode, dict(c=np.zeros(3), unit=False)),
        **{f"rom.{name}": (getattr(model, name), run) for name in ("averages", "latents", "band")},
        "rom.simulate": (model.simulate, run),
        "rollout": (model.rollout, dict(first=np.zeros((5, 3)), fields=np.zeros((7, 2)))),
        "first_states": (model.first_states, dict(field=(0, 0), start=None)),
        "rom.compare": (model.compare, dict(run=example(8))),
        "rom.save": (model.save, dict(path=folder / "again.npz", half=False)),
        "rom.load": (rom.ReducedOrderModel.load, dict(path=folder / "rom.npz")),
        "load_rom": (rom.load_rom, dict(name=folder / "rom.npz")),
        "model": (rom.model, dict(name="mine")),
        "compare": (metrics.compare, dict(run=RUN, reference=OTHER, rom=model)),
        "split_l2": (metrics.split_l2, dict(m=RUN.m, reference=RUN.m, rom=model)),
    }
