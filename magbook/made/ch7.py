"""Chapter 7: the atlas, its parts, and both models by number of fields."""

import time
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from .. import (
    __version__,
    applied,
    atlas,
    autoencoder,
    baselines,
    closure,
    dataset,
    llg,
    metrics,
    pca,
    readout,
    stepper,
)
from .._keras import keras
from .._progress import bar
from ..atlas import Atlas, Hybrid, Spline
from ..dynamics import Dynamics, Ensemble
from ..files import DATA, arrays, atomic
from ..film import Film
from ..rom import ReducedOrderModel, load_rom
from . import ch3, ch4
from .common import (
    command,
    film_average,
    folder,
    half,
    hold,
    kept,
    round_weights,
    say,
    sp4_fields,
    sp4_runs,
    write_json,
    write_npz,
)

ATLAS: dict[str, Any] = dict(closure=dict(epochs=40, seed=0), network=dict(epochs=60), members=5)
"""How the atlas is trained: the closure, and an ensemble of networks of field and time, seeds 0 and up."""

SIZES = (50, 100, 200, 400, 800)

BRIEF: dict[str, Any] = dict(closure=dict(epochs=12, seed=0), network=dict(epochs=24, seed=0))
"""Shorter trainings of the atlas, that compare numbers of fields and parts of it with each other."""

STEPPING: dict[str, Any] = dict(steps=8, widths=(128, 128, 128), residual=True, dropout=0.0, noise=0.01, epochs=20, learning_rate=3e-3, seed=0)
"""A predictor that steps, as wide and as long trained as it can be in the time that a network of field and time takes."""

PASS = 250
"""Updates in an epoch of `ch3.SWEEP`, of 8,000 states in batches of 32; `sweep_paper` makes as many of any number of states."""


# ---------------------------------------------------------------------------- the atlas


@command(reads=["set/large", "set/blade"], keeps=["atlas-closure"], seed=0, writes={
    "rom_atlas.npz": "the model of chapter 7, trained: principal components, their closure, a spline, and an ensemble of networks of "
                     "field and time, with weights of 16 bits"})
def train_atlas() -> None:
    """Train the atlas of chapter 7 on the large data set and the blade's (20 minutes); it resumes."""
    rom = fit(blade=True)
    rom.info |= {"settings": ATLAS, "data": {name: dataset.SETS[name] for name in ("large", "blade")},
                 "command": "python -m magbook train-atlas", "version": __version__}
    rom.save(DATA / "rom_atlas.npz", half=True)


def fit(blade: bool) -> ReducedOrderModel:
    """The atlas, trained on the 800 training fields of the large data set, and with `blade` on the 200 fields drawn there too."""
    name = "atlas" if blade else "atlas-without-blade"
    train, validation = pool(1000, blade=blade), pool(1000, part="validation")
    basis = principal(train, f"{name}-basis")
    basis.components, basis.mean = half(basis.components), half(basis.mean)
    c, c_validation = (closure.coefficients(basis, part["states"]) for part in (train, validation))
    complete, _ = closure.train(basis, c, c_validation[::4], folder(f"{name}-closure"), callback=say, **ATLAS["closure"])
    round_weights(complete)
    encoder, decoder = closure.networks(basis, complete)
    start = encoder.predict_on_batch(llg.s_state()[None].astype(np.float32))[0]
    latents, latents_validation = (trajectories(x) for x in (c, c_validation))
    members = []
    for seed in range(ATLAS["members"]):
        one, _ = atlas.train(latents, train["field"], train["t"], (latents_validation, validation["field"]), start,
                             folder(f"{name}-network-{seed}"), callback=say, seed=seed, **ATLAS["network"])
        round_weights(one.network)
        members.append(one)
    rom = assemble(encoder, decoder, Ensemble(members), start, latents, train["field"], validation)
    rom.readout = read(rom, train["field"])
    return rom


