"""What is too long to compute in a build: the trainings and tables that ship in `data/`, each made by one command.

`python -m magbook --help` lists the commands in the order in which they are run; each is a function here. They read
the paper's data set (`python -m magbook generate`) from the cache folder, and trainings resume there.
"""

from __future__ import annotations

import json
from functools import partial

import numpy as np

from . import __version__, autoencoder, dataset, llg, metrics, pca, predictor, sp4
from .backend import keras
from .files import DATA, atomic, cache, ship, shipped
from .film import Film
from .progress import bar
from .rom import ReducedOrderModel, load_rom

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
    info = {"autoencoder": AUTOENCODER, "predictor": PREDICTOR, "data": data.attrs["manifest"] | {"seed": dataset.SEED} | dataset.SETS["paper"],
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
    modes = pca.PCA(**{k: v.astype(np.float32) for k, v in np.load(shipped("paper_pca.npz")).items()})
    parts = dataset.split(data.sizes["run"])
    fields, train, states = data["field"].values, parts["train"], partial(dataset.states, data)
    average = np.zeros(data["m"].shape[1:], np.float32)
    for i in train:
        average += dataset.as_float(states(i)) / len(train)
    rows = []
    for i in bar(parts["test"], unit="field"):
        m = dataset.as_float(states(i))
        nearest = train[np.linalg.norm(fields[train] - fields[i], axis=1).argmin()]
        steps = len(m) - predictor.HISTORY
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


def _predictor(name, **options):
    data = _latents()
    train, validation = ((data["latents"][i], data["field"][i])
                         for i in (dataset.split(len(data["field"]))[part] for part in ("train", "validation")))
    return predictor.train(*train, validation, _folder(name), callback=_say, **options)


def _unit(m):
    return m / np.linalg.norm(m, axis=-1, keepdims=True)


def _errors(model, states, chunk=500):
    """Relative L2 error, raw and with the output scaled to unit length, and mean error of the film average."""
    sums = np.zeros(4)
    for i in range(0, len(states), chunk):
        m = dataset.as_float(states[i:i + chunk])
        out = model(m)
        sums += (np.sum((out - m)**2, dtype=float), np.sum((_unit(out) - m)**2, dtype=float), np.sum(m**2, dtype=float),
                 np.abs((out - m).mean(axis=(1, 2))).mean(axis=1).sum())
    return {"l2": (sums[0] / sums[2])**0.5, "l2_unit": (sums[1] / sums[2])**0.5, "mean": sums[3] / len(states)}
