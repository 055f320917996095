"""What a caller gave: taken, or refused by an error that names the argument, what it got and what it takes."""

import math
from typing import Any

import numpy as np


def said(value: Any) -> str:
    """A value in an error's line, shortened."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 160 else f"{text[:150]}..."


def are_numbers(*values: Any) -> bool:
    """Are they all real and finite, and of a kind that an array of numbers can hold?"""
    try:
        return all(isinstance(v, (int, float, np.integer, np.floating)) and math.isfinite(v) for v in values)
    except OverflowError:  # a whole number that no float holds
        return False


def number(name: str, value: Any, what: str = "a finite number is", low: float = -math.inf, high: float = math.inf) -> float:
    """A real, finite number from low to high. what: that it is, for the error."""
    one = isinstance(value, np.ndarray) and not value.ndim and not np.ma.is_masked(value)
    given = value.item() if one else value  # as a file of arrays holds one number
    if not (are_numbers(given) and low <= given <= high):
        raise ValueError(f"{name}: got {said(value)}; {what} needed")
    return float(given)


def is_count(value: Any, least: int = 1) -> bool:
    """Is it a whole number of at least 1?"""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and least <= int(value) < 2**53


def check_counts(least: int = 1, **counts: Any) -> None:
    """Raise ValueError, naming the argument, for what is not a whole number of at least `least`."""
    for name, value in counts.items():
        if not is_count(value, least):
            raise ValueError(f"{name}: got {said(value)}; a whole number of at least {least} is needed")


def numbers(name: str, value: Any) -> np.ndarray:
    """An array of real numbers, as it is, of any shape. No complex number, text or object is cast, and none that a mask hides is taken."""
    try:
        given = np.asarray(value)
    except ValueError as error:  # lists of different lengths
        raise ValueError(f"{name}: got {said(value)}; an array of real numbers is needed ({error})") from error
    if given.dtype.kind not in "fiub":
        raise TypeError(f"{name}: got {said(value)}; real numbers are needed")
    if _hides(value):
        raise ValueError(f"{name}: got {said(value)}; real numbers are needed, none of them hidden by a mask")
    return given


def _hides(value):
    return any(map(_hides, value)) if isinstance(value, (list, tuple)) else np.ma.is_masked(value)


def array(name: str, value: Any, shape: str = "(...)", finite: bool = False, **sizes: int) -> np.ndarray:
    """`numbers` of a shape such as "(..., ny, nx, 3)" or "(n, 2 or 3)"; sizes: what its letters are, where known."""
    given = numbers(name, value)
    wanted = shape.strip("()").rstrip(",").split(", ")
    any_more = wanted[0] == "..."
    fixed = wanted[any_more:]
    lengths = given.shape[given.ndim - len(fixed):]
    if given.ndim < len(fixed) or not any_more and given.ndim > len(fixed) or not all(
            n in [sizes.get(one, n) if one.isidentifier() else int(one) for one in axis.split(" or ")] for n, axis in zip(lengths, fixed)):
        known = ", ".join(f"{one} = {n}" for one, n in sizes.items())
        raise ValueError(f"{name}: got shape {given.shape}; {shape} is needed{known and f', with {known}'}")
    if finite and not np.isfinite(given).all():
        raise ValueError(f"{name}: it holds numbers that are not finite")
    return given


def listed(name: str, value: Any, what: str) -> list:
    """The items of what can be iterated over."""
    try:
        return list(value)
    except TypeError as error:
        raise TypeError(f"{name}: got {said(value)}; {what} is needed") from error


def pair(name: str, value: Any) -> tuple:
    """A pair of whatever."""
    if not (isinstance(value, (tuple, list)) and len(value) == 2):
        raise TypeError(f"{name}: got {said(value)}; a pair is needed")
    return tuple(value)


def instance(name: str, value: Any, kind: type) -> Any:
    """A value of a class of this package or of Keras."""
    if not isinstance(value, kind):
        raise TypeError(f"{name}: got {said(value)}; a {kind.__module__.partition('.')[0]}.{kind.__name__} is needed")
    return value


def choice(name: str, value: Any, *choices: str) -> str:
    """One of a few texts."""
    if not (isinstance(value, str) and value in choices):
        raise ValueError(f"{name}: got {said(value)}; {', '.join(map(repr, choices[:-1]))} or {choices[-1]!r} is needed")
    return value


def truth(name: str, value: Any) -> bool:
    """True or False, or what Python takes for either."""
    try:
        return bool(value)
    except ValueError as error:
        raise ValueError(f"{name}: got {said(value)}; True or False is needed") from error
