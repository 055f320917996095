"""The film: geometry, grid and material, in SI units. Chapter 1 introduces it."""

import contextlib
import dataclasses
import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import ArrayLike

from ._arguments import are_numbers, array, number, numbers, said

MU0 = 4e-7 * np.pi
"""Vacuum permeability mu0 in T m/A."""

PERMALLOY = dict(Ms=8e5, A=1.3e-11, alpha=0.02, gamma0=2.211e5)
"""Permalloy as standard problem 4 defines it: Ms in A/m, A in J/m, gamma0 in m/(A s)."""

LITTLE = 2**26
"""Bytes that are taken without a look at the machine, which takes a fifth of a millisecond: less than what imports alone need."""


@dataclass(frozen=True, eq=False)
class Film:
    """A flat magnetic film, one layer of equal cells. `Film()` is standard problem 4's.

    size: length (x), width (y), thickness (z) in m.
    cells: number of cells along x and y.
    Ms: saturation magnetization in A/m. A: exchange constant in J/m.
    alpha: Gilbert damping. gamma0: gyromagnetic ratio mu0 |gamma| in m/(A s).
    mask: None for the whole rectangle; else a boolean array (ny, nx), or a function of the cell
        centres x, y in m (measured from the film's centre) that is true inside the film.

    Raises ValueError or TypeError, naming the argument, for anything that is not a film.
    """

    size: tuple[float, float, float] = (500e-9, 125e-9, 3e-9)
    cells: tuple[int, int] = (256, 64)
    Ms: float = PERMALLOY["Ms"]
    A: float = PERMALLOY["A"]
    alpha: float = PERMALLOY["alpha"]
    gamma0: float = PERMALLOY["gamma0"]
    mask: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self):
        set_ = lambda name, value: object.__setattr__(self, name, value)  # the class is frozen
        set_("size", tuple(_within("size", s) for s in array("size", self.size, "(3,)").tolist()))
        cells = array("cells", self.cells, "(2,)").tolist()
        if any(n % 1 != 0 or not 1 <= n < 2**31 for n in cells):  # nan and inf give nan
            raise ValueError(f"cells: got {said(self.cells)}; two whole numbers of at least 1 are needed")
        set_("cells", tuple(int(n) for n in cells))
        for name in ("Ms", "A", "gamma0"):
            set_(name, _within(name, getattr(self, name)))
        set_("alpha", number("alpha", self.alpha, "Gilbert damping, a number from 0 to 1000, is", 0, 1000))
        if self.mask is not None:
            self._check_memory(3, "mask")
            x, y = self.x - self.size[0] / 2, self.y - self.size[1] / 2
            try:
                mask = numbers("mask", self.mask(x[None, :], y[:, None]) if callable(self.mask) else self.mask)
            except (ValueError, TypeError) as error:
                raise type(error)(f"mask: got {said(self.mask)}; {error}") from error
            if mask.shape != (self.ny, self.nx) or mask.dtype != bool or not mask.any():
                raise ValueError(f"mask: got {mask.dtype} of shape {mask.shape}; a boolean array "
                                 f"(ny, nx) = {(self.ny, self.nx)} with at least one cell is needed")
            set_("mask", None if mask.all() else mask)

    nx = property(lambda self: self.cells[0], doc="Number of cells along x.")
    ny = property(lambda self: self.cells[1], doc="Number of cells along y.")
    dx = property(lambda self: self.size[0] / self.nx, doc="Cell length along x in m.")
    dy = property(lambda self: self.size[1] / self.ny, doc="Cell length along y in m.")
    thickness = property(lambda self: self.size[2], doc="Film thickness in m.")
    cell_volume = property(lambda self: self.dx * self.dy * self.thickness, doc="Volume of a cell in m^3.")
    x = property(lambda self: (np.arange(self.nx) + 0.5) * self.dx, doc="Cell centres along x in m.")
    y = property(lambda self: (np.arange(self.ny) + 0.5) * self.dy, doc="Cell centres along y in m.")

    @property
    def inside(self) -> np.ndarray:
        """Boolean array (ny, nx): true where there is magnetic material."""
        return np.ones((self.ny, self.nx), bool) if self.mask is None else self.mask

    def replace(self, **changes: Any) -> "Film":
        """The same film with some arguments changed, as in `film.replace(alpha=0.1)`."""
        return dataclasses.replace(self, **changes)

    def describe(self) -> dict:
        """A dictionary of plain numbers that identifies the film; a mask enters by its SHA-256."""
        d = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        d["size"], d["cells"] = list(self.size), list(self.cells)
        if self.mask is not None:
            d["mask"] = hashlib.sha256(np.packbits(self.mask).tobytes()).hexdigest()
        return d

    def __eq__(self, other):
        return isinstance(other, Film) and self.describe() == other.describe()

    def __hash__(self):
        return hash(repr(self.describe()))

    def state(self, m: ArrayLike, name: str = "state") -> np.ndarray:
        """Check a state: a float64 copy (ny, nx, 3) of unit vectors, zero outside the mask.

        m: array (ny, nx, 3), or one vector (3,) for a uniform state. A uniform vector is scaled to
        unit length; an array must have it to 1e-3 already, and is then scaled to rounding.
        Raises ValueError or TypeError for a wrong shape, a NaN, or vectors that are not of unit length, and MemoryError
        before allocating too much.
        """
        m = numbers(name, m).astype(float)
        uniform = m.shape == (3,)
        if uniform:
            self._check_memory(6, name)
            m = np.broadcast_to(m, (self.ny, self.nx, 3)).copy()
        if m.shape != (self.ny, self.nx, 3):
            raise ValueError(f"{name}: got shape {m.shape}; (ny, nx, 3) = {(self.ny, self.nx, 3)} is needed")
        length = np.linalg.norm(m, axis=-1)
        if not np.isfinite(length[self.inside]).all():
            raise ValueError(f"{name}: {np.count_nonzero(~np.isfinite(length[self.inside]))} cells are not finite")
        off = np.abs(length[self.inside] - 1).max()
        if (off > 1e-3 and not uniform) or not length[self.inside].all():
            raise ValueError(f"{name}: unit vectors are needed; the length is off by up to {off:.3g}")
        m[self.inside] /= length[self.inside][:, None]
        m[~self.inside] = 0
        return m

    def _check_memory(self, numbers, what):
        check_memory(numbers * 8 * self.nx * self.ny, f"{what}: {self.nx} x {self.ny} cells")


