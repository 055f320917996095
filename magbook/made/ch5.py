"""Chapter 5: every model in every metric, seeds, floors, and what a split by state flatters."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter

from .. import applied, autoencoder, baselines, dataset, llg, metrics, pca
from .._progress import bar
from ..files import arrays
from ..film import Film, unit
from ..rom import ReducedOrderModel, load_rom, registered
from ..trajectory import Trajectory
from . import ch3, ch4
from .common import (
    coarser,
    command,
    folder,
    history,
    read_json,
    reconstruction_errors,
    say,
    sp4_fields,
    write_json,
    write_npz,
)

SEEDS = (0, 1, 2)
"""What trainings start from whose spread chapter 5 reports; 0 is the one that ships."""

SMALL: dict[str, Any] = dict(latent=16, filters=(16, 32, 64, 128), without_dropout=0.3, epochs=10, batch=32, learning_rate=2e-3, seed=0)
"""Autoencoders of coarse states, 64 x 16 cells, that are split by state and by field."""


@command(reads=["paper_latents.npz", "paper_pca.npz", "autoencoder_sweep.json", "set/paper", "training/predictor"], keeps=["predictor-seed1"],
         writes={"seeds.json": "what the same trainings reached from three seeds each: histories, and errors of the short "
                               "autoencoders on the test fields"})
def train_seeds() -> None:
    """Train predictors, on latents and on principal components, and short autoencoders, from three seeds each (1 hour); it resumes."""
    test, shifted = dataset.states(dataset.load("paper"), "test"), components()
    short = read_json("autoencoder_sweep.json")["latent"]["16"]
    made: dict[str, Any] = {"predictor": {0: history("predictor")}, "autoencoder": {0: {k: short[k] for k in ("history", "test")}},
             "pca": {seed: ch4.fit(f"predictor-pca-seed{seed}", shifted, **ch4.PREDICTOR | {"seed": seed})[-1] for seed in SEEDS}}
    for seed in SEEDS[1:]:
        _, made["predictor"][seed] = ch4.fit(f"predictor-seed{seed}", **ch4.PREDICTOR | {"seed": seed})
        encoder, decoder, epochs = ch3.fit(f"latent-16-seed{seed}", every=2, latent=16, **ch3.SWEEP | {"seed": seed})
        made["autoencoder"][seed] = {"history": epochs, "test": reconstruction_errors(ch3.through(encoder, decoder), test)}
    write_json("seeds.json", made)


@command(reads=["rom_paper.npz", "paper_pca.npz", "paper_latents.npz", "set/paper", "training/predictor-seed1"], writes={
    "errors.npz": "errors (model, field, metric), as metrics.compare names them, of networks and baselines on standard problem "
                  "4's fields 1 and 2 and on the 20 test fields"})
def errors() -> None:
    """Compare every model and baseline with the solver, in every metric, on SP4's and the test fields (15 minutes)."""
    known, fields = known_and_tested()
    runs = [llg.simulate(b, progress=False) for b in bar(fields, unit="field")]
    compared = {}
    for name, answers, rom in _models(known, fields, runs):
        compared[name] = [metrics.compare(m, run, rom) for m, run in zip(bar(answers, total=len(runs), desc=name), runs)]
    names = list(compared["networks, seed 0"][0])
    values = [[[row.get(name, np.nan) for name in names] for row in rows] for rows in compared.values()]
    write_npz("errors.npz", model=list(compared), metric=names, field=fields, error=np.array(values, np.float32))


def _models(known, fields, runs) -> Iterator:
    """Yield (name, answers to all fields, model of the states or None) of each model, a model at a time in memory."""
    def like(run, m):
        return Trajectory(run.t, np.concatenate([run.m[:1], m]), run.field, run.film)

    rom, linear = load_rom("paper"), pca.load()
    yield "autoencoder alone", (like(run, rom.decode(rom.encode(run.m[1:]), unit=True)) for run in runs), None
    yield "PCA alone", (like(run, linear.decode(linear.encode(run.m[1:]), unit=True)) for run in runs), None
    yield "networks, seed 0", map(rom.simulate, fields), rom
    for seed in SEEDS[1:]:
        dynamics, _ = ch4.fit(f"predictor-seed{seed}", **ch4.PREDICTOR | {"seed": seed})
        other = ReducedOrderModel(rom.encoder, rom.decoder, dynamics, largest=rom.largest)
        yield f"networks, seed {seed}", map(other.simulate, fields), rom
    shifted = components()
    encoder, decoder = pca.networks(linear, shifted["offset"])
    for seed in SEEDS:
        dynamics, _ = ch4.fit(f"predictor-pca-seed{seed}", shifted, **ch4.PREDICTOR | {"seed": seed})
        other = ReducedOrderModel(encoder, decoder, dynamics)
        yield f"PCA + predictor, seed {seed}", map(other.simulate, fields), linear
    data = dataset.load("paper")
    for name, method in baselines.METHODS.items():
        weights = baselines.weights(method, data["field"].values[known], fields)
        m = np.zeros((len(runs), *data["m"].shape[1:]), np.float32)
        for i, column in zip(bar(known, desc=name, unit="field"), weights.T):
            states = dataset.as_float(dataset.states(data, i))
            for k in np.flatnonzero(column):
                m[k] += np.float32(column[k]) * states
        yield name, (like(run, unit(one)) for run, one in zip(runs, m)), None


