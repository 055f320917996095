"""A trajectory: the states that a film passes through, and the field that drove it. Chapter 1 introduces it."""

import json
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import applied, ovf
from ._arguments import are_numbers, array, instance, listed, number, said
from .applied import Field
from .files import as_json, as_path, atomic
from .film import PERMALLOY, Film, check_memory, unit

if TYPE_CHECKING:  # the solver needs none, and neither does what else is imported where it is used
    import xarray as xr

FAR = 1.5
"""States farther apart than so many of the new steps are too sparse to be resampled in time."""


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

    # ------------------------------------------------------------------ another grid, other times

    def resample(self, film: Film | None = None, every: float | None = None) -> "Trajectory":
        """The same run on another grid, at even times, or both; unit vectors stay unit vectors.

        film: a `Film` of the same size, to 1 %, whose cells are taken, and its mask if it has one; the material stays the run's.
            With fewer cells a new one is the mean of those that it covers, with more a cubic spline, whose slope is zero at the edges.
        every: s between two new states, the first at the run's own start and the last at its end or before. Between states
            a cubic runs through the four nearest. A warning says where the run's own states are more than 1.5 times as far
            apart: nobody has seen what the film did there.
        A field in time is read off at the new times. Raises ValueError or TypeError, naming the argument, for a film of another size
        or with cells where this run has none, and for an `every` longer than the run.
        """
        if film is None and every is None:
            raise ValueError("film: got None, and for every too; a film, whose cells are taken, or a time in s is needed")
        run = self if every is None else self._at_even_times(number("every", every, "a time in s greater than 0 is", 1e-21))
        return run if film is None else run._on_cells_of(instance("film", film, Film))

    def _at_even_times(self, every):
        steps = int(min((self.t[-1] - self.t[0]) / every + 1e-3, 1e12))  # a last state that comes a little early counts
        if not steps:
            raise ValueError(f"every: got {every:g} s; the run lasts {self.t[-1] - self.t[0]:g} s, no longer than that")
        check_memory(4 * self.m[0].size * (steps + 1.0), f"every: {steps + 1} states")
        t = self.t[0] + every * np.arange(steps + 1)
        kept = [0]  # of states that stand nearly at the same time one: a cubic through both would magnify their rounding
        for i in range(1, len(self)):
            if self.t[i] - self.t[kept[-1]] > 0.05 * every:
                kept.append(i)
        known = self.t[kept]
        far = np.flatnonzero(np.diff(known) > FAR * every)
        if len(far):
            new = sum(np.count_nonzero((t > known[i]) & (t < known[i + 1])) for i in far)
            warnings.warn(f"every: {new} of {len(t)} new states are a cubic through states too far apart, up to {np.diff(known).max():.3g} s, "
                          f"the first between {known[far[0]]:.4g} s and {known[far[0] + 1]:.4g} s; save a state every {every:g} s", UserWarning, stacklevel=3)
        m = np.empty((len(t), *self.m.shape[1:]), np.float32)
        for k, time in enumerate(t):
            low = max(0, min(np.searchsorted(known, time) - 2, len(known) - 4))
            around = slice(low, low + 4)
            m[k] = unit(np.tensordot(_lagrange(known[around], time), self.m[kept[around]], axes=1))
        field = self.field if self.field.ndim == 1 else np.stack([np.interp(t, self.t, b) for b in self.field.T], axis=1)
        return Trajectory(t, m, field, self.film, self.info)

    def _on_cells_of(self, film):
        from scipy.ndimage import distance_transform_edt

        mine = self.film
        if not np.allclose(film.size, mine.size, rtol=0.01, atol=0):
            raise ValueError(f"film: got one of {said(film.size)} m; one of {mine.size} m is needed, the run's, to 1 %")
        share = np.linalg.multi_dot([_overlap(mine.ny, film.ny), mine.inside.astype(float), _overlap(mine.nx, film.nx).T])
        inside = share > 0.5 - 1e-9 if film.mask is None else film.mask
        near = np.ix_(*(((np.arange(new) + 0.5) * old / new).astype(int) for old, new in ((mine.ny, film.ny), (mine.nx, film.nx))))
        # Two grids draw one rim differently, by a cell. There the nearest magnetic cell is taken.
        distance, nearest = distance_transform_edt(~mine.inside, return_indices=True)
        beyond = inside & (distance[near] > 1.5)
        if beyond.any() or not inside.any():
            raise ValueError(f"film: {np.count_nonzero(beyond)} of its cells lie where the run has no magnetic material")
        down, across = (_overlap(old, new) if new <= old else _spline(old, new) for old, new in ((mine.ny, film.ny), (mine.nx, film.nx)))
        finer = film.ny > mine.ny or film.nx > mine.nx
        check_memory(4 * len(self) * 3.0 * film.ny * film.nx, f"film: {len(self)} states of {film.nx} x {film.ny} cells")
        m = np.zeros((len(self), film.ny, film.nx, 3), np.float32)
        for new, old in zip(m, self.m):
            filled = old[tuple(nearest)]
            mean = np.einsum("yxc,Xx->yXc", np.tensordot(down, filled if finer else old, axes=1), across, optimize=True)
            # Opposite moments may have a mean of zero, which has no direction
            mean = np.where(np.linalg.norm(mean, axis=-1, keepdims=True) > 1e-6, mean, filled[near])
            new[inside] = unit(mean[inside])
        grid = mine.replace(size=film.size, cells=film.cells, mask=None if inside.all() else inside)
        return Trajectory(self.t, m, self.field, grid, self.info)

    # ------------------------------------------------------------------ one file

    def save(self, path: str | Path) -> None:
        """Write everything to one `.npz` file, whole or not at all."""
        film = {name: getattr(self.film, name) for name in ("size", "cells", "Ms", "A", "alpha", "gamma0")}
        with atomic(path) as file:
            np.savez(file, t=self.t, m=self.m, field=self.field, inside=self.film.inside,
                     film=as_json(film), info=as_json(self.info))

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

    def to_xarray(self) -> "xr.Dataset":
        """An `xarray.Dataset` with dimensions t, y, x, component, coordinates and units."""
        import xarray as xr

        driven = ("component",) if np.ndim(self.field) == 1 else ("t", "component")
        return xr.Dataset(
            {"m": (("t", "y", "x", "component"), self.m, {"long_name": "magnetization / Ms", "units": "1"}),
             "field": (driven, self.field, {"long_name": "applied field mu0 H", "units": "T"})},
            coords={"t": ("t", self.t, {"long_name": "time", "units": "s"}),
                    "y": ("y", self.film.y, {"long_name": "y", "units": "m"}),
                    "x": ("x", self.film.x, {"long_name": "x", "units": "m"}),
                    "component": ["x", "y", "z"]},
            attrs={"film": as_json(self.film.describe()), "info": as_json(self.info)})

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
    def from_ovf(cls, paths: str | Path | Iterable[str | Path], field: Field | None = None, cell: Sequence[float] | None = None,
                 t: Sequence[float] | None = None, **material: Any) -> "Trajectory":
        """Read OVF files, one a state, as mumax3, OOMMF, Ubermag, Spirit or `to_ovf` write them.

        paths: a folder, a file, or a list of files. Of a folder all `*.ovf`, `*.omf` and `*.ohf` are read that hold magnetization.
        field: the applied field mu0*H in tesla, which OVF files do not hold: a pair, a triple, a function of t in s, or one
            triple for each file, (nt, 3), in the order of their times. It can be left out where a table beside the files holds it for all
            of their times: mumax3's table.txt with columns of B_ext, `TableAdd(B_ext)`, or a single .odt of OOMMF's with those of UZeeman.
        cell: (dx, dy, dz) in m in place of the files', where these have no unit of length. t: (nt,) in s, in the order of the files'
            names, in place of the files', where these have no time, as Spirit's.
        material: as `Film` takes it; of a mumax3 run all of it, since its files hold none. `info` names what was not given.
        States come in the order of their times; one file, the first by name, or oommfc's `m0.omf`, may have none, and is the start, at
        time 0; if another file is at time 0 both must hold the same state, which is read once. Vectors are scaled to unit
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
                raise ValueError(f"{path}: its title and labels say that it holds something else than magnetization; "
                                 "where they say no more than 'field', as discretisedfield's, a file named as m0.omf is taken")
        table, where = _table(files[0].parent) if field is None else (None, None)
        if field is not None and not callable(field):
            field = array("field", field, "(nt, 3)", nt=len(files)) if np.ndim(array("field", field)) == 2 else applied.vector(field)
        if t is None:  # else they are in the order of names
            files.sort(key=lambda path: path.stem.lower() != "m0")
        given = None if t is None else array("t", t, "(nt,)", finite=True, nt=len(files)).astype(float).tolist()
        # Each file goes into its place at once, so that little more than the states themselves is ever in memory
        states, times = np.empty((0, 0, 0, 3), np.float32), []
        for i, path in enumerate(files):
            m, its_cell, time = ovf.read(path, cell)
            time = time if given is None else given[i]
            if not i:
                first_cell, (ny, nx) = its_cell, m.shape[:2]
                length = np.linalg.norm(m, axis=-1)
                if length.max() > 10:  # in A/m
                    material = {"Ms": float(np.median(length[length > 0]))} | material
                assumed = [name for name in PERMALLOY if name not in material]
                film = Film((nx * its_cell[0], ny * its_cell[1], its_cell[2]), (nx, ny), mask=np.any(m, axis=-1), **material)
                check_memory(4 * m.size * len(files) + 64 * m.size, f"Reading {len(files)} OVF files")
                states = np.empty((len(files), ny, nx, 3), np.float32)
            elif m.shape != states.shape[1:] or not np.allclose(its_cell, first_cell, rtol=1e-6, atol=0):
                raise ValueError(f"{path}: its grid differs from that of {files[0]}")
            elif time is None:
                raise ValueError(f"{path}: it holds no simulation time; give the files' times in s, t=[...]")
            states[i] = film.state(unit(m), name=str(path))
            times.append(-1.0 if time is None else time)
        if times[0] < 0 and given is None:
            times[0] = 0.0
            if 0.0 in times[1:] and np.allclose(states[0], states[times.index(0.0, 1)], atol=1e-5):
                files, times, states = files[1:], times[1:], states[1:]
                field = field[1:] if isinstance(field, np.ndarray) and field.ndim == 2 else field
        order = np.argsort(times, kind="stable")
        for i, j in zip(order, order[1:]):
            if not times[i] < times[j]:
                raise ValueError(f"{files[j]}: it has the same time, {times[j]:g} s, as {files[i]}")
        if (np.diff(order) < 0).any():
            states = states[order]
        ordered = np.array(times)[order]
        if table is not None:
            field = _field_from(table, ordered, where)
        return cls(ordered, states, field, film, {"solver": "read from OVF", "assumed": assumed})


def _natural(path):
    """For sorting names as people do: m_2 before m_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def _table(folder):
    """Time and field of mumax3's or OOMMF's table, (n, 4), each time once, and where it is; ValueError, as for a forgotten field, where there is none."""
    ask = ("field: got None; OVF files do not hold the applied field. Give mu0*H in tesla, as field=(-24.6e-3, 4.3e-3), or (0, 0) for none"
           "; mumax3 writes it beside its files, in table.txt, after TableAdd(B_ext)")
    path, odt = folder / "table.txt", list(folder.glob("*.odt"))
    if not path.is_file() and len(odt) == 1:
        path = odt[0]
    if not path.is_file():
        raise ValueError(ask)
    lines = path.read_text(encoding="utf-8", errors="replace").replace("\\\n", " ").strip().split("\n")
    weights, missing = _oommf(lines) if path.suffix == ".odt" else _mumax3(lines[0])
    if weights is None:
        raise ValueError(f"{ask}; {path} {missing}")
    try:
        table = np.array([[float(word) for word in row.split()] for row in lines if row.strip() and row[0] != "#"]).reshape(-1, len(weights))
        table = table[:, weights.any(axis=1)] @ weights[weights.any(axis=1)]  # other columns may hold NaN
    except (ValueError, IndexError) as error:
        raise ValueError(f"{ask}; {path} can't be read: {error}") from error
    # Of rows of one time the last holds: a script may save the table before it sets the field
    return table[[i for i in range(len(table)) if i + 1 == len(table) or table[i + 1, 0] > table[i, 0]]], path


