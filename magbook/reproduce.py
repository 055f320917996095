"""What is too long to compute in a build: the trainings and tables that ship in `data/`, each made by one command.

`python -m magbook --help` lists the commands in the order in which they are run; each is a function here. They read
the paper's data set (`python -m magbook generate`) from the cache folder, and trainings resume there.
"""

import json
from functools import lru_cache, partial

import numpy as np
from scipy.ndimage import gaussian_filter

from . import __version__, applied, autoencoder, baselines, dataset, llg, metrics, modes, pca, pod, sp4, stepper
from ._keras import keras
from ._progress import bar
from .files import DATA, atomic, cache, ship, shipped
from .film import Film
from .rom import ReducedOrderModel, load_rom
from .trajectory import Trajectory

AUTOENCODER = dict(latent=16, settle=0.3, epochs=60, batch=32, learning_rate=2e-3, seed=0)
"""How the paper's autoencoder is trained here."""

SWEEP = dict(settle=0.3, epochs=8, batch=32, learning_rate=2e-3, seed=0)
"""Short trainings, on every second state in time, that compare autoencoders with each other."""

LATENTS = (4, 8, 16, 32)

PREDICTOR = dict(steps=8, settle=0.3, epochs=120, learning_rate=3e-3, seed=0)
"""How the paper's predictor is trained here."""

SHORT = dict(settle=0.3, epochs=30, learning_rate=3e-3, seed=0)
"""Short trainings that compare predictors with each other."""

LOOK_AHEADS = (1, 2, 4, 8, 16)

SEEDS = (0, 1, 2)
"""What trainings start from whose spread chapter 5 reports; 0 is the one that ships."""

SMALL = dict(latent=16, filters=(16, 32, 64, 128), settle=0.3, epochs=10, batch=32, learning_rate=2e-3, seed=0)
"""Autoencoders of coarse states, 64 x 16 cells, that are split by state and by field."""


def train_autoencoder():
    """Train the paper's autoencoder (an hour on two cores)."""
    *_, history = _autoencoder("autoencoder", **AUTOENCODER)
    best = min(history, key=lambda row: row["error"])
    print(f"best after epoch {best['epoch']}: relative L2 error {best['error']:.4f} on the validation fields")


def sweep_autoencoder():
    """Compare latent sizes, and the paper's learning rate with ours, in short trainings (25 minutes)."""
    data = dataset.load("paper")
    validation, test = (dataset.states(data, part) for part in ("validation", "test"))
    linear = pca.fit(dataset.states(data, "train", 2), max(LATENTS))
    table = {"settings": SWEEP, "latent": {}}
    for k in LATENTS:
        encoder, decoder, history = _autoencoder(f"latent-{k}", every=2, latent=k, **SWEEP)
        network = partial(keras.Sequential([encoder, decoder]).predict, batch_size=128, verbose=0)
        table["latent"][k] = {"history": history, "validation": _errors(network, validation),
                              "test": _errors(network, test),
                              "pca": _errors(lambda m, k=k: linear.decode(linear.encode(m, k)), test)}
    paper = SWEEP | {"settle": 0.0, "learning_rate": 1e-4, "warmup": None}
    *_, table["constant"] = _autoencoder("constant", every=2, latent=16, **paper)
    table["history"] = _history("autoencoder")
    _ship_json("autoencoder_sweep.json", table, "what short trainings of the autoencoder reached for several latent sizes "
               "and learning rates, and the history of the long one", "sweep-autoencoder", SWEEP["seed"])


def fit_pca():
    """Fit the principal components of the paper's training states and ship the first 16."""
    modes = pca.fit(dataset.states(dataset.load("paper"), "train", 2), AUTOENCODER["latent"])
    with atomic(DATA / "paper_pca.npz") as file:
        np.savez_compressed(file, **{k: v.astype(np.float16) for k, v in vars(modes).items()})
    ship("paper_pca.npz", what="mean and first 16 principal components of every second training state in time of the "
         "paper's data set", command="python -m magbook fit-pca", seed=None, version=__version__)


def encode():
    """Encode the paper's 200 trajectories, and standard problem 4's two, and ship the latents."""
    encoder, _ = _rounded("autoencoder")
    data = dataset.load("paper")
    apply = lambda m: encoder.predict(dataset.as_float(m), batch_size=128, verbose=0)
    latents = np.stack([apply(dataset.states(data, i)) for i in bar(range(data.sizes["run"]), unit="field")])
    sp4_latents = np.stack([apply(llg.simulate(b).m[1:]) for b in (sp4.FIELD_1, sp4.FIELD_2)])
    with atomic(DATA / "paper_latents.npz") as file:
        np.savez_compressed(file, t=data["t"].values, field=data["field"].values, latents=latents, sp4=sp4_latents)
    ship("paper_latents.npz", what="latent states of the 200 trajectories of the paper's data set (latents) and of "
         "standard problem 4 (sp4), without the start", command="python -m magbook train-autoencoder; "
         "python -m magbook encode", seed=AUTOENCODER["seed"], version=__version__)