def table() -> tuple[np.ndarray, xr.DataArray]:
    """Chapter 5's table: fields (22, 3) in T, standard problem 4's two and the 20 test fields, and errors (model, field, metric).

    It holds what ships, and every model that a module of this package registered, which is computed here.
    """
    z = arrays("errors.npz")
    names, metric, fields = [*z["model"], "atlas, 1,000 fields"], z["metric"], z["field"]
    error = np.concatenate([z["error"], arrays("atlas_test.npz")["error"][None]])
    for name, make in registered().items():
        rom = make()
        rows = [metrics.compare(rom.simulate(b), llg.simulate(b, rom.film, progress=False), rom) for b in fields]
        names, error = [*names, name], np.concatenate([error, [[[row[one] for one in metric] for row in rows]]])
    return fields, xr.DataArray(error.astype(float), dims=("model", "field", "metric"), coords={"model": names, "metric": metric})


@command(writes={
    "floors.npz": "how far apart two answers of the solver are: error of the film average (field, name) and relative L2 against "
                  "time (field, name, t), on standard problem 4's fields 1 and 2 and on the 20 test fields"}, seed=0)
def floors() -> None:
    """Compare the solver with itself: two time steps, two grids, near starts, near fields (20 minutes)."""
    _, fields = known_and_tested()
    coarse = Film(cells=(128, 32))
    state = llg.s_state()
    noise = np.random.default_rng(0).standard_normal(state.shape)
    noise = gaussian_filter(noise + noise[::-1, ::-1], (5, 5, 0))  # even, as the S-state is, and smooth over 10 nm
    noise -= np.sum(noise * state, axis=-1, keepdims=True) * state
    noise /= np.sqrt(np.mean(np.sum(noise**2, axis=-1)))
    starts = {f"start {size:g}": unit(state + size * noise) for size in (1e-6, 1e-3)}
    average, l2 = [], []
    for b in bar(fields, unit="field"):
        solve = partial(llg.simulate, progress=False)
        strength, direction = applied.to_polar(b)
        exactly = partial(solve, precision="double", accuracy=4)  # the default's own error hides how a difference of 1e-6 grows
        run, exact = solve(b), exactly(b)
        pairs = {"time step": (run, solve(b, accuracy=2)),
                 "grid": (Trajectory(run.t, coarser(run.m, 2), run.field, coarse), solve(b, coarse)),
                 **{name: (exact, exactly(b, start=start)) for name, start in starts.items()},
                 "direction 0.1°": (run, solve(applied.from_polar(strength, direction + 0.1))),
                 "strength 0.1 mT": (run, solve(applied.from_polar(strength + 0.1e-3, direction)))}
        average.append([metrics.film_average_error(two.mean[1:], one.mean[1:]) for one, two in pairs.values()])
        l2.append([metrics.relative_l2(two.m[1:], one.m[1:], (1, 2, 3)) for one, two in pairs.values()])
    write_npz("floors.npz", name=list(pairs), field=fields, t=run.t[1:], average=np.array(average, np.float32),
              l2=np.array(l2, np.float32))


@command(reads=["set/paper"], seed=SMALL["seed"], writes={
    "splits.json": "errors of small autoencoders that were trained and tested on states split by field and by state, of 20, 50 and "
                   "200 fields, and their errors on 20 new fields"})
def compare_splits() -> None:
    """Train small autoencoders on states split by state and by field, and show both new fields (10 minutes); it resumes."""
    data = dataset.load("paper")
    m = np.stack([unit(coarser(dataset.as_float(dataset.states(data, i)), 4)) for i in bar(range(200), unit="field")])
    new = np.concatenate([unit(coarser(llg.simulate(b, progress=False).m[1:], 4)) for b in applied.fan(220)[200:]])
    compared: dict[str, Any] = {"settings": SMALL, "fields": {}}
    for n in (20, 50, 200):
        options = SMALL | {"epochs": SMALL["epochs"] * 200 // n}  # as many updates
        by_field = {name: m[i].reshape(-1, *m.shape[2:]) for name, i in dataset.split(n).items()}
        by_state = {name: m[tuple(i.T)] for name, i in dataset.split_states(n, m.shape[1]).items()}
        compared["fields"][n] = {}
        for split, parts in (("field", by_field), ("state", by_state)):
            encoder, decoder, epochs = autoencoder.train(parts["train"], parts["validation"], folder(f"split-{split}-{n}"),
                                                         callback=say, **options)
            compared["fields"][n][split] = {"history": epochs, **{
                name: reconstruction_errors(ch3.through(encoder, decoder), states)
                for name, states in (("test", parts["test"]), ("new", new))}}
    write_json("splits.json", compared)


def components() -> dict:
    """The 200 trajectories in principal components, as `ch4.paper_latents` has them; shifted, since elu gives nothing below -1."""
    data, linear = dataset.load("paper"), pca.load()
    c = np.stack([linear.encode(dataset.states(data, i)) for i in bar(range(data.sizes["run"]), unit="field")])
    offset = -c[dataset.split(len(c))["train"]].min(axis=(0, 1))
    return {"latents": c + offset, "offset": offset, "field": data["field"].values}


def known_and_tested() -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training fields, and the fields on which all models are compared: SP4's two, the test fields."""
    parts = dataset.split(200)
    return parts["train"], np.concatenate([sp4_fields(), applied.fan(200)[parts["test"]]])