def _mumax3(head):
    """What a row of mumax3's table is multiplied by, (columns, 4), for t and B_ext in s and T; or None and what is missing."""
    names = [name.split("(")[0].strip("# \t") for name in head.split("\t")]
    wanted = ["t", "B_extx", "B_exty", "B_extz"]
    if not set(wanted) <= set(names):
        return None, f"has the columns {', '.join(names)} alone"
    return np.array([[float(name == one) for one in wanted] for name in names]), None


def _oommf(lines):
    """The same of OOMMF's table, ODT 1.0: the sum of the fields of all its Zeeman terms. One that is fixed in space says its energy alone."""
    heads = {key: [braced or bare for braced, bare in re.findall(r"\{([^}]*)\}|(\S+)", line.partition(":")[2])]
             for key in ("Columns", "Units") for line in lines if line.startswith(f"# {key}:")}
    names, units = heads.get("Columns", []), heads.get("Units", [])
    scale = {"s": 1.0, "T": 1.0, "mT": 1e-3}
    terms = {name.rpartition(":")[0] for name in names if "Zeeman" in name}
    wanted = [f"{term}:B{axis}" for term in terms for axis in "xyz"]
    times = [name for name in names if name.endswith(":Simulation time")]
    if not (terms and len(times) == 1 and len(names) == len(units) and set(wanted) <= set(names)):
        return None, f"has no time, or not the field of all Zeeman terms; its columns are {', '.join(names)}"
    weights = np.zeros((len(names), 4))
    for name in [*times, *wanted]:
        i = names.index(name)
        if units[i] not in scale:
            return None, f"has {name} in {units[i]}; s, T or mT can be read"
        weights[i, 0 if name in times else 1 + "xyz".index(name[-1])] = scale[units[i]]
    return weights, None


