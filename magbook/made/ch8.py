"""Chapter 8: the driven model, and what it is judged by."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations_with_replacement
from typing import Any

import numpy as np

from .. import __version__, applied, baselines, dataset, driven, llg, lookup, metrics, own, sp4, training
from .._keras import gelu, keras, layers, ops
from .._progress import bar
from ..applied import Field
from ..dataset import COARSE
from ..dynamics import Dynamics, Ensemble
from ..files import DATA, arrays, keep
from ..film import Film
from ..multirate import one_thread
from ..rom import load_rom
from .common import coarser, command, folder, half, hold, kept, read_json, round_weights, say, write_json, write_npz

LATENT = 64
"""Numbers of a latent state."""

TRAINING: dict[str, Any] = dict(seed=0)
"""How the driven model is trained, beside what `driven.train` does by itself."""

REVERSALS: dict[str, Any] = {"steps": 32, "epochs": 180, "updates": 200, "batch": 64, "learning_rate": 1e-3}
"""The stage in which films that turn over join the data."""

KICKS: dict[str, Any] = {"steps": 32, "epochs": 60, "updates": 200, "batch": 64, "learning_rate": 5e-4}
"""The last stage, in which films that are kicked join them."""

BRIEF: list[dict[str, Any]] = [stage | {"epochs": epochs} for stage, epochs in zip(driven.STAGES[:3], (5, 8, 6))]
"""Shorter trainings, that compare parts of the driven model with each other."""

SEQUENCES: list[dict[str, Any]] = [
    {"steps": 16, "epochs": 10, "updates": 200, "batch": 64, "learning_rate": 2e-3},
    {"steps": 64, "epochs": 8, "updates": 100, "batch": 64, "learning_rate": 1e-3},
    {"steps": 200, "epochs": 6, "updates": 50, "batch": 64, "learning_rate": 1e-3}]
"""Trainings of recurrent networks, which learn from sequences and not from steps: twice as long as BRIEF, by the clock."""

CORRECTIONS: list[dict[str, Any]] = [
    {"steps": 1, "epochs": 2, "updates": 150, "batch": 128, "learning_rate": 2e-3},
    {"steps": 4, "epochs": 2, "updates": 120, "batch": 64, "learning_rate": 1.5e-3},
    {"steps": 16, "epochs": 3, "updates": 70, "batch": 32, "learning_rate": 1e-3}]
"""The training of what corrects the solver's field on few cells."""

REGRESSION: list[dict[str, Any]] = [{"steps": 1, "epochs": 3, "updates": 200, "batch": 256, "learning_rate": 2e-3}]
"""The training of what the projected equation leaves over, on its true values: nothing is rolled out."""

CLOSURE: list[dict[str, Any]] = [
    {"steps": 1, "epochs": 2, "updates": 200, "batch": 128, "learning_rate": 2e-3},
    {"steps": 4, "epochs": 2, "updates": 200, "batch": 64, "learning_rate": 1.5e-3},
    {"steps": 16, "epochs": 8, "updates": 150, "batch": 32, "learning_rate": 1e-3}]
"""The training of the same that goes on from there, by rolling out."""

CELLS = 32, 8
"""Those of the solver whose field a network may correct."""

SUMS = ((64, 256), (64, 128), (64, 64), (16, 64), (16, 32))
"""Numbers on which the projected equation is solved, and the cells over which it is summed."""

GRIDS = ((64, 16), (32, 8), (16, 4))
"""The rivals: the solver on fewer cells."""

READ = ("atlas", "paper")
"""The models that have a readout."""

SOME = 20
"""Runs of each case on which the projected equation is solved."""

CONSTANT: dict[str, Any] = dict(n=100, seed=2022, angle=0.0, opening=360.0, strength=(0.0, 45e-3))
"""Constant fields of every direction that test, as `applied.fan` takes them."""


def other_kinds() -> dict[str, tuple[Field, float]]:
    """Fields in time of kinds that no training saw, and how long they last in s. Two are standard problem 4's own."""
    loop = applied.ramp((45e-3, 2e-3), (-45e-3, -2e-3), 2.5e-9, back=True)
    return {"hysteresis loop": (loop, 5e-9),
            "three turns": (applied.rotating(40e-3, 1e9), 3e-9),
            "square pulse": (applied.pulse((0, 40e-3), 50e-12), 2e-9),
            "sinc pulse": (sinc, 2e-9),
            "field 1, then field 2": (applied.step(sp4.FIELD_2, 0.5e-9, before=sp4.FIELD_1), 2e-9),
            "field 1": (sp4.FIELD_1, 5e-9), "field 2": (sp4.FIELD_2, 5e-9)}


def sinc(t: np.ndarray, most: float = 40e-3, highest: float = 10e9, middle: float = 0.25e-9) -> np.ndarray:
    """The field (..., 3) of a pulse along y that holds all frequencies up to the highest in equal parts, in Hz; spin waves are looked for with it."""
    return np.multiply.outer(most * np.sinc(2 * highest * (np.asarray(t) - middle)), [0.0, 1.0, 0.0])


# ---------------------------------------------------------------------------- the model


@command(reads=["set/driven", "set/reversals", "set/kicks"], keeps=["driven"], seed=0, writes={
    "rom_driven.npz": "the model of chapter 8, trained: principal components of definite parity, and the network that steps, with "
                      "weights of 16 bits"})
def train_driven() -> None:
    """Train the driven model of chapter 8, on the driven set, then with reversals and with kicks (two hours on one core, the data apart); it resumes."""
    whole, parities = components()
    readout, every = whole.mean(axis=(1, 2)), {name: latents(name) for name in ("driven", "reversals", "kicks")}

    def runs(part, *names):
        chosen = [(every[name], dataset.split(dataset.SETS[name]["n"])[part]) for name in names]
        return [np.concatenate([data[key][runs] for data, runs in chosen]) for key in ("c", "fields")]

    def trained(names, into, **options):
        c, fields = runs("train", *names)
        return driven.train(c, fields, tuple(runs("validation", *names)), parities, readout, folder("driven") / into, callback=say, **options)[0]

    one = trained(["driven"], "", **TRAINING)
    one = trained(["driven", "reversals"], "reversals", begin=one, stages=[REVERSALS], **TRAINING)
    one = trained(list(every), "kicks", begin=one, stages=[KICKS], **TRAINING)
    c, held = (np.concatenate([data[key][dataset.split(dataset.SETS[name]["n"])["train"]] for name, data in every.items()]) for key in ("c", "held"))
    round_weights(one.network)
    info = {"settings": {"stages": [*driven.STAGES, REVERSALS, KICKS], "widths": driven.WIDTHS} | TRAINING,
            "data": {name: dataset.SETS[name] for name in every}, "command": "python -m magbook train-driven", "version": __version__}
    rom = own.assemble(driven.Driven(one.network, parities, readout), whole, COARSE, 45e-3, np.abs(c).max(), np.quantile(held, 0.99), info)
    rom.save(DATA / "rom_driven.npz", half=True)


