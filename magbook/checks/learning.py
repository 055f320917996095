"""Checks of what is learned from runs: assignments 7 to 9."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from .. import applied, baselines, llg, multirate
from .._arguments import check_counts
from .._arguments import number as a_number
from ..film import Film, unit
from ._check import Stopped, call, generator, given, grade

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

    return grade([truth, alone, length, direction, honest, mz, plane], points, forbidden=("autoencoder.loss",))


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

    return grade([differences, nothing, there], points, forbidden=("autoencoder.loss",))


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
    return fields, np.stack([llg.simulate(b, FILM, progress=False).m for b in fields])


def components(states: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean (p,) and first k components (k, p) of states (n, p)."""
    mean = states.mean(axis=0)
    values, vectors = np.linalg.eigh((states - mean).T @ (states - mean))
    return mean, vectors[:, ::-1][:, :k].T


@lru_cache
def _known_components(k):
    """Those of the 40 runs of `applied.fan(40)`."""
    return components(_runs(40, applied.SEED, ())[1][:, 1:].reshape(-1, FILM.ny * FILM.nx * 3), k)


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
        mean, axes = _known_components(size())
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

    return grade([fits, better, length, alone, only], points, forbidden=(
        "pca.fit", "pca.PCA.encode", "pca.PCA.decode", "rom.ReducedOrderModel.encode", "rom.ReducedOrderModel.decode"))


# ---------------------------------------------------------------------------- assignment 9

HISTORY = 4

RINGING = (("angle", 0.0), ("opening", 360.0), ("strength", (1e-3, 6e-3)))
"""Fields of any direction that do not reverse the film, as `applied.fan` takes them."""


def rollout(f: Callable, *, points: float = 4, seed: int = 0) -> float:
    """Check a rollout, assignment 9; prints what holds, and returns points.

    f: (step, first, field) -> states (nt, k). step: (history (h, k), b (2,)) -> (k,), the state after the last of h states, oldest
    first, in a field b. first: (h, k), the known states. field: (nt, 2), at each time. points: for all properties. seed: of
    what is drawn. Raises ValueError for points or a seed that is none.
    """
    rng = generator(seed)
    h, k, nt = int(rng.integers(3, 6)), int(rng.integers(3, 6)), int(rng.integers(12, 20))
    first, field = rng.standard_normal((h, k)), rng.standard_normal((nt, 2))

    def rolled(step, first=first, field=field):
        return call(f, step, first, field, shape=(nt, k))

    def moves():
        """It begins with the states that are known, and goes on as the step says, to the last time."""
        begin, speed = rng.standard_normal((2, k))
        line = begin + np.arange(nt)[:, None] * speed
        out = rolled(lambda past, b: 2 * past[-1] - past[-2], line[:h])
        if np.abs(out[:h] - line[:h]).max() > 1e-9:
            return "Yours does not begin with the known states."
        off = np.abs(out - line).max(axis=1)
        return None if off.max() < 1e-6 else f"A step that goes on as fast as before should go along a line; yours leaves it at time {np.argmax(off > 1e-6)}."

    def history():
        """A step is shown the last states, as many as were known, the oldest first."""
        seen = []

        def step(past, b):
            if not (seen and np.array_equal(seen[-1], past)):  # how often it is asked is another property
                seen.append(np.array(past))
            return past[0] * 0.5 - past[-1] * 0.9

        out = rolled(step)
        for j, past in enumerate(seen[:nt - h]):
            true = out[j:j + h]
            if past.shape != true.shape:
                return f"A step was shown an array of shape {past.shape}; {true.shape} is needed."
            if not np.allclose(past, true):
                return ("Yours shows the newest first." if np.allclose(past, true[::-1]) else "Yours shows the known states again and again."
                        if np.allclose(past, first) else f"At step {j + 1} yours shows others.")
        return None

    def fields():
        """A step is given the field at its beginning, the time of the last known state."""
        out = rolled(lambda past, b: past[-1] + np.resize(b, k))
        for shift, words in ((0, None), (1, "Yours is given the field at its end."), (-1, "Yours is given the field of the step before."),
                             (1 - h, "Yours is given the field of the oldest state that it is shown.")):
            at = np.clip(np.arange(h - 1, nt - 1) + shift, 0, nt - 1)
            if np.allclose(out[h:], first[-1] + np.cumsum([np.resize(b, k) for b in field[at]], axis=0)):
                return words
        return "Yours is given the field of another time."

    def future():
        """Nobody knows the future: what the field is at the last time does not matter, since no step begins there."""
        unknown = field.copy()
        unknown[-1] = np.nan
        answer = np.asarray(call(f, lambda past, b: past[-1] + b.sum(), first, unknown), float)
        return None if np.isfinite(answer).all() else "The last field is nan, and yours has nan in its answer."

    def once():
        """For each new state the step is asked once."""
        asked = []

        def step(past, b):
            asked.append(1)
            return past[-1]

        rolled(step)
        return None if len(asked) == nt - h else f"For {nt - h} new states yours asks {len(asked)} times."

    return grade([moves, history, fields, future, once], points, forbidden=(
        "stepper.Stepper.rollout", "stepper._roll", "stepper.look_ahead", "rom.ReducedOrderModel.rollout"))