def _field_from(table, t, path):
    """The field of `_table` at the times t, (3,) if it is one and the same."""
    edge = 0.01 * (t[-1] - t[0]) / max(len(t) - 1, 1)
    if not len(table) or not (np.diff(table[:, 0]) > 0).all() or t[0] < table[0, 0] - edge or t[-1] > table[-1, 0] + edge:
        raise ValueError(f"field: got None; the files are from {t[0]:g} s to {t[-1]:g} s, and {path} does not hold the field for all of this time")
    values = np.stack([np.interp(t, table[:, 0], b) for b in table[:, 1:].T], axis=1)
    return values[0] if (values == values[0]).all() else values


def _lagrange(known, time):
    """The weights with which values at the known times give that at another, by the polynomial through them."""
    return np.array([np.prod([(time - other) / (one - other) for other in known if other != one]) for one in known])


def _overlap(old, new):
    """Weights (new, old): the share of each old cell in each new one, along a film."""
    edges, others = np.arange(new + 1) / new, np.arange(old + 1) / old
    shared = np.minimum(edges[1:, None], others[None, 1:]) - np.maximum(edges[:-1, None], others[None, :-1])
    return np.maximum(shared, 0) * new


def _spline(old, new):
    """Weights (new, old) of a cubic spline through cell centres; mirrored at both edges, where free magnetization has no slope."""
    from scipy.interpolate import CubicSpline

    places = (np.arange(2 * old + 1) + 0.5) / old  # once around: there and back
    values = np.concatenate([np.eye(old), np.eye(old)[::-1], np.eye(old)[:1]])
    return CubicSpline(places, values, bc_type="periodic")((np.arange(new) + 0.5) / new)