def read(rom: ReducedOrderModel, fields: np.ndarray) -> keras.Model:
    """A readout for an atlas, from a few cells of its decoder, fitted to every fourth state of its own answers in fields (n, 3)."""
    start = rom.encode(llg.s_state())
    c = rom.rollout(np.broadcast_to(start, (len(fields), 1, rom.latent)), hold(fields))[:, 1:].reshape(-1, rom.latent)[::4]
    mean = np.concatenate([film_average(rom, c[i:i + 100]) for i in bar(range(0, len(c), 100), desc="film averages")])
    network = readout.of_cells(rom.decoder, c, mean)
    round_weights(network.layers[-1])
    return network


def assemble(encoder: keras.Model, decoder: keras.Model, networks: Dynamics, start: np.ndarray, latents: np.ndarray, fields: np.ndarray,
             validation: dict) -> ReducedOrderModel:
    """Networks and a spline through the same latent trajectories, the boundary between them and the band set on validation fields.

    start: (latent,). latents: (n, nt, latent) of the training fields (n, 3). validation: "field" and "mean" of the validation fields.
    """
    amplitudes, patterns = atlas.compress(latents)
    spline = Spline(fields[:, :2], half(amplitudes), half(patterns), start)
    both = Hybrid(spline, networks, 0.0)
    rom = ReducedOrderModel(encoder, decoder, both, largest=np.abs(latents).max(), film=Film(), fan=applied.FAN)
    b, mean = validation["field"], validation["mean"]
    first = np.broadcast_to(start, (len(b), 1, len(start)))
    averages = {one: np.array([film_average(rom, c[1:]) for c in one.rollout(first, hold(b))]) for one in (spline, networks)}
    fast, slow = (metrics.film_average_error(averages[one], mean) for one in (networks, spline))
    rough = spline.roughness(b)
    limits = np.sort(rough)
    errors = np.array([np.where(rough > limit, fast, slow) for limit in limits])
    # by the logarithm, so that a factor counts as much on smooth ground, where errors are small, as on rough ground
    both.limit = float(limits[np.log(errors).mean(axis=1).argmin()])
    c = both.rollouts(first, hold(b))
    members = np.array([[film_average(rom, one[1:]) for one in member] for member in c])
    off = np.abs(members.mean(axis=0) - mean) / members.std(axis=0, ddof=1)
    both.coverage = float(np.quantile(off, 0.9))  # nine values of ten
    return rom


@command(reads=["rom_atlas.npz", "set/large", "set/blade"], writes={
    "atlas_test.npz": "film averages (mean_, and those of the members of its band) and relative L2 errors against time (l2_) of the "
                      "atlas, its networks and its spline alone, on standard problem 4's two fields and 100 test fields, 20 of which "
                      "are the paper data set's; on those 22 also every error as metrics.compare names it (field, metric), and errors of each network (single)"})
def evaluate_atlas() -> None:
    """Compare the atlas with the solver on standard problem 4's two fields and on 100 test fields (5 minutes)."""
    rom, data = load_rom("atlas"), dataset.load("large")
    both: Hybrid = rom.dynamics
    fields = tested_fields()
    known = np.concatenate([data["field"].values[dataset.split(1000)["train"]], applied.fan(**dataset.SETS["blade"])])
    # As chapter 5's errors compare all other models, on the same fields
    errors = [metrics.compare(run, llg.simulate(run.field, progress=False), rom) for run in bar(rom.simulate(fields[:22]), unit="field")]
    first = np.repeat(rom.encode(llg.s_state(rom.film))[None, None], len(fields), axis=0)
    parts = {"atlas": both, "networks": both.fast, "spline": both.slow}
    latents = {name: one.rollout(first, hold(fields)) for name, one in parts.items()}
    members, networks = (one.rollouts(first, hold(fields)) for one in (both, both.fast))
    rows = []
    for k, (b, stored) in enumerate(zip(bar(fields, unit="field"), tested_states())):
        m = dataset.as_float(stored)
        models = {"decoder": rom.decode(rom.encode(m), unit=True),
                  **{name: rom.decode(c[k, 1:], unit=True) for name, c in latents.items()}}
        rows.append({f"mean_{name}": out.mean(axis=(1, 2), dtype=float) for name, out in models.items()}
                    | {f"l2_{name}": metrics.relative_l2(out, m, (1, 2, 3)) for name, out in models.items()}
                    | {"field": b, "mean": m.mean(axis=(1, 2), dtype=float),
                       "members": np.array([film_average(rom, one[k, 1:]) for one in members]),
                       "single": [metrics.film_average_error(film_average(rom, one[k, 1:]), m.mean(axis=(1, 2), dtype=float))
                                  for one in networks],
                       "distance": np.linalg.norm(known - b, axis=1).min()})
    write_npz("atlas_test.npz", t=data["t"].values, metric=list(errors[0]), networks_asked=both.asks_fast(fields),
              error=np.array([list(one.values()) for one in errors], np.float32),
              **{k: np.array([row[k] for row in rows], np.float32) for k in rows[0]})


