"""Chapter 4: the paper's predictor, and the whole model against the simplest things that could work."""

from functools import partial
from typing import Any

import numpy as np

from .. import __version__, applied, baselines, dataset, llg, metrics, pca, readout, stepper
from .._keras import keras
from .._progress import bar
from ..files import DATA, arrays, keep
from ..film import Film, unit
from ..rom import ReducedOrderModel, load_rom
from . import ch3
from .ch3 import AUTOENCODER, LATENTS, through, trained
from .common import (
    coarser,
    command,
    film_average,
    folder,
    history,
    hold,
    round_weights,
    say,
    sp4_runs,
    write_json,
    write_npz,
)

PREDICTOR: dict[str, Any] = dict(steps=8, without_dropout=0.3, epochs=120, learning_rate=3e-3, seed=0)
"""How the paper's predictor is trained here."""

SHORT: dict[str, Any] = dict(without_dropout=0.3, epochs=30, learning_rate=3e-3, seed=0)
"""Short trainings that compare predictors with each other."""

READOUT: dict[str, Any] = dict(epochs=90, seed=0)
"""How the readout of the paper's networks is trained: on their own rollouts in `MANY` fields."""

MANY: dict[str, Any] = dict(n=2000, seed=11)
"""As `applied.fan` takes them."""

LOOK_AHEADS = (1, 2, 4, 8, 16)

SIZES: dict[str, Any] = dict(dropout=0.0, epochs=6, batch=32, learning_rate=1e-3, seed=0)
"""How the autoencoder that ships is trained on with another latent size, on every fourth state in time."""

SHOWN = 139
"""The run that `rebuild` shows: of the test fields the one whose 360 degree walls go last, which the solver alone says."""

HANDED_OVER = (4, 8, 12, 16, 20, 25, 30, 40, 50, 60, 70, 80)
"""After how many of the solver's states the rollouts of `hand_over` begin."""


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


@command(reads=["paper_latents.npz", "set/paper", "training/autoencoder"], keeps=["predictor", "readout"], seed=PREDICTOR["seed"], writes={
    "rom_paper.npz": "the networks of the paper, and a readout of film averages, trained: a ReducedOrderModel with weights of 16 bits"})
def train_predictor() -> None:
    """Train the paper's predictor on the latents that ship, and its readout, and put the whole model together (15 minutes); it resumes."""
    dynamics, _ = fit("predictor", **PREDICTOR)
    encoder, decoder = trained()
    round_weights(dynamics.network)
    known = arrays("paper_latents.npz")
    latents = known["latents"][dataset.split(200)["train"]]
    info = {"autoencoder": AUTOENCODER, "predictor": PREDICTOR, "readout": READOUT,
            "data": dataset.load("paper").attrs["manifest"] | {"seed": applied.SEED} | dataset.SETS["paper"],
            "command": "python -m magbook train-predictor", "version": __version__}
    rom = ReducedOrderModel(encoder, decoder, dynamics, largest=np.abs(latents).max(), film=Film(), fan=applied.FAN, info=info)
    rom.readout = read(rom, known)
    rom.save(DATA / "rom_paper.npz", half=True)


def read(rom: ReducedOrderModel, known: dict) -> keras.Model:
    """A readout for a model, trained on its rollouts in many fields. known: latent trajectories that ship, with their fields.

    The first states, for which the solver is asked, have hardly moved: in a field that was not computed a spline knows their latent states.
    """
    parts, n = dataset.split(200), 1 + rom.dynamics.history
    start = np.broadcast_to(rom.encode(llg.s_state()), (200, 1, rom.latent))
    first = np.concatenate([start, known["latents"][:, :n - 1]], axis=1)
    fields = applied.fan(**MANY)
    begin = baselines.spline(known["field"][parts["train"]], first[parts["train"]].reshape(-1, n * rom.latent))(fields)

    def rolled(first, fields):
        c = rom.rollout(first, hold(fields))[:, 1:]
        return c.reshape(-1, rom.latent), np.concatenate([film_average(rom, one) for one in bar(c, desc="film averages", unit="field")])

    into = folder("readout")
    known_to_it = keep(into / "rollouts.npz", lambda: dict(zip(("c", "mean"), rolled(begin.reshape(-1, n, rom.latent), fields))))
    test = rolled(first[parts["validation"]], known["field"][parts["validation"]])
    network, _ = readout.train(known_to_it["c"], known_to_it["mean"], test, into, callback=say, **READOUT)
    round_weights(network)
    return network