def components() -> tuple[np.ndarray, np.ndarray]:
    """Principal components (LATENT, ny, nx, 3) of every twentieth training state, rounded as they ship, and their parities."""
    def make():
        data = dataset.load("driven")
        whole, parities = driven.components(dataset.states(data, dataset.split(data.sizes["run"])["train"], every=20), LATENT)
        return {"whole": half(whole), "parities": parities}

    found = keep(folder("driven-components.npz"), make)
    return found["whole"], found["parities"]


def latents(name: str = "driven") -> dict[str, np.ndarray]:
    """Of every run of a driven set what `own.latents` gives."""
    return keep(folder(f"{name}-latents.npz"), lambda: own.latents(dataset.load(name), components()[0], COARSE))


@command(reads=["rom_driven.npz"], writes={
    "lookup_driven.npz": "film averages of the driven model in constant fields of every direction, from the S-state, on a grid of 163 x 163 fields, as sums of 160 curves"})
def tabulate_driven() -> None:
    """Ask the driven model once in 21,500 constant fields, so that averages in any other are read from a table (half a minute)."""
    lookup.tabulate(load_rom("driven")).save(DATA / "lookup_driven.npz")


# ---------------------------------------------------------------------------- what it is judged by


@command(reads=["rom_driven.npz", "lookup_driven.npz", "set/driven"], seed=0, writes={
    "driven_test.npz": "film averages of the solver (solver_) and of the driven model (driven_) in signals of other kinds, with the fields' "
                       "means (field_); how far neighbouring starts part (neighbours)",
    "driven_errors.json": "errors of these film averages, of the driven model, the table made of it, and the equation "
                          "projected on the same components with nothing learned (of the first 20 runs of each); what 8 to 64 numbers hold"})
def evaluate_driven() -> None:
    """Compare the driven model with the solver on unseen fields, signals, and signals of other kinds (20 minutes)."""
    rom, data = load_rom("driven"), latents()
    test, signals = dataset.split(len(data["c"]))["test"], dataset.fields("driven")
    whole, _ = components()
    start = rom.encode(llg.s_state(COARSE))
    fields = applied.fan(**CONSTANT)
    # Of each case: latent starts (n, latent), the fields' means (n, nt, 2), and the truth (n, nt, 3)
    cases: dict[str, Any] = {"constant": (np.repeat(start[None], len(fields), axis=0), hold(fields),
                                          np.array([llg.simulate(b, COARSE, progress=False).mean for b in bar(fields, unit="field")]))}
    c, b, mean = (data[name][test] for name in ("c", "fields", "mean"))
    cases["driven, early"] = c[:, 0], b[:, :201], mean[:, :201]
    cases["driven, late"] = c[:, 200], b[:, 200:], mean[:, 200:]
    for name, (signal, duration) in other_kinds().items():
        run = llg.simulate(signal, COARSE, duration=duration, progress=False)
        cases[name] = start[None], np.concatenate([np.zeros((1, 3)), applied.means(signal, run.t)])[None, :, :2], run.mean[None]
    stored, errors, wells, kinds = {}, {}, {}, {"driven": rom.dynamics} | {
        f"equation, {k}": driven.Projected(whole[:k], COARSE) for k in (16, 32, LATENT)}
    for name, (first, means, true) in bar(cases.items(), unit="case"):
        found = {}
        for kind, one in kinds.items():
            part = slice(SOME if isinstance(one, driven.Projected) else None)  # of the whole film's cells, which is slow
            found[kind] = one.averages(one.rollout(first[part, None, :one.latent], means[part]))
        if name == "constant":
            found["lookup"] = lookup.load("driven").averages(fields)
        errors[name] = {kind: metrics.film_average_error(one[:, 1:], true[:len(one), 1:]).tolist() for kind, one in found.items()}
        wells[name] = {kind: float(np.mean(np.sign(one[:, -1, 0]) == np.sign(true[:len(one), -1, 0]))) for kind, one in found.items()}
        if len(true) == 1:  # the films of hundreds of runs would weigh a megabyte
            stored |= {f"solver_{name}": true.astype(np.float32), f"driven_{name}": found["driven"].astype(np.float32), f"field_{name}": means.astype(np.float32)}
    held = {str(k): np.abs(c[..., :k] @ whole.mean(axis=(1, 2))[:k] - mean).mean(axis=(1, 2)).tolist() for k in (8, 16, 32, LATENT)}
    parted = np.array([neighbours(signals[i]) for i in bar(test[:20], desc="neighbours", unit="run")])
    write_npz("driven_test.npz", neighbours=parted.astype(np.float32), **stored)
    write_json("driven_errors.json", {"errors": errors, "right well": wells, "held": held})


@command(reads=["atlas_test.npz"], seed=0, writes={
    "driven_solvers.json": "of the solver on fewer cells: the accuracy that these allow, chosen on 12 validation signals (`own.coarsely`), and with it the errors "
                           "of the film average in the cases of driven_errors.json that begin in the S-state, and on the 100 test fields of atlas_test.npz"})
