"""A driven model of one's own film: from the film to the model and a page that says how good it is, in one call. Chapter 8 ends with it."""

import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from . import applied, dataset, driven, llg, metrics, training
from ._arguments import array, check_counts, instance, listed, number, said, truth
from ._progress import bar
from .files import alone, as_path, atomic, keep
from .film import Film
from .rom import ReducedOrderModel

FULL: dict[str, Any] = {"runs": 600, "duration": 4e-9, "latent": 64, "widths": driven.WIDTHS, "stages": driven.STAGES}
"""What a model is made of: so many runs of so many s, numbers of a latent state, and the network and the stages of its training as
`driven.train` takes them. Chapter 8's model had the same, and then two stages more, with 400 runs in which the film is turned over and 400 in which it is kicked."""

QUICK: dict[str, Any] = {"runs": 100, "duration": 2e-9, "latent": 32, "widths": (128, 128), "stages": (
    {"steps": 1, "epochs": 6, "updates": 200, "batch": 256, "learning_rate": 2e-3},
    {"steps": 4, "epochs": 8, "updates": 200, "batch": 128, "learning_rate": 1.5e-3},
    {"steps": 16, "epochs": 8, "updates": 200, "batch": 64, "learning_rate": 1e-3})}
"""The same for `learn(quick=True)`: a try, whose errors are several times larger."""


def learn(film: Film, folder: str | Path, fields: float = 40e-3, *, quick: bool = False, seed: int = 0, workers: int | None = None,
          executor: Executor | None = None, progress: bool = True, **options: Any) -> ReducedOrderModel:
    """A driven model of a film: compute runs, reduce, train, and judge it on runs that it never saw; returns the `ReducedOrderModel`.

    film: with an even number of cells each way, and a mask, if any, that is its own mirror image left-right and up-down, such as an ellipse.
    folder: what everything is kept in: `model.npz`, which `load_rom` reads; `report.html`, a page that says how good it is;
    `evaluation.json`, its numbers; the runs, a few GB of a fine film, and the training, which nothing needs once it is done. What was stopped
    or killed goes on where it was; what is done is read.
    fields: largest mu0*H in T that the model shall know, in any direction in the plane.
    quick: a try in minutes, by `QUICK` in place of `FULL`; options: any of their parts, such as runs=200. seed: of signals and training.
    workers, executor: as `dataset.generate` takes them.
    Raises ValueError or TypeError, naming the argument, also for a folder that holds something else, or a model of another film.
    """
    from . import __version__  # the package imports this module

    _check_film(film)
    folder = as_path(folder, "folder")
    if number("fields", fields, "the largest mu0*H in T is") > 10 or fields < 1e-6:
        raise ValueError(f"fields: got {fields:g}; the largest mu0*H in T, from 1e-06 to 10, is needed. Was it given in mT?")
    check_counts(0, seed=seed)
    if unknown := sorted(options.keys() - FULL.keys()):
        raise TypeError(f"options: got {', '.join(unknown)}; {', '.join(FULL)} are known")
    made = (QUICK if truth("quick", quick) else FULL) | options
    check_counts(10, runs=made["runs"])  # of which one tests
    training.check_options(latent=made["latent"], widths=made["widths"])
    driven.check_stages(made["stages"], len(llg.check_run((0, 0), film, None, made["duration"], 1e-11, 1.0, "single")[0]))
    settings = json.loads(json.dumps({"film": film.describe(), "fields": float(fields), "seed": int(seed), **made}, default=_plain))
    with alone(folder):
        _claim(folder, settings)
        model, report = folder / "model.npz", folder / "report.html"
        if model.exists() and report.exists():
            return ReducedOrderModel.load(model)
        signals = applied.driven(made["runs"], seed, made["duration"], fields)
        data = dataset.generate(folder / "runs", signals, film, duration=made["duration"], seed=seed, workers=workers, executor=executor, progress=progress)
        parts = dataset.split(made["runs"])
        basis = keep(folder / "components.npz", partial(_components, data, parts["train"], film, made["latent"]))
        whole, parities = basis["whole"], basis["parities"]
        known = keep(folder / "latents.npz", partial(latents, data, whole, film, progress))
        if not model.exists():
            (c, b), validation = ((known["c"][parts[name]], known["fields"][parts[name]]) for name in ("train", "validation"))
            dynamics, history = driven.train(c, b, validation, parities, _readout(whole, film), folder / "training", widths=tuple(made["widths"]),
                                             stages=made["stages"], seed=seed, field_scale=fields / 2, progress=progress)
            info = {"made by": "magbook.learn", "settings": settings, "version": __version__, "training seconds": sum(row["seconds"] for row in history)}
            assemble(dynamics, whole, film, fields, np.abs(c).max(), np.quantile(known["held"][parts["train"]], 0.99), info).save(model)
        rom = ReducedOrderModel.load(model)
        unseen = parts["test"]
        found = evaluate(rom, [signals[i] for i in unseen], known["c"][unseen], known["fields"][unseen], known["mean"][unseen], progress)
        with atomic(folder / "evaluation.json") as file:
            file.write(json.dumps(found, indent=1).encode())
        from .show.report import page  # what shows is not needed to compute

        with atomic(report) as file:
            file.write(page(rom, found).encode())
        return rom