@command(reads=["paper_latents.npz", "training/predictor"], seed=SHORT["seed"], writes={
    "predictor_sweep.json": "what predictors reached that look ahead 1 to 16 steps, and the history of the one that ships"})
def sweep_predictor() -> None:
    """Compare how far the predictor's loss looks ahead, on rollouts of the validation fields; it resumes."""
    table: dict[str, Any] = {"history": history("predictor"), "settings": SHORT, "steps": {}}
    for steps in LOOK_AHEADS:
        _, table["steps"][steps] = fit(f"steps-{steps}", steps=steps, **SHORT)
    write_json("predictor_sweep.json", table)


@command(reads=["rom_paper.npz", "set/paper"], seed=SIZES["seed"], writes={
    "latent_sizes.npz": "a test run of the paper's data set, rebuilt from 4, 8, 16 and 32 numbers by principal components and by the "
                        "paper's autoencoder: every second state on coarse cells, times 8 (m), the relative L2 errors of these states on "
                        "all cells (l2), and that of the 20 test fields (l2_test)"})
def rebuild() -> None:
    """Rebuild a test run from 4 to 32 numbers, for chapter 3; trains the autoencoder on with other latent sizes (20 minutes); it resumes."""
    data, rom = dataset.load("paper"), load_rom("paper")
    linear = pca.fit(dataset.states(data, "train", 4), max(LATENTS))
    run, test = (dataset.as_float(dataset.states(data, part)) for part in ([SHOWN], "test"))
    run, t = run[1::2], data["t"].values[1::2]
    shown, l2, l2_test = [run], [], []
    for latent in LATENTS:
        networks = (rom.encoder, rom.decoder) if latent == rom.latent else resized(latent)
        for model in (lambda m, k=latent: linear.decode(linear.encode(m, k)), through(*networks)):
            shown.append(unit(model(run)))
            l2.append(metrics.relative_l2(shown[-1], run, (1, 2, 3)))
            l2_test.append(metrics.relative_l2(unit(model(test)), test))
    write_npz("latent_sizes.npz", t=t, run=SHOWN, field=data["field"].values[SHOWN], latent=LATENTS,
              m=np.stack([np.rint(8 * unit(coarser(m, 4))).astype(np.int8) for m in shown]),
              l2=np.reshape(l2, (len(LATENTS), 2, -1)).astype(np.float32), l2_test=np.reshape(l2_test, (len(LATENTS), 2)).astype(np.float32))


def resized(latent: int) -> tuple:
    """The autoencoder that ships with another latent size: convolutions that go on learning about dense layers that begin anew."""
    rom = load_rom("paper")
    return ch3.fit(f"size-{latent}", every=4, latent=latent, begin=(rom.encoder, rom.decoder), **SIZES)[:2]


@command(reads=["paper_latents.npz", "rom_paper.npz", "paper_summary.npz"], seed=SHORT["seed"], writes={
    "hand_over.npz": "mean mx of rollouts on six test fields that begin at several moments (after), by predictors that looked 1 and 16 "
                     "steps ahead (said), and the solver's (mean)"})
def hand_over() -> None:
    """Let two predictors of `sweep_predictor` go on from the solver at one moment after another; trains them where it has not run."""
    z, rom = arrays("paper_latents.npz"), load_rom("paper")
    test = dataset.split(len(z["field"]))["test"]
    runs = test[np.argsort(-applied.to_polar(z["field"][test])[1])][1::len(test) // 6][:6]  # evenly from one edge of the fan to the other
    said = np.full((2, len(HANDED_OVER), len(runs), len(z["t"])), np.nan, np.float32)
    for n, steps in enumerate((1, 16)):
        dynamics, _ = fit(f"steps-{steps}", steps=steps, **SHORT)
        for k, after in enumerate(HANDED_OVER):
            c = z["latents"][runs, after - 4:]  # a rollout does not look at the start, which stands in the first place
            c = dynamics.rollout(np.concatenate([c[:, :1], c[:, :4]], axis=1), hold(z["field"][runs], c.shape[1] + 1))
            said[n, k, :, after:] = [film_average(rom, one[5:])[:, 0] for one in c]
    write_npz("hand_over.npz", t=z["t"], run=runs, field=z["field"][runs], after=HANDED_OVER, steps=(1, 16), said=said.astype(np.float16),
              mean=arrays("paper_summary.npz")["mean"][runs, :, 0].astype(np.float16))


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