def look_ahead(f: Callable, *, points: float = 4, seed: int = 0) -> float:
    """Check a loss that looks ahead, assignment 9; prints what holds, and returns points.

    f: (step, c, fields, ahead) -> a number: from every four states in a row of every run c (n, nt, k), in its field (n, 2), `ahead`
    steps are taken, and the squared distances from the run are added up; the mean over all beginnings. step: as in `rollout`.
    points: for all properties. seed: of what is drawn. Raises ValueError for points or a seed that is none.
    """
    rng = generator(seed)
    n, nt, k, ahead = int(rng.integers(2, 5)), int(rng.integers(14, 20)), 3, int(rng.integers(4, 8))
    places = nt - HISTORY - ahead + 1
    still = np.repeat(rng.standard_normal((n, 1, k)), nt, axis=1)
    fields = rng.standard_normal((n, 2))

    def cost(step, c):
        return float(call(f, step, c, fields, ahead, shape=()))

    def grows():
        """Errors pile up: where each step drifts by d, after j steps the distance is j d."""
        d = rng.standard_normal(k)
        times = cost(lambda past, b: past[-1] + d, still) / np.sum(d**2)
        whole = sum(j**2 for j in range(1, ahead + 1))
        if abs(times / whole - 1) < 1e-6:
            return None
        for other, words in ((ahead, "each step begins at the true state, so that no error piles up"), (whole * places * n, "that is the sum over all beginnings, not their mean"),
                             (whole * n, "that is the sum over the runs, not their mean"), (whole / ahead, "that is the mean over the steps, not their sum"),
                             (whole / ahead / k, "that is the mean over steps and components, not their sum"), (whole / k, "that is the mean over components, not their sum"),
                             (ahead**2, "only the last step counts")):
            if abs(times / other - 1) < 1e-6:
                return f"Over {ahead} steps yours is {times:.4g} d²; {whole} is right: {words}."
        return f"Over {ahead} steps yours is {times:.4g} d²; the sum of j² is {whole}."

    def runs():
        """A step that is right costs nothing, in each run: none goes on into the next."""
        begin, speed = rng.standard_normal((2, n, 1, k))
        lines = begin + np.arange(nt)[None, :, None] * speed
        lost = cost(lambda past, b: 2 * past[-1] - past[-2], lines)
        return None if abs(lost) < 1e-9 else f"Yours costs {lost:.3g}. Does a window go from one run into the next, or do its states stand in another order?"

    def own():
        """Each run has its own field."""
        moved = still + np.arange(nt)[None, :, None] * fields[:, None, [0, 1, 0]]
        lost = cost(lambda past, b: past[-1] + b[[0, 1, 0]], moved)
        return None if abs(lost) < 1e-9 else f"A step that knows the field is right, and in yours costs {lost:.3g}."

    def all_of_them():
        """Every beginning counts, the first and the last that a run has room for."""
        for name, when in (("last", nt - 1), ("first after the four", HISTORY)):
            c = np.zeros((n, nt, k))
            c[:, when, 0] = 1
            lost = cost(lambda past, b: 0 * past[-1], c) * places
            if abs(lost - 1) > 1e-6:
                return f"In yours the {name} state of a run counts {lost:.3g} times; once is right."
        return None

    return grade([grows, runs, own, all_of_them], points, forbidden=("stepper.loss", "stepper.look_ahead", "stepper._roll"))


