"""Training a network: seeded, resumable after a kill, the best weights kept. Chapter 3 introduces it."""

import io
import json
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ._arguments import check_counts, is_count, number, said
from ._keras import gelu, keras, layers
from ._progress import bar
from .files import as_path, atomic


def nadam(learning_rate: float, steps: int, warmup: float | None = 0.02, clip: float | None = None) -> keras.optimizers.Optimizer:
    """The optimizer of the paper, with a schedule: a linear start, then half a cosine down to zero after all steps.

    learning_rate: the highest. steps: number of updates. warmup: the share of them that the start takes; None keeps the
    learning rate constant, as in the paper. clip: the longest gradient; longer ones are shortened to it. T. Dozat, ICLR workshop (2016).
    """
    check_counts(0, steps=steps)
    check_options(learning_rate=learning_rate, warmup=warmup)
    if warmup is not None:
        first = max(1, round(warmup * steps))
        learning_rate = keras.optimizers.schedules.CosineDecay(
            0.0, max(1, steps - first), warmup_target=learning_rate, warmup_steps=first)
    return keras.optimizers.Nadam(learning_rate, global_clipnorm=None if clip is None else number("clip", clip, "a number greater than 0 is", 1e-12))


def compile_model(model: keras.Model, optimizer: keras.optimizers.Optimizer, loss: Callable, updates: int = 1) -> None:
    """`Model.compile`, as each back end is fast.

    JAX crawls without its compiler, which only makes TensorFlow start later. updates: of the weights in one call, where
    the calls themselves take time; PyTorch can do no more than one.
    """
    backend = keras.backend.backend()
    model.compile(optimizer, loss, jit_compile=backend == "jax", steps_per_execution=1 if backend == "torch" else updates)


_COUNTS = {"latent": 1, "batch": 1, "steps": 1, "epochs": 0, "seed": 0}
_RANGES = {"learning_rate": (1e-12, 1e38), "warmup": (0, 1), "dropout": (0, 0.999), "without_dropout": (0, 1), "noise": (0, 1e3),
           "length": (0, 1e6), "detail": (1e-6, 1e6), "every": (1e-18, 1e-3)}


def check_options(**options: Any) -> None:
    """Refuse, naming it, what no training here can use. options: by the names that all trainings give them."""
    for name, value in options.items():
        if value is None and name in ("warmup", "folder", "callback"):
            continue
        if name in ("widths", "filters"):
            if not isinstance(value, (tuple, list)) or not all(map(is_count, value)):
                raise ValueError(f"{name}: got {said(value)}; whole numbers of at least 1, one for each layer, are needed")
        elif name == "folder":
            as_path(value, name)
        elif name == "callback":
            if not callable(value):
                raise TypeError(f"callback: got {said(value)}; a function of the history is needed")
        elif name in _RANGES:
            low, high = _RANGES[name]
            number(name, value, f"a number from {low:g} to {high:g} is", low, high)
        else:
            check_counts(_COUNTS.get(name, 1), **{name: value})


def fingerprint(*arrays: np.ndarray) -> str:
    """A short text that other data have not: a folder that holds a training on other data is refused."""
    total = 0
    for array in map(np.ascontiguousarray, arrays):
        total = zlib.crc32(array.view(np.uint8).reshape(-1), zlib.crc32(repr((array.shape, array.dtype.str)).encode(), total))
    return f"{total:08x}"


class Batches(keras.utils.PyDataset):
    """Random batches of one epoch: `make` turns sorted indices into (input, target). The last short batch is left out.

    count: how many, of as many passes over all n as that takes, or of a part of one; None for one pass.
    """

    def __init__(self, n, size, make, seed, count=None):
        super().__init__()
        rng = np.random.default_rng(seed)
        passes = 1 if count is None else -(-count * size // n)
        order = np.concatenate([rng.permutation(n) for _ in range(passes)])
        end = len(order) - len(order) % min(n, size) if count is None else count * size
        self.indices = [np.sort(order[i:i + size]) for i in range(0, end, size)]
        self.make = make

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, i):
        return self.make(self.indices[i])


def set_dropout(model: keras.Model, networks: tuple, rate: float) -> None:
    """Change the rate of all dropout layers in networks that are parts of a compiled model."""
    for layer in (layer for network in networks for layer in network.layers if isinstance(layer, layers.Dropout)):
        if layer.rate != rate:
            layer.rate = rate
            model.train_function = None  # Keras builds another, with this rate


def dense(first: int, widths: tuple, last: int, seed: int, begin: Callable, before: layers.Layer, after: layers.Layer,
          detail: float | None = None) -> keras.Sequential:
    """Hidden layers with an activation `begin`, then gelu, between two layers that scale to and from order one."""
    glorot, normal = keras.initializers.GlorotUniform, keras.initializers.RandomNormal
    dense = [layers.Dense(w, activation=None if k == len(widths) else gelu if k else begin,
                          kernel_initializer=normal(stddev=detail, seed=seed) if detail and not k else glorot(seed + k),
                          bias_initializer=keras.initializers.RandomUniform(-np.pi, np.pi, seed) if detail and not k
                          else "zeros") for k, w in enumerate((*widths, last))]
    return keras.Sequential([keras.Input((first,)), before, *dense, after])


