"""A trajectory: the states that a film passes through, and the field that drove it. Chapter 1 introduces it."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from . import applied, ovf
from ._arguments import are_numbers, array, instance, listed, said
from .applied import Field
from .files import as_path, atomic
from .film import Film, check_memory, unit


@dataclass(eq=False)
class Trajectory:
    """Times, states and the applied field of one run.

    t: (nt,) in s. m: (nt, ny, nx, 3) unit vectors, row 0 at y = 0; zero outside the film's mask.
    field: mu0*H in tesla, (3,) if constant, else (nt, 3), its value at each time; a pair or a function of t in s becomes one of them.
    film: the `Film`. info: how it was made (solver, number of field evaluations, seconds).
    """

    t: np.ndarray
    m: np.ndarray
    field: Any
    film: Film
    info: dict = field(default_factory=dict)

    def __post_init__(self):
        instance("film", self.film, Film)
        self.t, self.m = array("t", self.t, "(nt,)"), array("m", self.m)
        nt = len(self.t)
        if not np.isfinite(self.t).all() or not (np.diff(self.t) > 0).all():
            raise ValueError("t: finite times in s that increase, (nt,), are needed")
        if self.m.shape != (nt, self.film.ny, self.film.nx, 3):
            raise ValueError(f"m: got shape {self.m.shape}; (nt, ny, nx, 3) = "
                             f"{(nt, self.film.ny, self.film.nx, 3)} is needed for {nt} times and {self.film}")
        if callable(self.field):
            self.field = applied.sample(self.field, self.t)
        elif array("field", self.field).shape in ((2,), (3,)):
            self.field = applied.vector(self.field)
        self.field = array("field", self.field)
        if self.field.shape not in ((3,), (nt, 3)):
            raise ValueError(f"field: got shape {self.field.shape}; (3,) or (nt, 3) = {(nt, 3)} is needed")
        instance("info", self.info, dict)

    def __len__(self):
        return len(self.t)

    @cached_property
    def mean(self) -> np.ndarray:
        """The film average of m over the magnetic cells, (nt, 3)."""
        return self.m[:, self.film.inside].mean(axis=1, dtype=np.float64)

    def at(self, t: float) -> np.ndarray:
        """The stored state (ny, nx, 3) nearest to the time t in s. Raises ValueError outside the run."""
        step = (self.t[-1] - self.t[0]) / max(len(self) - 1, 1)
        if not (are_numbers(t) and self.t[0] - step <= t <= self.t[-1] + step):
            raise ValueError(f"t: got {said(t)} s; the run lasts from {self.t[0]:g} s to {self.t[-1]:g} s")
        return self.m[np.abs(self.t - t).argmin()]

    # ------------------------------------------------------------------ one file

    def save(self, path: str | Path) -> None:
        """Write everything to one `.npz` file, whole or not at all."""
        film = {name: getattr(self.film, name) for name in ("size", "cells", "Ms", "A", "alpha", "gamma0")}
        with atomic(path) as file:
            np.savez(file, t=self.t, m=self.m, field=self.field, inside=self.film.inside,
                     film=json.dumps(film), info=json.dumps(self.info))

    @classmethod
    def load(cls, path: str | Path) -> "Trajectory":
        """Read what `save` wrote. Raises ValueError, naming the file, if it is damaged or foreign."""
        path = as_path(path)
        try:
            with np.load(path, allow_pickle=False) as z:
                film = Film(**json.loads(str(z["film"])), mask=z["inside"])
                return cls(z["t"], z["m"], z["field"], film, json.loads(str(z["info"])))
        except FileNotFoundError:
            raise
        except Exception as error:  # a damaged archive raises a dozen kinds
            raise ValueError(f"{path} is not a trajectory that can be read: {error}") from error

    # ------------------------------------------------------------------ xarray

    def to_xarray(self) -> xr.Dataset:
        """An `xarray.Dataset` with dimensions t, y, x, component, coordinates and units."""
        driven = ("component",) if np.ndim(self.field) == 1 else ("t", "component")
        return xr.Dataset(
            {"m": (("t", "y", "x", "component"), self.m, {"long_name": "magnetization / Ms", "units": "1"}),
             "field": (driven, self.field, {"long_name": "applied field mu0 H", "units": "T"})},
            coords={"t": ("t", self.t, {"long_name": "time", "units": "s"}),
                    "y": ("y", self.film.y, {"long_name": "y", "units": "m"}),
                    "x": ("x", self.film.x, {"long_name": "x", "units": "m"}),
                    "component": ["x", "y", "z"]},
            attrs={"film": json.dumps(self.film.describe()), "info": json.dumps(self.info)})

    # ------------------------------------------------------------------ OVF 2.0

    def to_ovf(self, folder: str | Path, representation: str = "binary 4") -> list[Path]:
        """Write one OVF 2.0 file a state, `m000000.ovf` and on, into a folder; return their paths."""
        folder = as_path(folder, "folder")
        paths = [folder / f"m{i:06d}.ovf" for i in range(len(self))]
        if other := set(folder.glob("m*.ovf")) - set(paths):
            raise ValueError(f"folder: {folder} holds {min(other).name} and {len(other) - 1} more of another run, which would be read "
                             "back with this one; give another folder")
        cell = (self.film.dx, self.film.dy, self.film.thickness)
        for path, t, m in zip(paths, self.t, self.m):
            ovf.write(path, m, cell, time=t, representation=representation)
        return paths

    @classmethod
    def from_ovf(cls, paths: str | Path | Iterable[str | Path], field: Field = (0.0, 0.0, 0.0), cell: Sequence[float] | None = None,
                 **material: Any) -> "Trajectory":
        """Read OVF files, one a state, as mumax3, OOMMF or `to_ovf` write them.

        paths: a folder, a file, or a list of files. Of a folder all `*.ovf`, `*.omf` and `*.ohf` are read that hold magnetization.
        field: the applied field mu0*H in tesla, which OVF files do not hold: a pair, a triple, a function of t in s, or one
            triple for each file, (nt, 3), in the order of their times. cell: (dx, dy, dz) in m in place of the files', where these have no unit of length.
        material: as `Film` takes it.
        States come in the order of their times; one file, the first by name, may have none, and is the start. Vectors are scaled to unit
        length, since OOMMF writes them in A/m, which then is the film's Ms unless it is given; cells that are zero in the first
        state are outside the film. Raises ValueError where the files do not fit together, hold no time or the same, or
        something else than magnetization.
        """
        if isinstance(paths, (str, Path)):
            folder = as_path(paths, "paths")
            if not folder.exists():
                raise ValueError(f"paths: {paths} is neither a folder nor a file; a list of files can be given as well")
            paths = [p for p in folder.iterdir() if p.suffix.lower() in (".ovf", ".omf", ".ohf") and not p.name.startswith(".")
                     and ovf.is_magnetization(p)] if folder.is_dir() else [folder]
        files = sorted((as_path(path, "paths") for path in listed("paths", paths, "a folder or a list of files")), key=_natural)
        if not files:
            raise ValueError("paths: there is no OVF file of magnetization to read")
        for path in files:
            if not ovf.is_magnetization(path):
                raise ValueError(f"{path}: its title and labels say that it holds something else than magnetization")
        if not callable(field):
            field = array("field", field, "(nt, 3)", nt=len(files)) if np.ndim(array("field", field)) == 2 else applied.vector(field)
        # Each file goes into its place at once, so that little more than the states themselves is ever in memory
        states, times = np.empty((0, 0, 0, 3), np.float32), []
        for i, path in enumerate(files):
            m, its_cell, time = ovf.read(path, cell)
            if not i:
                first_cell, (ny, nx) = its_cell, m.shape[:2]
                length = np.linalg.norm(m, axis=-1)
                if length.max() > 10:  # in A/m
                    material = {"Ms": float(np.median(length[length > 0]))} | material
                film = Film((nx * its_cell[0], ny * its_cell[1], its_cell[2]), (nx, ny), mask=np.any(m, axis=-1), **material)
                check_memory(4 * m.size * len(files) + 64 * m.size, f"Reading {len(files)} OVF files")
                states = np.empty((len(files), ny, nx, 3), np.float32)
            elif m.shape != states.shape[1:] or not np.allclose(its_cell, first_cell, rtol=1e-6, atol=0):
                raise ValueError(f"{path}: its grid differs from that of {files[0]}")
            elif time is None:
                raise ValueError(f"{path}: it holds no simulation time")
            states[i] = film.state(unit(m), name=str(path))
            times.append(-1.0 if time is None else time)
        if times[0] < 0:
            if min(times[1:], default=1.0) <= 0:
                raise ValueError(f"{files[0]}: it holds no simulation time")
            times[0] = 0.0
        order = np.argsort(times, kind="stable")
        for i, j in zip(order, order[1:]):
            if not times[i] < times[j]:
                raise ValueError(f"{files[j]}: it has the same time, {times[j]:g} s, as {files[i]}")
        if (np.diff(order) < 0).any():
            states = states[order]
        return cls(np.array(times)[order], states, field, film, {"solver": "read from OVF"})


def _natural(path):
    """For sorting names as people do: m_2 before m_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]