def train_predictor():
    """Train the paper's predictor on the latents that ship, and ship the whole model."""
    network, scale, history = _predictor("predictor", **PREDICTOR)
    encoder, decoder = _rounded("autoencoder")
    network.set_weights([_half(w) for w in network.get_weights()])
    latents = _latents()["latents"][dataset.split(200)["train"]]
    data = dataset.load("paper")
    info = {"autoencoder": AUTOENCODER, "predictor": PREDICTOR, "data": data.attrs["manifest"] | {"seed": applied.SEED} | dataset.SETS["paper"],
            "command": "python -m magbook train-autoencoder; python -m magbook encode; python -m magbook train-predictor",
            "version": __version__}
    rom = ReducedOrderModel(encoder, decoder, network, scale=scale, reach=np.abs(latents).max(), film=Film(),
                            fan={"angle": 180.0, "opening": 44.0, "strength": [22e-3, 41e-3]}, info=info)
    rom.save(DATA / "rom_paper.npz", half=True)
    ship("rom_paper.npz", what="the networks of the paper, trained: a ReducedOrderModel with weights of 16 bits",
         command=info["command"], seed=PREDICTOR["seed"], version=__version__)


def sweep_predictor():
    """Compare how far the predictor's loss looks ahead, on rollouts of the validation fields."""
    table = {"history": _history("predictor"), "settings": SHORT, "steps": {}}
    for steps in LOOK_AHEADS:
        *_, history = _predictor(f"steps-{steps}", steps=steps, **SHORT)
        table["steps"][steps] = history
    _ship_json("predictor_sweep.json", table, "what predictors reached that look ahead 1 to 16 steps, and the history of "
               "the one that ships", "sweep-predictor", SHORT["seed"])


def evaluate():
    """Compare the shipped model, and the simplest things that could work, with the solver on the 20 test fields."""
    rom, data, latents = load_rom("paper"), dataset.load("paper"), _latents()["latents"]
    modes = pca.load()
    parts = dataset.split(data.sizes["run"])
    fields, train, states = data["field"].values, parts["train"], partial(dataset.states, data)
    average = np.zeros(data["m"].shape[1:], np.float32)
    for i in train:
        average += dataset.as_float(states(i)) / len(train)
    rows = []
    for i in bar(parts["test"], unit="field"):
        m = dataset.as_float(states(i))
        nearest = train[np.linalg.norm(fields[train] - fields[i], axis=1).argmin()]
        steps = len(m) - stepper.HISTORY
        rolled = np.concatenate([m[:-steps], rom.decode(rom.rollout(latents[i, :-steps], fields[i], steps), unit=True)])
        models = {"autoencoder": rom.decode(latents[i]), "rom": rolled, "pca": modes.decode(modes.encode(m)),
                  "nearest": dataset.as_float(states(nearest)), "average": average}
        models |= {f"{name}_unit": _unit(models[name]) for name in ("autoencoder", "pca")}
        rows.append({f"mean_{name}": out.mean(axis=(1, 2), dtype=float) for name, out in models.items()}
                    | {f"l2_{name}": metrics.relative_l2(out, m, (1, 2, 3)) for name, out in models.items()}
                    | {"run": i, "field": fields[i], "mean": m.mean(axis=(1, 2), dtype=float), "nearest": fields[nearest]})
    with atomic(DATA / "paper_test.npz") as file:
        np.savez_compressed(file, t=data["t"].values, **{k: np.array([row[k] for row in rows]).astype(
            int if k == "run" else np.float32) for k in rows[0]})
    ship("paper_test.npz", what="film averages (mean_) and relative L2 errors against time (l2_) of the paper's networks and "
         "of simpler things on the 20 test fields", command="python -m magbook evaluate", seed=None, version=__version__)


def train_seeds():
    """Train predictors, on latents and on principal components, and short autoencoders, from three seeds each (1 hour)."""
    test, components = dataset.states(dataset.load("paper"), "test"), _components()
    short = json.loads(shipped("autoencoder_sweep.json").read_text())["latent"]["16"]
    table = {"predictor": {0: _history("predictor")}, "autoencoder": {0: {k: short[k] for k in ("history", "test")}},
             "pca": {seed: _predictor(f"predictor-pca-seed{seed}", components, **PREDICTOR | {"seed": seed})[-1]
                     for seed in SEEDS}}
    for seed in SEEDS[1:]:
        *_, table["predictor"][seed] = _predictor(f"predictor-seed{seed}", **PREDICTOR | {"seed": seed})
        encoder, decoder, history = _autoencoder(f"latent-16-seed{seed}", every=2, latent=16, **SWEEP | {"seed": seed})
        network = partial(keras.Sequential([encoder, decoder]).predict, batch_size=128, verbose=0)
        table["autoencoder"][seed] = {"history": history, "test": _errors(network, test)}
    _ship_json("seeds.json", table, "what the same trainings reached from three seeds each: histories, and errors of the "
               "short autoencoders on the test fields", "train-seeds", None)