@command(reads=["set/large"], keeps=["atlas-without-blade-closure"], seed=0, writes={
    "atlas_800.json": "film-average errors, on the fields of atlas_test.npz, of an atlas trained like the one that ships, but without "
                      "the 200 fields drawn between 179 and 193 degrees: of the whole, of its networks and of its spline"})
def train_without_blade() -> None:
    """Train the atlas once more, without the 200 fields drawn near standard problem 4's second, and test it (25 minutes); it resumes."""
    rom, fields = fit(blade=False), tested_fields()
    both: Hybrid = rom.dynamics
    first = np.repeat(rom.encode(llg.s_state(rom.film))[None, None], len(fields), axis=0)
    mean = np.array([dataset.as_float(stored).mean(axis=(1, 2), dtype=float) for stored in tested_states()])
    errors = {}
    for name, one in {"atlas": both, "networks": both.fast, "spline": both.slow}.items():
        guess = np.array([film_average(rom, c[1:]) for c in one.rollout(first, hold(fields))])
        errors[name] = metrics.film_average_error(guess, mean).tolist()
    write_json("atlas_800.json", {"field": fields.tolist(), **errors})


@command(reads=["rom_atlas.npz", "atlas_test.npz", "set/large"], writes={
    "atlas_rivals.json": "errors on the fields of atlas_test.npz of the atlas, of its parts, and of what else one could do with the same "
                         "principal components: of the film average, of the states (relative L2), and on the first 22 fields of the energy "
                         "at five times; of the equation projected on them the film average alone; CPU seconds of a rollout"})
def rivals() -> None:
    """Compare the atlas with a stretched spline, a Gaussian process, and the projected equation, on its own components (20 minutes)."""
    rom, fields = load_rom("atlas"), tested_fields()
    both: Hybrid = rom.dynamics
    power = kept("rivals-stretch", lambda: {"power": stretch(rom)})["power"]
    process = gaussian_process(both.slow)
    first = np.repeat(rom.encode(llg.s_state(rom.film))[None, None], len(fields), axis=0)
    roll = lambda one: one.rollout(first, hold(fields))[:, 1:]
    ask: dict[str, Callable[[], np.ndarray]] = {name: partial(roll, one) for name, one in
                                                (("atlas", both), ("networks", both.fast), ("spline", both.slow))}
    ask["stretched spline"] = stretched(both.slow, power, fields)
    ask["Gaussian process"] = lambda: np.tensordot(process.predict(baselines.coordinates(fields)) * both.slow.amplitudes.std(),
                                                   both.slow.patterns, axes=1)
    latents = {name: one() for name, one in ask.items()}  # the first call of a network builds its graph
    seconds = {name: _cpu_seconds(one) / len(fields) for name, one in ask.items()}
    off: dict[str, dict] = {what: {name: [] for name in ["decoder", *latents]} for what in ("average", "l2", "energy")}
    some, energies = np.arange(19, 100, 20), lambda states, b: np.array([llg.energies(one, rom.film, b)["total"] for one in states[some]])
    for k, (b, stored) in enumerate(bar(list(zip(fields, tested_states())), unit="field")):
        m = dataset.as_float(stored)
        mean, true = m.mean(axis=(1, 2), dtype=float), energies(m, b) if k < 22 else np.empty(0)
        for name, c in {"decoder": None, **latents}.items():
            out = rom.decode(rom.encode(m) if c is None else c[k], unit=True)
            off["average"][name].append(float(metrics.film_average_error(out.mean(axis=(1, 2), dtype=float), mean)))
            off["l2"][name].append(float(metrics.relative_l2(out, m)))
            if k < 22:
                off["energy"][name].append(float(metrics.energy_error(energies(out, b), true).mean()))
    projected = {f"equation, {n}": kept(f"equation-{n}", partial(_projected, rom, fields, n)) for n in (16, closure.COMPONENTS)}
    off["average"] |= {name: one["average"] for name, one in projected.items()}
    seconds |= {name: one["seconds"] for name, one in projected.items()}
    write_json("atlas_rivals.json", {"field": fields.tolist(), "power": power, "kernel": str(process.kernel_), "seconds": seconds, **off})