def unit(m: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) scaled to unit length; zero vectors, as outside of a mask, stay zero."""
    m = array("m", m, "(..., 3)")
    m = m if m.dtype.kind == "f" else m.astype(float)
    length = np.sqrt(np.einsum("...c,...c", m, m))[..., None]  # three times as fast as `numpy.linalg.norm`
    length[length == 0] = 1
    return m / length


def check_memory(needed: float, what: str) -> None:
    """Refuse before allocating: raise MemoryError if `needed` bytes are more than is available, also to this container."""
    if needed <= LITTLE:
        return
    available = min(psutil.virtual_memory().available, _left_to_container())
    if not needed <= 0.9 * available:
        raise MemoryError(f"{what} needs about {needed / 1e9:.1f} GB; {available / 1e9:.1f} GB are available")


def _left_to_container(folder=Path("/sys/fs/cgroup")):
    """Bytes that this container, if it is one, may still take, by Linux's control groups, version 2 or 1."""
    for limit, used, stat, cache in (("memory.max", "memory.current", "memory.stat", "inactive_file"),
                                     ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file")):
        with contextlib.suppress(OSError, ValueError):  # another version or system, or no limit ("max")
            left = int((folder / limit).read_text()) - int((folder / used).read_text())
            with contextlib.suppress(OSError, ValueError, KeyError):  # what it keeps of files makes room when asked
                left += int(dict(line.split() for line in (folder / stat).read_text().splitlines())[cache])
            return left
    return math.inf


_RANGES = {"size": (1e-12, 1e-3, "a length in m", "nm"), "Ms": (10, 1e8, "A/m", "T"), "A": (1e-18, 1e-8, "J/m", "pJ/m"),
           "gamma0": (1e-3, 1e8, "m/(A s), mu0 times the gyromagnetic ratio,", "rad/(s T)")}
"""What a number may be: lowest, highest, its unit, and the unit that one outside was probably given in."""


def _within(name, value):
    low, high, what, other = _RANGES[name]
    if not (are_numbers(value) and value > 0):
        raise ValueError(f"{name}: got {said(value)}; {what} greater than 0 is needed")
    if not low <= value <= high:
        raise ValueError(f"{name}: got {value:g}; {what} from {low:g} to {high:g} is needed. Was it given in {other}?")
    return float(value)