def predictor(predict: Callable, *, points: float = 4, seed: int = 0) -> float:
    """Check a predictor on fields that it has not seen, assignment 9; prints what holds, and returns points.

    predict: (first, field, nt) -> states (nt, 8, 32, 3), of which the first four are first (4, 8, 32, 3), 10 ps apart. field: (2,), mu0*H in T, of
    any direction, 1 mT to 6 mT. The nearest of the 40 fields that are known is asked too. points: for all properties. seed: of
    the fields. Raises ValueError for points or a seed that is none.
    """
    rng = generator(seed)
    fields, runs = _runs(12, int(rng.integers(10**6, 10**9)), RINGING)
    known_fields, known = _runs(40, applied.SEED, RINGING)
    nt = runs.shape[1]
    shape = (FILM.ny, FILM.nx, 3)
    answers: dict = {}

    def predicted(i, nt=nt, field=None):
        return call(predict, runs[i, :HISTORY], fields[i, :2] if field is None else field, nt, shape=(nt, *shape))

    def average(m):
        return m.mean(axis=(-3, -2))[..., HISTORY:, :]

    def off(m):
        return np.abs(average(m) - average(runs)).mean()

    def begins():
        """It begins with the four states that are known, and its first step goes the right way."""
        out = predicted(0)
        if np.abs(out[:HISTORY] - runs[0, :HISTORY]).max() > 0.05:
            return "The first four of yours are others."
        wrong, stands = (np.linalg.norm(one - runs[0, HISTORY]) for one in (out[HISTORY], runs[0, HISTORY - 1]))
        return None if wrong < 0.99 * stands else "After one step yours is no nearer to the truth than the last known state is."

    def better():
        """On fields that it has not seen it beats the nearest field that is known."""
        answers["all"] = np.stack([predicted(i) for i in range(len(fields))])
        nearest = np.linalg.norm(fields[:, None] - known_fields[None], axis=-1).argmin(axis=1)
        yours, theirs, still = (off(m) for m in (answers["all"], known[nearest], np.repeat(runs[:, HISTORY - 1:HISTORY], nt, axis=1)))
        if yours < theirs:
            return None
        wild = np.linalg.norm(answers["all"], axis=-1).max() > 3
        return f"Yours is off by {yours:.3g} in the film average, the nearest field by {theirs:.3g}, standing still by {still:.3g}." + (
            " Some of yours run away." if wild else "")

    def hears():
        """From the same states another field leads elsewhere."""
        apart = np.abs(predicted(0) - predicted(0, field=-fields[0, :2]))[-1].max()
        return None if apart > 1e-3 else "Yours ends at the same state in the opposite field."

    def causal():
        """What comes later changes nothing before: a short prediction is the beginning of a long one."""
        out = predicted(1)
        return None if np.abs(predicted(1, 30) - out[:30]).max() < 1e-3 else "Yours begins in another way when it is asked for less."

    return grade([begins, better, hears, causal], points, forbidden=(
        llg.simulate, llg.relax, llg.effective_field, multirate.Multirate, *baselines.METHODS.values(), baselines.weights,
        "stepper.Stepper.rollout", "stepper._roll", "rom.ReducedOrderModel.simulate", "rom.ReducedOrderModel.rollout"))