def _cpu_seconds(function):
    begin = time.process_time()
    function()
    return time.process_time() - begin


def _projected(rom, fields, n):
    """Errors of the film average of the equation projected on n components, and CPU seconds a field."""
    begin = time.process_time()
    guess = Projected(rom).averages(fields, n)[:, 1:]
    took = (time.process_time() - begin) / len(fields)
    return {"average": metrics.film_average_error(guess, arrays("atlas_test.npz")["mean"]).tolist(), "seconds": took}


def first_zeros(mx: np.ndarray) -> np.ndarray:
    """First zeros of mean mx (n, nt), in steps; the latest of them where there is none."""
    zeros = np.array([metrics.first_zero(np.arange(1, len(one) + 1), one) for one in mx])
    return np.where(np.isnan(zeros), np.nanmax(zeros), zeros)


def stretched(spline: Spline, power: float, fields: np.ndarray) -> Callable[[], np.ndarray]:
    """A spline through trajectories whose time was stretched by a power of their first zero: its answer, (n, nt, latent)."""
    rom = load_rom("atlas")
    components, mean = rom.decoder.get_weights()[-2:]
    known = np.tensordot(spline.amplitudes, spline.patterns, axes=1)
    zero = first_zeros(known @ components[:spline.latent, ::3].mean(axis=1) + mean[::3].mean())
    known = np.concatenate([np.broadcast_to(spline.start, (len(known), 1, spline.latent)), known], axis=1)
    time, long = np.arange(101.0), np.arange(201.0)
    pace = lambda z: (z / np.median(zero))**power
    own = np.array([CubicSpline(time, one)(np.minimum(long * pace(z), 100)) for one, z in zip(known, zero)])
    amplitudes, patterns = atlas.compress(own)
    surface = baselines.spline(spline.fields, np.column_stack([amplitudes, zero]))

    def answer():
        guess = surface(fields[:, :2])
        c = np.tensordot(guess[:, :-1], patterns, axes=1)
        return np.array([CubicSpline(long * pace(z), one)(time[1:]) for one, z in zip(c, guess[:, -1])])

    return answer


def stretch(rom: ReducedOrderModel) -> float:
    """The power of the first zero that is best on the validation fields."""
    held, large = dataset.split(1000)["validation"], _folded("large")
    mean, fields = (large[name][held] for name in ("mean", "field"))
    off = {power: np.log(metrics.film_average_error(np.array([film_average(rom, c) for c in stretched(rom.dynamics.slow, power, fields)()]),
                                                    mean)).mean() for power in (0.0, 0.125, 0.25)}
    return min(off, key=off.__getitem__)