def errors():
    """Compare every model and baseline with the solver, in every metric, on SP4's and the test fields (15 minutes)."""
    known, fields = _known_and_tested()
    runs = [llg.simulate(b, progress=False) for b in bar(fields, unit="field")]
    table = {}
    for name, answers, rom in _models(known, fields, runs):
        table[name] = [metrics.compare(m, run, rom) for m, run in zip(bar(answers, total=len(runs), desc=name), runs)]
    names = list(table["networks, seed 0"][0])
    values = [[[row.get(name, np.nan) for name in names] for row in rows] for rows in table.values()]
    with atomic(DATA / "errors.npz") as file:
        np.savez_compressed(file, model=list(table), metric=names, field=fields, error=np.array(values, np.float32))
    ship("errors.npz", what="errors (model, field, metric), as metrics.compare names them, of networks and baselines on "
         "standard problem 4's fields 1 and 2 and on the 20 test fields",
         command="python -m magbook train-seeds; python -m magbook errors", seed=None, version=__version__)


def _models(known, fields, runs):
    """Yield (name, answers to all fields, model of the states or None) of each model, a model at a time in memory."""
    def like(run, m):
        return Trajectory(run.t, np.concatenate([run.m[:1], m]), run.field, run.film)

    rom, linear = load_rom("paper"), pca.load()
    yield "autoencoder alone", (like(run, rom.decode(rom.encode(run.m[1:]), unit=True)) for run in runs), None
    yield "PCA alone", (like(run, linear.decode(linear.encode(run.m[1:]), unit=True)) for run in runs), None
    yield "networks, seed 0", map(rom.simulate, fields), rom
    for seed in SEEDS[1:]:
        network, scale, _ = _predictor(f"predictor-seed{seed}", **PREDICTOR | {"seed": seed})
        other = ReducedOrderModel(rom.encoder, rom.decoder, network, scale=scale, reach=rom.reach)
        yield f"networks, seed {seed}", map(other.simulate, fields), rom
    components = _components()
    for seed in SEEDS:
        network, scale, _ = _predictor(f"predictor-pca-seed{seed}", components, **PREDICTOR | {"seed": seed})
        first = np.stack([linear.encode(run.m[1:1 + stepper.HISTORY]) for run in runs]) + components["offset"]
        c = stepper.rollout(network.get_weights(), first / scale, fields, 100 - stepper.HISTORY) * scale
        c -= components["offset"]
        yield f"PCA + predictor, seed {seed}", (
            like(run, np.concatenate([run.m[1:1 + stepper.HISTORY], linear.decode(one, unit=True)]))
            for run, one in zip(runs, c)), linear
    data = dataset.load("paper")
    for name, method in baselines.METHODS.items():
        weights = baselines.weights(method, data["field"].values[known], fields)
        m = np.zeros((len(runs), *data["m"].shape[1:]), np.float32)
        for i, column in zip(bar(known, desc=name, unit="field"), weights.T):
            states = dataset.as_float(dataset.states(data, i))
            for k in np.flatnonzero(column):
                m[k] += np.float32(column[k]) * states
        yield name, (like(run, _unit(one)) for run, one in zip(runs, m)), None


def floors():
    """How far apart the solver's own answers are: two time steps, two grids, near starts, near fields (10 minutes)."""
    _, fields = _known_and_tested()
    coarse = Film(cells=(128, 32))
    state = llg.s_state()
    noise = np.random.default_rng(0).standard_normal(state.shape)
    noise = gaussian_filter(noise + noise[::-1, ::-1], (5, 5, 0))  # even, as the S-state is, and smooth over 10 nm
    noise -= np.sum(noise * state, axis=-1, keepdims=True) * state
    noise /= np.sqrt(np.mean(np.sum(noise**2, axis=-1)))
    starts = {f"start {size:g}": _unit(state + size * noise) for size in (1e-6, 1e-3)}
    average, l2 = [], []
    for b in bar(fields, unit="field"):
        solve = partial(llg.simulate, progress=False)
        polar = baselines.coordinates(b[None])[0]
        run, exact = solve(b), solve(b, precision="double")
        pairs = {"time step": (run, solve(b, accuracy=2)),
                 "grid": (Trajectory(run.t, _coarser(run.m, 2), run.field, coarse), solve(b, coarse)),
                 **{name: (exact, solve(b, start=start, precision="double")) for name, start in starts.items()},
                 "direction 0.1°": (run, solve(_field_at(*polar + [0.1, 0]))),
                 "strength 0.1 mT": (run, solve(_field_at(*polar + [0, 0.1])))}
        average.append([metrics.film_average_error(two.mean[1:], one.mean[1:]) for one, two in pairs.values()])
        l2.append([metrics.relative_l2(two.m[1:], one.m[1:], (1, 2, 3)) for one, two in pairs.values()])
    with atomic(DATA / "floors.npz") as file:
        np.savez_compressed(file, name=list(pairs), field=fields, t=run.t[1:], average=np.array(average, np.float32),
                            l2=np.array(l2, np.float32))
    ship("floors.npz", what="how far apart two answers of the solver are: error of the film average (field, name) and "
         "relative L2 against time (field, name, t), on standard problem 4's fields 1 and 2 and on the 20 test fields",
         command="python -m magbook floors", seed=0, version=__version__)


