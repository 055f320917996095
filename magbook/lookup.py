"""A table of what a model answers in constant fields: filled once, then read by interpolation. Chapter 8 ends its price with one.

A model that steps takes a hundred steps for a nanosecond, and takes them anew for the next field. Where only film averages in
constant fields from one start are asked for, thousands of times, its answers on an even grid of fields are enough. They are kept
as sums of some curves, the principal components of all answers in time: a field between the points of the grid is then a weighted sum
of sixteen short rows of numbers, and one product of matrices for all fields.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from . import applied, llg
from ._arguments import array, check_counts, instance, number
from .files import as_path, atomic, shipped
from .film import check_memory
from .rom import ReducedOrderModel
from .training import fingerprint

CUBIC = np.array([[0, -1, 2, -1], [2, 0, -5, 3], [0, 1, 4, -3], [0, 0, -1, 1]]) / 2
"""The weights of four numbers at -1, 0, 1 and 2, for what lies at x between the middle two, are this times 1, x, x^2 and x^3."""


@dataclass(eq=False)
class Lookup:
    """Film averages in constant fields in the plane, from one start, at the times 0, every, 2 every, ...

    most: the largest mu0*H in T.
    numbers: (n, n, k), whole numbers: for each point of an even grid from -most to most, in x and in y, and one point more at each end,
    `precision` times these are the coefficients of the curves. Points that no field up to `most` lies near hold zeros.
    precision: from 1e-6 to 1.
    curves: film averages (k, nt, 3), and mean: (nt, 3), to which they are added.
    every: s between two times.

    Raises ValueError where they do not fit.
    """

    most: float
    numbers: np.ndarray
    precision: float
    curves: np.ndarray
    mean: np.ndarray
    every: float = 1e-11

    def __post_init__(self):
        self.most = number("most", self.most, "the largest mu0*H in T, above 0, is", 1e-12, 1000)
        self.precision = _precision(self.precision)
        self.every = number("every", self.every, "s between two states, above 0, are", 1e-18, 1e-3)
        self.mean = _film_averages("mean", self.mean, "(nt, 3)")
        self.curves = _film_averages("curves", self.curves, "(k, nt, 3)", nt=len(self.mean))
        self.numbers = array("numbers", self.numbers, "(n, n, k)", k=len(self.curves)).copy()
        if len(self.numbers) < 4 or self.numbers.shape[0] != self.numbers.shape[1] or self.numbers.dtype.kind != "i":
            raise ValueError(f"numbers: got {self.numbers.dtype} of shape {self.numbers.shape}; whole numbers (n, n, k) with n of at least 4 are needed")
        self._coefficients = self.numbers * np.float32(self.precision)

    def averages(self, field: ArrayLike) -> np.ndarray:
        """Film averages (nt, 3) in a constant field, mu0*H in T, a pair or a triple; or (n, nt, 3) in n of them.

        Between the points of the grid the answers go as cubics, along x and along y (R. Keys, IEEE Trans. Acoust. Speech Signal Process.
        29, 1153 (1981)); none is longer than 1. Raises ValueError for a field that is stronger than `most` or points out of the plane, what
        `applied.vector` raises, and MemoryError before allocating too much.
        """
        given = array("field", field)
        one = given.ndim == 1
        b = applied.vector(given)[None] if one else applied.vectors(array("field", given, "(n, 2 or 3)", finite=True))
        check_memory(8.0 * len(b) * (3 * len(self.mean) + 2 * len(self.curves)), f"field: the answers in {len(b)}")
        size = np.hypot(b[:, 0], b[:, 1])
        if size.max(initial=0) > self.most * (1 + 1e-9):
            raise ValueError(f"field: got {1e3 * size.max():.10g} mT; the table ends at {1e3 * self.most:g} mT")
        if b[:, 2].any():
            raise ValueError(f"field: got {1e3 * np.abs(b[:, 2]).max():.4g} mT out of the plane; the table has fields in the plane")
        squares = len(self.numbers) - 3
        at = (b[:, :2] / self.most + 1) * (squares / 2)
        square = np.minimum(at.astype(int), squares - 1)
        powers = (at - square).T[:, None]**np.arange(4)[:, None]  # (2, 4, n)
        wx, wy = (CUBIC @ powers).astype(np.float32)
        (i, j), c = square.T, 0
        for p in range(4):
            for q in range(4):
                c = c + (wx[p] * wy[q])[:, None] * self._coefficients[i + p, j + q]
        mean = (c @ self.curves.reshape(len(self.curves), -1)).reshape(-1, *self.mean.shape) + self.mean
        mean /= np.maximum(np.sqrt(np.einsum("...c,...c", mean, mean)), 1)[..., None]  # beside an edge a cubic swings past both sides
        return mean[0] if one else mean

    def save(self, path: str | Path) -> None:
        """Write the table to an `.npz` file, whole or not at all."""
        parts = {"numbers": np.moveaxis(self.numbers, -1, 0),  # one curve after the other, which is smaller
                 "curves": self.curves, "mean": self.mean, "scales": np.array([self.most, self.precision, self.every])}
        with atomic(path) as file:
            np.savez_compressed(file, **parts, fingerprint=np.array(fingerprint(*parts.values())))


def tabulate(rom: ReducedOrderModel, most: float = 45e-3, n: int = 163, k: int = 160, precision: float = 0.002, start: ArrayLike | None = None,
             duration: float = 1e-9) -> Lookup:
    """The `Lookup` of a model's film averages: it is asked at about 0.8 n^2 fields, and at no other.

    rom: a model that was trained in every direction of the plane, up to `most`, the largest mu0*H in T. n: points of the grid each way, 4 or more;
    the model is asked in fields up to 6 / (n - 3) stronger than most, too.
    k: curves, at most; there are no more than answers and than numbers in one. precision: coefficients are rounded to its multiples, from 1e-6 to 1; a
    film average is then off by about precision sqrt(k / (36 nt)). start, duration: as `ReducedOrderModel.averages` takes them.
    Raises ValueError, naming the argument, also where an answer is not finite, and MemoryError before allocating too much.
    """
    instance("rom", rom, ReducedOrderModel)
    most = number("most", most, "the largest mu0*H in T, above 0, is", 1e-12, 1000)
    precision = _precision(precision)
    check_counts(4, n=n)
    check_counts(k=k)
    if rom.fan and (rom.fan["opening"] < 360 or rom.fan["strength"][0] > 0 or rom.fan["strength"][1] < most * (1 - 1e-9)):
        raise ValueError(f"rom: it was trained on {rom.fan}; a model that knows every direction, from 0 to most = {most:g} T, is needed")
    nt = len(llg.check_run((0.0, 0.0), rom.film, start, duration, rom.every, 1.0, "single")[0])
    check_memory(32.0 * int(n)**2 * (3 * nt + 4), f"n: the answers on a grid of {n} x {n} fields")
    side = 2 * most / (n - 3)
    at = np.linspace(-most - side, most + side, n)
    points = np.stack(np.meshgrid(at, at, indexing="ij"), axis=-1)
    near = np.hypot(points[..., 0], points[..., 1]) < most + 3 * side  # at most two squares each way from a field
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*outside the fan.*", category=UserWarning)  # some of these points are
        known = rom.averages(points[near], start, duration)
    if not np.isfinite(known).all():
        raise ValueError("rom: it runs away in a field of the table")
    mean = known.mean(axis=0)
    flat = (known - mean).reshape(len(known), -1)
    curves = np.linalg.svd(flat, full_matrices=False)[2][:k].astype(np.float16).astype(float)  # as many digits as it takes, in a file half as long
    coefficients = np.round(flat @ curves.T / precision)
    numbers = np.zeros((n, n, len(curves)), np.int16 if np.abs(coefficients).max() < 2**15 else np.int32)
    numbers[near] = coefficients
    return Lookup(most, numbers, precision, curves.reshape(-1, *mean.shape), mean, rom.every)


def _film_averages(name, values, shape, **sizes):
    values = array(name, values, shape, finite=True, **sizes)
    if not values.size or np.abs(values).max() > 1000:
        raise ValueError(f"{name}: got shape {values.shape}, largest {np.abs(values).max(initial=0):.3g}; film averages are needed")
    return values.astype(np.float32)


def _precision(value):
    return number("precision", value, "a number from 1e-6 to 1 is", 1e-6, 1)


def load(name: str | Path = "driven") -> Lookup:
    """The table of a model that ships, "driven", or one in a file, by its path. Raises ValueError, naming the file, if it is damaged."""
    path = as_path(name, "name")
    if path == Path("driven"):
        path = shipped("lookup_driven.npz")
    try:
        with np.load(path, allow_pickle=False) as z:
            a = dict(z)
        if str(a.pop("fingerprint")) != fingerprint(*(a[name] for name in ("numbers", "curves", "mean", "scales"))):
            raise ValueError("its numbers were altered: their fingerprint is another")
        most, precision, every = a["scales"]
        return Lookup(most, np.ascontiguousarray(np.moveaxis(a["numbers"], 0, -1)), precision, a["curves"], a["mean"], every)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged archive raises a dozen kinds
        raise ValueError(f"{path} is not a table of `Lookup.save` that can be read: {error}") from error