def gaussian_process(spline: Spline) -> GaussianProcessRegressor:
    """A Gaussian process through the same amplitudes; its lengths and its noise make the first twenty likeliest."""
    x, y = baselines.coordinates(spline.fields), spline.amplitudes
    kernel = ConstantKernel() * Matern([5.0, 5.0], (1.0, 100.0), nu=2.5) + WhiteKernel(1e-4, (1e-8, 1e-1))
    kernel = GaussianProcessRegressor(kernel).fit(x, y[:, :20] / y[:, :20].std()).kernel_
    return GaussianProcessRegressor(kernel, optimizer=None).fit(x, y / y.std())


class Projected:
    """The LLG equation projected on the atlas's principal components, Galerkin's method, on the even film at half the resolution.

    The effective field is linear in the state, so that a state of n components needs no more than n fields that are known.
    """

    def __init__(self, rom: ReducedOrderModel):
        components, mean = rom.decoder.get_weights()[-2:]
        self.film, shape = Film(cells=(128, 32)), (32, 64, 3)
        self.states = np.vstack([mean, components])
        self.start = (closure.fold(llg.s_state()[None]).ravel() - mean) @ components.T
        whole = lambda half: np.concatenate([half, half[::-1, ::-1]], axis=1)
        self.forces = np.array([llg.effective_field(whole(one.reshape(shape)), self.film)[:, :64].ravel() for one in self.states], np.float32)

    def averages(self, fields: np.ndarray, n: int, step: float = 2.5e-12, nt: int = 101) -> np.ndarray:
        """Film averages (k, nt, 3) in constant fields (k, 3), by the classical Runge-Kutta method."""
        states, forces = self.states[:n + 1], self.forces[:n + 1]
        force = np.float32(np.tile(fields / llg.MU0, (1, forces.shape[1] // 3)))
        a, rate = self.film.alpha, np.float32(-self.film.gamma0 / (1 + self.film.alpha**2))
        one = np.ones((len(fields), 1), np.float32)

        def cross(u, v):
            return np.stack([u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]])

        def slope(c):
            c = np.hstack([one, c])
            m, h = (x.reshape(len(c), -1, 3).transpose(2, 0, 1) for x in (c @ states, c @ forces + force))
            torque = cross(m, h)
            return rate * ((torque + np.float32(a) * cross(m, torque)).transpose(1, 2, 0).reshape(len(c), -1) @ states[1:].T)

        def average(c):
            m = (np.hstack([one, c]) @ states).reshape(len(c), -1, 3)
            return (m / np.linalg.norm(m, axis=-1, keepdims=True)).mean(axis=1)

        c, dt = np.tile(self.start[:n], (len(fields), 1)), np.float32(step)
        out = [average(c)]
        for _ in bar(range(nt - 1), desc=f"{n} components", unit="state"):
            for _ in range(round(1e-11 / step)):
                k1 = slope(c)
                k2 = slope(c + dt / 2 * k1)
                k3 = slope(c + dt / 2 * k2)
                c = c + dt / 6 * (k1 + 2 * k2 + 2 * k3 + slope(c + dt * k3))
            out.append(average(c))
        return np.stack(out, axis=1)


# ---------------------------------------------------------------------------- by number of fields


@command(reads=["set/large", "set/blade"], seed=0, writes={
    "atlas_sweep.json": "film-average errors on standard problem 4's two fields and 100 test fields of the atlas, shorter trained, by "
                        "number of training fields and without one part after another"})
def sweep_atlas() -> None:
    """Compare numbers of fields, and the parts of the atlas, in shorter trainings (half an hour); it resumes."""
    validation, test = (pool(1000, part=part) for part in ("validation", "test"))
    runs = sp4_runs()
    field = np.concatenate([[run.field for run in runs], test["field"]])
    mean = np.concatenate([[run.mean[1:] for run in runs], test["mean"]])
    table = {"settings": BRIEF, "field": field.tolist(), "fields": {}, "variants": {}}
    sets = {str(k): (k, False) for k in SIZES} | {"200 + blade": (200, True), "800 + blade": (800, True)}
    for name, (k, blade) in sets.items():
        some = first_fields(pool(1000, blade=blade), k, blade)
        basis = principal(some, f"fields-{name}-basis")
        c, cv = (closure.coefficients(basis, part["states"]) for part in (some, validation))
        # The same number of updates for all: of few fields more passes
        again = SIZES[-1] * 100 // len(c) or 1
        complete, _ = closure.train(basis, np.tile(c, (again, 1)), cv[::4], folder(f"fields-{name}-closure"), callback=say,
                                    **BRIEF["closure"])
        encoder, decoder = closure.networks(basis, complete)
        start = encoder.predict_on_batch(llg.s_state()[None].astype(np.float32))[0]
        known, tested = trajectories(c), (trajectories(cv), validation["field"])
        train = partial(atlas.train, np.tile(known, (again, 1, 1)), np.tile(some["field"], (again, 1)), some["t"], tested, start,
                        callback=say)
        one, _ = train(folder(f"fields-{name}-network"), **BRIEF["network"])
        latents = asked(one, start, field)
        surface = baselines.spline(some["field"], c.reshape(len(known), -1))(field).reshape(-1, closure.COMPONENTS)
        nearest = baselines.nearest(some["field"], some["mean"])(field)
        error = lambda c, unit=True, basis=basis: metrics.film_average_error(averages(basis, c, unit), mean)
        row = {"atlas": error(completed(complete, latents)), "spline": error(surface),
               "nearest": metrics.film_average_error(nearest, mean)}
        table["fields"][name] = {k: v.tolist() for k, v in row.items()}
    # Of the last, largest set, without one thing after another
    variants = {"whole": row["atlas"], "without unit length": error(completed(complete, latents), False),
                "without the closure": error(np.pad(latents, ((0, 0), (0, closure.COMPONENTS - latents.shape[1]))))}
    one, _ = train(folder("variant-smooth"), detail=1.0, **BRIEF["network"])
    variants["without fine detail"] = error(completed(complete, asked(one, start, field)))
    steps, _ = stepper.train(known, some["field"], tested, folder("variant-stepping"), callback=say, **STEPPING)
    given = trajectories(np.concatenate([closure.coefficients(basis, closure.fold(run.m[1:])) for run in runs]
                                        + [closure.coefficients(basis, test["states"])]))[:, :steps.history]
    first = np.concatenate([np.broadcast_to(start, (len(given), 1, len(start))), given], axis=1)
    variants["stepping instead"] = error(completed(complete, steps.rollout(first, hold(field))[:, 1:].reshape(-1, len(start))))
    table["variants"] = {k: v.tolist() for k, v in variants.items()}
    write_json("atlas_sweep.json", table)


@command(reads=["rom_paper.npz", "set/large"], seed=0, writes={
    "paper_sweep.json": "errors on standard problem 4's two fields and 100 test fields of the paper's networks, by number of training "
                        "fields: of both, shorter trained, and of the predictor on the latents of the autoencoder that ships; of the "
                        "latter also after the long training"})
def sweep_paper() -> None:
    """Compare numbers of fields for the paper's networks: for both, and for the predictor alone (1 1/2 hours); it resumes."""
    rom, settings = load_rom("paper"), {"autoencoder": ch3.SWEEP | {"updates": PASS},
                                        "predictor": ch4.SHORT | {"steps": ch4.PREDICTOR["steps"]}, "long": ch4.PREDICTOR}
    table = {"settings": settings, "field": tested_fields().tolist(),
             "shipped": kept("paper-shipped", lambda: _off(rom) | _off(rom, "autoencoder")), "predictor": {}, "both": {}}
    alone = lambda name, k, options: kept(name, lambda: _sweep_predictor(
        name, k, rom.encoder, rom.decoder, "paper-shipped", **options)[1])
    for k in SIZES:
        table["predictor"][k] = alone(f"paper-{k}-predictor", k, settings["predictor"])
    for k in SIZES:
        table["both"][k] = kept(f"paper-{k}-both", partial(_sweep_both, k, settings))
    table["long"] = alone("paper-long", SIZES[-1], settings["long"])
    write_json("paper_sweep.json", table)


def _sweep_runs(k):
    """Indices in the large data set of the first k training fields, and of the 50 fields that choose the weights."""
    parts = dataset.split(1000)
    return parts["train"][:k], parts["validation"][:50]


def _sweep_both(k, settings):
    """Train both networks of the paper on k fields: their errors."""
    data = dataset.load("large")
    train, validation = _sweep_runs(k)
    # Of 800 fields every second state, which is 4 GB
    encoder, decoder, epochs = autoencoder.train(dataset.states(data, train, 1 + k // 800), dataset.states(data, validation, 10),
                                                 folder(f"paper-{k}-autoencoder"), callback=say, **settings["autoencoder"])
    rom, errors = _sweep_predictor(f"paper-{k}-both", k, encoder, decoder, f"paper-{k}", **settings["predictor"])
    return {"autoencoder": min(row["error"] for row in epochs), **errors, **_off(rom, "autoencoder")}


def _sweep_predictor(name, k, encoder, decoder, latents, **options):
    """Train a predictor on k fields of the latents of that name: the whole model, and the errors of its rollouts."""
    fields, (train, validation) = applied.fan(**dataset.SETS["large"]), _sweep_runs(k)
    c = _sweep_latents(latents, encoder, SIZES[-1] if latents == "paper-shipped" else k)
    dynamics, epochs = stepper.train(c[:k], fields[train], (c[-len(validation):], fields[validation]), folder(name), callback=say,
                                     **options)
    rom = ReducedOrderModel(encoder, decoder, dynamics, largest=np.abs(c[:k]).max())
    return rom, {"error": min(row["error"] for row in epochs), **_off(rom)}


def _sweep_latents(name, encoder, k):
    """Latent states (k + 50, nt, latent) of the fields that `_sweep_runs` names, kept in the cache."""
    path = folder(f"latents-{name}.npy")
    if not path.exists():
        data = dataset.load("large")
        c = [encoder.predict(dataset.as_float(dataset.states(data, i)), batch_size=128, verbose=0)
             for i in bar(np.concatenate(_sweep_runs(k)), desc="encoding", unit="field")]
        with atomic(path) as file:
            np.save(file, c)
    return np.load(path)


def _off(rom, part="rollout"):
    """Errors of film average and states at the tested fields, of the rollout or of every fourth state through the autoencoder.

    Those of a rollout that ran away are NaN.
    """
    average, l2, given = [], [], rom.dynamics.history
    start = rom.encode(llg.s_state(rom.film))
    for b, stored in zip(tested_fields(), tested_states()):
        if part == "autoencoder":
            m = dataset.as_float(stored[::4])
            out = rom.decode(rom.encode(m), unit=True)
        else:
            m = dataset.as_float(stored)
            out = m.copy()  # as `simulate` takes the first states from the solver
            c = rom.rollout(np.vstack([start, rom.encode(m[:given])]), hold([b])[0])[1 + given:]
            out[given:] = rom.decode(c, unit=True) if np.isfinite(c).all() else np.nan
        average.append(metrics.film_average_error(out.mean(axis=(1, 2), dtype=float), m.mean(axis=(1, 2), dtype=float)))
        l2.append(metrics.relative_l2(out, m))
    return {f"average_{part}": list(map(float, average)), f"l2_{part}": list(map(float, l2))}


# ---------------------------------------------------------------------------- fields, states, coefficients


def tested_fields() -> np.ndarray:
    """Standard problem 4's two fields and the 100 test fields of the large data set: (102, 3)."""
    return np.concatenate([sp4_fields(), applied.fan(**dataset.SETS["large"])[dataset.split(1000)["test"]]])


@lru_cache
def tested_states() -> list[np.ndarray]:
    """The states at these fields as a data set stores them, in 16 bits: 1 GB."""
    data = dataset.load("large")
    return [np.rint(run.m[1:] * dataset.SCALE).astype(np.int16) for run in sp4_runs()] + [
        dataset.states(data, i) for i in bar(dataset.split(1000)["test"], unit="field")]


def pool(n: int = 1000, blade: bool = False, part: str = "train") -> dict[str, np.ndarray]:
    """Folded states (runs * 100, ...), fields, film averages and times of a part of the first n fields of the large data set."""
    sets = [("large", dataset.split(n)[part])] + [("blade", np.arange(dataset.SETS["blade"]["n"]))] * blade
    parts = [{k: v[runs] for k, v in _folded(name).items() if k != "t"} for name, runs in sets]
    both = {k: np.concatenate([one[k] for one in parts]) for k in parts[0]}
    return both | {"states": both["states"].reshape(-1, *both["states"].shape[2:]), "t": _folded("large")["t"]}


def _folded(name):
    """A data set's folded states, fields, film averages and times, kept in the cache once they are made."""
    path = folder(f"folded-{name}.npz")
    if not path.exists():
        data = dataset.load(name)
        m, mean = [], []
        for i in bar(range(data.sizes["run"]), desc=f"folding {name}", unit="field"):
            states = dataset.as_float(dataset.states(data, i))
            m.append(np.rint(closure.fold(states) * dataset.SCALE).astype(np.int16))
            mean.append(states.mean(axis=(1, 2), dtype=float))
        with atomic(path) as file:
            np.savez(file, states=np.array(m), mean=np.array(mean, np.float32), field=data["field"].values, t=data["t"].values)
    with np.load(path) as z:
        return dict(z)


def first_fields(some: dict, k: int, blade: bool) -> dict[str, np.ndarray]:
    """The first k fields of a pool; with `blade` also the 200 more at its end."""
    more = dataset.SETS["blade"]["n"] if blade else 0
    n = len(some["field"])
    keep = np.r_[:k, n - more:n]
    states = some["states"].reshape(n, -1, *some["states"].shape[1:])[keep]
    return {"states": states.reshape(-1, *states.shape[2:]), "field": some["field"][keep], "mean": some["mean"][keep], "t": some["t"]}


def principal(some: dict, name: str) -> pca.PCA:
    """Principal components of every fifth of a pool's folded states, kept in the cache."""
    path = folder(f"{name}.npz")
    if not path.exists():
        with atomic(path) as file:
            np.savez(file, **vars(pca.fit(some["states"][::5], closure.COMPONENTS)))
    with np.load(path) as z:
        return pca.PCA(**z)


def trajectories(c: np.ndarray, latent: int = 16, nt: int = 100) -> np.ndarray:
    """The latent trajectories (runs, nt, latent) of coefficients (runs * nt, k)."""
    return c[:, :latent].reshape(-1, nt, latent)


def asked(dynamics: Atlas, start: np.ndarray, fields: np.ndarray) -> np.ndarray:
    """Latent states (runs * 100, latent) of constant fields from the start, without it."""
    first = np.broadcast_to(start, (len(fields), 1, len(start)))
    return dynamics.rollout(first, hold(fields))[:, 1:].reshape(-1, len(start))


def completed(complete: keras.Model, latents: np.ndarray) -> np.ndarray:
    """All coefficients of latent states (n, latent)."""
    return np.hstack([latents, complete.predict(latents, batch_size=4096, verbose=0)])


def averages(basis: pca.PCA, c: np.ndarray, unit: bool = True, nt: int = 100) -> np.ndarray:
    """Film averages (runs, nt, 3) of coefficients (runs * nt, k)."""
    mean = [basis.decode(c[i:i + 1000], unit).mean(axis=(1, 2), dtype=float) for i in range(0, len(c), 1000)]
    return np.concatenate(mean).reshape(-1, nt, 3)
