"""A reduced order model as a browser runs it: a header and 16-bit weights, for `model.js`. Chapter 7 uses it.

What `rom_atlas.npz` holds becomes 7 MB, the paper's decoder 1.5 MB. The weights that ship have 16 bits already, so that nothing
is lost; those of another model are rounded.
"""

import base64
import json

import numpy as np

from ... import applied, baselines, dataset, llg, sp4
from ..._keras import keras, layers
from ...atlas import NEIGHBOURS, Atlas, Hybrid, Spline
from ...dynamics import Dynamics, Ensemble
from ...files import arrays
from ...rom import ReducedOrderModel, load_rom


def pack(model: str | ReducedOrderModel = "atlas") -> tuple[dict, bytes]:
    """A model for `model.js`: (header, weights), a dictionary that JSON can hold, and bytes.

    model: "atlas", "paper", or a `ReducedOrderModel` whose decoder is of one of these two kinds, `autoencoder.build`'s or
    `closure.networks`'s. In the header an array is {"shape", "from", "bits"}: where it begins among the weights, in units of 16 bits.
    Fields are in mT, times in ns. "start" is the latent state of the S-state; "mean", "low" and "high" are those of rollouts all
    over the fan. "dynamics" is a node of `_dynamics`; only one with "history" 0 answers without the solver, and has the rest.
    Raises TypeError or ValueError for a model that `model.js` can't run.
    """
    rom = load_rom(model) if isinstance(model, str) else model
    if not isinstance(rom, ReducedOrderModel):
        raise TypeError(f"model: got {type(model).__name__}; 'atlas', 'paper' or a ReducedOrderModel is needed")
    if not rom.film.inside.all():
        raise ValueError("model: its film has a mask, which the explorer cannot draw")
    if not rom.fan:
        raise ValueError("model: it does not say on which fan of fields it was trained")
    arrays = []

    def stored(values, bits=16):
        arrays.append(np.asarray(values, f"<f{bits // 8}").reshape(-1).view("<u2"))
        return {"shape": list(np.shape(values)), "from": sum(a.size for a in arrays[:-1]), "bits": bits}

    latents = _latents(rom)
    header = {
        "latent": rom.latent, "every": rom.every * 1e9,
        "film": {"nx": rom.film.nx, "ny": rom.film.ny, "size": [rom.film.size[0] * 1e9, rom.film.size[1] * 1e9]},
        "decoder": _decoder(rom.decoder, stored),
        "dynamics": _dynamics(rom.dynamics, stored),
        "start": rom.encode(llg.s_state(rom.film)).tolist(),
        **{name: f(latents, axis=0).tolist() for name, f in (("mean", np.mean), ("low", np.min), ("high", np.max))}}
    if rom.dynamics.history == 0:
        header |= {"last": round(rom.dynamics.last * 1e9, 6), "fan": {**rom.fan, "strength": [1e3 * b for b in rom.fan["strength"]]},
                   "trained": stored(_trained(rom)), "known": _known(rom, stored)}
    return header, b"".join(a.tobytes() for a in arrays)


def script(model: str = "atlas") -> str:
    """The packed model as a script of a page: a browser that opens a page from the disk reads scripts and nothing else."""
    header, weights = pack(model)
    entry = json.dumps({"header": header, "weights": base64.b64encode(weights).decode()}, separators=(",", ":"))
    return f"(globalThis.magbookModels ??= {{}})[{json.dumps(model)}] = {entry};\n"


def _latents(rom):
    """Latent states (n, latent) of rollouts all over the fan that a model was trained on."""
    return rom.latents(applied.fan(20, **rom.fan), duration=min(rom.dynamics.last, 1e-9)).reshape(-1, rom.latent)


def _trained(rom):
    """The fields (n, 2) in mT that the atlas was trained on, as far as the model says which."""
    sets = rom.info.get("data", {}).items()
    fields = [applied.fan(**options)[slice(None) if name == "blade" else dataset.split(options["n"])["train"]]
              for name, options in sets if name in dataset.SETS]
    return np.concatenate(fields)[:, :2] * 1e3 if fields else np.empty((0, 2))


def _known(rom, stored):
    """The solver's film averages at the fields that ship with them, standard problem 4's first, for their film and times."""
    if rom.film != sp4.FILM:
        return None
    z = arrays("atlas_test.npz")
    if z["mean"].shape[1] != round(rom.dynamics.last / rom.every):
        return None  # `model.js` draws them at the model's times
    return {"field": (z["field"][:, :2] * 1e3).round(6).tolist(), "mean": stored(z["mean"])}


def _dynamics(dynamics: Dynamics, stored) -> dict:
    """A node that `KINDS` in `model.js` knows. What needs the solver's states is named and no more: a page has no solver."""
    node = {"kind": type(dynamics).__name__.lower(), "history": dynamics.history}
    if isinstance(dynamics, Ensemble):
        return node | {"coverage": dynamics.coverage, "members": [_dynamics(one, stored) for one in dynamics.members]}
    if isinstance(dynamics, Atlas):
        return node | {"layers": _dense(dynamics.network.layers, stored)}
    if isinstance(dynamics, Spline):
        coefficients, knots, middle, scale = baselines.spline_coefficients(dynamics.fields, dynamics.amplitudes)
        # Large coefficients of both signs add up to small numbers, so 16 bits will not do
        return node | {"coefficients": stored(coefficients, 32), "knots": stored(knots, 32), "middle": middle.tolist(), "scale": scale,
                       "patterns": stored(dynamics.patterns.reshape(len(dynamics.patterns), -1)), "every": dynamics.every * 1e9,
                       "leftOut": stored(dynamics.left_out, 32), "neighbours": NEIGHBOURS}
    if isinstance(dynamics, Hybrid):
        return node | {"coverage": dynamics.coverage, "limit": dynamics.limit, "slow": _dynamics(dynamics.slow, stored),
                       "fast": _dynamics(dynamics.fast, stored)}
    if dynamics.history == 0:
        raise ValueError(f"model: its dynamics is of a kind {node['kind']}, which the explorer does not know")
    return node


def _decoder(decoder, stored):
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
    return {"kind": "components", "ny": shape[0], "nx": shape[1], "closure": _dense(closure[0].layers, stored),
            "restore": _dense(restore, stored)[0]}


def _dense(given, stored):
    """Dense layers and what scales before and after them; a dropout does nothing when a network is used."""
    out = []
    for layer in given:
        if isinstance(layer, layers.Rescaling):
            out.append({"kind": "scale", **{name: np.atleast_1d(getattr(layer, name)).tolist() for name in ("scale", "offset")}})
        elif isinstance(layer, layers.Dense):
            weights, bias = layer.get_weights()
            out.append({"kind": "dense", "weights": stored(weights), "bias": stored(bias), "activation": layer.activation.__name__})
        elif not isinstance(layer, layers.Dropout):
            raise ValueError(f"model: it has a layer {layer.name}, which the explorer does not know")
    return out


def _deconvolution(layer, stored):
    if layer.strides != (2, 2) or layer.padding != "same" or layer.kernel_size[0] not in (2, 4):
        raise ValueError(f"model: {layer.name} is not one of `autoencoder.build`'s transposed convolutions")
    weights, bias = layer.get_weights()  # (kernel, kernel, out, in): as one matrix from in to a patch
    return {"kernel": layer.kernel_size[0], "weights": stored(weights.transpose(3, 0, 1, 2).reshape(weights.shape[3], -1)),
            "bias": stored(bias), "activation": layer.activation.__name__}
