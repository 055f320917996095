"""What a network has to beat: answers from the training trajectories alone, without a network. Chapter 5.

Each function takes the training fields, mu0*H in T, (n, 2) or (n, 3), and whatever is known at them, values (n, ...):
film averages, coefficients, whole states. It returns a function from new fields (k, 2) or (k, 3) to values (k, ...).
All of them answer with a weighted sum of the training values, the same at every time: `weights` gives the weights.

Two fields are as far apart as their direction in degrees and their strength in mT are: on the validation fields
every method here does better so than with the distance of the two arrows. Raises ValueError, naming the argument, for
fields and values that do not fit together, are not finite, or are too few.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from . import applied
from ._arguments import array, number, numbers, said

Answer = Callable[[ArrayLike], np.ndarray]
"""From new fields (k, 2) or (k, 3) to values (k, ...)."""


def mean(fields: ArrayLike, values: ArrayLike) -> Answer:
    """The mean of the training values, whatever the field."""
    _, _, values = _training(fields, values)
    return lambda new: np.repeat(values.mean(axis=0, keepdims=True), len(coordinates(new)), axis=0)


def nearest(fields: ArrayLike, values: ArrayLike) -> Answer:
    """The values at the nearest training field."""
    from scipy.spatial import KDTree  # each method imports its own: together they take a second

    at, x, values = _training(fields, values)
    tree = KDTree(x)
    return lambda new: values[tree.query(at(new))[1]]


def linear(fields: ArrayLike, values: ArrayLike) -> Answer:
    """Linear interpolation between the three training fields around; beyond all of them, the nearest one.

    The triangles are those of Delaunay's triangulation.
    """
    from scipy.interpolate import LinearNDInterpolator

    at, x, values = _training(fields, values, least=4)
    inside, beyond = LinearNDInterpolator(x, values.reshape(len(x), -1)), nearest(fields, values)

    def predict(new):
        new = numbers("new", new).astype(float)
        out = inside(at(new)).reshape(len(new), *values.shape[1:])
        lost = inside.tri.find_simplex(at(new)) < 0
        if lost.any():
            out[lost] = beyond(new[lost])
        return out

    return predict


def spline(fields: ArrayLike, values: ArrayLike) -> Answer:
    """The thin-plate spline through all training values: of all smooth surfaces, the one that bends least.

    J. Duchon, in Constructive Theory of Functions of Several Variables, Springer (1977), 85.
    """
    from scipy.interpolate import RBFInterpolator

    at, x, values = _training(fields, values, least=4)
    surface = RBFInterpolator(x, values.reshape(len(x), -1), kernel="thin_plate_spline")
    return lambda new: surface(at(new)).reshape(len(new), *values.shape[1:])


def spline_left_out(fields: ArrayLike, values: ArrayLike) -> np.ndarray:
    """By how much the spline is off at each training field, (n, ...), if that one is left out and all others are there.

    Without n more splines, by S. Rippa, Adv. Comput. Math. 11, 193 (1999): the coefficient of a field over the diagonal
    element of the inverse of the system that gives all coefficients.
    """
    _, x, values = _training(fields, values, least=5)
    inverse = np.linalg.inv(_spline_system(x)[0])[:len(x), :len(x)]
    flat = values.reshape(len(x), -1)
    return (inverse @ flat / np.diag(inverse)[:, None]).reshape(values.shape)


def spline_coefficients(fields: ArrayLike, values: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """The spline as a sum that any program can evaluate: (coefficients (n + 3, k), knots (n, 2), middle (2,), scale).

    At a field with coordinates c its value is sum_i a_i r_i^2 log r_i + a_n + a_(n+1) x + a_(n+2) y, where
    (x, y) = (c - middle)/scale and r_i is the distance of (x, y) from the knot i. values: (n, k).
    """
    _, x, values = _training(fields, values, least=4)
    array("values", values, "(n, k)")
    system, knots = _spline_system(x)
    return np.linalg.solve(system, np.vstack([values, np.zeros((3, values.shape[1]))])), knots, x.mean(axis=0), x.std()


def _spline_system(x):
    """The matrix of the equations for the spline's coefficients, and its knots."""
    x = (x - x.mean(axis=0)) / x.std()  # the spline does not depend on it, and the matrix is better conditioned
    r = np.linalg.norm(x[:, None] - x[None], axis=-1)
    plane = np.column_stack([np.ones(len(x)), x])
    return np.block([[r**2 * np.log(np.where(r > 0, r, 1)), plane], [plane.T, np.zeros((3, 3))]]), x