def _check_film(film):
    inside = instance("film", film, Film).inside
    if film.nx % 2 or film.ny % 2 or film.nx * film.ny < 8:
        raise ValueError(f"film: got {film.nx} x {film.ny} cells; an even number each way, and at least 8, is needed, for its two mirror planes")
    if not (np.array_equal(inside, inside[::-1]) and np.array_equal(inside, inside[:, ::-1])):
        raise ValueError("film: its mask is not its own mirror image, left-right and up-down, and a driven model is built on these; "
                         "a rectangle, an ellipse, or another such shape is needed")


def _claim(folder, settings):
    """Enter the settings into a new folder, or see that they are those of the folder that is there."""
    file = folder / "settings.json"
    if file.exists():
        try:
            there = dict(json.loads(file.read_text()))
        except (ValueError, TypeError) as error:
            raise ValueError(f"folder: {file} is damaged ({error}); give another folder, or delete this one to start anew") from error
        other = sorted(name for name in settings | there if settings.get(name) != there.get(name))
        if other:
            raise ValueError(f"folder: {folder} holds a model that differs in {', '.join(other)}; give another folder, or delete this one to start anew")
    elif folder.exists() and any(folder.iterdir()):
        raise ValueError(f"folder: {folder} is not empty and holds no model of `learn`; give another folder")
    else:
        with atomic(file) as new:
            new.write(json.dumps(settings, indent=1).encode())


def _plain(value):
    return value.item() if isinstance(value, np.generic) else repr(value)


# ---------------------------------------------------------------------------- parts, of which chapter 8's model is made too


