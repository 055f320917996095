"""A reduced order model as a browser runs it: a header and its weights, for `model.js`. Chapter 7 uses it.

A page should not wait for megabytes, so large arrays are rounded to whole steps, as fine as what they are part of needs, and all is
compressed. That moves film averages by about a thousandth, far less than these models' own errors; tests/test_explorer.py measures
it. A network that steps is not rounded, since its errors add up. As scripts of a page the atlas has 3.0 MB, the paper's model 1.9,
the driven one 0.8.
"""

import base64
import json
import zlib

import numpy as np
from numpy.typing import ArrayLike

from ... import applied, baselines, dataset, llg, sp4
from ..._keras import keras, layers
from ...atlas import NEIGHBOURS, Atlas, Hybrid, Spline
from ...driven import Driven
from ...dynamics import Dynamics, Ensemble
from ...files import arrays, as_path
from ...rom import ReducedOrderModel, load_rom
from ...stepper import FIELD_SCALE, Stepper

LONGEST = 1e-9
"""s; for so long a model is asked that would answer for ever."""

GRID = (128, 32)
"""The most cells, along x and y, of the solver in the page."""

LARGE = 20_000
"""Numbers of a matrix above which it is rounded: to 127 steps each way in each of its rows."""

CELL = 3e-3
"""Step to which components are rounded, in what they add to the magnetization of a cell."""

PATTERNS = 120
"""Patterns in time of a spline that a page gets: they hold it where a hybrid asks it."""