def evaluate_solvers() -> None:
    """Judge the solver on fewer cells, in steps as coarse as these allow, by what judges the driven model (10 minutes)."""
    signals, parts, tested = dataset.fields("driven"), dataset.split(dataset.SETS["driven"]["n"]), arrays("atlas_test.npz")
    known = [signals[i] for i in parts["validation"][:12]]
    true = np.array([llg.simulate(one, duration=2e-9, progress=False).mean for one in bar(known, desc="validation", unit="run")])
    accuracy = {name: own.coarsely(grid, known, true)[0] for name, grid in _grids().items()}

    def solved(fields, film, duration, accuracy=1.0):
        return np.array([llg.simulate(b, film, duration=duration, accuracy=accuracy, progress=False).mean[1:]
                         for b in bar(fields, desc=f"{film.nx} x {film.ny} cells", unit="run")])

    cases: dict[str, Any] = {"constant": (applied.fan(**CONSTANT), 1e-9), "driven, early": ([signals[i] for i in parts["test"]], 2e-9)}
    cases |= {name: ([signal], duration) for name, (signal, duration) in other_kinds().items()}
    cases = {name: (*case, solved(case[0], COARSE, case[1])) for name, case in cases.items()}
    cases["fan"] = tested["field"][2:], 1e-9, tested["mean"][2:]  # the first two are standard problem 4's
    errors = {case: {name: metrics.film_average_error(solved(fields, grid, duration, accuracy[name]), true).tolist()
                     for name, grid in _grids().items() if case == "fan" or grid != COARSE} for case, (fields, duration, true) in cases.items()}
    write_json("driven_solvers.json", {"accuracy": accuracy, "errors": errors})


def _grids():
    """The rivals by name; the first is the truth of all that is not in the fan."""
    return {f"solver, {film.nx} x {film.ny}": film for film in (COARSE, *(COARSE.replace(cells=cells) for cells in GRIDS))}


@command(reads=["rom_paper.npz", "rom_atlas.npz", "rom_driven.npz", "lookup_driven.npz", "atlas_test.npz", "driven_solvers.json", "set/large"], seed=0, writes={
    "driven_price.json": "errors of the film average, on the 100 test fields of atlas_test.npz, of the models of chapters 4, 7 and 8, of the table made of "
                         "the last, and of the spline and the nearest field among the 800 training fields; how far readouts are from averages of decoded "
                         "states there; CPU seconds of each for 1 ns, and of the solver as in driven_solvers.json, and as the truth"})
def price_driven() -> None:
    """Compare what all models and the solver cost, and how wrong they are in constant fields that all can answer (10 minutes, on a quiet machine)."""
    train = dataset.split(dataset.SETS["large"]["n"])["train"]
    known = keep(folder("large-averages.npz"), lambda: {"mean": _averages(dataset.load("large"), train)})["mean"]
    answers = {name: baselines.METHODS[name](applied.fan(**dataset.SETS["large"])[train], known) for name in ("spline", "nearest field")}
    errors = kept("driven-price", partial(_errors_in_the_fan, answers))
    accuracy = read_json("driven_solvers.json")["accuracy"]
    others: dict[str, Any] = {name: partial(lambda one, b: one(b[None]), one) for name, one in answers.items()}
    rom, table = load_rom("driven"), lookup.load("driven")
    thousand = applied.fan(1000, seed=2022, **rom.fan)
    others |= {"lookup, averages": table.averages, "lookup, averages of 1000 fields": lambda b: table.averages(thousand)}
    others |= {f"truth, {film.nx} x {film.ny}": own.solver(film) for film in (Film(), COARSE)}
    others |= {name: own.solver(grid, accuracy[name]) for name, grid in _grids().items()}

    def costs():
        found = own.seconds(rom, others, "driven", 1000)
        found["lookup, averages of 1000 fields"] /= 1000
        for name in READ:
            found |= own.seconds(load_rom(name), {}, name, 20)
        return found

    with one_thread():
        rounds = [costs() for _ in range(7)]  # others may have the machine for a while
    seconds = {name: min(one[name] for one in rounds) for name in rounds[0]}
    write_json("driven_price.json", {"errors": errors, "readouts": kept("driven-readouts", _readouts), "seconds": seconds})


def _averages(data, runs):
    """Film averages (n, nt, 3) of the states of a data set."""
    return np.array([dataset.as_float(dataset.states(data, i)).mean(axis=(1, 2), dtype=float) for i in bar(runs, desc="film averages", unit="field")])


def _errors_in_the_fan(answers):
    """Errors of the film average on the atlas's test fields: of functions of fields, and of the models."""
    tested = arrays("atlas_test.npz")
    fields, true = tested["field"][2:], tested["mean"][2:]
    found = {"atlas": tested["mean_atlas"][2:], "lookup": lookup.load("driven").averages(fields)[:, 1:]} | {name: one(fields) for name, one in answers.items()}
    found |= {"driven": load_rom("driven").averages(fields)[:, 1:],
              "paper": np.array([run.mean[1:] for run in bar(load_rom("paper").simulate(fields), total=len(fields), desc="paper", unit="field")])}
    return {name: metrics.film_average_error(one, true).tolist() for name, one in found.items()}


def _readouts():
    """How far the averages of the models that have a readout are from those of their decoded states, on the atlas's test fields."""
    fields, found = arrays("atlas_test.npz")["field"][2:], {}
    for name in READ:
        rom = load_rom(name)
        decoded = np.array([run.mean for run in bar(rom.simulate(fields), total=len(fields), desc=name, unit="field")])
        found[name] = metrics.film_average_error(rom.averages(fields)[:, 1:], decoded[:, 1:]).tolist()
    return found


def neighbours(signal: Field, angle: float = 1e-4, duration: float = 4e-9) -> np.ndarray:
    """How far the film averages of two starts part by themselves, (nt,): the S-state, and the same turned by an angle in the plane."""
    start = llg.s_state(COARSE)
    c, s = np.cos(angle), np.sin(angle)
    turned = start @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    one, other = (llg.simulate(signal, COARSE, m, duration, progress=False).mean for m in (start, turned))
    return np.abs(one - other).mean(axis=1)


@command(reads=["set/driven"], seed=0, writes={
    "driven_sweep.json": "film average errors over 2 ns of the unseen signals of the driven set, and seconds of training, of driven models that were trained "
                         "more briefly: with fewer numbers, with fewer runs, without the mirror images, without looking ahead, "
                         "with their past, from three seeds, of a step that may not raise the energy, of recurrent networks, and of a step that is affine in the field; "
                         "of polynomials that are fitted, of the solver on 32 x 8 cells, bare and with its field corrected, of the projected equation with a network for what it leaves over, "
                         "and of that equation alone, summed over few cells (of the first 20 runs), with the CPU seconds of 1 ns, for one run and for each of 100; and in the solver's own runs, how often the energy of the 64 numbers rises, and its rises as a part of its falls"})
