"""Checks of what is learned from runs: assignments 7 to 9."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from .. import applied
from .._arguments import check_counts
from .._arguments import number as a_number
from ..film import Film, unit
from ..llg import simulate
from ._check import Stopped, call, generator, given, grade


def _networks(*names):
    """Functions of modules that need Keras, "module.function". Where there is no Keras they are nobody's answer."""
    try:
        from .. import autoencoder, pca, rom, stepper
    except ImportError:
        return ()
    there = {"autoencoder": autoencoder, "pca": pca, "rom": rom, "stepper": stepper}
    found = []
    for name in names:
        module, *rest = name.split(".")
        one = there[module]
        for part in rest:
            one = getattr(one, part)
        found.append(one)
    return tuple(found)


# ---------------------------------------------------------------------------- assignment 7


def _turned(m, degrees):
    """Vectors (..., 3) turned in the plane, about z."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return m @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])


def _slope(loss, guess, m, weight, h=1e-6):
    """The derivative of a loss by the guess, (n, 3), from differences."""
    return np.stack([(call(loss, guess + step, m, weight, shape=guess.shape[:1], what="Your loss")
                      - call(loss, guess - step, m, weight, shape=guess.shape[:1], what="Your loss")) / (2 * h) for step in h * np.eye(3)], axis=-1)


def vector_loss(loss: Callable, *, points: float = 4, seed: int = 0) -> float:
    """Check what a guess of a unit vector costs, assignment 7; prints what holds, and returns points.

    loss: (guess, m, weight) -> (n,), the cost of each guess (n, 3) of unit vectors m (n, 3); an error of m_z counts `weight` times.
    points: for all properties. seed: of what is drawn. Raises ValueError for points or a seed that is none.
    """
    rng = generator(seed)
    m, guess = unit(rng.standard_normal((40, 3))), rng.standard_normal((40, 3))
    flat = unit(rng.standard_normal((40, 3)) * [1, 1, 0])
    weight = rng.uniform(3, 20)

    def cost(guess, m, weight=weight):
        return call(loss, guess, m, weight, shape=(len(m),))

    def truth():
        """The truth costs nothing, and whatever points elsewhere costs something."""
        if np.abs(cost(m, m)).max() > 1e-9:
            return f"Yours costs up to {np.abs(cost(m, m)).max():.3g} at the truth."
        aside = unit(np.cross(m, guess))
        return None if cost(aside, m).min() > 1e-3 else f"In yours a vector at right angles to the truth costs {cost(aside, m).min():.3g}."

    def alone():
        """Each vector has its own cost, whatever the others do."""
        each = np.concatenate([cost(guess[i:i + 1], m[i:i + 1]) for i in range(len(m))])
        return None if np.allclose(cost(guess, m), each, rtol=1e-6) else "In yours the cost of a vector changes with the company that it is in."

    def length():
        """The right direction alone is not enough: too short costs, and so does too long, the more the farther."""
        for name, lengths in (("short", (0.9, 0.6, 0.3)), ("long", (1.1, 1.5, 2.0))):
            costs = np.array([cost(s * flat, flat) for s in lengths])
            if costs.min() < -1e-9:
                return f"Vectors that are too {name} cost less than the truth: is the sign of |guess| - 1 kept?"
            if costs[0].min() < 1e-6:
                return f"Vectors that are too {name} cost nothing."
            if not (np.diff(costs, axis=0) > 0).all():
                return f"Vectors of length {lengths[2]:g} cost no more than those of length {lengths[1]:g}."
        return None

    def direction():
        """The farther a vector is turned away, the more it costs."""
        angles = (0, 15, 45, 90, 135, 180)
        costs = np.array([cost(_turned(flat, angle), flat) for angle in angles])
        for i, grows in enumerate((np.diff(costs, axis=0) > 1e-9).all(axis=1)):
            if not grows:
                return f"Turned by {angles[i + 1]} degrees some cost no more than turned by {angles[i]}."
        return None

    def honest():
        """Of two guesses equally far from the truth, the one that is no unit vector costs more."""
        d = rng.uniform(0.2, 0.5)
        right = cost(_turned(flat, np.rad2deg(2 * np.arcsin(d / 2))), flat)
        for name, s in (("short", 1 - d), ("long", 1 + d)):
            if not (cost(s * flat, flat) > right * (1 + 1e-6)).all():
                return f"One that is too {name} costs no more. The distance alone does not know that m is a unit vector."
        return None

    def mz():
        """A small error of m_z costs `weight` times what the same error costs in the plane."""
        aside, up = unit(flat + 1e-3 * np.cross([0, 0, 1], flat)), unit(flat + [0, 0, 1e-3])
        for w in (weight, 1.0):
            times = np.median(cost(up, flat, w) / cost(aside, flat, w))
            if not abs(times / w - 1) < 0.03:
                return f"With a weight of {w:.3g} yours costs {times:.3g} times as much" + (
                    ": the weight is squared." if w != 1 and abs(times / w**2 - 1) < 0.03 else ".")
        return None

    def plane():
        """The axes x and y are ours: whoever turns film and guess together pays the same, and so does their mirror image in z."""
        before = cost(guess, m)
        for angle in (30, 45, rng.uniform(50, 80)):
            after = cost(_turned(guess, angle), _turned(m, angle))
            if not np.allclose(before, after, rtol=1e-6):
                return f"Turned by {angle:.3g} degrees some pay {np.max(after / before):.3g} times as much. A sum of absolute values knows where x and y are."
        mirror = np.array([1, 1, -1])
        return None if np.allclose(before, cost(guess * mirror, m * mirror), rtol=1e-6) else "Up and down do not cost the same."

    return grade([truth, alone, length, direction, honest, mz, plane], points, forbidden=_networks("autoencoder.loss"))


def loss_gradient(gradient: Callable, loss: Callable, *, points: float = 4, seed: int = 0) -> float:
    """Check the derivative of a loss, assignment 7; prints what holds, and returns points.

    gradient: (guess, m, weight) -> (n, 3), the derivative by the guess of what loss: (guess, m, weight) -> (n,) gives, as
    `vector_loss` has it. points: for all properties. seed: of what is drawn. Raises ValueError for points or a seed that is none.
    """
    rng = generator(seed)
    m, guess = unit(rng.standard_normal((30, 3))), rng.standard_normal((30, 3))
    weight = rng.uniform(3, 20)

    def slope(guess):
        return call(gradient, guess, m, weight, shape=m.shape, what="Your gradient")

    def differences():
        """Pushed a little, a guess costs as much more as the gradient says."""
        true, yours = _slope(loss, guess, m, weight), slope(guess)
        if np.abs(true).max() < 1e-6:
            return "Your loss does not change at all when a guess is pushed: there is no way down."
        off = np.abs(yours - true).max(axis=-1) / np.abs(true).max()
        worst = off.argmax()
        if off[worst] < 1e-4:
            return None
        if np.abs(yours + true).max() < 1e-4 * np.abs(true).max():
            return "Yours has the opposite sign: it points downhill."
        return f"At guess {np.round(guess[worst], 2)} yours is {np.round(yours[worst], 3)}, and differences of your loss say {np.round(true[worst], 3)}."

    def nothing():
        """An untrained network may answer with a vector of length zero: the gradient is a number there too."""
        largest = np.abs(slope(0 * m)).max()
        around = np.abs(_slope(loss, guess, m, weight)).max()
        return None if largest < 100 * around else f"It is {largest:.3g} there, and at most {around:.3g} elsewhere."

    def there():
        """Where a guess is right the gradient is a number, and no larger than elsewhere."""
        largest, around = np.abs(slope(m)).max(), np.abs(_slope(loss, guess, m, weight)).max()
        return None if largest < 2 * around else f"It is {largest:.3g} there, and at most {around:.3g} elsewhere."

    return grade([differences, nothing, there], points, forbidden=_networks("autoencoder.loss"))


def descent(descend: Callable, loss: Callable, *, points: float = 4, seed: int = 0) -> float:
    """Check a way down a loss, assignment 7; prints what holds, and returns points.

    descend: (start, m, weight) -> (steps, n, 3), the guesses on the way from start (n, 3), which is the first, towards the unit
    vectors m (n, 3). loss: as `vector_loss` has it. points: for all properties. seed: of what is drawn. Raises ValueError for
    points or a seed that is none.
    """
    rng = generator(seed)
    m = unit(rng.standard_normal((30, 3)))
    towards = unit(rng.standard_normal((30, 3)))
    towards *= np.where(np.sum(towards * m, axis=-1) < -0.8, -1, 1)[:, None]  # exactly opposite is a saddle, where a right way may stay
    start = towards * np.repeat([0.2, 0.9, 1.4], 10)[:, None]

    def path():
        answer = call(descend, start, m, 10.0)
        steps = np.shape(answer)[0] if np.ndim(answer) == 3 else 0
        return given(answer, (steps or "steps", *m.shape), "What your function returns")

    def begins():
        """It begins at the start, and goes on in steps."""
        way = path()
        if np.abs(way[0] - start).max() > 1e-9:
            return "Your first guess is not the start."
        return None if len(way) > 2 else f"Yours has {len(way)} guesses; one for each step is needed."

    def down():
        """The first step goes straight down, against the gradient."""
        first = np.diff(path()[:2], axis=0)[0]
        slope = _slope(loss, start, m, 10.0)
        along = -np.sum(unit(first) * unit(slope), axis=-1)
        return None if along.min() > 0.99 else f"In yours one goes off by {np.rad2deg(np.arccos(np.clip(along.min(), -1, 1))):.0f} degrees."

    def arrives():
        """It ends at the truth, wherever it begins: too short, too long, or turned away."""
        away = np.linalg.norm(path()[-1] - m, axis=-1)
        if away.max() < 0.05:
            return None
        worst = away.argmax()
        return f"{np.count_nonzero(away >= 0.05)} of 30 do not. One that began at {np.round(start[worst], 2)} is {away[worst]:.2g} away from {np.round(m[worst], 2)}."

    return grade([begins, down, arrives], points)


# ---------------------------------------------------------------------------- assignments 8 and 9

FILM = Film(cells=(32, 8))
"""Standard problem 4's, so coarse that a nanosecond takes a hundredth of a second."""