def bare(model: keras.Sequential) -> keras.Sequential:
    """The same layers without loss and optimizer, which a file of the network should not hold."""
    return keras.Sequential([keras.Input(model.input_shape[1:]), *model.layers])


def fit(model: keras.Model, batches: Callable, validate: Callable, folder: str | Path | None = None, *, epochs: int,
        settings: dict, callback: Callable | None = None, progress: bool = True) -> list[dict]:
    """Train a compiled Keras model; returns the history, with the best weights in the model.

    batches: epoch -> a dictionary of what `Model.fit` is given; the same number gives the same batches.
    validate: () -> a dictionary of floats after each epoch; the weights with the lowest "error" are the best.
    folder: where each epoch is kept; a run that was stopped or killed goes on from the last whole one, to the same
        weights as if it had never stopped. None keeps nothing. epochs: how many in all; more may be asked for later.
    settings: what the run depends on; a folder with other settings is refused.
    callback: called with the history after each epoch, such as an `panels.Losses`. progress: show a bar.
    history: a list of dictionaries, one an epoch: epoch (from 1), loss, seconds, and what `validate` gave.
    Raises ValueError for a folder of another run, RuntimeError where the loss is no longer finite.
    """
    check_options(epochs=epochs, folder=folder, callback=callback)
    folder = None if folder is None else as_path(folder, "folder")
    settings = json.loads(json.dumps(settings, default=_plain))
    history, best = _resume(model, folder, settings) if folder else ([], np.inf)
    best_weights = None
    with bar(total=epochs, initial=len(history), desc="training", unit="epoch", show=progress) as done:
        for epoch in range(len(history), epochs):
            clock = time.perf_counter()
            loss = model.fit(**batches(epoch), shuffle=False, verbose=0).history["loss"][0]
            row = {"epoch": epoch + 1, "loss": loss, **{k: float(v) for k, v in validate().items()}}
            row["seconds"] = time.perf_counter() - clock
            if not np.isfinite([row["loss"], row["error"]]).all():
                raise RuntimeError(f"training: the loss is {row['loss']} and the error {row['error']} after epoch "
                                   f"{epoch + 1}; a lower learning rate is needed")
            history.append(row)
            if row["error"] < best:
                best = row["error"]
                if folder:
                    _save_weights(model, folder / "best.npz")
                else:
                    best_weights = model.get_weights()
            if folder:
                _save_weights(model, folder / f"epoch-{epoch + 1:05d}.npz")
                there = {"settings": settings, "history": history,
                         "random": [keras.ops.convert_to_numpy(v).tolist() for v in _random_states(model)]}
                there["checksum"] = _checksum(there)
                with atomic(folder / "history.json") as file:  # last: it says which weights are whole
                    file.write(json.dumps(there, indent=1).encode())
                (folder / f"epoch-{epoch:05d}.npz").unlink(missing_ok=True)
            done.update()
            done.set_postfix(loss=f"{loss:.4g}", error=f"{row['error']:.4g}")
            if callback:
                callback(history)
    if folder and np.isfinite(best):
        _load_weights(model, folder / "best.npz")
    elif best_weights is not None:
        model.set_weights(best_weights)
    return history


def _plain(value):
    """What JSON can hold of a setting: numbers of NumPy, and the name of a function."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else getattr(value, "__qualname__", repr(value))


def _resume(model, folder, settings):
    file = folder / "history.json"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        return [], np.inf
    try:
        there = json.loads(file.read_text())
        if there.pop("checksum", None) not in (None, _checksum(there)):  # those of older versions have none
            raise ValueError("its checksum is another")
        history, random = there["history"], there.get("random", [])
        best = min(row["error"] for row in history)
        other = sorted(k for k in settings | there["settings"] if settings.get(k) != there["settings"].get(k))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is damaged ({error!r}); delete the folder to start anew") from error
    if other:
        raise ValueError(f"{folder} holds a training that differs in {', '.join(other)}; give another folder")
    model.optimizer.build(model.trainable_variables)  # so that its state has a place to be loaded to
    _load_weights(model, folder / f"epoch-{len(history):05d}.npz")
    for variable, value in zip(_random_states(model), random):
        variable.assign(value)
    return history, best


def _checksum(there):
    """Of what a history.json holds, however it is laid out."""
    return zlib.crc32(json.dumps(there).encode())


def _random_states(model):
    """The variables that the dropout draws its random numbers from; Keras does not save them with the weights."""
    return [v for v in model.variables if v.name == "seed_generator_state"]


def _save_weights(model, path):
    """Weights and the optimizer's state, whole or not at all: through memory, since HDF5 does not survive a full disk."""
    file = io.BytesIO()
    np.savez(file, *map(keras.ops.convert_to_numpy, _kept(model)))
    with atomic(path) as disk:
        disk.write(file.getbuffer())


def _load_weights(model, path):
    try:
        with np.load(path, allow_pickle=False) as z:  # each array has a checksum
            values = [z[name] for name in z.files]
        if len(values) != len(_kept(model)):
            raise ValueError("it holds another network")
        for variable, value in zip(_kept(model), values):
            variable.assign(value)
    except Exception as error:  # a damaged file raises several kinds
        raise ValueError(f"{path} is missing or damaged ({error}); delete the folder to start anew") from error


def _kept(model):
    return [*model.weights, *model.optimizer.variables]
