"""Applied fields mu0*H in tesla: vectors, polar coordinates, the paper's fan, and signals in time. Chapter 1 introduces them.

Wherever magbook takes an applied field, it takes a pair (x, y) or a triple, which is constant, or a function of the time in s
that returns one. The signals here are such functions, with names: they print what they are, can be sent to another process, and
say in `breaks` at which times they jump or bend.
"""

import dataclasses
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ._arguments import are_numbers, array, check_counts, choice, listed, number, numbers, said, truth
from .film import check_memory

Field: TypeAlias = ArrayLike | Callable[[float], ArrayLike]
"""An applied field: mu0*H in T, a pair or a triple, or a function of t in s that returns one."""

SEED = 2019
"""Seed of the fields of the named data sets."""

FAN: dict[str, Any] = {"angle": 180.0, "opening": 44.0, "strength": [22e-3, 41e-3]}
"""The fields of the paper: directions within 22 degrees of the -x axis, and strengths in T."""


# ---------------------------------------------------------------------------- vectors


def vector(field: ArrayLike, name: str = "field") -> np.ndarray:
    """Check an applied field mu0*H in tesla, a pair (x, y) or a triple: a float64 array (3,).

    name: what the error calls it. Raises ValueError or TypeError for anything else, and for numbers that are not finite.
    """
    try:
        b = numbers(name, field).astype(float)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{error}; mu0*H in tesla is needed, a pair or a triple") from error
    if b.shape not in ((2,), (3,)):
        raise ValueError(f"{name}: got shape {b.shape}; mu0*H in tesla is needed, a pair (x, y) or a triple")
    parts = b.tolist()  # of three numbers Python knows faster than NumPy what they are, and a signal has hundreds of times
    if not all(map(math.isfinite, parts)):
        raise ValueError(f"{name}: got {said(field)}; every component must be finite")
    if max(map(abs, parts)) > 1000:
        raise ValueError(f"{name}: got {said(field)}; mu0*H in tesla is needed, and this looks like H in A/m")
    return np.array([*parts, 0.0]) if b.size == 2 else b


def vectors(fields: ArrayLike) -> np.ndarray:
    """Check n applied fields, pairs or triples, as `vector` does one: a float64 array (n, 3). Raises what it raises."""
    try:
        b = numbers("fields", fields).astype(float)
    except (TypeError, ValueError):
        b = np.empty(0)
    if b.ndim == 2 and b.shape[1] in (2, 3) and (np.abs(b) <= 1000).all():
        return np.hstack([b, np.zeros((len(b), 3 - b.shape[1]))])
    return np.array([vector(one) for one in listed("fields", fields, "a list of mu0*H in T")]).reshape(-1, 3)


def from_polar(strength: ArrayLike, direction: ArrayLike) -> np.ndarray:
    """Vectors (..., 3) in the plane of the film, of strengths mu0*H in T and directions in degrees from +x towards +y."""
    strength, direction = array("strength", strength), array("direction", direction)
    try:
        strength, angle = np.broadcast_arrays(strength, np.deg2rad(direction))
    except ValueError as error:
        raise ValueError(f"strength: got shape {strength.shape}, which does not go with that of the direction, {direction.shape}") from error
    return np.stack([strength * np.cos(angle), strength * np.sin(angle), np.zeros(angle.shape)], axis=-1)


