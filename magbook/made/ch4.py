"""Chapter 4: the paper's predictor, and the whole model against the simplest things that could work."""

from functools import partial
from typing import Any

import numpy as np

from .. import __version__, applied, dataset, llg, metrics, pca, stepper
from .._progress import bar
from ..files import DATA, arrays
from ..film import Film, unit
from ..rom import ReducedOrderModel, load_rom
from .ch3 import AUTOENCODER, trained
from .common import command, folder, history, hold, round_weights, say, sp4_runs, write_json, write_npz

PREDICTOR: dict[str, Any] = dict(steps=8, without_dropout=0.3, epochs=120, learning_rate=3e-3, seed=0)
"""How the paper's predictor is trained here."""

SHORT: dict[str, Any] = dict(without_dropout=0.3, epochs=30, learning_rate=3e-3, seed=0)
"""Short trainings that compare predictors with each other."""

LOOK_AHEADS = (1, 2, 4, 8, 16)


@command(reads=["set/paper", "training/autoencoder"], seed=AUTOENCODER["seed"], writes={
    "paper_latents.npz": "latent states of the 200 trajectories of the paper's data set (latents) and of standard problem 4 "
                         "(sp4), without the start"})
def encode() -> None:
    """Encode the paper's 200 trajectories, and standard problem 4's two, with the trained autoencoder."""
    encoder, _ = trained()
    data = dataset.load("paper")
    apply = lambda m: encoder.predict(dataset.as_float(m), batch_size=128, verbose=0)
    latents = np.stack([apply(dataset.states(data, i)) for i in bar(range(data.sizes["run"]), unit="field")])
    write_npz("paper_latents.npz", t=data["t"].values, field=data["field"].values, latents=latents,
              sp4=np.stack([apply(run.m[1:]) for run in sp4_runs()]))


@command(reads=["paper_latents.npz", "set/paper", "training/autoencoder"], keeps=["predictor"], seed=PREDICTOR["seed"], writes={
    "rom_paper.npz": "the networks of the paper, trained: a ReducedOrderModel with weights of 16 bits"})
def train_predictor() -> None:
    """Train the paper's predictor on the latents that ship, and put the whole model together; it resumes."""
    dynamics, _ = fit("predictor", **PREDICTOR)
    encoder, decoder = trained()
    round_weights(dynamics.network)
    latents = arrays("paper_latents.npz")["latents"][dataset.split(200)["train"]]
    info = {"autoencoder": AUTOENCODER, "predictor": PREDICTOR,
            "data": dataset.load("paper").attrs["manifest"] | {"seed": applied.SEED} | dataset.SETS["paper"],
            "command": "python -m magbook train-predictor", "version": __version__}
    rom = ReducedOrderModel(encoder, decoder, dynamics, largest=np.abs(latents).max(), film=Film(), fan=applied.FAN, info=info)
    rom.save(DATA / "rom_paper.npz", half=True)


@command(reads=["paper_latents.npz", "training/predictor"], seed=SHORT["seed"], writes={
    "predictor_sweep.json": "what predictors reached that look ahead 1 to 16 steps, and the history of the one that ships"})
def sweep_predictor() -> None:
    """Compare how far the predictor's loss looks ahead, on rollouts of the validation fields; it resumes."""
    table: dict[str, Any] = {"history": history("predictor"), "settings": SHORT, "steps": {}}
    for steps in LOOK_AHEADS:
        _, table["steps"][steps] = fit(f"steps-{steps}", steps=steps, **SHORT)
    write_json("predictor_sweep.json", table)


@command(reads=["rom_paper.npz", "paper_latents.npz", "paper_pca.npz", "set/paper"], writes={
    "paper_test.npz": "film averages (mean_) and relative L2 errors against time (l2_) of the paper's networks and of simpler "
                      "things on the 20 test fields"})
def evaluate() -> None:
    """Compare the paper's networks, and the simplest things that could work, with the solver on the 20 test fields."""
    rom, data, latents = load_rom("paper"), dataset.load("paper"), arrays("paper_latents.npz")["latents"]
    linear, parts = pca.load(), dataset.split(data.sizes["run"])
    fields, train, states = data["field"].values, parts["train"], partial(dataset.states, data)
    average = np.zeros(data["m"].shape[1:], np.float32)
    for i in train:
        average += dataset.as_float(states(i)) / len(train)
    given, start = rom.dynamics.history, rom.encode(llg.s_state(rom.film))
    rows = []
    for i in bar(parts["test"], unit="field"):
        m = dataset.as_float(states(i))
        nearest = train[np.linalg.norm(fields[train] - fields[i], axis=1).argmin()]
        c = rom.rollout(np.vstack([start, latents[i, :given]]), hold(fields[i:i + 1])[0])
        rolled = np.concatenate([m[:given], rom.decode(c[1 + given:], unit=True)])
        models = {"autoencoder": rom.decode(latents[i]), "rom": rolled, "pca": linear.decode(linear.encode(m)),
                  "nearest": dataset.as_float(states(nearest)), "average": average}
        models |= {f"{name}_unit": unit(models[name]) for name in ("autoencoder", "pca")}
        rows.append({f"mean_{name}": out.mean(axis=(1, 2), dtype=float) for name, out in models.items()}
                    | {f"l2_{name}": metrics.relative_l2(out, m, (1, 2, 3)) for name, out in models.items()}
                    | {"run": i, "field": fields[i], "mean": m.mean(axis=(1, 2), dtype=float), "nearest": fields[nearest]})
    write_npz("paper_test.npz", t=data["t"].values, **{k: np.array([row[k] for row in rows]).astype(
        int if k == "run" else np.float32) for k in rows[0]})


def fit(name: str, data: dict | None = None, **options: Any) -> tuple[stepper.Stepper, list]:
    """Train a predictor on the paper's latents, or on others of its fields, kept under a name: (stepper, history)."""
    data = arrays("paper_latents.npz") if data is None else data
    train, validation = ((data["latents"][i], data["field"][i])
                         for i in (dataset.split(len(data["field"]))[part] for part in ("train", "validation")))
    return stepper.train(*train, validation, folder(name), callback=say, **options)