class Store:
    """What is packed, one array behind the other: calling it gives what a header says of one."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def __call__(self, values: ArrayLike, bits: int = 16) -> dict:
        """An array as floating point numbers of 16 or 32 bits."""
        return self._put(values, np.asarray(values, f"<f{bits // 8}").tobytes(), bits)

    def rounded(self, values: ArrayLike, step: ArrayLike) -> dict:
        """A matrix (n, k) as whole numbers of a step for each row, or for all: first the low byte of each, then the next, which compresses well."""
        values = np.asarray(values, float)
        step = np.maximum(step, np.abs(values).max(axis=1) / 2**30).astype(np.float32)
        whole = np.rint(values / step[:, None]).astype("<i8").reshape(-1)
        bits = next(bits for bits in (8, 16, 32) if np.abs(whole).max() < 2**(bits - 1))
        planes = whole.view(np.uint8).reshape(-1, 8)[:, :bits // 8].T.tobytes()
        return self._put(values, planes, bits) | {"step": self(step, 32)}

    def matrix(self, values: ArrayLike) -> dict:
        """A matrix of weights, rounded if it is large."""
        values = np.asarray(values)
        return self.rounded(values, np.maximum(np.abs(values).max(axis=1), 1e-30) / 127) if values.size > LARGE else self(values)

    def _put(self, values, data, bits):
        start = sum(len(part) for part in self.parts)
        self.parts.append(data)
        return {"shape": list(np.shape(values)), "from": start, "bits": bits}

    def packed(self) -> bytes:
        return zlib.compress(b"".join(self.parts), 9)


def pack(model: str | ReducedOrderModel = "atlas") -> tuple[dict, bytes]:
    """A model for `model.js`: (header, weights), a dictionary that JSON can hold, and bytes.

    model: "atlas", "paper", "driven", or a `ReducedOrderModel` whose decoder is of one of these kinds, `autoencoder.build`'s,
    `closure.networks`'s or `driven.networks`'s. In the header an array is {"shape", "from", "bits"}: at which byte of the inflated weights it begins;
    with a "step", an array itself, these are whole numbers to be multiplied by it, see `Store`.
    Fields are in mT, times in ns. "start" is the latent state of the S-state; "mean", "low" and "high" are those of rollouts all
    over the fan. "dynamics" is a node of `_dynamics`; one with "history" begins with states of the solver in the page, for which
    there is an "encoder". "solver" is what that begins with, see `start`.
    Raises TypeError or ValueError for a model that `model.js` can't run.
    """
    rom = load_rom(model) if isinstance(model, str) and as_path(model, "model") else model
    if not isinstance(rom, ReducedOrderModel):
        raise TypeError(f"model: got {type(model).__name__}; 'atlas', 'paper', 'driven' or a ReducedOrderModel is needed")
    if not rom.film.inside.all():
        raise ValueError("model: its film has a mask, which the explorer cannot draw")
    if not rom.fan:
        raise ValueError("model: it does not say on which fan of fields it was trained")
    stored, latents = Store(), _latents(rom)
    header = {
        "latent": rom.latent, "every": rom.every * 1e9,
        "film": {"nx": rom.film.nx, "ny": rom.film.ny, "size": [rom.film.size[0] * 1e9, rom.film.size[1] * 1e9]},
        "decoder": _decoder(rom, latents, stored),
        "dynamics": _dynamics(rom.dynamics, stored),
        "start": rom.encode(llg.s_state(rom.film)).tolist(),
        **{name: f(latents, axis=0).tolist() for name, f in (("mean", np.mean), ("low", np.min), ("high", np.max))},
        "last": round(min(rom.dynamics.last, LONGEST) * 1e9, 6), "fan": {**rom.fan, "strength": [1e3 * b for b in rom.fan["strength"]]},
        "trained": stored(_trained(rom)), "known": _known(rom, stored), "solver": _solver(rom.film, stored)}
    if rom.dynamics.history:
        header["encoder"] = _encoder(rom.encoder, stored)
    return header, stored.packed()


def start(model: str | ReducedOrderModel = "driven") -> tuple[dict, bytes]:
    """What the solver in the page begins with, packed likewise: the film of a model, in SI units, and its S-state.

    On a grid that `llg.js` takes, powers of two up to 128 x 32: that of the model, or a coarser one. Raises ValueError where there is none.
    """
    stored = Store()
    header = _solver((load_rom(model) if isinstance(model, str) else model).film, stored)
    if header is None:
        raise ValueError("model: its film has cells, or a mask, that the solver in the page does not take")
    return header, stored.packed()


def script(name: str, header: dict, weights: bytes) -> str:
    """What was packed as a script of a page: a browser that opens a page from the disk reads scripts and nothing else."""
    entry = json.dumps({"header": header, "weights": base64.b64encode(weights).decode()}, separators=(",", ":"))
    return f"(globalThis.magbookModels ??= {{}})[{json.dumps(name)}] = {entry};\n"


def _solver(film, stored):
    """The film as the solver in the page takes it, coarser where it must be, and its S-state; None where it cannot."""
    nx, ny = (min(n, most) for n, most in zip(film.cells, GRID))
    if film.nx % nx or film.ny % ny or nx & nx - 1 or ny & ny - 1 or not film.inside.all():
        return None
    coarse = film.replace(cells=(nx, ny))
    return {"film": {"nx": nx, "ny": ny} | {name: getattr(coarse, name) for name in ("size", "Ms", "A", "alpha", "gamma0")},
            "state": stored(llg.s_state(coarse))}


def _latents(rom):
    """Latent states (n, latent) of rollouts all over the fan that a model was trained on."""
    return rom.latents(applied.fan(20, **rom.fan), duration=min(rom.dynamics.last, LONGEST)).reshape(-1, rom.latent)


def _trained(rom):
    """The constant fields (n, 2) in mT that a model was trained on, as far as it says which."""
    sets = rom.info.get("data", {}).items()
    fields = [applied.fan(**options)[slice(None) if name == "blade" else dataset.split(options["n"])["train"]]
              for name, options in sets if name in dataset.SETS and "duration" not in options]
    return np.concatenate(fields)[:, :2] * 1e3 if fields else np.empty((0, 2))


def _known(rom, stored):
    """The solver's film averages at the fields that ship with them, standard problem 4's first, for their film and times."""
    if rom.film != sp4.FILM:
        return None
    z = arrays("atlas_test.npz")
    if z["mean"].shape[1] != round(min(rom.dynamics.last, LONGEST) / rom.every):
        return None  # `model.js` draws them at the model's times
    return {"field": (z["field"][:, :2] * 1e3).round(6).tolist(), "mean": stored(z["mean"])}


def _dynamics(dynamics: Dynamics, stored, calm=slice(None)) -> dict:
    """A node that `KINDS` in `model.js` knows. calm: at which of its fields a spline is asked."""
    node = {"kind": type(dynamics).__name__.lower(), "history": dynamics.history}
    if isinstance(dynamics, Ensemble):
        return node | {"coverage": dynamics.coverage, "members": [_dynamics(one, stored) for one in dynamics.members]}
    if isinstance(dynamics, Atlas):
        return node | {"layers": _dense(dynamics.network.layers, stored)}
    if isinstance(dynamics, Spline):
        amplitudes, patterns = _fewer(dynamics, calm)
        coefficients, knots, middle, scale = baselines.spline_coefficients(dynamics.fields, amplitudes)
        # Large coefficients of both signs add up to small numbers, so their steps are fine
        return node | {"coefficients": stored.rounded(coefficients, 0.03), "knots": stored(knots, 32), "middle": middle.tolist(), "scale": scale,
                       "patterns": stored.rounded(patterns, 0.01 / np.maximum(amplitudes.std(axis=0), 1e-9)), "every": dynamics.every * 1e9,
                       "leftOut": stored(dynamics.left_out, 32), "neighbours": NEIGHBOURS}
    if isinstance(dynamics, Hybrid):
        calm = ~dynamics.asks_fast(dynamics.slow.fields)
        return node | {"coverage": dynamics.coverage, "limit": dynamics.limit, "slow": _dynamics(dynamics.slow, stored, calm),
                       "fast": _dynamics(dynamics.fast, stored)}
    if isinstance(dynamics, Driven):
        return node | {"every": dynamics.every * 1e9, "layers": _dense(dynamics.network.layers, stored, exact=True), "readout": stored(dynamics.readout, 32),
                       "parities": None if dynamics.parities is None else dynamics.parities.tolist()}
    if isinstance(dynamics, Stepper):
        return node | {"every": dynamics.every * 1e9, "layers": _dense(dynamics.network.layers, stored, exact=True), "scale": dynamics.scale,
                       "residual": dynamics.residual, "unit": 1e3 * FIELD_SCALE}
    raise ValueError(f"model: its dynamics is of a kind {node['kind']}, which the explorer does not know")


def _fewer(spline, calm):
    """Amplitudes (n, k) and patterns (k, nt * latent) of a spline, of which there are `PATTERNS` at most: those that hold its trajectories at calm fields."""
    flat = spline.patterns.reshape(len(spline.patterns), -1)
    patterns = np.linalg.svd(spline.amplitudes[calm] @ flat, full_matrices=False)[2][:PATTERNS]
    return spline.amplitudes @ flat @ patterns.T, patterns


def _encoder(encoder, stored):
    """A stack of convolutions as `autoencoder.build` makes it, in which a dropout does nothing."""
    convolutions = [layer for layer in encoder.layers if isinstance(layer, layers.Conv2D)]
    head = [layer for layer in encoder.layers if isinstance(layer, layers.Dense)]
    if len(head) != 1 or any(layer.strides != (2, 2) or layer.padding != "same" for layer in convolutions):
        raise ValueError("model: its encoder has layers other than `autoencoder.build`'s")
    out = []
    for layer in convolutions:  # each as one matrix from a patch
        weights, bias = layer.get_weights()
        out.append({"kernel": layer.kernel_size[0], "weights": stored.matrix(weights.reshape(-1, weights.shape[3])), "bias": stored(bias),
                    "activation": layer.activation.__name__})
    return {"layers": out, "dense": _dense(head, stored)}


def _decoder(rom, latents, stored):
    decoder = rom.decoder
    if [type(layer) for layer in decoder.layers] == [layers.Dense, layers.Reshape, layers.UnitNormalization]:
        whole, parities = decoder.layers[0].get_weights()[0].reshape(rom.latent, *decoder.output_shape[1:]), getattr(rom.dynamics, "parities", None)
        ny, nx = whole.shape[1:3]
        quarter = whole if parities is None else whole[:, :ny // 2, :nx // 2]  # mirror images give the rest
        return {"kind": "linear", "components": stored(quarter), "parities": None if parities is None else parities.tolist()}
    if isinstance(decoder, keras.Sequential):
        head = [layer for layer in decoder.layers if isinstance(layer, (layers.Dense, layers.Dropout))]
        shape = next(layer for layer in decoder.layers if isinstance(layer, layers.Reshape)).target_shape
        rest = [layer for layer in decoder.layers if isinstance(layer, layers.Conv2DTranspose)]
        if len(decoder.layers) != len(head) + len(rest) + 1:
            raise ValueError("model: its decoder has layers other than `autoencoder.build`'s")
        return {"kind": "convolutions", "ny": shape[0], "nx": shape[1], "dense": _dense(head, stored),
                "layers": [_deconvolution(layer, stored) for layer in rest]}
    closure = [layer for layer in decoder.layers if isinstance(layer, keras.Sequential)]
    restore = [layer for layer in decoder.layers if isinstance(layer, layers.Dense)]
    if len(closure) != 1 or len(restore) != 1 or not isinstance(decoder.layers[-1], layers.UnitNormalization):
        raise ValueError("model: its decoder is neither `autoencoder.build`'s nor `closure.networks`'s")
    shape = next(layer for layer in decoder.layers if isinstance(layer, layers.Reshape)).target_shape
    weights, bias = restore[0].get_weights()
    spread = np.hstack([latents, closure[0].predict(latents, batch_size=4096, verbose=0)]).std(axis=0)
    return {"kind": "components", "ny": shape[0], "nx": shape[1], "closure": _dense(closure[0].layers, stored),
            "restore": {"kind": "dense", "weights": stored.rounded(weights, CELL / np.maximum(spread, 1e-3 * spread.max())), "bias": stored(bias),
                        "activation": "linear"}}


def _dense(given, stored, exact=False):
    """Dense layers and what scales before and after them; a dropout does nothing when a network is used. exact: no matrix is rounded."""
    out = []
    for layer in given:
        if isinstance(layer, layers.Rescaling):
            out.append({"kind": "scale", **{name: np.atleast_1d(getattr(layer, name)).tolist() for name in ("scale", "offset")}})
        elif isinstance(layer, layers.Dense):
            weights, bias = layer.get_weights()
            out.append({"kind": "dense", "weights": (stored if exact else stored.matrix)(weights), "bias": stored(bias), "activation": layer.activation.__name__})
        elif not isinstance(layer, layers.Dropout):
            raise ValueError(f"model: it has a layer {layer.name}, which the explorer does not know")
    return out


def _deconvolution(layer, stored):
    if layer.strides != (2, 2) or layer.padding != "same" or layer.kernel_size[0] not in (2, 4):
        raise ValueError(f"model: {layer.name} is not one of `autoencoder.build`'s transposed convolutions")
    weights, bias = layer.get_weights()  # (kernel, kernel, out, in): as one matrix from in to a patch
    return {"kernel": layer.kernel_size[0], "weights": stored.matrix(weights.transpose(3, 0, 1, 2).reshape(weights.shape[3], -1)),
            "bias": stored(bias), "activation": layer.activation.__name__}


def neighbours() -> tuple[dict, bytes]:
    """What the panel of neighbours shows, packed likewise: the paper's training fields, film averages in them, and what the solver begins with."""
    stored, z = Store(), arrays("paper_summary.npz")
    train, every = dataset.split(len(z["field"]))["train"], z["t"][0] * 1e9
    header = {"every": every, "last": round(every * len(z["t"]), 6), "fan": applied.FAN | {"strength": [1e3 * b for b in applied.FAN["strength"]]},
              "trained": stored(z["field"][train, :2] * 1e3), "means": stored(z["mean"][train]), "solver": _solver(sp4.FILM, stored)}
    return header, stored.packed()