def _components(data, train, film, latent):
    """Components and parities from every twentieth state of the training runs."""
    whole, parities = driven.components(dataset.states(data, train, every=20), min(latent, 3 * film.nx * film.ny // 8))
    return {"whole": whole * film.inside[..., None].astype(whole.dtype), "parities": parities}


def _readout(whole, film):
    """What a latent state is multiplied by for its film average, (k, 3), of components (k, ny, nx, 3)."""
    return whole[:, film.inside].mean(axis=1)


def latents(data: xr.Dataset, whole: np.ndarray, film: Film, progress: bool = True) -> dict[str, np.ndarray]:
    """Of every run of a driven data set, with its start: latent states c (n, nt, k), the fields' means (n, nt, 2), film averages
    mean (n, nt, 3), and held (n,), the largest relative L2 error of a state after encoding and decoding.

    data: from `dataset.load`. whole: components (k, ny, nx, 3). film: the `Film` of the data.
    """
    instance("data", data, xr.Dataset)
    whole = array("whole", whole, "(k, ny, nx, 3)", ny=instance("film", film, Film).ny, nx=film.nx)
    if "between" not in data:
        raise ValueError("data: its fields are constant; a data set with fields in time is needed")
    encoder, decoder = driven.networks(whole)
    start, found = llg.s_state(film)[None].astype(np.float32), []
    for i in bar(range(data.sizes["run"]), desc="encoding", unit="run", show=progress):
        m = np.concatenate([start, dataset.as_float(dataset.states(data, [i]))])
        c = encoder.predict_on_batch(m)
        off = metrics.relative_l2(decoder.predict_on_batch(c), m, axis=(-3, -2, -1))
        found.append((c, m[:, film.inside].mean(axis=1, dtype=float).astype(np.float32), off.max()))
    c, mean, held = (np.array(one) for one in zip(*found))
    return {"c": c, "mean": mean, "held": held, "fields": np.pad(data["between"].values[..., :2], ((0, 0), (1, 0), (0, 0))).astype(np.float32)}


def assemble(dynamics: driven.Driven, whole: np.ndarray, film: Film, fields: float, largest: float, held: float, info: dict) -> ReducedOrderModel:
    """A trained `driven.Driven` with encoder and decoder of its components (k, ny, nx, 3), and what it knows of its training.

    fields: largest mu0*H in T. largest, held, info: as `ReducedOrderModel` takes them.
    """
    encoder, decoder = driven.networks(whole)
    return ReducedOrderModel(encoder, decoder, instance("dynamics", dynamics, driven.Driven), largest=largest, held=held, film=film,
                             fan={"angle": 0.0, "opening": 360.0, "strength": [0.0, number("fields", fields)]}, info=info)


# ---------------------------------------------------------------------------- what it is judged by


ACCURACIES = 0.1, 0.2, 0.5
"""Of the solver, see `llg.simulate`: what `coarsely` tries before 1."""


def coarser(film: Film, n: int) -> Film:
    """The same film in n x n times fewer cells; one is inside where half of the old ones are. Raises ValueError where n does not divide."""
    check_counts(n=n)
    if instance("film", film, Film).nx % n or film.ny % n:
        raise ValueError(f"n: got {n}, which does not divide {film.nx} x {film.ny} cells")
    shares = film.inside.reshape(film.ny // n, n, film.nx // n, n).mean(axis=(1, 3))
    return film.replace(cells=(film.nx // n, film.ny // n), mask=shares >= 0.5)


def _rivals(film):
    """What a model of a film is measured against, by name: the solver on half and on a quarter of the cells each way, and on a single one."""
    found = [coarser(film, n) for n in (2, 4) if not (film.nx % n or film.ny % n)]
    return {f"solver, {one.nx} x {one.ny}": one for one in found if one.nx * one.ny > 1} | {"one moment": film.replace(cells=(1, 1), mask=None)}


def _signals(given):
    signals = listed("signals", given, "a list of signals")
    if not signals or not all(map(callable, signals)):
        raise TypeError(f"signals: got {said(signals)}; a list of signals of `applied` is needed")
    return signals


def coarsely(film: Film, signals: Sequence, mean: np.ndarray, every: float = 1e-11, progress: bool = True) -> tuple[float, np.ndarray]:
    """The solver on a film of few cells, in steps as coarse as the cells allow: (accuracy, film averages (n, nt, 3)).

    A rival is not to take smaller steps than it needs. `accuracy` is the smallest of `ACCURACIES` with which the film averages move, in the median,
    by less than a tenth of what they are off by. signals: n of `applied`. mean: the truth, (n, nt, 3). every: s between two states.
    """
    mean = array("mean", mean, "(n, nt, 3)", finite=True, n=len(_signals(signals)))
    if mean.shape[1] < 2:
        raise ValueError(f"mean: got shape {mean.shape}; two times at least are needed")
    instance("film", film, Film)
    number("every", every, "s between two states is", 1e-18, 1e-3)

    def solved(accuracy):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # where the energy rises the steps are too long, which shows
            return np.array([llg.simulate(one, film, duration=(mean.shape[1] - 1) * every, every=every, accuracy=accuracy, progress=False).mean
                             for one in bar(signals, desc=f"{film.nx} x {film.ny} cells", unit="run", show=progress)])

    fine = solved(1.0)
    allowed = np.median(metrics.film_average_error(fine, mean)) / 10
    for accuracy in ACCURACIES:
        found = solved(accuracy)
        if np.median(metrics.film_average_error(found, fine)) < allowed:
            return accuracy, found
    return 1.0, fine


def evaluate(rom: ReducedOrderModel, signals: Sequence, c: np.ndarray, fields: np.ndarray, mean: np.ndarray, progress: bool = True) -> dict[str, Any]:
    """Errors of a driven model, of the solver on fewer cells and of a start that is held, on unseen runs from the S-state: plain numbers, for a file.

    signals: n of them. c (n, nt, latent), fields (n, nt, 2), mean (n, nt, 3): of these runs, as `latents` gives them.
    Keys: "errors", of the film average over a run, for each kind a list of n; "ends right", the share of runs that end with the moment on the
    right side along the longer edge; "accuracy", of the solver on fewer cells, see `coarsely`; "seconds", CPU time for 1 ns; "run away", how many of the model's leave twice the range of its training,
    see `ReducedOrderModel.rollout`, which counts as an error of 2 from there on; "runs": the worst and the median one of the model, each with
    t, field, solver and model.
    """
    film, signals = instance("rom", rom, ReducedOrderModel).film, _signals(signals)
    mean = array("mean", mean, "(n, nt, 3)", n=len(signals))
    nt = mean.shape[1]
    first = array("c", c, "(n, nt, latent)", n=len(signals), latent=rom.latent)[:, :1]
    fields = array("fields", fields, "(n, nt, 2)", n=len(signals), nt=nt)
    with warnings.catch_warnings(), np.errstate(over="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # of runs that run away: they are NaN from there on, and count as wrong
        model = rom.dynamics.averages(rom.rollout(first, fields))
    answers, accuracy, rivals = {"the model": model}, {}, _rivals(film)
    for name, grid in rivals.items():
        accuracy[name], answers[name] = coarsely(grid, signals, mean, rom.every, progress)
    costs = seconds(rom, {f"solver, {film.nx} x {film.ny}": solver(film)} | {name: solver(grid, accuracy[name]) for name, grid in rivals.items()})
    answers["the start, held"] = np.repeat(mean[:, :1], nt, axis=1)
    off = {name: np.nan_to_num(np.abs(one - mean), nan=2.0)[:, 1:] for name, one in answers.items()}
    errors = {name: np.minimum(one, 2.0).mean(axis=(1, 2)) for name, one in off.items()}
    along = int(film.size[1] > film.size[0])
    sides = {name: np.sign(one[:, -1, along]) == np.sign(mean[:, -1, along]) for name, one in answers.items()}
    order, t = np.argsort(errors["the model"]), np.arange(nt) * rom.every

    def run(i):
        drawn = {"t": t, "field": fields[i], "solver": mean[i], "model": np.where(np.isnan(model[i]), None, model[i])}
        return {"text": repr(signals[i]), **{name: values.tolist() for name, values in drawn.items()}}

    return {"errors": {name: one.tolist() for name, one in errors.items()}, "ends right": {name: float(one.mean()) for name, one in sides.items()},
            "accuracy": accuracy, "seconds": costs, "run away": int(np.isnan(model).any(axis=(1, 2)).sum()),
            "runs": {"worst": run(order[-1]), "median": run(order[(len(order) - 1) // 2])}}


def solver(film: Film, accuracy: float = 1.0) -> Callable:
    """A function of the field that runs the solver for 1 ns, for `seconds`."""
    instance("film", film, Film)
    number("accuracy", accuracy, "a number from 0.001 to 1000 is", 1e-3, 1e3)
    return lambda b: llg.simulate(b, film, accuracy=accuracy, progress=False)


def seconds(rom: ReducedOrderModel, others: Mapping[str, Callable], name: str = "the model", n: int = 100) -> dict[str, float]:
    """CPU seconds for 1 ns in a constant field, the best of five or more: of a model, for the film averages of one field, of each of n at once and for
    all states; and of others, functions of the field, by their names. name: the model's. Fields are drawn from what it knows.
    """
    if not all(map(callable, instance("others", others, Mapping).values())):
        raise TypeError(f"others: got {said(others)}; a dictionary of functions of the field is needed")
    many = applied.fan(n, seed=2022, **instance("rom", rom, ReducedOrderModel).fan)

    def best(function, *arguments):
        times: list[float] = []
        while len(times) < 5 or sum(times) < 0.3:
            begin = time.process_time()
            function(*arguments)
            times.append(time.process_time() - begin)
        return min(times)

    found = {f"{name}, averages": best(rom.averages, many[0]), f"{name}, averages of {n} fields": best(rom.averages, many) / n,
             f"{name}, states": best(rom.simulate, many[0])}
    return found | {of: best(one, many[0]) for of, one in others.items()}