def compare_splits():
    """Train small autoencoders on states split by state and by field, and show both new fields (10 minutes)."""
    data = dataset.load("paper")
    m = np.stack([_unit(_coarser(dataset.as_float(dataset.states(data, i)), 4)) for i in bar(range(200), unit="field")])
    new = np.concatenate([_unit(_coarser(llg.simulate(b, progress=False).m[1:], 4)) for b in applied.fan(220)[200:]])
    table = {"settings": SMALL, "fields": {}}
    for n in (20, 50, 200):
        options = SMALL | {"epochs": SMALL["epochs"] * 200 // n}  # as many updates
        by_field = {name: m[i].reshape(-1, *m.shape[2:]) for name, i in dataset.split(n).items()}
        by_state = {name: m[tuple(i.T)] for name, i in dataset.split_states(n, m.shape[1]).items()}
        table["fields"][n] = {}
        for split, parts in (("field", by_field), ("state", by_state)):
            encoder, decoder, history = autoencoder.train(parts["train"], parts["validation"],
                                                          _folder(f"split-{split}-{n}"), callback=_say, **options)
            network = partial(keras.Sequential([encoder, decoder]).predict, batch_size=128, verbose=0)
            table["fields"][n][split] = {"history": history, **{
                name: _errors(network, states) for name, states in (("test", parts["test"]), ("new", new))}}
    _ship_json("splits.json", table, "errors of small autoencoders that were trained and tested on states split by field and "
               "by state, of 20, 50 and 200 fields, and their errors on 20 new fields", "compare-splits", SMALL["seed"])


def normal_modes():
    """Find the S-state's normal modes, let the film ring after a pulse, and ship both (2 minutes)."""
    found = modes.find(k=64)
    modes.save(found, DATA / "modes.npz")
    ship("modes.npz", what="the 64 slowest normal modes of standard problem 4's S-state: frequencies, parities, and the lower "
         "half of each shape in two components", command="python -m magbook normal-modes", seed=None, version=__version__)
    film = Film(alpha=0.005)
    spot = np.exp(-((film.x - 100e-9)**2 + (film.y[:, None] - 30e-9)**2) / (2 * 20e-9**2))
    start = found.state + 0.02 * spot[..., None] * np.cross([0, 0, 1], found.state)
    start /= np.linalg.norm(start, axis=-1, keepdims=True)
    run = llg.simulate((0, 0), film, start, 8e-9, 2e-11)
    here, there = (np.average(run.m[..., 1], axis=(1, 2), weights=np.broadcast_to(w, run.m.shape[:3]))
                   for w in (spot, spot[::-1, ::-1]))
    with atomic(DATA / "ringdown.npz") as file:
        np.savez_compressed(file, t=run.t, alpha=film.alpha, angle=0.02, spot=spot.astype(np.float32),
                            here=here.astype(np.float32), there=there.astype(np.float32))
    ship("ringdown.npz", what="the film rings: a short pulse turns the S-state by `angle` times `spot` about z; mean my weighted "
         "with the spot (here) and with its mirror image (there) against t", command="python -m magbook normal-modes", seed=None,
         version=__version__)


BEST = dict(decoder=dict(epochs=40, seed=0), predictor=dict(epochs=60), members=5)
"""How chapter 7's model is trained: the closure, and an ensemble of networks of field and time, seeds 0 and up."""


def train_best():
    """Train the better model of chapter 7 on the large data set, and ship it (20 minutes)."""
    train, validation = _pool(1000, blade=True), _pool(1000, part="validation")
    basis = _basis(train, "best-basis")
    basis.modes, basis.mean = _half(basis.modes), _half(basis.mean)
    c, c_validation = (pod.coefficients(basis, part["states"]) for part in (train, validation))
    closure, _ = pod.train_decoder(basis, c, c_validation[::4], _folder("best-decoder"), callback=_say, **BEST["decoder"])
    closure.set_weights([_half(w) for w in closure.get_weights()])
    encoder, decoder = pod.networks(basis, closure)
    latents, latents_validation = (_trajectories(x) for x in (c, c_validation))
    networks = []
    for seed in range(BEST["members"]):
        network, _ = pod.train_predictor(latents, train["field"], train["t"], (latents_validation, validation["field"]),
                                         _folder(f"best-predictor-{seed}"), callback=_say, seed=seed, **BEST["predictor"])
        network.set_weights([_half(w) for w in network.get_weights()])
        networks.append(network)
    info = {"settings": BEST, "data": {name: dataset.SETS[name] for name in ("large", "blade")},
            "command": "python -m magbook generate --set large; python -m magbook generate --set blade; "
                       "python -m magbook train-best", "version": __version__}
    rom = ReducedOrderModel(encoder, decoder, networks, scale=1.0, reach=np.abs(latents).max(), film=Film(),
                            longest=train["t"][-1], fan={"angle": 180.0, "opening": 44.0, "strength": [22e-3, 41e-3]}, info=info)
    rom.widen = _widen(rom, validation)
    rom.save(DATA / "rom_best.npz", half=True)
    ship("rom_best.npz", what="the model of chapter 7, trained: principal components, their closure, and an ensemble of networks "
         "of field and time, with weights of 16 bits", command=info["command"], seed=0, version=__version__)


SIZES = (50, 100, 200, 400, 800)

BRIEF = dict(decoder=dict(epochs=12, seed=0), predictor=dict(epochs=24, seed=0))
"""Shorter trainings of the better model, that compare numbers of fields and parts of it with each other."""

STEPPING = dict(steps=8, widths=(128, 128, 128), residual=True, dropout=0.0, noise=0.01, epochs=20, learning_rate=3e-3, seed=0)
"""A predictor that steps, as wide and as long trained as it can be in the time that a network of field and time takes."""


def sweep_best():
    """Compare numbers of fields, and the parts of the better model, in shorter trainings (half an hour)."""
    validation, test = (_pool(1000, part=part) for part in ("validation", "test"))
    runs = [llg.simulate(b, progress=False) for b in (sp4.FIELD_1, sp4.FIELD_2)]
    field = np.concatenate([[run.field for run in runs], test["field"]])
    mean = np.concatenate([[run.mean[1:] for run in runs], test["mean"]])
    table = {"settings": BRIEF, "field": field.tolist(), "fields": {}, "variants": {}}
    sets = {str(k): (k, False) for k in SIZES} | {"200 + blade": (200, True), "800 + blade": (800, True)}
    for name, (k, blade) in sets.items():
        pool = _first(_pool(1000, blade=blade), k, blade)
        basis = _basis(pool, f"fields-{name}-basis")
        c, cv = (pod.coefficients(basis, part["states"]) for part in (pool, validation))
        # The same number of updates for all: of few fields more passes
        again = SIZES[-1] * 100 // len(c) or 1
        closure, _ = pod.train_decoder(basis, np.tile(c, (again, 1)), cv[::4], _folder(f"fields-{name}-decoder"),
                                       callback=_say, **BRIEF["decoder"])
        known, tested = _trajectories(c), (_trajectories(cv), validation["field"])
        train = partial(pod.train_predictor, np.tile(known, (again, 1, 1)), np.tile(pool["field"], (again, 1)), pool["t"],
                        tested, callback=_say)
        network, _ = train(_folder(f"fields-{name}-predictor"), **BRIEF["predictor"])
        latents = network.predict(pod.inputs(field, pool["t"]), batch_size=4096, verbose=0)
        surface = baselines.spline(pool["field"], c.reshape(len(known), -1))(field).reshape(-1, pod.MODES)
        nearest = baselines.nearest(pool["field"], pool["mean"])(field)
        error = lambda c, unit=True, basis=basis: metrics.film_average_error(_averages(basis, c, unit), mean)
        row = {"best": error(_complete(closure, latents)), "spline": error(surface),
               "nearest": metrics.film_average_error(nearest, mean)}
        table["fields"][name] = {k: v.tolist() for k, v in row.items()}
    # Of the last, largest set, without one thing after another
    variants = {"whole": row["best"], "without unit length": error(_complete(closure, latents), False),
                "without the closure": error(np.pad(latents, ((0, 0), (0, pod.MODES - latents.shape[1]))))}
    network, _ = train(_folder("variant-smooth"), detail=1.0, **BRIEF["predictor"])
    latents = network.predict(pod.inputs(field, pool["t"]), batch_size=4096, verbose=0)
    variants["without fine detail"] = error(_complete(closure, latents))
    network, scale, _ = stepper.train(known, pool["field"], tested, _folder("variant-stepping"), callback=_say, **STEPPING)
    start = _trajectories(np.concatenate([pod.coefficients(basis, pod.fold(run.m[1:])) for run in runs]
                                         + [pod.coefficients(basis, test["states"])]))[:, :stepper.HISTORY]
    latents = np.concatenate([start, scale * stepper.rollout(network.get_weights(), start / np.float32(scale), field,
                                                               100 - stepper.HISTORY, STEPPING["residual"])], axis=1)
    variants["stepping instead"] = error(_complete(closure, latents.reshape(-1, latents.shape[-1])))
    table["variants"] = {k: v.tolist() for k, v in variants.items()}
    _ship_json("best_sweep.json", table, "film-average errors on standard problem 4's two fields and 100 test fields of the better "
               "model, shorter trained, by number of training fields and without one part after another", "sweep-best", 0)


PASS = 250
"""Updates in an epoch of `SWEEP`, of 8,000 states in batches of 32; `sweep_paper` makes as many of any number of states."""


def sweep_paper():
    """Compare numbers of fields for the paper's networks: for both, and for the predictor alone (1 1/2 hours); it resumes."""
    rom, settings = load_rom("paper"), {"autoencoder": SWEEP | {"updates": PASS},
                                        "predictor": SHORT | {"steps": PREDICTOR["steps"]}, "long": PREDICTOR}
    table = {"settings": settings, "field": _tested_fields().tolist(),
             "shipped": _kept("paper-shipped", lambda: _off(rom) | _off(rom, "autoencoder")), "predictor": {}, "both": {}}
    alone = lambda name, k, options: _kept(name, lambda: _sweep_predictor(
        name, k, rom.encoder, rom.decoder, "paper-shipped", **options)[1])
    for k in SIZES:
        table["predictor"][k] = alone(f"paper-{k}-predictor", k, settings["predictor"])
    for k in SIZES:
        table["both"][k] = _kept(f"paper-{k}-both", partial(_sweep_both, k, settings))
    table["long"] = alone("paper-long", SIZES[-1], settings["long"])
    _ship_json("paper_sweep.json", table, "errors on standard problem 4's two fields and 100 test fields of the paper's networks, "
               "by number of training fields: of both, shorter trained, and of the predictor on the latents of the autoencoder "
               "that ships; of the latter also after the long training", "sweep-paper", 0)


def _sweep_runs(k):
    """Indices in the large data set of the first k training fields, and of the 50 fields that choose the weights."""
    parts = dataset.split(1000)
    return parts["train"][:k], parts["validation"][:50]


def _sweep_both(k, settings):
    """Train both networks of the paper on k fields: their errors."""
    data = dataset.load("large")
    train, validation = _sweep_runs(k)
    # Of 800 fields every second state, which is 4 GB
    encoder, decoder, history = autoencoder.train(dataset.states(data, train, 1 + k // 800), dataset.states(data, validation, 10),
                                                  _folder(f"paper-{k}-autoencoder"), callback=_say, **settings["autoencoder"])
    rom, errors = _sweep_predictor(f"paper-{k}-both", k, encoder, decoder, f"paper-{k}", **settings["predictor"])
    return {"autoencoder": min(row["error"] for row in history), **errors, **_off(rom, "autoencoder")}


def _sweep_predictor(name, k, encoder, decoder, latents, **options):
    """Train a predictor on k fields of the latents of that name: the whole model, and the errors of its rollouts."""
    fields, (train, validation) = applied.fan(**dataset.SETS["large"]), _sweep_runs(k)
    c = _sweep_latents(latents, encoder, SIZES[-1] if latents == "paper-shipped" else k)
    network, scale, history = stepper.train(c[:k], fields[train], (c[-len(validation):], fields[validation]), _folder(name),
                                              callback=_say, **options)
    rom = ReducedOrderModel(encoder, decoder, network, scale=scale, reach=np.abs(c[:k]).max())
    return rom, {"error": min(row["error"] for row in history), **_off(rom)}


def _sweep_latents(name, encoder, k):
    """Latent states (k + 50, nt, latent) of the fields that `_sweep_runs` names, kept in the cache."""
    path = cache() / "training" / f"latents-{name}.npy"
    if not path.exists():
        data = dataset.load("large")
        c = [encoder.predict(dataset.as_float(dataset.states(data, i)), batch_size=128, verbose=0)
             for i in bar(np.concatenate(_sweep_runs(k)), desc="encoding", unit="field")]
        with atomic(path) as file:
            np.save(file, c)
    return np.load(path)


def _tested_fields():
    """Standard problem 4's two fields and the 100 test fields of the large data set: (102, 3)."""
    return np.concatenate([[applied.vector(b) for b in (sp4.FIELD_1, sp4.FIELD_2)],
                           applied.fan(**dataset.SETS["large"])[dataset.split(1000)["test"]]])


@lru_cache
def _tested_states():
    """The states at these fields as a data set stores them, in 16 bits: 1 GB."""
    data, two = dataset.load("large"), [llg.simulate(b, progress=False).m[1:] for b in _tested_fields()[:2]]
    return [np.rint(m * dataset.SCALE).astype(np.int16) for m in two] + [
        dataset.states(data, i) for i in bar(dataset.split(1000)["test"], unit="field")]


def _off(rom, part="rollout"):
    """Errors of film average and states at the tested fields, of the rollout or of every fourth state through the autoencoder.

    Those of a rollout that ran away are NaN.
    """
    average, l2 = [], []
    for b, stored in zip(_tested_fields(), _tested_states()):
        if part == "autoencoder":
            m = dataset.as_float(stored[::4])
            out = rom.decode(rom.encode(m), unit=True)
        else:
            m = dataset.as_float(stored)
            out = m.copy()  # as `simulate` takes the first states from the solver
            c = rom.rollout(rom.encode(m[:stepper.HISTORY]), b, len(m) - stepper.HISTORY)
            out[stepper.HISTORY:] = rom.decode(c, unit=True) if np.isfinite(c).all() else np.nan
        average.append(metrics.film_average_error(out.mean(axis=(1, 2), dtype=float), m.mean(axis=(1, 2), dtype=float)))
        l2.append(metrics.relative_l2(out, m))
    return {f"average_{part}": list(map(float, average)), f"l2_{part}": list(map(float, l2))}


def _kept(name, make):
    """What a function returns, numbers by name, kept in a training's folder."""
    path = _folder(name) / "result.json"
    if not path.exists():
        result = json.dumps(make())
        with atomic(path) as file:
            file.write(result.encode())
    return json.loads(path.read_text())


def _first(pool, k, blade):
    """The first k fields of a pool; with `blade` also the 200 more at its end."""
    more = dataset.SETS["blade"]["n"] if blade else 0
    n = len(pool["field"])
    keep = np.r_[:k, n - more:n]
    states = pool["states"].reshape(n, -1, *pool["states"].shape[1:])[keep]
    return {"states": states.reshape(-1, *states.shape[2:]), "field": pool["field"][keep], "mean": pool["mean"][keep], "t": pool["t"]}


def _complete(closure, latents):
    """All coefficients of latent states (n, latent)."""
    return np.hstack([latents, closure.predict(latents, batch_size=4096, verbose=0)])


def _averages(basis, c, unit=True, nt=100):
    """Film averages (runs, nt, 3) of coefficients (runs * nt, k)."""
    mean = [basis.decode(c[i:i + 1000], unit).mean(axis=(1, 2), dtype=float) for i in range(0, len(c), 1000)]
    return np.concatenate(mean).reshape(-1, nt, 3)


def evaluate_best():
    """Compare the better model with the solver on standard problem 4's two fields and on 100 test fields (5 minutes)."""
    rom, data = load_rom("best"), dataset.load("large")
    sources = [llg.simulate(b, progress=False).m[1:] for b in (sp4.FIELD_1, sp4.FIELD_2)] + list(dataset.split(1000)["test"])
    fields = _tested_fields()
    known = np.concatenate([data["field"].values[dataset.split(1000)["train"]], applied.fan(**dataset.SETS["blade"])])
    # As `errors` compares all other models, on the same fields
    errors = [metrics.compare(rom.simulate(b), llg.simulate(b, progress=False), rom) for b in bar(fields[:22], unit="field")]
    rows = []
    for source, b in zip(bar(sources, unit="field"), fields):
        m = source if isinstance(source, np.ndarray) else dataset.as_float(dataset.states(data, [source]))
        c = rom.encode(m)
        first, steps = c[:stepper.HISTORY], len(m) - stepper.HISTORY
        given = m[:stepper.HISTORY]  # as `simulate` takes them from the solver
        models = {"decoder": rom.decode(c), "best": np.concatenate([given, rom.decode(rom.rollout(first, b, steps))])}
        members = np.array([_film_average(rom, one) for one in rom.rollout(first, b, steps, members=True)])
        rows.append({f"mean_{name}": out.mean(axis=(1, 2), dtype=float) for name, out in models.items()}
                    | {f"l2_{name}": metrics.relative_l2(out, m, (1, 2, 3)) for name, out in models.items()}
                    | {"field": b, "mean": m.mean(axis=(1, 2), dtype=float), "members": members,
                       "distance": np.linalg.norm(known - b, axis=1).min()})
    with atomic(DATA / "best_test.npz") as file:
        np.savez_compressed(file, t=data["t"].values, metric=list(errors[0]),
                            error=np.array([list(one.values()) for one in errors], np.float32),
                            **{k: np.array([row[k] for row in rows], np.float32) for k in rows[0]})
    ship("best_test.npz", what="film averages (mean_, and those of the ensemble's members from the fifth state on) and relative L2 "
         "errors against time (l2_) of chapter 7's model on standard problem 4's two fields and 100 test fields, 20 of which are "
         "the paper data set's; on those 22 also every error as metrics.compare names it (field, metric)", command="python -m magbook evaluate-best", seed=None, version=__version__)


def _widen(rom, validation, share=0.9):
    """By how many standard deviations of the members a film average of the validation fields is off, at most, nine times of ten."""
    first = np.zeros((len(validation["field"]), stepper.HISTORY, rom.latent))
    c = rom.rollout(first, validation["field"], members=True)
    mean = np.array([[_film_average(rom, one) for one in member] for member in c])
    off = np.abs(mean.mean(axis=0) - validation["mean"][:, stepper.HISTORY:]) / mean.std(axis=0, ddof=1)
    return np.quantile(off, share)


def _film_average(rom, c):
    return rom.decode(c, unit=True).mean(axis=(1, 2), dtype=float)


def _trajectories(c, latent=16, nt=100):
    return c[:, :latent].reshape(-1, nt, latent)


def _pool(n=1000, blade=False, part="train"):
    """Folded states (runs * 100, ...), fields, film averages and times of a part of the first n fields of the large data set."""
    sets = [("large", dataset.split(n)[part])] + [("blade", np.arange(dataset.SETS["blade"]["n"]))] * blade
    parts = [{k: v[runs] for k, v in _folded(name).items() if k != "t"} for name, runs in sets]
    pool = {k: np.concatenate([one[k] for one in parts]) for k in parts[0]}
    return pool | {"states": pool["states"].reshape(-1, *pool["states"].shape[2:]), "t": _folded("large")["t"]}


def _folded(name):
    """A data set's folded states, fields, film averages and times, kept in the cache once they are made."""
    path = cache() / "training" / f"folded-{name}.npz"
    if not path.exists():
        data = dataset.load(name)
        m, mean = [], []
        for i in bar(range(data.sizes["run"]), desc=f"folding {name}", unit="field"):
            states = dataset.as_float(dataset.states(data, i))
            m.append(np.rint(pod.fold(states) * dataset.SCALE).astype(np.int16))
            mean.append(states.mean(axis=(1, 2), dtype=float))
        with atomic(path) as file:
            np.savez(file, states=np.array(m), mean=np.array(mean, np.float32), field=data["field"].values, t=data["t"].values)
    with np.load(path) as z:
        return dict(z)


def _basis(pool, name):
    """Principal components of every fifth of a pool's folded states, kept in the cache."""
    path = cache() / "training" / f"{name}.npz"
    if not path.exists():
        with atomic(path) as file:
            np.savez(file, **vars(pca.fit(pool["states"][::5], pod.MODES)))
    with np.load(path) as z:
        return pca.PCA(**z)


def _folder(name):
    return cache() / "training" / name


def _say(history):
    print(" ".join(f"{name} {value:.5g}" for name, value in history[-1].items()), flush=True)


def _history(name):
    return json.loads((_folder(name) / "history.json").read_text())["history"]


def _ship_json(name, table, what, command, seed):
    with atomic(DATA / name) as file:
        file.write(json.dumps(table, indent=1).encode())
    ship(name, what=what, command=f"python -m magbook {command}", seed=seed, version=__version__)


def _autoencoder(name, every=1, **options):
    data = dataset.load("paper")
    return autoencoder.train(dataset.states(data, "train", every), dataset.states(data, "validation", 2), _folder(name),
                             callback=_say, **options)


def _rounded(name):
    """The trained autoencoder with weights rounded as they ship, so that latents and predictor fit what is shipped."""
    encoder, decoder = autoencoder.build(AUTOENCODER["latent"])
    keras.Sequential([encoder, decoder]).load_weights(_folder(name) / "best.weights.h5")
    for model in (encoder, decoder):
        model.set_weights([_half(w) for w in model.get_weights()])
    return encoder, decoder


def _half(w):
    return w.astype(np.float16).astype(np.float32)


def _latents():
    return np.load(shipped("paper_latents.npz"))


def _predictor(name, data=None, **options):
    data = _latents() if data is None else data
    train, validation = ((data["latents"][i], data["field"][i])
                         for i in (dataset.split(len(data["field"]))[part] for part in ("train", "validation")))
    return stepper.train(*train, validation, _folder(name), callback=_say, **options)


def _components():
    """The 200 trajectories in principal components, as `_latents` has them; shifted, since elu gives nothing below -1."""
    data, linear = dataset.load("paper"), pca.load()
    c = np.stack([linear.encode(dataset.states(data, i)) for i in bar(range(data.sizes["run"]), unit="field")])
    offset = -c[dataset.split(len(c))["train"]].min(axis=(0, 1))
    return {"latents": c + offset, "offset": offset, "field": data["field"].values}


def _known_and_tested():
    """Indices of the training fields, and the fields on which all models are compared: SP4's two, the test fields."""
    parts = dataset.split(200)
    two = [applied.vector(b) for b in (sp4.FIELD_1, sp4.FIELD_2)]
    return parts["train"], np.concatenate([two, applied.fan(200)[parts["test"]]])


def _field_at(direction, strength):
    """mu0*H in T of a direction in degrees and a strength in mT."""
    return strength * 1e-3 * np.array([np.cos(np.deg2rad(direction)), np.sin(np.deg2rad(direction)), 0])


def _coarser(m, n):
    """States (nt, ny, nx, 3) averaged over n x n cells."""
    nt, ny, nx, _ = m.shape
    return m.reshape(nt, ny // n, n, nx // n, n, 3).mean(axis=(2, 4))


def _unit(m):
    return m / np.linalg.norm(m, axis=-1, keepdims=True)


def _errors(model, states):
    """Relative L2 error, raw and with the output scaled to unit length, and mean error of the film average."""
    m = dataset.as_float(states)
    out = model(m)
    return {"l2": metrics.relative_l2(out, m), "l2_unit": metrics.relative_l2(_unit(out), m),
            "mean": metrics.film_average_error(out.mean(axis=(1, 2), dtype=float), m.mean(axis=(1, 2), dtype=float))}