def kernel_ridge(fields: ArrayLike, values: ArrayLike, width: float = 3.0, ridge: float = 1e-2) -> Answer:
    """Kernel ridge regression with a Gaussian kernel, of what the values differ by from their mean.

    width: of the kernel, in degrees and mT. ridge: the weight of the penalty. The defaults are the best of chapter 5's
    grid on the validation fields of the paper's data set. A kernel in time too, as in regression from field and
    time, would change nothing but the penalty, since all training fields have the same times.
    L. Exl et al., arXiv:2008.05986, use it with kernels of low rank to step through time.
    """
    from sklearn.kernel_ridge import KernelRidge

    at, x, values = _training(fields, values)
    for name, value in (("width", width), ("ridge", ridge)):
        number(name, value, "a number greater than 0 is", 1e-12, 1e12)
    middle = values.mean(axis=0)
    regression = KernelRidge(kernel="rbf", gamma=1 / (2 * width**2), alpha=ridge)
    regression.fit(x, (values - middle).reshape(len(x), -1))
    return lambda new: regression.predict(at(new)).reshape(len(new), *values.shape[1:]) + middle


def weights(method: Callable, fields: ArrayLike, new: ArrayLike, **options: float) -> np.ndarray:
    """The weights (k, n) with which a method here answers new fields (k, 3), from n training fields.

    Its answer to values (n, ...) is `np.tensordot(weights, values, axes=1)`: so whole trajectories need no more memory
    than one, and each weight says which training field is asked. options: of the method.
    """
    if not callable(method):
        raise TypeError(f"method: got {said(method)}; a function of this module is needed")
    answer = method(fields, np.eye(len(coordinates(fields, "fields"))), **options)
    if not callable(answer):
        raise TypeError(f"method: its answer is {said(answer)}; a function of new fields is needed")
    return answer(new)


METHODS = {"mean trajectory": mean, "nearest field": nearest, "linear interpolation": linear,
           "kernel ridge": kernel_ridge, "spline": spline}
"""The methods of this module, under the names that chapter 5 gives them."""


def coordinates(fields: ArrayLike, name: str = "new", middle: float = 180.0) -> np.ndarray:
    """Direction in degrees and strength in mT, (n, 2), of fields mu0*H in T, (n, 2) or (n, 3).

    middle: directions go from 180 degrees below it to 180 above.
    """
    fields, middle = array(name, fields).astype(float), number("middle", middle, "degrees are")
    if fields.ndim != 2 or fields.shape[1] not in (2, 3) or not len(fields) or not np.isfinite(fields).all():
        raise ValueError(f"{name}: got shape {fields.shape}; finite mu0*H in T, (n, 2) or (n, 3), is needed")
    strength, direction = applied.to_polar(fields)
    return np.stack([direction - 360 * np.round((direction - middle) / 360), strength * 1e3], axis=1)


def _training(fields, values, least=1):
    """The coordinates of new fields as a function, those of the training fields, and the values, checked.

    Directions are counted around the mean direction of the training fields, so that a fan around 0 degrees has no seam.
    """
    turns = np.deg2rad(coordinates(fields, "fields")[:, 0])
    middle = np.rad2deg(np.arctan2(np.sin(turns).mean(), np.cos(turns).mean())) % 360
    at = partial(coordinates, middle=middle)
    x, values = at(fields, "fields"), array("values", values)
    if not values.ndim:
        raise ValueError(f"values: got one number for {len(x)} fields; one for each is needed")
    if len(values) != len(x):
        raise ValueError(f"values: got {len(values)} for {len(x)} fields; one for each is needed")
    if len(x) < least:
        raise ValueError(f"fields: got {len(x)}; at least {least} are needed")
    if not np.isfinite(values).all():
        raise ValueError("values: they hold numbers that are not finite")
    return at, x, values
