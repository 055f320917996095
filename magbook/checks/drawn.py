"""Checks of a film that is drawn from a student's number: whether it makes 360 degree walls, and how it rings. Assignments 5 and 6."""

import contextlib
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from .. import applied, metrics
from .._arguments import check_counts
from ..film import Film
from ..llg import relax, s_state, simulate
from ._check import Stopped, call, generator, given, grade, ours

BINS = 5e-9
"""How long a film is listened to, in s: one over it is one bin of the spectrum."""


def _draw(number):
    check_counts(0, number=number)
    rng = np.random.default_rng(int(number))
    length, ratio = rng.uniform(460e-9, 560e-9), rng.uniform(0.23, 0.27)
    # also at the ends of these ranges there is one threshold, sharp, between 0.02 and 0.25; shorter films in weaker fields make no walls at all
    return Film((length, ratio * length, 3e-9), (64, 16)), applied.from_polar(rng.uniform(36e-3, 41e-3), rng.uniform(188.2, 190))


def film_of(number: int) -> Film:
    """The permalloy film of a student's number, at least 0: 64 x 16 cells. Raises ValueError for what is no such number."""
    return _draw(number)[0]


def field_of(number: int) -> np.ndarray:
    """The field that reverses the film of a student's number: (3,), mu0*H in T. Raises ValueError for what is no such number."""
    return _draw(number)[1]


def _film(number):
    """The film of a number that an answer gave."""
    try:
        return film_of(number)
    except ValueError as error:
        raise Stopped(f"Your number is no whole number of at least 0: {error}.") from None


# ---------------------------------------------------------------------------- walls