EACH = 5  # of a run's states one in so many is looked at


def latent_numbers(number: int) -> int:
    """How many numbers the autoencoder of a student's number has, 4 to 7. Raises ValueError for what is no whole number of at least 0."""
    check_counts(0, number=number)
    return 4 + int(number) % 4


@lru_cache(maxsize=8)
def _runs(n, seed, fan):
    """Fields (n, 3) and the states (n, 101, ny, nx, 3) that they lead to. fan: what `applied.fan` takes beside, as pairs."""
    fields = applied.fan(n, seed, **dict(fan))
    return fields, np.stack([simulate(b, FILM, progress=False).m for b in fields])


def _components(states, k):
    """Mean (p,) and first k components (k, p) of states (n, p)."""
    mean = states.mean(axis=0)
    values, vectors = np.linalg.eigh((states - mean).T @ (states - mean))
    return mean, vectors[:, ::-1][:, :k].T


def autoencoder(encode: Callable, decode: Callable, number: int, *, share: float = 1.1, points: float = 4, seed: int = 0) -> float:
    """Check an autoencoder of coarse states on fields that it has not seen, assignment 8; prints what holds, and returns points.

    encode: m (n, 8, 32, 3) -> (n, k), with k = latent_numbers(number). decode: back. share: of the error of k principal components,
    more than which the error may not be; those are the components of the 40 runs of `applied.fan(40)`. points: for all
    properties. seed: of the fields. Raises ValueError for points, a share or a seed that is none.
    """
    rng = generator(seed)
    largest = a_number("share", share, "a number greater than 0 is", 1e-9)
    fresh = int(rng.integers(10**6, 10**9))

    known, held = (_runs(*which, ())[1] for which in ((40, applied.SEED), (32, fresh)))  # here, so that no property waits for them

    def held_out():
        return held[:, 1::EACH].reshape(-1, FILM.ny, FILM.nx, 3)

    def size():
        try:
            return latent_numbers(number)
        except ValueError as error:
            raise Stopped(f"Your number is no whole number of at least 0: {error}.") from None

    def to_numbers(m):
        return call(encode, m, shape=(len(m), size()), what="Your encoder")

    def to_states(c):
        return call(decode, c, shape=(len(c), FILM.ny, FILM.nx, 3), what="Your decoder")

    def error(out, m):
        return np.linalg.norm(out - m) / np.linalg.norm(m)

    def fits():
        """It goes from states to k numbers and back, and what comes back has something of what went in."""
        m = held_out()[::8]
        out = to_states(to_numbers(m))
        lost = error(out, m)
        return None if lost < 0.7 else f"k is {size()}; of states that yours has not seen it loses {lost:.0%}."

    def better():
        m = held_out()
        mean, axes = _components(known[:, 1:].reshape(-1, FILM.ny * FILM.nx * 3), size())
        d = m.reshape(len(m), -1) - mean
        theirs = np.linalg.norm(d - d @ axes.T @ axes) / np.linalg.norm(m)
        ours = error(to_states(to_numbers(m)), m)
        if ours <= largest * theirs:
            return None
        old = known[::3, 1::EACH].reshape(-1, FILM.ny, FILM.nx, 3)
        seen = error(to_states(to_numbers(old)), old)
        return f"Yours loses {ours:.3f}, the components {theirs:.3f}: {ours / theirs:.2f} times as much." + (
            f" Of the states it has learned from it loses {seen:.3f}: it has learned them by heart." if seen < 0.7 * ours else "")

    better.__doc__ = f"""On fields that it has not seen it loses at most {largest:g} times what k principal components lose."""

    def length():
        """What comes back are unit vectors, as all magnetization is."""
        lengths = np.linalg.norm(to_states(to_numbers(held_out()[::8])), axis=-1)
        return None if np.abs(lengths - 1).max() < 1e-3 else f"The lengths of yours go from {lengths.min():.3g} to {lengths.max():.3g}."

    def alone():
        """Each state is squeezed and comes back by itself: what else is in the batch does not matter."""
        m = held_out()[rng.permutation(640)[:16]]
        c = to_numbers(m)
        near = 1e-3 * np.abs(c).max()
        if max(np.abs(to_numbers(m[i:i + 1]) - c[i]).max() for i in range(4)) > near:
            return "One state alone gets other numbers than in a batch. Is a mean taken over the batch?"
        out = to_states(c)
        if max(np.abs(to_states(c[i:i + 1]) - out[i]).max() for i in range(4)) > 1e-2:
            return "The numbers of one state alone come back as another state than in a batch."
        return None if np.abs(to_states(c[::-1])[::-1] - out).max() < 1e-2 else "In another order other states come back."

    def only():
        """The numbers are all that is kept: rounded a little, they still mean nearly the same state."""
        m = held_out()[::8]
        c = to_numbers(m)
        rounded = c + 1e-4 * c.std() * rng.standard_normal(c.shape)
        off = error(to_states(rounded), to_states(c))
        return None if off < 0.02 else f"Numbers that differ by a ten-thousandth come back as states that differ by {off:.0%}: what is in their last digits?"

    return grade([fits, better, length, alone, only], points, forbidden=_networks("pca.fit", "pca.PCA.encode", "pca.PCA.decode", "rom.ReducedOrderModel.encode",
                                                                                "rom.ReducedOrderModel.decode"))
