"""Chapter 3: the paper's autoencoder, shorter ones to compare with, and principal components."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .. import autoencoder, dataset, pca
from .._keras import keras
from .common import command, folder, history, reconstruction_errors, round_weights, say, write_json, write_npz

AUTOENCODER: dict[str, Any] = dict(latent=16, without_dropout=0.3, epochs=60, batch=32, learning_rate=2e-3, seed=0)
"""How the paper's autoencoder is trained here."""

SWEEP: dict[str, Any] = dict(without_dropout=0.3, epochs=8, batch=32, learning_rate=2e-3, seed=0)
"""Short trainings, on every second state in time, that compare autoencoders with each other."""

LATENTS = (4, 8, 16, 32)


@command(reads=["set/paper"], keeps=["autoencoder"], seed=AUTOENCODER["seed"])
def train_autoencoder() -> None:
    """Train the paper's autoencoder (an hour on two cores); it resumes."""
    *_, epochs = fit("autoencoder", **AUTOENCODER)
    best = min(epochs, key=lambda row: row["error"])
    print(f"best after epoch {best['epoch']}: relative L2 error {best['error']:.4f} on the validation fields")


@command(reads=["set/paper", "training/autoencoder"], seed=SWEEP["seed"], writes={
    "autoencoder_sweep.json": "what short trainings of the autoencoder reached for several latent sizes and learning rates, and "
                              "the history of the long one"})
def sweep_autoencoder() -> None:
    """Compare latent sizes, and the paper's learning rate with ours, in short trainings (half an hour); it resumes."""
    data = dataset.load("paper")
    validation, test = (dataset.states(data, part) for part in ("validation", "test"))
    linear = pca.fit(dataset.states(data, "train", 2), max(LATENTS))
    table: dict[str, Any] = {"settings": SWEEP, "latent": {}}
    for k in LATENTS:
        encoder, decoder, epochs = fit(f"latent-{k}", every=2, latent=k, **SWEEP)
        table["latent"][k] = {"history": epochs, "validation": reconstruction_errors(through(encoder, decoder), validation),
                              "test": reconstruction_errors(through(encoder, decoder), test),
                              "pca": reconstruction_errors(lambda m, k=k: linear.decode(linear.encode(m, k)), test)}
    paper = SWEEP | {"without_dropout": 0.0, "learning_rate": 1e-4, "warmup": None}
    *_, table["constant"] = fit("constant", every=2, latent=16, **paper)
    table["history"] = history("autoencoder")
    write_json("autoencoder_sweep.json", table)


@command(reads=["set/paper"], writes={
    "paper_pca.npz": "mean and first 16 principal components of every second training state in time of the paper's data set"})
def fit_pca() -> None:
    """Fit the principal components that chapter 3 compares with."""
    found = pca.fit(dataset.states(dataset.load("paper"), "train", 2), AUTOENCODER["latent"])
    write_npz("paper_pca.npz", **{name: value.astype(np.float16) for name, value in vars(found).items()})


def fit(name: str, every: int = 1, **options: Any) -> tuple[keras.Sequential, keras.Sequential, list]:
    """Train an autoencoder on the paper's data set, kept under a name: (encoder, decoder, history)."""
    data = dataset.load("paper")
    return autoencoder.train(dataset.states(data, "train", every), dataset.states(data, "validation", 2), folder(name),
                             callback=say, **options)


def through(encoder: keras.Model, decoder: keras.Model) -> Callable:
    """A function that sends many states through both."""
    return partial(keras.Sequential([encoder, decoder]).predict, batch_size=128, verbose=0)


def trained() -> tuple[keras.Sequential, keras.Sequential]:
    """The autoencoder of `train_autoencoder`, with weights rounded as they ship."""
    encoder, decoder, _ = fit("autoencoder", **AUTOENCODER)  # which has nothing left to do
    round_weights(encoder, decoder)
    return encoder, decoder