def to_polar(fields: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Strength in the plane in T, and direction in degrees from 0 to 360, (...) each, of vectors (..., 2 or 3)."""
    fields = array("fields", fields, "(..., 2 or 3)")
    x, y = fields[..., 0], fields[..., 1]
    return np.hypot(x, y), np.rad2deg(np.arctan2(y, x)) % 360


def sample(field: Field, t: Sequence[float] | np.ndarray) -> np.ndarray:
    """A field at the times t (nt,) in s: (nt, 3), in T. Raises as `vector` does, and says at which time."""
    times = array("t", t, "(nt,)")
    if not callable(field):
        return np.repeat(vector(field)[None], len(times), axis=0)
    if isinstance(field, (Lines, Waves, Joined)) and (np.abs(values := field(times)) <= 1000).all():
        return values  # in one call: what is asked at a time of its own costs microseconds each
    values = np.empty((len(times), 3))
    for i, s in enumerate(times):
        try:
            values[i] = vector(field(s))
        except (ValueError, TypeError) as error:
            raise type(error)(f"{error} (at t = {s:g} s)") from error
    return values


def fan(n: int = 200, seed: int = SEED, *, angle: float = FAN["angle"], opening: float = FAN["opening"],
        strength: Sequence[float] = tuple(FAN["strength"]), sampling: str = "random") -> np.ndarray:
    """Fields of a fan: (n, 3), mu0*H in T, in the plane of the film.

    The defaults are the paper's: within 22 degrees of the -x axis, 22 mT to 41 mT, angle and strength uniform.
    angle, opening: middle and full width in degrees. strength: T. seed: the same seed gives the same fields on any
    machine, and the first fields of a larger n are those of a smaller one.
    sampling: "random", as in the paper, or "sobol", a quasi-random sequence that leaves fewer gaps.
    Raises ValueError, naming the argument.
    """
    check_counts(n=n)
    check_counts(0, seed=seed)
    low, high = array("strength", strength, "(2,)").tolist()
    if not 0 <= low <= high <= 1000:
        raise ValueError(f"strength: got {strength!r}; (lowest, highest) mu0*H in T is needed")
    angle, opening = number("angle", angle, "degrees are"), number("opening", opening, "degrees from 0 to 360 are", 0, 360)
    check_memory(64 * n, "n: so many fields")
    if choice("sampling", sampling, "random", "sobol") == "random":
        u = np.random.default_rng(seed).random((n, 2))
    else:
        from scipy.stats import qmc

        u = qmc.Sobol(2, rng=np.random.default_rng(seed)).random_base2(int(np.ceil(np.log2(n))))[:n]
    return from_polar(low + u[:, 1] * (high - low), angle + (u[:, 0] - 0.5) * opening)


# ---------------------------------------------------------------------------- signals in time


@dataclass(frozen=True, repr=False)
class Lines:
    """A field that goes in straight lines from value to value, and is constant before the first and after the last.

    times: (n,) in s, not decreasing; where one stands twice the field jumps, and has its new value there. fields: n triples in T.
    text: what it is. `step`, `pulse`, `ramp` and `piecewise` make it.
    """

    times: tuple[float, ...]
    fields: tuple[tuple[float, float, float], ...]
    text: str = field(compare=False)

    def __post_init__(self):
        n, times = len(array("fields", self.fields, "(n, 3)", finite=True)), array("times", self.times, "(n,)", finite=True)
        if not 0 < n == len(times) or (np.diff(times) < 0).any():
            raise ValueError(f"times: got {said(self.times)}; times in s that do not decrease, one for each of the {n} fields, are needed")
        _text(self.text)

    def __call__(self, t: ArrayLike) -> np.ndarray:
        """mu0*H in T, (3,), at the time t in s, or (nt, 3) at times (nt,)."""
        t, times, fields = np.asarray(t), np.array(self.times), np.array(self.fields)
        k = _passed(times, t)
        last, following = np.maximum(k - 1, 0), np.minimum(k, len(times) - 1)
        apart = times[following] - times[last]
        share = ((t - times[last]) / np.where(apart > 0, apart, np.inf))[..., None]
        return (1 - share) * fields[last] + share * fields[following]

    @property
    def breaks(self) -> tuple[float, ...]:
        """The times in s at which it jumps or bends."""
        return tuple(dict.fromkeys(self.times))

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, repr=False)
class Waves:
    """A constant field and a sum of waves: bias + sum of cosines (n, 3) cos(2 pi f t) + sines (n, 3) sin(2 pi f t).

    frequencies: (n,) in Hz, the others in T. text: what it is. `rotating` and `noise` make it.
    """

    frequencies: tuple[float, ...]
    cosines: tuple[tuple[float, float, float], ...]
    sines: tuple[tuple[float, float, float], ...]
    bias: tuple[float, float, float]
    text: str = field(compare=False)

    breaks = ()

    def __post_init__(self):
        n = len(array("frequencies", self.frequencies, "(n,)", finite=True))
        for name in ("cosines", "sines"):
            array(name, getattr(self, name), "(n, 3)", finite=True, n=n)
        array("bias", self.bias, "(3,)", finite=True)
        _text(self.text)

    def __call__(self, t: ArrayLike) -> np.ndarray:
        """mu0*H in T, (3,), at the time t in s, or (nt, 3) at times (nt,)."""
        phase = (2 * np.pi * np.array(self.frequencies) * np.asarray(t)[..., None])[..., None, :]  # a row a time: its sum is the same whatever the others
        return np.array(self.bias) + (np.cos(phase) @ np.array(self.cosines))[..., 0, :] + (np.sin(phase) @ np.array(self.sines))[..., 0, :]

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, repr=False)
class Joined:
    """Signals one after another: each begins at its time, with its own t = 0 there, and ends where the next begins.

    times: (n,) in s, increasing, the first 0. signals: n of `Lines` or `Waves`. text: what it is. `joined` makes it.
    """

    times: tuple[float, ...]
    signals: tuple[Lines | Waves, ...]
    text: str = field(compare=False)

    def __post_init__(self):
        _signals(self.signals)
        times = array("times", self.times, "(n,)", finite=True, n=len(self.signals))
        if times[0] or not (np.diff(times) > 0).all():
            raise ValueError(f"times: got {said(self.times)}; times in s that increase, the first 0, are needed")
        _text(self.text)

    def __call__(self, t: ArrayLike) -> np.ndarray:
        """mu0*H in T, (3,), at the time t in s, or (nt, 3) at times (nt,)."""
        t = np.asarray(t)
        at = np.maximum(_passed(self.times, t) - 1, 0)
        values = np.empty((*t.shape, 3))
        for k in np.unique(at):
            values[at == k] = self.signals[k](t[at == k] - self.times[k])
        return values

    @property
    def breaks(self) -> tuple[float, ...]:
        """The times in s at which it jumps or bends."""
        ends = (*self.times[1:], np.inf)
        inner = (begin + s for begin, end, one in zip(self.times, ends, self.signals) for s in one.breaks if begin + s < end)
        return tuple(sorted({*self.times, *inner}))

    def __repr__(self) -> str:
        return self.text


def step(field: ArrayLike, at: float = 0.0, rise: float = 0.0, before: ArrayLike = (0.0, 0.0)) -> Lines:
    """A field that is switched on: `before`, then from `at` on, in s, a straight line to `field` within `rise`, in s."""
    _times(at=at, rise=rise)
    field, before = vector(field), vector(before, "before")
    text = f"step to {_mT(field)} at {_ps(at)}, rise {_ps(rise)}, from {_mT(before)}"
    return _lines((at, before), (at + rise, field), text=text)


def pulse(field: ArrayLike, width: float, at: float = 0.0, rise: float = 0.0, bias: ArrayLike = (0.0, 0.0)) -> Lines:
    """A field that is added to a constant `bias` from `at` on: up within `rise`, and down again, in straight lines.

    width: between the middles of both flanks, in s, so that the area is field times width whatever the rise.
    """
    _times(at=at, rise=rise, width=width)
    if not 0 < width >= rise:
        raise ValueError(f"width: got {width!r}; s, more than 0 and at least the rise, are needed")
    field, bias = vector(field), vector(bias, "bias")
    top = bias + field
    text = f"pulse of {_mT(field)}, {_ps(width)} wide at {_ps(at)}, rise {_ps(rise)}, on {_mT(bias)}"
    return _lines((at, bias), (at + rise, top), (at + width, top), (at + width + rise, bias), text=text)


def ramp(start: ArrayLike, end: ArrayLike, duration: float, at: float = 0.0, back: bool = False) -> Lines:
    """A field that goes in a straight line from `start` to `end` within `duration`, in s; with `back` also back, as slowly."""
    _times(at=at, duration=duration)
    back = truth("back", back)
    if not duration > 0:
        raise ValueError(f"duration: got {duration!r}; s, more than 0, are needed")
    start, end = vector(start, "start"), vector(end, "end")
    text = f"ramp from {_mT(start)} to {_mT(end)}{' and back' if back else ''} in {_ps(duration)}{' each' if back else ''} from {_ps(at)} on"
    return _lines((at, start), (at + duration, end), *[(at + 2 * duration, start)] * back, text=text)


def piecewise(times: ArrayLike, fields: ArrayLike) -> Lines:
    """A field from a table: straight lines between `fields`, (n, 2 or 3) in T, at `times`, (n,) in s.

    Where a time stands twice the field jumps. Raises ValueError for times that decrease, naming the argument.
    """
    times = numbers("times", times).astype(float)
    fields = [vector(b, "fields") for b in listed("fields", fields, "a list of mu0*H in T")]
    if times.ndim != 1 or len(times) != len(fields) or not len(times) or not np.isfinite(times).all() or (np.diff(times) < 0).any():
        raise ValueError(f"times: got {times!r}; finite times in s that do not decrease, one for each of the {len(fields)} fields, "
                         "are needed")
    return _lines(*zip(times, fields), text=f"table of {len(times)} fields from {_ps(times[0])} to {_ps(times[-1])}")


def rotating(strength: float, frequency: float, direction: float = 0.0, bias: ArrayLike = (0.0, 0.0)) -> Waves:
    """A field of constant strength in T that turns in the plane, `frequency` times a second, from +x towards +y.

    direction: at t = 0, in degrees. A negative frequency turns the other way. It is added to a constant `bias`.
    """
    if not are_numbers(strength, frequency, direction):
        raise ValueError(f"strength, frequency, direction: got {(strength, frequency, direction)!r}; finite numbers are needed")
    (x, y, _), b = vector(from_polar(strength, direction), "strength"), vector(bias, "bias")
    text = f"{strength * 1e3:g} mT rotating at {frequency / 1e9:g} GHz from {direction:g}° on {_mT(bias)}"
    return Waves((float(frequency),), ((x, y, 0.0),), ((-y, x, 0.0),), tuple(b.tolist()), text)


def noise(strength: float, duration: float, cutoff: float = 3e9, seed: int = 0, bias: ArrayLike = (0.0, 0.0)) -> Waves:
    """A random field in the plane, smooth in time: waves of random size and phase up to the frequency `cutoff`, in Hz.

    strength: root mean square of its length, in T. duration: s, after which it repeats itself; the frequencies are whole
    multiples of 1/duration. seed: the same seed gives the same field on any machine. It is added to a constant `bias`.
    """
    _times(duration=duration)
    if not duration > 0:
        raise ValueError(f"duration: got {duration!r}; s, more than 0, are needed")
    strength = number("strength", strength, "mu0*H in T, from 0 to 1000, is", 0, 1000)
    if not (are_numbers(cutoff) and cutoff * duration >= 1 - 1e-9):
        raise ValueError(f"cutoff: got {said(cutoff)}; at least 1/duration = {1 / duration:g} Hz is needed")
    if not cutoff * duration < 1e6:
        raise ValueError(f"cutoff: got {cutoff:g} Hz, which in a duration of {duration:g} s makes {cutoff * duration:.0e} waves; "
                         "less than a million are needed")
    check_counts(0, seed=seed)
    bias, n = vector(bias, "bias"), int(np.floor(cutoff * duration * (1 + 1e-9)))
    waves = np.random.default_rng(seed).standard_normal((2, n, 2))
    waves *= strength / np.sqrt(np.sum(waves**2) / 2)
    cosines, sines = (tuple((x, y, 0.0) for x, y in one.tolist()) for one in waves)
    text = f"noise of {strength * 1e3:g} mT up to {cutoff / 1e9:g} GHz in {_ps(duration)}, seed {seed}, on {_mT(bias)}"
    return Waves(tuple((np.arange(1, n + 1) / duration).tolist()), cosines, sines, tuple(bias.tolist()), text)


def joined(signals: Sequence[Lines | Waves], durations: ArrayLike) -> Joined:
    """Signals one after another, each for its duration, (n,) in s; the last one goes on."""
    signals = _signals(signals)
    durations = array("durations", durations, "(n,)", n=len(signals))
    if not (durations > 0).all():
        raise ValueError(f"durations: got {durations.tolist()}; s, more than 0, are needed")
    begins = np.concatenate([[0.0], np.cumsum(durations[:-1])])
    text = "; ".join(f"from {_ps(t)}: {one!r}" for t, one in zip(begins, signals))
    return Joined(tuple(begins.tolist()), tuple(signals), text)


KINDS = ("constant", "step", "plateaus", "pulse", "ramp", "turn", "noise")
"""The kinds of pieces that `driven` draws by itself."""


def driven(n: int = 600, seed: int = SEED, duration: float = 4e-9, largest: float = 45e-3, kinds: Sequence[str] = KINDS) -> list[Joined]:
    """Fields in time that shake a film in every way: n signals, each of several pieces of any of the kinds, up to `largest`, in T.

    Pieces are 0.4 to 2 ns long, and each begins from whatever state the one before left behind. A field is uniform in direction
    and in strength. Rises take up to 0.3 ns, a turning field makes a quarter turn, noise goes up to 3 GHz.
    kinds: some of `KINDS`, or "reversal": strong and against the field before, or along -x where that points to +x or there is
    none; four in ten end within 0.4 ns, wherever the film is on its way. Or "kick": strong, in any direction, and over within
    0.2 ns, before the film has followed; what is left is at most a third.
    duration: s, of a signal. seed: the same seed gives the same signals on any machine, and the first of a larger n are those
    of a smaller one. Raises ValueError, naming the argument.
    """
    kinds = listed("kinds", kinds, "a list of kinds")
    if not kinds:
        raise ValueError("kinds: got none; one at least is needed")
    for kind in kinds:
        choice("kinds", kind, *KINDS, "reversal", "kick")
    check_counts(n=n)
    check_counts(0, seed=seed)
    duration = number("duration", duration, "a time in s, from 1e-12 to 1e-6, is", 1e-12, 1e-6)
    largest = number("largest", largest, "mu0*H in T, from 0 to 1000, is", 0, 1000)
    check_memory(4096 * int(n), "n: so many signals")
    return [_drawn(np.random.default_rng((seed, i)), duration, largest, kinds) for i in range(n)]


def _drawn(rng, duration, largest, kinds):
    """One signal of `driven`."""
    signals, durations, last = [], [], np.zeros(3)
    while sum(durations) < duration:
        durations.append(round(rng.uniform(0.4, 2.0), 2) * 1e-9)  # a jump from piece to piece lies at the time of a state
        signals.append(_piece(rng, str(rng.choice(kinds)), durations[-1], largest, last))
        last = np.round(signals[-1](durations[-1]), 12)
    return joined(signals, durations)


def _piece(rng, kind, duration, largest, last):
    """One piece of a signal, of a kind, that begins at the field `last` where it does not jump."""
    def anything(share=1.0):
        return from_polar(share * largest * rng.uniform(), rng.uniform(0, 360))

    rise = rng.uniform(0.01e-9, 0.3e-9)
    if kind == "constant":
        return step(anything(), before=last)
    if kind == "step":
        return step(anything(), rng.uniform(0, duration / 2), rise, last)
    if kind == "plateaus":
        edges = np.sort(rng.uniform(0, duration, rng.integers(2, 5)))
        fields = [last, *(anything() for _ in edges)]
        ends = np.minimum(edges + rise, [*edges[1:], np.inf])
        return piecewise(np.column_stack([edges, ends]).ravel(), [b for pair in zip(fields, fields[1:]) for b in pair])
    if kind == "pulse":
        bias = anything(0.5)
        width = rng.uniform(0.1e-9, 0.6e-9)
        return pulse(anything(0.5), width, rng.uniform(0, duration / 2), min(rise, width), bias)
    if kind == "reversal":
        against = from_polar(largest * rng.uniform(0.4, 1), (180 if last[0] >= 0 else 0) + rng.uniform(-30, 30))
        rise *= rng.choice([0, 1 / 3])
        if rng.uniform() < 0.4:
            end = round(rng.uniform(0.05, 0.4), 2) * 1e-9
            return piecewise([0, min(rise, end), end, end + rise], [last, against, against, anything(0.3)])
        return step(against, rise=rise, before=last)
    if kind == "kick":
        rise, width = rng.uniform(0.01e-9, 0.05e-9), rng.uniform(0.03e-9, 0.15e-9)
        strong, rest = from_polar(largest * rng.uniform(0.4, 1), rng.uniform(0, 360)), anything(0.3) * rng.choice([0, 1])
        return piecewise([0, rise, max(rise, width), max(rise, width) + rise], [last, strong, strong, rest])
    if kind == "ramp":
        return ramp(last, anything(), duration * rng.uniform(0.3, 1))
    if kind == "turn":
        return rotating(largest * rng.uniform(0.2, 1), rng.choice([-1, 1]) / (4 * duration), rng.uniform(0, 360))
    bias = anything(0.5)
    seed, t = int(rng.integers(2**31)), np.linspace(0, duration, 400)
    whole = noise(1.0, duration, rng.uniform(1 / duration, 3e9), seed)
    highest = np.linalg.norm(sample(whole, t), axis=1).max()  # so that it stays below the largest
    return noise((largest - np.linalg.norm(bias)) * rng.uniform(0.2, 1) / highest, duration, max(whole.frequencies), seed, bias)


def means(field: Field, t: Sequence[float] | np.ndarray, parts: int = 4) -> np.ndarray:
    """The mean of a field over each interval between times t (nt,) in s, from the middles of its equal `parts`: (nt - 1, 3), in T.

    What moves a state from one time to the next, to first order: the equation is linear in the applied field.
    """
    times = array("t", t, "(nt,)")
    check_counts(parts=parts)
    middles = times[:-1, None] + (np.arange(parts) + 0.5) / parts * np.diff(times)[:, None]
    return sample(field, middles.ravel()).reshape(-1, parts, 3).mean(axis=1)


def describe(field: Field) -> str:
    """A text that tells a field from every other, for the manifest of a data set.

    Of a signal what it prints, and a hash of all its numbers; of a function its module and name. Raises TypeError for what has
    neither, such as an object whose `repr` is its place in memory.
    """
    if not callable(field):
        return repr(vector(field).tolist())
    if isinstance(field, (Lines, Waves, Joined)):
        parts = dataclasses.astuple(dataclasses.replace(field, text=""))
        return f"{field!r} [{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}]"
    if hasattr(field, "__qualname__"):
        return f"{field.__module__}.{field.__qualname__}"
    if " at 0x" in repr(field):
        raise TypeError(f"field: got {field!r}; give its class a `__repr__` that says which field it is")
    return repr(field)


def _lines(*points, text):
    """A `Lines` through points (time, field)."""
    times, fields = zip(*((float(t), tuple(vector(b).tolist())) for t, b in points))
    return Lines(times, fields, text)


def _signals(signals):
    """A list of `Lines` and `Waves`."""
    signals = listed("signals", signals, "a list of signals")
    if not signals or not all(isinstance(one, (Lines, Waves)) for one in signals):
        raise TypeError(f"signals: got {said(signals)}; a list of signals such as `step` and `noise` make them is needed")
    return signals


def _text(text):
    if not isinstance(text, str):
        raise TypeError(f"text: got {said(text)}; a text is needed")


def _passed(times, t):
    """How many of the times have passed at t: after a jump at t, also where rounding has made 5 * 1e-11 a little less than 5e-11."""
    return np.searchsorted(times, t + 1e-12 * np.abs(t), side="right")


def _times(**times):
    for name, value in times.items():
        number(name, value, "a time in s, from 0 to 1, is", 0, 1)


def _mT(field):
    return f"({', '.join(f'{v * 1e3:g}' for v in vector(field)[:3 if vector(field)[2] else 2])}) mT"


def _ps(t):
    return f"{t * 1e12:g} ps"