def sweep_driven() -> None:
    """Compare the parts of the driven model, and rivals in its place, in shorter trainings (two hours on one core); it resumes."""
    whole, parities = components()
    data, parts = latents(), dataset.split(dataset.SETS["driven"]["n"])
    far = sum(stage["epochs"] * stage["updates"] for stage in BRIEF)
    variants: dict[str, dict[str, Any]] = {
        "whole": {}, "32 numbers": {"latent": 32}, "16 numbers": {"latent": 16}, "120 runs": {"runs": 120}, "images as data": {"mirror": "data"},
        "no images": {"mirror": None}, "one step ahead": {"stages": [BRIEF[0] | {"epochs": far // BRIEF[0]["updates"]}]},
        "four past states": {"kind": "past"}, "three seeds": {"kind": "seeds"},
        "energy never rises": {"kind": "downhill"},
        "GRU": {"kind": "pure", "stages": SEQUENCES}, "GRU, fed back": {"kind": "fed back", "stages": SEQUENCES},
        "GRU, fed back, longer": {"kind": "fed back", "stages": longer(SEQUENCES)},
        "affine in the field": {"kind": "affine"},
        "affine in the field, longer": {"kind": "affine", "stages": longer(BRIEF)},
        "polynomial, degree 2": {"kind": "polynomial", "degree": 2}, "polynomial, degree 3, 16 numbers": {"kind": "polynomial", "degree": 3, "latent": 16},
        "solver, 32 x 8": {"kind": "coarse", "stages": []}, "solver, 32 x 8, corrected": {"kind": "coarse", "stages": CORRECTIONS},
        "closed equation, regressed": {"kind": "closed", "cells": 128, "stages": []}, "closed equation": {"kind": "closed", "cells": 128, "stages": CLOSURE},
        "closed equation, 16 numbers": {"kind": "closed", "latent": 16, "cells": 64, "stages": CLOSURE},
        **{f"equation, {k}, {n} cells": {"kind": "equation", "latent": k, "cells": n} for k, n in SUMS}}
    table: dict[str, Any] = {"settings": {"steps": BRIEF, "GRU": SEQUENCES, "corrections": CORRECTIONS, "closure": [*REGRESSION, *CLOSURE]}, "variants": {},
                             "energy": kept("driven-energy", lambda: rises(data["c"][parts["test"]], data["fields"][parts["test"]], energy(whole), whole.mean(axis=(1, 2))))}
    for name, options in variants.items():
        table["variants"][name] = kept(_place(name), partial(variant, name, whole, parities, data, parts, **options))
    write_json("driven_sweep.json", table)


def longer(stages: list) -> list:
    """Three times as long, as each stage is."""
    return [stage | {"epochs": 3 * stage["epochs"]} for stage in stages]


def variant(name: str, whole: np.ndarray, parities: np.ndarray, data: dict, parts: dict, latent: int = LATENT, runs: int | None = None,
            mirror: str | None = "network", kind: str = "step", stages: list = BRIEF, degree: int = 2, cells: int = 0) -> dict[str, Any]:
    """Make a variant: its errors on the test runs, the CPU seconds that making it took, and more of some kinds.

    mirror: where the images are, in the "network", in the "data", or nowhere. kind: a "step", three "seeds" of a step whose rollouts are
    averaged, a step that knows the "past" too, one that goes "downhill", one "affine" in the field, a GRU, "pure" or "fed back", a "polynomial" of some degree,
    the projected "equation", summed over so many cells, the same "closed" by a network, which stages train on from `REGRESSION`,
    or the solver on "coarse" cells, with a correction that is trained in stages.
    """
    clock = time.process_time()
    split = {part: (data["c"][runs, :, :latent], data["fields"][runs]) for part, runs in parts.items()}
    parities, readout, into = parities[:latent], whole[:latent].mean(axis=(1, 2)), folder(_place(name))
    more: dict[str, Any] = {}
    if kind == "coarse":
        film, states = COARSE.replace(cells=CELLS), coarse_states(COARSE.replace(cells=CELLS))
        few = coarser(whole, COARSE.nx // film.nx)
        split = {part: (states[runs], data["fields"][runs]) for part, runs in parts.items()}
        readout = np.repeat(np.eye(3), film.nx * film.ny, axis=0) / np.sqrt(film.nx * film.ny)
    (c, fields), validation, test = split["train"], split["validation"], split["test"]
    c, fields = c[:runs], fields[:runs]
    if mirror == "data":
        c, fields = driven.images(c, fields, parities)
    if cells:
        part = driven.Projected(whole[:latent], COARSE, weights=few_cells(whole[:latent], COARSE, *samples(c, fields, 1000), parities, cells))
    if kind in ("step", "seeds"):
        places = [folder(_place("whole")), into / "seed-1", into / "seed-2"] if kind == "seeds" else [into]
        members = [driven.train(c, fields, validation, parities if mirror == "network" else None, readout, place, stages=stages, callback=say,
                                seed=seed)[0] for seed, place in enumerate(places)]
        one: Dynamics = Ensemble(members) if kind == "seeds" else members[0]
    elif kind == "polynomial":
        one, more["ridge"] = fitted(c, fields, validation, parities, readout, degree)
    elif kind == "equation":
        one, test = part, (test[0][:SOME], test[1][:SOME])
        more["whole ns"] = nanosecond(driven.Projected(whole[:latent], COARSE), test, 1)
    elif kind == "closed":
        network, true = affine(driven.scales(c)), rates_of_runs(whole, parts["train"])
        rolled = in_turn(Stepped(step_closed(part, network, parities)))
        one = Rolled(rolled, readout)
        missing = left_over(part, parities, true["c"][:, :latent], true["fields"], true["rates"][:, :latent])
        for place, known, alone, how in ((into / "regressed", missing, partial(driven.look_ahead, driven.step(network, parities)), REGRESSION),
                                         (into, (c, fields), lambda steps: rolled, stages)):
            driven.fit(alone, lambda: one, known, validation, readout, place, stages=how, settings={"network": kind}, callback=say)
    else:
        if kind == "past":
            c, validation, test = delayed(c), (delayed(validation[0]), validation[1]), (delayed(test[0]), test[1])
            readout = np.pad(readout, ((0, c.shape[2] - latent), (0, 0)))
        scale = driven.scales(c)
        steps: dict[str, Callable] = {"past": step_from_the_past, "affine": step_affine, "downhill": lambda scale, parities: step_downhill(scale, parities, energy(whole), readout)}
        if kind in steps:
            ahead: Callable[[int], keras.Model] = partial(driven.look_ahead, steps[kind](scale, parities))
            model = ahead(200)
        else:
            model = in_turn(CorrectedCell(film, few, parities, driven.scales(data["c"][parts["train"]]))) if kind == "coarse" else recurrent(
                scale, parities, kind == "fed back")
            ahead = lambda steps: model  # it takes fields of any length
        one = Rolled(model, readout)
        driven.fit(ahead, lambda: one, (c, fields), validation, readout, into, stages=stages, settings={"network": kind}, callback=say)
    made = time.process_time() - clock
    if kind in ("polynomial", "equation", "closed", "coarse"):
        more["ns"] = [nanosecond(one, test, n) for n in (1, 100)]
    return {"error": driven.rollout_errors(one, *test).tolist(), "seconds": made} | more


def samples(c: np.ndarray, fields: np.ndarray, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """States (n, latent) and fields (n, 2) of some times in trajectories (runs, nt, latent) with their fields (runs, nt, 2)."""
    chosen = np.random.default_rng(seed).choice(c.shape[0] * c.shape[1], n, replace=False)
    return c.reshape(-1, c.shape[2])[chosen], fields.reshape(-1, 2)[chosen]


def nanosecond(one: Dynamics, test: tuple, n: int) -> float:
    """CPU seconds that a rollout of 1 ns takes, of n runs at once, for each of them: the best of three."""
    first, fields = np.resize(test[0][:, :1], (n, 1, test[0].shape[2])), np.resize(test[1][:, :101], (n, 101, 2))
    times = []
    for _ in range(4):  # the first makes ready
        clock = time.process_time()
        one.rollout(first, fields)
        times.append((time.process_time() - clock) / n)
    return min(times[1:])


def _place(name):
    return f"driven-{name.replace(',', '').replace(' ', '-')}"


# ---------------------------------------------------------------------------- other networks that are driven


@dataclass(eq=False)
class Rolled(Dynamics):
    """A dynamics that looks ahead in one call. model: from [first states (n, latent), fields (n, nt - 1, 2)] to the states that follow.
    readout: as `driven.Driven` takes it."""

    model: keras.Model
    readout: np.ndarray
    every: float = 1e-11

    means = True

    def __post_init__(self):
        self.latent = self.model.output_shape[-1]

    def rollout(self, first: np.ndarray, fields: np.ndarray) -> np.ndarray:
        c = self.model.predict_on_batch([first[:, 0].astype(np.float32), fields[:, 1:].astype(np.float32)])
        return np.concatenate([first, c], axis=1)

    def averages(self, c: np.ndarray) -> np.ndarray:
        return c @ self.readout


def delayed(c: np.ndarray, n: int = 4) -> np.ndarray:
    """Trajectories (runs, nt, latent) in which a state is itself and those before it, newest first: (runs, nt, n * latent).
    Before the first the film was at rest."""
    c = np.concatenate([np.repeat(c[:, :1], n - 1, axis=1), c], axis=1)
    return np.concatenate([c[:, n - 1 - k:c.shape[1] - k] for k in range(n)], axis=2)


def step_from_the_past(scale: np.ndarray, parities: np.ndarray) -> keras.Model:
    """A step from delayed states, see `delayed`: only the newest is learned, the others move on by one place. scale: (n * latent,)."""
    latent = len(parities)
    x = keras.Input((len(scale) + 2,))
    change = driven.network(scale)(x)[:, :latent]
    return driven.step(keras.Model(x, ops.concatenate([change, x[:, :-2 - latent] - x[:, latent:-2]], axis=1)), np.tile(parities, (len(scale) // latent, 1)))


def step_affine(scale: np.ndarray, parities: np.ndarray, seed: int = 0) -> keras.Model:
    """A step that is affine in the field, as the equation is: a network of the state alone gives the change f and its derivatives G, and c becomes c + f + G h."""
    return driven.step(affine(scale, seed), parities)


def affine(scale: np.ndarray, seed: int = 0) -> keras.Model:
    """The network of `step_affine`, in place of `driven.network`."""
    latent, of = len(scale), [float(s) for s in scale]
    x = keras.Input((latent + 2,))
    both = training.dense(latent, driven.WIDTHS, 3 * latent, 1000 * seed, gelu, layers.Rescaling([1 / s for s in of]),
                          layers.Rescaling([driven.GAIN * s for s in 3 * of]))(x[:, :latent])
    b = x[:, latent:] / driven.FIELD_SCALE
    return keras.Model(x, both[:, :latent] + both[:, latent:2 * latent] * b[:, :1] + both[:, 2 * latent:] * b[:, 1:])


def energy(whole: np.ndarray) -> np.ndarray:
    """The energy of a latent state is quadratic, e = c K c/2 - b (P c), in Ms times the volume of a cell, a mean over cells: K (k, k) in T of components (k, ny, nx, 3)."""
    fields = np.array([llg.effective_field(one, COARSE) for one in whole])
    stiffness = -llg.MU0 * np.einsum("iyxc,jyxc->ij", whole, fields) / (COARSE.nx * COARSE.ny)
    return (stiffness + stiffness.T) / 2


def rises(c: np.ndarray, fields: np.ndarray, stiffness: np.ndarray, readout: np.ndarray) -> dict[str, float]:
    """In how many steps of trajectories (n, nt, latent) the energy of their numbers rises, in the mean field over that step, as a share of all;
    and these rises as a part of all falls."""
    def of(c, b):
        return np.sum(c @ stiffness * c, axis=-1) / 2 - np.sum(c @ readout[:, :2] * b, axis=-1)

    change = of(c[:, 1:].astype(float), fields[:, 1:]) - of(c[:, :-1].astype(float), fields[:, 1:])
    return {"steps": float(np.mean(change > 0)), "part": float(change[change > 0].sum() / -change[change < 0].sum())}


def step_downhill(scale: np.ndarray, parities: np.ndarray, stiffness: np.ndarray, readout: np.ndarray) -> keras.Model:
    """A step that cannot raise the energy of its numbers in the field that it sees, whatever its weights: one that would is taken back along the gradient,
    as far as to where the energy is what it was."""
    one = driven.step(driven.network(scale), parities)
    c, b = one.inputs
    stiffness, pull = ops.convert_to_tensor(stiffness.astype(np.float32)), ops.matmul(b, readout[:, :2].T.astype(np.float32))
    x = one([c, b])

    def of(c):
        return ops.sum(ops.matmul(c, stiffness) * c / 2 - pull * c, axis=-1)

    slope = ops.matmul(x, stiffness) - pull
    rise, first, second = ops.relu(of(x) - of(c)), ops.sum(slope**2, axis=-1), ops.sum(ops.matmul(slope, stiffness) * slope, axis=-1)
    # the lesser root of rise - first s + second s^2/2 = 0
    back = 2 * rise / (first + ops.sqrt(ops.relu(first**2 - 2 * second * rise) + 1e-20) + 1e-12)
    return keras.Model([c, b], x - back[:, None] * slope)


def recurrent(scale: np.ndarray, parities: np.ndarray, fed_back: bool, width: int = 128, seed: int = 0) -> keras.Model:
    """A recurrent network, from [first states (n, latent), fields (n, nt, 2)] to states (n, nt, latent). A layer makes its memory from the first state;
    from there on it sees the fields, and with `fed_back` its own last state, to which it gives the change. Images are images: those of whole runs."""
    scale, glorot = scale.astype(np.float32), keras.initializers.GlorotUniform(seed)
    c, b = keras.Input((len(scale),)), keras.Input((None, 2))
    signs, flips = driven.turned(c, parities)
    first, fields = flips * c / scale, signs[:, None] * b / driven.FIELD_SCALE
    memory = layers.Dense(width, "tanh", kernel_initializer=glorot)(first)
    options = dict(kernel_initializer=glorot, recurrent_initializer=keras.initializers.Orthogonal(seed=seed))
    if fed_back:
        out = layers.RNN(FedBack(width, len(scale), options), return_sequences=True)(fields, initial_state=[memory, first])
    else:
        out = layers.GRU(width, return_sequences=True, **options)(fields, initial_state=memory)
        out = layers.Dense(len(scale), kernel_initializer=glorot)(out)
    return keras.Model([c, b], out * flips[:, None] * scale)


class FedBack(layers.Layer):
    """A cell of a recurrent network: a GRU that sees the last state and the field, and gives the change of the state."""

    def __init__(self, width, latent, options):
        super().__init__()
        self.state_size, self.output_size = [width, latent], latent
        self.gru, self.out = layers.GRUCell(width, **options), layers.Dense(latent, kernel_initializer=options["kernel_initializer"])

    def build(self, shape: tuple) -> None:
        width, latent = self.state_size
        self.gru.build((shape[0], shape[1] + latent))
        self.out.build((shape[0], width))
        self.built = True

    def call(self, b: keras.KerasTensor, states: list) -> tuple:
        memory, c = states
        memory, _ = self.gru(ops.concatenate([c, b], axis=-1), [memory])
        c = c + driven.GAIN * self.out(memory)
        return c, [memory, c]


# ---------------------------------------------------------------------------- no network


@dataclass(eq=False)
class Polynomial(Dynamics):
    """A dynamics whose change from one state to the next is a polynomial of the latent state and the field: all products of up to `degree` of them.

    scale: (latent + 2,), what these are divided by. coefficients: (products, latent), in the order of `products`. readout: as `driven.Driven` takes it.
    A state is not longer than one, since in no film the mean of |m|^2 is more: a longer one is shortened to that.
    """

    scale: np.ndarray
    degree: int
    coefficients: np.ndarray
    readout: np.ndarray
    every: float = 1e-11

    means = True

    def __post_init__(self):
        self.latent = len(self.scale) - 2
        self._factors = factors(len(self.scale), self.degree)

    def rollout(self, first: np.ndarray, fields: np.ndarray) -> np.ndarray:
        first, fields = self.checked(first, fields)
        c = np.repeat(first, fields.shape[1], axis=1)
        for k in range(1, c.shape[1]):
            one = c[:, k - 1] + products(np.hstack([c[:, k - 1], fields[:, k]]) / self.scale, self._factors) @ self.coefficients
            c[:, k] = one / np.maximum(1, np.linalg.norm(one, axis=1, keepdims=True))
        return c

    def averages(self, c: np.ndarray) -> np.ndarray:
        return c @ self.readout


def factors(n: int, degree: int) -> np.ndarray:
    """Which of n numbers are multiplied in each product of up to `degree` of them, (products, degree), counted from one; zero stands for none."""
    return np.array(list(combinations_with_replacement(range(n + 1), degree)))


def products(x: np.ndarray, of: np.ndarray) -> np.ndarray:
    """The products (n, products) of numbers (n, numbers), see `factors`; or their parities of those of the numbers."""
    x = np.hstack([np.ones_like(x[:, :1]), x])
    return np.prod([x[:, one] for one in of.T], axis=0)


def fitted(c: np.ndarray, fields: np.ndarray, validation: tuple, parities: np.ndarray, readout: np.ndarray, degree: int,
           ridges: tuple = (1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)) -> tuple[Polynomial, float]:
    """The polynomial that changes trajectories (n, nt, latent) as they change, by least squares with a ridge, and that ridge: the one with the
    least error of rollouts in validation runs. An answer has only products of its own parity, so that images are exact."""
    scale, latent = np.append(driven.scales(c), [driven.FIELD_SCALE] * 2).astype(np.float32), c.shape[2]
    x = (np.concatenate([c[:, :-1], fields[:, 1:]], axis=2) / scale).reshape(-1, latent + 2)
    change, of = np.diff(c, axis=1).reshape(-1, latent), factors(latent + 2, degree)
    signs = products(np.vstack([parities, [[-1, 1], [1, -1]]]).T, of).T  # (products, 2)
    solved = []
    for parity in driven.IMAGES:
        terms, numbers = np.flatnonzero((signs == parity).all(axis=1)), np.flatnonzero((parities == parity).all(axis=1))
        square, target = np.zeros((len(terms), len(terms))), np.zeros((len(terms), len(numbers)))
        for k in range(0, len(x), 4096):
            part = products(x[k:k + 4096].astype(float), of[terms])
            square += part.T @ part
            target += part.T @ change[k:k + 4096, numbers]
        size = np.sqrt(square.diagonal())[:, None]  # so that small products cost as little as large ones
        solved.append((terms, numbers, size, *np.linalg.eigh(square / size / size.T), target / size))

    def one(ridge):
        coefficients = np.zeros((len(of), latent), np.float32)
        for terms, numbers, size, values, vectors, target in solved:
            coefficients[np.ix_(terms, numbers)] = vectors @ ((vectors.T @ target) / (np.maximum(values, 0) + ridge)[:, None]) / size
        return Polynomial(scale, degree, coefficients, readout)

    errors = [driven.rollout_errors(one(ridge), *validation).mean() for ridge in ridges]
    return one(ridges[np.argmin(errors)]), float(ridges[np.argmin(errors)])


def few_cells(whole: np.ndarray, film: Film, c: np.ndarray, fields: np.ndarray, parities: np.ndarray, n: int) -> np.ndarray:
    """Weights (ny, nx), greater than 0 in at most n cells, with which the sum over these comes near to that over all cells in `driven.Projected`.

    Empirical cubature: of states c (samples, k) in fields (samples, 2) in T and of their images. Cell after cell joins that is most like what is missing; least
    squares give the weights, and a cell leaves whose weight would not be positive. A state is even under inversion: half of the cells has the whole sum.
    """
    one = driven.Projected(whole, film)
    c, fields = (x[:, 0] for x in driven.images(c[:, None], fields[:, None], parities))
    half = film.nx * film.ny // 2
    torque = one._rates(c, fields / np.float32(llg.MU0))[..., :half]  # (3, samples, cells)
    tests = one._tests[..., :half] / np.sqrt(np.einsum("cnx,ckx->nk", torque, one._tests[..., :half], optimize=True).var(axis=0))[:, None]
    terms = sum((torque[i].T @ torque[j]) * (tests[i].T @ tests[j]) for i in range(3) for j in range(3)).astype(float)
    want, chosen, weights = 2 * terms.sum(axis=1), [], np.zeros(0)
    for _ in range(10 * n):  # one may come and go for ever
        if len(chosen) == n:
            break
        missing = want - terms[:, chosen] @ weights
        missing[chosen] = -np.inf
        chosen.append(int(np.argmax(missing / np.sqrt(terms.diagonal()))))
        while (weights := np.linalg.solve(terms[np.ix_(chosen, chosen)], want[chosen])).min() <= 0:
            chosen.pop(int(weights.argmin()))
    found = np.zeros(film.nx * film.ny)
    found[chosen] = weights
    return found.reshape(film.ny, film.nx)


# ---------------------------------------------------------------------------- between: the projected equation, with a network for what it leaves over


def true_rates(whole: np.ndarray, film: Film, m: np.ndarray, fields: np.ndarray) -> np.ndarray:
    """The equation of the film, as components (k, ny, nx, 3) see it: dc/dt in 1/s, (n, k), of states (n, ny, nx, 3) in fields (n, 2) in T."""
    rates = (llg.llg(one, llg.effective_field(one, film, b), film) for one, b in zip(m, fields))
    flat = whole.reshape(len(whole), -1).T / (film.nx * film.ny)
    return np.array([one.reshape(-1).astype(np.float32) @ flat for one in rates])


def rates_of_runs(whole: np.ndarray, runs: np.ndarray, every: int = 4) -> dict[str, np.ndarray]:
    """`true_rates` of every fourth state of some runs of the driven set, with c, the latent states (n, k), and the fields (n, 2) at their times."""
    def make():
        data, found = dataset.load("driven"), []
        for i in bar(runs, desc="rates", unit="run"):
            m, b = dataset.as_float(dataset.states(data, [i], every)), data["field"].values[i, ::every, :2]
            found.append((m.reshape(len(m), -1) @ whole.reshape(len(whole), -1).T / (COARSE.nx * COARSE.ny), b, true_rates(whole, COARSE, m, b)))
        return {name: np.concatenate(one).astype(np.float32) for name, one in zip(("c", "fields", "rates"), zip(*found))}

    return keep(folder("driven-rates.npz"), make)


def left_over(one: driven.Projected, parities: np.ndarray, c: np.ndarray, fields: np.ndarray, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the projected equation leaves over of true rates (n, k), as pairs to train on: states (n, 2, k), and these with 10 ps of what is missing,
    and their fields (n, 2, 2). All are turned as `driven.step` turns them: a sum over few cells is another in another image."""
    signs = np.where(c[:, driven._leading(parities)] < 0, -1, 1).astype(np.float32)
    flips = np.prod([np.where(parities[:, axis] < 0, signs[:, axis:axis + 1], 1) for axis in range(2)], axis=0)
    c, fields, rates = flips * c, signs * fields, flips * rates
    missing = np.concatenate([rates[i:i + 500] - one._slopes(c[i:i + 500], fields[i:i + 500] / np.float32(llg.MU0)) for i in range(0, len(c), 500)])
    return np.stack([c, c + np.float32(one.every) * missing], axis=1), np.stack([fields, fields], axis=1)


def step_closed(one: driven.Projected, network: keras.Model, parities: np.ndarray, substeps: int = 2) -> keras.Model:
    """A step of the projected equation, to whose rate a network adds, as much as it would change in `one.every`: of Runge-Kutta, as `one` steps.
    Images are exact, of whatever cells the sum is."""
    latent = one.latent
    states, forces, tests = (np.moveaxis(x, 1, 0).reshape(latent, -1) for x in (one._states, one._forces, one._tests * np.float32(one.every)))
    alpha, scale = one.film.alpha, -one.film.gamma0 / (1 + one.film.alpha**2)
    x = keras.Input((latent + 2,))
    c, b, missing = x[:, :latent], x[:, latent:], network(x)
    applied = ops.pad(b / llg.MU0, ((0, 0), (0, 1)))[:, :, None]

    def change(c):
        m, h = (ops.reshape(ops.matmul(c, of), (-1, 3, len(of.T) // 3)) for of in (states, forces))
        torque = cross(m, h + applied)
        rate = ops.reshape(torque + alpha * cross(m, torque), (-1, len(tests.T)))
        return ops.matmul(rate, scale * tests.T) + missing

    new, part = c, 1 / substeps
    for _ in range(substeps):
        k1 = change(new)
        k2 = change(new + part / 2 * k1)
        k3 = change(new + part / 2 * k2)
        new = new + part / 6 * (k1 + 2 * k2 + 2 * k3 + change(new + part * k3))
    return driven.step(keras.Model(x, new - c), parities)


def cross(u: keras.KerasTensor, v: keras.KerasTensor) -> keras.KerasTensor:
    """The cross product of vectors (n, 3, cells)."""
    return ops.stack([u[:, 1] * v[:, 2] - u[:, 2] * v[:, 1], u[:, 2] * v[:, 0] - u[:, 0] * v[:, 2], u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]], axis=1)


class Stepped(layers.Layer):
    """A step as a cell of a recurrent network: it has no state but the film's."""

    def __init__(self, step):
        super().__init__()
        self.step = step
        self.state_size = self.output_size = step.output_shape[-1]

    def call(self, b: keras.KerasTensor, states: list) -> tuple:
        c = self.step([states[0], b])
        return c, [c]


# ---------------------------------------------------------------------------- between: the solver on few cells, its field corrected


def coarse_states(film: Film) -> np.ndarray:
    """Of every run of the driven set, with its start: its states averaged over the cells of a coarser film, as `CorrectedCell` takes them, (n, nt, 3 cells)."""
    def make():
        data, n = dataset.load("driven"), COARSE.nx // film.nx
        start = llg.s_state(COARSE)[None].astype(np.float32)
        return {"c": np.array([as_numbers(coarser(np.concatenate([start, dataset.as_float(dataset.states(data, [i]))]), n))
                               for i in bar(range(data.sizes["run"]), desc="averaging", unit="run")])}

    return keep(folder(f"driven-{film.nx}-{film.ny}.npz"), make)["c"]


def as_numbers(m: np.ndarray) -> np.ndarray:
    """States (n, ny, nx, 3) as numbers (n, 3 cells) whose sum of squares is one where |m| = 1: all x, all y, all z."""
    n, ny, nx, _ = m.shape
    return np.moveaxis(m, -1, 1).reshape(n, -1) / np.float32(np.sqrt(nx * ny))


class CorrectedCell(layers.Layer):
    """A cell of a recurrent network that is the solver on few cells: 10 ps of LLG in steps of the classical Runge-Kutta method, |m| = 1 after each.

    film: of few cells. whole: components (k, ny, nx, 3) of its states, with parities (k, 2). scale: (k,), of their coefficients. A network, asked once in 10 ps,
    adds a sum of components to the effective field, by their coefficients and the field's mean; untrained it adds nothing. Images are exact.
    """

    def __init__(self, film, whole, parities, scale, substeps=2, every=1e-11):
        super().__init__()
        self.cells = film.nx * film.ny
        self.state_size = self.output_size = 3 * self.cells
        self.film, self.substeps, self.parities = film, substeps, parities
        self.tau = every / substeps * film.gamma0 * film.Ms / (1 + film.alpha**2)
        unit = np.eye(3 * self.cells).reshape(-1, 3, film.ny, film.nx)
        field = [llg.effective_field(np.moveaxis(one, 0, -1), film) / film.Ms for one in unit]
        field = np.moveaxis(field, -1, 1).reshape(3 * self.cells, -1).astype(np.float32)  # H/Ms is m times it
        self.fields = field[:2 * self.cells, :2 * self.cells], field[2 * self.cells:, 2 * self.cells:]  # in one layer z goes by itself
        self.components = as_numbers(whole)
        network = driven.network(scale)
        network.layers[-2].set_weights([0 * w for w in network.layers[-2].get_weights()])
        self.change = driven.step(network, parities)

    def call(self, b: keras.KerasTensor, states: list) -> tuple:
        cells, alpha = self.cells, self.film.alpha
        c = ops.matmul(states[0], self.components.T)
        extra = ops.matmul(self.change([c, b]) - c, self.components * np.float32(np.sqrt(cells)))
        uniform = ops.pad(b / (llg.MU0 * self.film.Ms), ((0, 0), (0, 1)))[:, :, None]
        extra = ops.reshape(extra, (-1, 3, cells)) + uniform

        def rate(m):
            plane, upright = (ops.matmul(x, field) for x, field in zip((ops.reshape(m[:, :2], (-1, 2 * cells)), m[:, 2]), self.fields))
            h = ops.reshape(ops.concatenate([plane, upright], axis=1), (-1, 3, cells)) + extra
            return -self.tau * cross(m, h + alpha * cross(m, h))

        def unit(m):
            return m / ops.sqrt(ops.sum(m**2, axis=1, keepdims=True))

        m = unit(ops.reshape(states[0], (-1, 3, cells)))
        for _ in range(self.substeps):
            k1 = rate(m)
            k2 = rate(m + k1 / 2)
            k3 = rate(m + k2 / 2)
            m = unit(m + (k1 + 2 * k2 + 2 * k3 + rate(m + k3)) / 6)
        m = ops.reshape(m, (-1, 3 * cells)) / np.float32(np.sqrt(cells))
        return m, [m]


def in_turn(cell: layers.Layer) -> keras.Model:
    """A cell, such as `CorrectedCell`, step by step: from [first states (n, numbers), fields (n, nt, 2)] to the states that follow."""
    c, b = keras.Input((cell.state_size,)), keras.Input((None, 2))
    return keras.Model([c, b], layers.RNN(cell, return_sequences=True)(b, initial_state=[c]))