def turns(f: Callable, *, points: float = 4, seed: int = 0) -> float:
    """Check how often the magnetization turns along a film, assignment 5; prints what holds, and returns points.

    f: m (nt, ny, nx, 3) -> turns (nt,): the in-plane angle along the middle row, its highest minus its lowest value, in full
    turns. points: for all properties. seed: of what is drawn. Raises ValueError for points or a seed that is none.
    """
    rng = generator(seed)
    nx, ny = int(rng.integers(40, 60)), 2 * int(rng.integers(3, 6))
    along = np.arange(nx) / (nx - 1)

    def states(angles, rows=slice(None)):
        """States (nt, ny, nx, 3) with these angles (nt, nx), and any in other rows."""
        angles = np.broadcast_to(angles[:, None], (len(angles), ny, nx)).copy()
        if rows != slice(None):
            other = rng.uniform(-np.pi, np.pi, angles.shape)
            other[:, rows] = angles[:, rows]
            angles = other
        return np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=-1)

    def count(angles, *rows):
        return call(f, states(angles, *rows), shape=(len(angles),))

    def helix():
        """Moments that go around evenly from left to right have made as many turns as they went around, whichever way."""
        true = np.array([0.4, 1.0, 1.7, -1.3]) * rng.uniform(0.9, 1.1)
        got = count(2 * np.pi * true[:, None] * along + rng.uniform(-3, 3))
        if np.abs(got).max() < 1e-9:
            return "Yours are 0."
        if np.abs(got / np.abs(true) - 2 * np.pi).max() < 1e-6:
            return "Yours are in radians: a turn is 2 pi."
        if got[2] < 1.2:
            return f"Yours never says more than {got.max():.2g}. An angle from arctan2 jumps from pi to -pi; follow it from cell to cell."
        return None if np.abs(got - np.abs(true)).max() < 1e-6 else f"For {true[3]:.3g} turns yours says {got[3]:.3g}, for {true[2]:.3g} {got[2]:.3g}."

    def back():
        """What is turned forth and then back counts: the highest angle minus the lowest, not the end minus the beginning."""
        size = rng.uniform(1.1, 1.4)
        got = count(2 * np.pi * size * np.sin(np.pi * along)[None])[0]
        highest = size * np.sin(np.pi * along).max()
        return None if abs(got - highest) < 1e-6 else f"For {highest:.3g} turns forth and back yours says {got:.3g}."

    def uniform():
        """A film that points one way has made none, wherever it points, and if its moments waver a little."""
        got = count(np.arange(8)[:, None] * np.pi / 4 + 1e-3 * rng.standard_normal((8, nx)))
        return None if np.abs(got).max() < 0.01 else f"Yours says {got.max():.3g} for a film that points in the direction of {45 * got.argmax()} degrees."

    def middle():
        """The middle row is looked at, row ny // 2, whatever the others do."""
        true = rng.uniform(0.5, 1.5, 3)
        got = count(2 * np.pi * true[:, None] * along, ny // 2)
        return None if np.abs(got - true).max() < 1e-6 else "In yours other rows matter."

    return grade([helix, back, uniform, middle], points, forbidden=(metrics.twist,))


@ours
@lru_cache(maxsize=64)
def _most_turns(number, alpha):
    """How often the film of a number turns along its middle at most, in the nanosecond after its field is switched on."""
    film, field = _draw(number)
    run = simulate(field, film.replace(alpha=alpha), start=s_state(film, progress=False), progress=False)
    return metrics.twist(run.m).max() / (2 * np.pi)


def damping(alpha: float, number: int, *, points: float = 4, seed: int = 0) -> float:
    """Check the smallest damping without a 360 degree wall, assignment 5; prints what holds, and returns points.

    alpha: the answer, for the film and field of a student's number. points: for all properties. seed: as the others have it;
    nothing is drawn. Raises ValueError for points or a seed that is none.
    """
    generator(seed)

    def most(times):
        _film(number)
        value = float(given(alpha, ()))
        if not 0 < value < 1:
            raise Stopped(f"Yours is {value:.3g}; the film of number {number} needs one between 0 and 1.")
        return times * value, _most_turns(int(number), times * value)

    def with_less(share):
        value, found = most(share)
        return None if found > 1 else f"With {value:.3g} the film of number {number} turns {found:.4f} times at most: no wall. There is a smaller damping without one."

    def with_more(share):
        value, found = most(share)
        return None if found <= 1 else f"With {value:.3g} the film of number {number} turns {found:.4f} times: a wall. Yours is too small."

    def near():
        """With a fifth less damping there is a wall, and with a fifth more there is none."""
        return with_more(1.2) or with_less(0.8)

    def less():
        """With five per cent less damping there is a wall."""
        return with_less(0.95)

    def more():
        """With five per cent more there is none."""
        return with_more(1.05)

    with contextlib.suppress(Stopped):  # the runs are ours, and compiled at the first: no time of the student's
        for share in (0.8, 0.95, 1.05, 1.2):
            most(share)
    return grade([near, less, more], points)


# ---------------------------------------------------------------------------- ringing


def loudest(f: Callable, *, points: float = 4, seed: int = 0) -> float:
    """Check how the loudest frequency of a signal is found, assignment 6; prints what holds, and returns points.

    f: (t, signal) -> frequency in Hz. t: (nt,) in s, evenly spaced. signal: (nt,). points: for all properties. seed: of what is
    drawn. Raises ValueError for points or a seed that is none.
    """
    rng = generator(seed)
    high, low = rng.uniform(7e9, 9e9), rng.uniform(3e9, 5e9)

    def found(signal, duration=BINS, every=1e-11, begin=0.0):
        t = begin + np.arange(0, duration, every)
        return float(call(f, t, signal(t - begin), shape=()))

    def tone(frequency, size=1.0):
        return lambda t: size * np.exp(-t / 2e-9) * np.sin(2 * np.pi * frequency * t + 0.3)

    def off(got, true, bin=1 / BINS):
        if abs(got - true) < bin:
            return None
        for words, factor in (("That is 2 pi times as much: radians in a second, not turns.", 2 * np.pi), ("Is that in GHz? Hz are needed.", 1e-9),
                              ("Each turn seems to be counted twice.", 2.0),
                              ("That is the number of the bin. Bins lie one over the duration apart.", BINS),
                              ("That is turns from one time to the next, not in a second: how far apart are the times?", 1e-11)):
            if abs(got / factor - true) < bin:
                return f"For {true / 1e9:.3g} GHz yours says {got:.4g} Hz. {words}"
        return f"For {true / 1e9:.3g} GHz yours says {got:.4g} Hz."

    def single():
        """A tone that dies away has its own frequency, to one bin, which is one over the duration."""
        return off(found(tone(high)), high) or off(found(tone(low)), low)

    def rest():
        """What a signal swings around is no tone: a constant may be added."""
        return off(found(lambda t: 5 + tone(low)(t)), low)

    def louder():
        """Of two tones the louder one counts, be it the higher or the lower."""
        return (off(found(lambda t: tone(low)(t) + tone(high, 0.6)(t)), low) or off(found(lambda t: tone(low, 0.6)(t) + tone(high)(t)), high))

    def clock():
        """The times are in t: another spacing, duration or beginning changes nothing."""
        return off(found(tone(low), 3e-9, 2e-11, 7e-9), low, 1 / 3e-9) or off(found(tone(high), 8e-9, 5e-12), high, 1 / 8e-9)

    return grade([single, rest, louder, clock], points)


@ours
@lru_cache(maxsize=64)
def _rings(number, bias):
    """The loudest frequency of mean mz in Hz, after a pulse of 5 mT along y for 50 ps, in a field of `bias` T along x."""
    film = film_of(number).replace(alpha=0.01)
    start = relax(film, (bias, 0), progress=False)
    run = simulate(applied.pulse((0, 5e-3), width=5e-11, bias=(bias, 0)), film, start=start, duration=BINS, progress=False)
    mz = run.mean[5:, 2] - run.mean[5:, 2].mean()
    n = 16 * len(mz)
    return np.fft.rfftfreq(n, 1e-11)[np.abs(np.fft.rfft(mz * np.hanning(len(mz)), n)).argmax()]


def _ring(number, *biases):
    """Let a film ring before a check begins: the runs are ours, and compiled at the first, which is no time of the student's."""
    with contextlib.suppress(Stopped):
        _film(number)
        for bias in biases:
            _rings(int(number), bias)


def _off_by(got, true):
    if abs(got - true) < 1 / BINS:
        return None
    if abs(got / (2 * np.pi) - true) < 1 / BINS:
        return "Yours is 2 pi times as high: radians in a second."
    if abs(got * 1e9 - true) < 1 / BINS:
        return "Yours seems to be in GHz; Hz are needed."
    return f"Yours says {got / 1e9:.3g} GHz."


def ringing(frequency: float, number: int, *, points: float = 4, seed: int = 0) -> float:
    """Check the frequency at which a film rings, assignment 6; prints what holds, and returns points.

    frequency: the answer in Hz, for the film of a student's number. points: for all properties. seed: as the others have it; nothing is
    drawn. Raises ValueError for points or a seed that is none.
    """
    generator(seed)

    def rings():
        """The film of your number rings at this frequency, to one bin of 0.2 GHz."""
        _film(number)
        return _off_by(float(given(frequency, ())), _rings(int(number), 0.0))

    _ring(number, 0.0)
    return grade([rings], points)


def stiffening(frequencies: np.ndarray, number: int, *, points: float = 4, seed: int = 0) -> float:
    """Check how a film's frequency rises with a field along it, assignment 6; prints what holds, and returns points.

    frequencies: (5,) in Hz, in 0, 10, 20, 30 and 40 mT along +x, for the film of a student's number. points: for all properties.
    seed: as the others have it; nothing is drawn. Raises ValueError for points or a seed that is none.
    """
    generator(seed)

    def one(k):
        _film(number)
        wrong = _off_by(given(frequencies, (5,))[k], _rings(int(number), k * 0.01))
        return f"In {10 * k} mT: {wrong}" if wrong else None

    def rises():
        """A field along the film holds the moments tighter: the stronger it is, the higher the film rings."""
        f = given(frequencies, (5,))
        return one(0) or (None if (np.diff(f) > 0).all() else f"Yours goes {', '.join(f'{v / 1e9:.3g}' for v in f)} GHz.")

    def strong():
        """In 40 mT it rings at this frequency, to one bin."""
        return one(4)

    def between():
        """In 10, 20 and 30 mT too."""
        return one(1) or one(2) or one(3)

    _ring(number, *(k * 0.01 for k in range(5)))
    return grade([rises, strong, between], points)
