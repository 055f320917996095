"""What the commands share: how one is declared, what is out of date, and pieces that several of them use."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__, applied, dataset, llg, metrics, sp4
from .._keras import keras
from ..files import DATA, atomic, cache, manifest, ship, shipped
from ..film import unit

# ---------------------------------------------------------------------------- commands


@dataclass(frozen=True)
class Command:
    """A function that makes something, and what of.

    reads: files of `data/`, data sets as "set/paper", and what lies in the cache as "training/autoencoder".
    writes: files of `data/`, each with a sentence that says what it is. keeps: folders of the cache's `training/`.
    seed: what its randomness starts from.
    """

    function: Callable[[], None]
    reads: tuple[str, ...]
    writes: dict[str, str]
    keeps: tuple[str, ...]
    seed: int | None

    @property
    def name(self) -> str:
        """As it is called from the command line."""
        return self.function.__name__.replace("_", "-")

    @property
    def absent(self) -> list[str]:
        """What it reads and the cache does not hold: data sets as "set/paper", trainings as "training/autoencoder"."""
        places = {"set": lambda part: cache() / part / "zarr.json", "training": folder}
        parts = [(name, *name.split("/")) for name in self.reads if "/" in name]
        return [name for name, kind, part in parts if not places[kind](part).exists()]

    def __call__(self) -> None:
        """Run it, and enter what it wrote into the manifest: with its checksum, and the checksums of what it read.

        Raises FileNotFoundError, before any work starts, where the cache lacks what it reads.
        """
        if self.absent:
            raise FileNotFoundError(f"{self.name} reads {', '.join(self.absent)}, which the cache lacks; {made_by(self.absent[0])} makes it")
        self.function()
        there = manifest()
        reads = {name: there[name]["sha256"] for name in self.reads if name in there}
        for name, what in self.writes.items():
            ship(name, what=what, command=f"python -m magbook {self.name}", seed=self.seed, version=__version__, reads=reads)

    def stale(self) -> str:
        """Why it must run again, or an empty text: a file is missing or damaged, or was made from other files."""
        there = manifest()
        for name in self.writes:
            try:
                shipped(name)
            except (FileNotFoundError, ValueError) as error:
                return f"{name} is {'damaged' if isinstance(error, ValueError) else 'missing'}"
            for read in self.reads:
                if read in there and there[name].get("reads", {}).get(read) != there[read]["sha256"]:
                    return f"{name} was made from another {read}"
        return ""


COMMANDS: dict[str, Command] = {}
"""All commands, in the order in which they are run."""


def command(reads: Iterable[str] = (), writes: dict[str, str] | None = None, keeps: Iterable[str] = (),
            seed: int | None = None) -> Callable[[Callable], Command]:
    """Declare a command, see `Command`. The docstring of the function is its help."""
    def declare(function):
        made = Command(function, tuple(reads), dict(writes or {}), tuple(keeps), seed)
        COMMANDS[made.name] = made
        return made

    return declare


def made_by(name: str) -> str:
    """What makes a data set, "set/paper", or the name of the command that leaves a training, "training/autoencoder"."""
    kind, part = name.split("/")
    return f"generate --set {part}" if kind == "set" else next(one.name for one in COMMANDS.values() if part in one.keeps)


def plan() -> dict[str, str]:
    """What must run, in order, to bring `data/` up to date: names of commands, or of data sets ("set/large"), and why."""
    why, renewed = {}, set()
    for one in COMMANDS.values():
        reason = one.stale() or next((f"{name} is made anew" for name in one.reads if name in renewed), "")
        if reason and one.writes:
            why[one.name] = reason
            renewed |= set(one.writes)
    wanted = list(why)
    while wanted:  # what these need from the cache, and what that needs
        for name in COMMANDS[wanted.pop()].absent:
            maker = name if name.startswith("set/") else made_by(name)
            if maker not in why:
                why[maker] = "it is not in the cache" if maker == name else f"{name} is not in the cache"
                wanted += [maker] * (maker in COMMANDS)
    order = [name for name in why if name.startswith("set/")] + [name for name in COMMANDS if name in why]
    return {name: why[name] for name in order}


# ---------------------------------------------------------------------------- what several of them use


def write_npz(name: str, /, **arrays: Any) -> None:
    """Write arrays to a file of `data/`, whole or not at all."""
    with atomic(DATA / name) as file:
        np.savez_compressed(file, **arrays)


def write_json(name: str, table: dict) -> None:
    """Write a table to a file of `data/`, whole or not at all; numbers to seven digits."""
    short = json.loads(json.dumps(table), parse_float=lambda number: float(f"{float(number):.7g}"))
    with atomic(DATA / name) as file:
        file.write(json.dumps(short).encode())


def read_json(name: str) -> dict:
    """A table that ships."""
    return json.loads(shipped(name).read_text())


def folder(name: str) -> Path:
    """Where a training is kept."""
    return cache() / "training" / name


def say(history: list[dict]) -> None:
    """Print the last epoch of a training."""
    print(" ".join(f"{name} {value:.5g}" for name, value in history[-1].items()), flush=True)


def history(name: str) -> list[dict]:
    """The epochs of a training that was kept."""
    return json.loads((folder(name) / "history.json").read_text())["history"]


def kept(name: str, make: Callable[[], dict]) -> dict:
    """What a function returns, numbers by name, kept in a training's folder."""
    path = folder(name) / "result.json"
    if not path.exists():
        result = json.dumps(make())
        with atomic(path) as file:
            file.write(result.encode())
    return json.loads(path.read_text())


def half(w: np.ndarray) -> np.ndarray:
    """Numbers rounded to 16 bits, as they ship."""
    return w.astype(np.float16).astype(np.float32)


def round_weights(*models: keras.Model) -> None:
    """Round the weights of models as they ship, so that what follows is trained on what is shipped."""
    for model in models:
        model.set_weights([half(w) for w in model.get_weights()])


def hold(fields: np.ndarray, nt: int = 101) -> np.ndarray:
    """Constant fields (n, 2 or 3) at nt times: (n, nt, 2)."""
    return np.repeat(np.asarray(fields)[:, None, :2], nt, axis=1)


def coarser(m: np.ndarray, n: int) -> np.ndarray:
    """States (nt, ny, nx, 3) averaged over n x n cells."""
    nt, ny, nx, _ = m.shape
    return m.reshape(nt, ny // n, n, nx // n, n, 3).mean(axis=(2, 4))


def sp4_fields() -> np.ndarray:
    """Standard problem 4's two fields, (2, 3)."""
    return np.array([applied.vector(b) for b in (sp4.FIELD_1, sp4.FIELD_2)])


@lru_cache
def sp4_runs() -> list:
    """The solver's trajectories in these two fields."""
    return [llg.simulate(b, progress=False) for b in sp4_fields()]


def film_average(rom: Any, c: np.ndarray) -> np.ndarray:
    """Film averages (nt, 3) of decoded latent states (nt, latent): what a readout is held against, see `ReducedOrderModel.read`."""
    return rom.decode(c, unit=True).mean(axis=(1, 2), dtype=float)


def reconstruction_errors(model: Callable, states: np.ndarray) -> dict[str, Any]:
    """Relative L2 error, raw and with the output scaled to unit length, and mean error of the film average."""
    m = dataset.as_float(states)
    out = model(m)
    return {"l2": metrics.relative_l2(out, m), "l2_unit": metrics.relative_l2(unit(out), m),
            "mean": metrics.film_average_error(out.mean(axis=(1, 2), dtype=float), m.mean(axis=(1, 2), dtype=float))}
