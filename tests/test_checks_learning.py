"""Checks of assignments 7 to 9: right answers in several styles, and wrong ones with the sentence that each gets."""

import re

import numpy as np
import pytest

import magbook as mb
from magbook import checks

WRONG = {
    "07_loss": ({"loss": "def loss(guess, m, weight):\n    return np.sum(np.abs(guess - m) * [1, 1, weight], axis=-1) + np.linalg.norm(guess, axis=-1) - 1"}, 4.14),
    "08_autoencoder": ({"bent": "bent = decode", "linear": """flat = states.reshape(-1, 768)
mean = flat.mean(axis=0)
components = np.linalg.svd(flat[::2] - mean, full_matrices=False)[2][:k]

def encode(m):
    return (m.reshape(len(m), -1) - mean) @ components.T

def decode(c):
    return (c @ components + mean).reshape(-1, 8, 32, 3)"""}, 5.6),
    "09_rollout": ({"look_ahead": """def look_ahead(step, c, fields, ahead):
    return np.mean([np.sum((step(run[j:j + 4], b) - run[j + 4])**2) for run, b in zip(c, fields) for j in range(len(run) - 4)])""",
                    "predict": "def predict(first, field, nt):\n    return np.concatenate([first, first[-1] + (first[-1] - first[-2]) * np.arange(1, nt - 3)[:, None, None, None]])"}, 6)}


def heard(capsys):
    """What a check has said, as one line."""
    return " ".join(capsys.readouterr().out.split())


# ---------------------------------------------------------------------------- assignment 7


def by_squares(guess, m, weight):
    return np.sum((guess - m)**2 * [1, 1, weight], axis=-1) + (np.linalg.norm(guess, axis=-1) - 1)**2


def by_distance(guess, m, weight):
    """Distances, as the paper has absolute values."""
    d = guess - m
    return np.hypot(d[:, 0], d[:, 1]) + weight * np.abs(d[:, 2]) + np.abs(np.linalg.norm(guess, axis=-1) - 1) / 2


def by_loops(guess, m, weight):
    """The length by its square, which has no root."""
    costs = []
    for a, b in zip(guess.tolist(), m.tolist()):
        costs.append(((a[0] - b[0])**2 + (a[1] - b[1])**2 + weight * (a[2] - b[2])**2) / 2 + (sum(x**2 for x in a) - 1)**2 / 4)
    return costs


def slope_of_squares(guess, m, weight):
    length = np.linalg.norm(guess, axis=-1, keepdims=True)
    return 2 * (guess - m) * [1, 1, weight] + 2 * (length - 1) * guess / np.maximum(length, 1e-12)


def slope_of_distance(guess, m, weight):
    d, length = guess - m, np.linalg.norm(guess, axis=-1, keepdims=True)
    flat = d * [1, 1, 0]
    return (flat / (np.linalg.norm(flat, axis=-1, keepdims=True) + 1e-12) + weight * np.sign(d) * [0, 0, 1]
            + np.sign(length - 1) * guess / (length + 1e-12) / 2)


def slope_of_loops(guess, m, weight):
    return (guess - m) * [1, 1, weight] + (np.sum(guess**2, axis=-1, keepdims=True) - 1) * guess


def no_length(guess, m, weight):
    return np.sum((guess - m)**2 * [1, 1, weight], axis=-1)


def of_the_chapter(guess, m, weight):
    return np.sum(np.abs(guess - m) * [1, 1, weight], axis=-1) + np.abs(np.linalg.norm(guess, axis=-1) - 1)


def as_printed(guess, m, weight):
    return no_length(guess, m, weight) + 4 * (np.linalg.norm(guess, axis=-1) - 1)


def down(slope, rate, steps):
    def descend(start, m, weight):
        path = [start]
        for _ in range(steps):
            path.append(path[-1] - rate * slope(path[-1], m, weight))
        return np.array(path)
    return descend


def ever_smaller_steps(start, m, weight):
    path, rate = [start], 0.04
    for _ in range(400):
        path.append(path[-1] - rate * slope_of_distance(path[-1], m, weight))
        rate *= 0.99
    return path


def with_momentum(start, m, weight):
    path, speed = [start], 0
    for _ in range(300):
        speed = 0.7 * speed - 0.02 * slope_of_loops(path[-1], m, weight)
        path.append(path[-1] + speed)
    return np.array(path)


@pytest.mark.parametrize("loss, slope", [(by_squares, slope_of_squares), (by_distance, slope_of_distance), (by_loops, slope_of_loops)])
def test_right_losses(loss, slope):
    for seed in range(20):
        assert checks.vector_loss(loss, points=7, seed=seed) == 7
        assert checks.loss_gradient(slope, loss, points=3, seed=seed) == 3


@pytest.mark.parametrize("loss, points, sentence", [
    (lambda g, m, w: np.zeros(len(m)), 0, "a vector at right angles to the truth costs 0"),
    (lambda g, m, w: by_squares(g, m, w) + 1, 0, "Yours costs up to 1 at the truth"),
    (lambda g, m, w: by_squares(g, m, w).mean(), 0, "has shape ()"),
    (lambda g, m, w: by_squares(g, m, w) / by_squares(g, m, w).max().clip(1e-9), None, "the company that it is in"),
    (no_length, 6, "One that is too short costs no more"),
    (of_the_chapter, None, "some cost no more than turned by"),
    (of_the_chapter, None, "A sum of absolute values knows where x and y are"),
    (as_printed, None, "Vectors that are too short cost less than the truth: is the sign of |guess| - 1 kept?"),
    (lambda g, m, w: by_squares(mb.film.unit(g), m, w), 5, "Vectors that are too short cost nothing"),
    (lambda g, m, w: by_squares(g, m, 1), 6, "yours costs 1 times as much"),
    (lambda g, m, w: by_squares(g, m, w**2), 6, "the weight is squared"),
    (lambda g, m, w: by_squares(g, m, w) + 0.5 * np.maximum(g[:, 2] - m[:, 2], 0)**2, None, "Up and down do not cost the same")])
def test_wrong_losses(loss, points, sentence, capsys):
    for seed in range(3):
        got = checks.vector_loss(loss, points=7, seed=seed)
        assert sentence in heard(capsys)
        assert got == points or points is None and got < 7


def test_lazy_loss(capsys):
    assert checks.vector_loss(lambda g, m, w: [float(mb.autoencoder.loss(a[None, None], b[None, None], (1, 1, w))) for a, b in zip(m, g)]) == 0
    assert "loss is the package's own, and out of order" in heard(capsys)


@pytest.mark.parametrize("slope, loss, points, sentence", [
    (lambda g, m, w: 0 * m, by_squares, 0, "differences of your loss say"),
    (lambda g, m, w: 0 * m, lambda g, m, w: np.zeros(len(m)), 0, "there is no way down"),
    (lambda g, m, w: -slope_of_squares(g, m, w), by_squares, 0, "the opposite sign: it points downhill"),
    (lambda g, m, w: 2 * (g - m) * [1, 1, w], by_squares, 0, "differences of your loss say"),
    (lambda g, m, w: slope_of_squares(g, m, w) / (len(m) - 1), by_squares, 0, "differences of your loss say"),
    (lambda g, m, w: 2 * (g - m) * [1, 1, w] + 2 * (1 - 1 / np.linalg.norm(g, axis=-1, keepdims=True)) * g, by_squares, 2, "is not finite everywhere"),
    (lambda g, m, w: 2 * (g - m) * [1, 1, w] + 2 * (1 - 1 / (np.linalg.norm(g, axis=-1, keepdims=True) + 1e-12)) * (g + 1e-7), by_squares, 2, "elsewhere"),
    (lambda g, m, w: slope_of_squares(g, m, w).sum(axis=-1), by_squares, 0, "has shape (30,)")])
def test_wrong_gradients(slope, loss, points, sentence, capsys):
    for seed in range(3):
        assert checks.loss_gradient(slope, loss, points=3, seed=seed) == points
        assert sentence in heard(capsys)


@pytest.mark.slow
@pytest.mark.parametrize("descend, loss", [(down(slope_of_squares, 0.04, 200), by_squares), (with_momentum, by_loops), (ever_smaller_steps, by_distance)])
def test_right_descents(descend, loss):
    for seed in range(20):
        assert checks.descent(descend, loss, points=3, seed=seed) == 3


@pytest.mark.parametrize("descend, loss, points, sentence", [
    (lambda start, m, w: m, by_squares, 0, "has shape (30, 3)"),
    (lambda start, m, w: np.array([start, m]), by_squares, 0, "Yours has 2 guesses"),
    (lambda start, m, w: np.linspace(start, m, 50), by_squares, 2, "one goes off by"),
    (lambda start, m, w: down(slope_of_squares, 0.04, 200)(0 * m, m, w), by_squares, 0, "Your first guess is not the start"),
    (down(slope_of_squares, 0.04, 5), by_squares, 2, "of 30 do not"),
    (down(slope_of_squares, -0.001, 20), by_squares, 1, "one goes off by 180 degrees"),
    (down(slope_of_squares, 0.2, 20), by_squares, 2, "of 30 do not")])
def test_wrong_descents(descend, loss, points, sentence, capsys):
    for seed in range(3):
        assert checks.descent(descend, loss, points=3, seed=seed) == points
        assert sentence in heard(capsys)


# ---------------------------------------------------------------------------- assignment 8


@pytest.fixture(scope="module")
def states():
    """What the notebook has, (40 * 100, 8, 32, 3), without the start."""
    film = mb.Film(cells=(32, 8))
    return np.concatenate([mb.simulate(b, film, progress=False).m[1:] for b in mb.applied.fan(40)])


def linear(states, k):
    flat = states.reshape(len(states), -1)
    mean = flat.mean(axis=0)
    components = np.linalg.svd(flat[::3] - mean, full_matrices=False)[2][:k]

    def decode(c):
        return mb.film.unit((c @ components + mean).reshape(-1, 8, 32, 3))

    return lambda m: (m.reshape(len(m), -1) - mean) @ components.T, decode


def with_products(states, k):
    encode, _ = linear(states, k)
    known = encode(states)
    i, j = np.triu_indices(k)

    def powers(c):
        c = c / known.std(axis=0)
        return np.concatenate([np.ones((len(c), 1)), c, c[:, i] * c[:, j]], axis=1)

    a = powers(known)
    weights = np.linalg.solve(a.T @ a + np.eye(a.shape[1]), a.T @ states.reshape(len(states), -1))
    return encode, lambda c: mb.film.unit((powers(c) @ weights).reshape(-1, 8, 32, 3))


def by_a_kernel(states, k):
    """The numbers mixed and shifted, and a Gaussian kernel back."""
    from sklearn.kernel_ridge import KernelRidge

    encode, _ = linear(states, k)
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((k, k)))[0]
    numbers = lambda m: 10 + encode(m) @ turn
    some = states[::5]
    size = numbers(some).std()
    kernel = KernelRidge(kernel="rbf", gamma=0.5 / size**2 / k, alpha=1e-2).fit(numbers(some), some.reshape(len(some), -1))
    return numbers, lambda c: mb.film.unit(kernel.predict(c).reshape(-1, 8, 32, 3))


def by_networks(states, k):
    """Dense layers in Keras, trained for some seconds, beside a linear way through."""
    import keras
    from keras import layers

    encode, _ = linear(states, k)
    size = encode(states).std()
    keras.utils.set_random_seed(0)
    a, b = keras.Input((8, 32, 3)), keras.Input((k,))
    encoder = keras.Model(a, layers.Dense(k)(layers.Flatten()(a)))
    x = layers.Dense(128, activation="gelu")(b)
    out = layers.Reshape((8, 32, 3))(layers.Add()([layers.Dense(768)(x), layers.Dense(768)(b)]))
    decoder = keras.Model(b, layers.UnitNormalization(axis=-1)(out))
    flat = states.reshape(len(states), -1)
    components = np.linalg.svd(flat[::4] - flat.mean(axis=0), full_matrices=False)[2][:k]
    encoder.layers[-1].set_weights([components.T / size, -flat.mean(axis=0) @ components.T / size])
    decoder.layers[3].set_weights([components * size, flat.mean(axis=0)])
    both = keras.Sequential([encoder, decoder])
    both.compile(keras.optimizers.Adam(1e-3), "mse")
    both.fit(states, states, batch_size=64, epochs=6, verbose=0)
    return (lambda m: encoder.predict(m, verbose=0)), (lambda c: decoder(c).numpy())  # as students call them; the first takes longer


@pytest.mark.slow
@pytest.mark.parametrize("make", [linear, by_a_kernel, by_networks, with_products])
def test_right_autoencoders(make, states):
    made = {number: make(states, 4 + number) for number in (0, 3)}
    for seed in range(8 if make is with_products else 2):  # a seed's runs serve both numbers
        for number, (encode, decode) in made.items():
            assert checks.autoencoder(encode, decode, number, share=0.96 if make is with_products else 1.1, points=5, seed=seed) == 5
    assert checks.autoencoder(*linear(states, 5), 1, share=0.96, points=5) == 4, "a line is not enough for the second"


def by_heart(states, k):
    """The state of the training set whose numbers are the nearest."""
    few = states[::5]
    encode, _ = linear(states, k)
    known = encode(few)
    return encode, lambda c: few[((c[:, None] - known)**2).sum(axis=-1).argmin(axis=1)]


def wrongly(which, states, k):
    encode, decode = linear(states, k)
    mean = states.reshape(len(states), -1).mean(axis=0)
    return {
        "zero": (lambda m: np.zeros((len(m), k)), lambda c: np.zeros((len(c), 8, 32, 3))),
        "one more": linear(states, k + 1),
        "any length": (encode, lambda c: decode(c) * 1.1),
        "batch": (lambda m: encode(m) - encode(m).mean(axis=0), lambda c: decode(c + encode(mean[None]))),
        "centred": (encode, lambda c: decode(c - c.mean(axis=0))),
        "none": (encode, lambda c: None),
        "not": (3, decode),
    }[which]


@pytest.mark.slow
@pytest.mark.parametrize("which, points, sentence", [
    ("zero", 0, "it loses 100%"), ("one more", 0, "(80, 5) is needed"), ("any length", None, "The lengths of yours go from 1.1"),
    ("batch", None, "Is a mean taken over the batch?"), ("centred", None, "as another state than in a batch"),
    ("none", 0, "is there a return?"), ("not", 0, "should be a function")])
def test_wrong_autoencoders(which, points, sentence, states, capsys):
    encode, decode = wrongly(which, states, 5)
    for seed in range(2):
        got = checks.autoencoder(encode, decode, 1, points=5, seed=seed)
        said = heard(capsys)
        assert sentence in said
        assert got == points or points is None and got < 5


@pytest.mark.slow
def test_autoencoders_that_cheat(states, capsys):
    (encode, decode), (encode_six, decode_six) = linear(states, 5), linear(states, 6)

    def smuggled(m):
        """A sixth number in the last digits of the first."""
        c, more = np.split(encode_six(m), [5], axis=1)
        c[:, 0] = np.round(c[:, 0], 4) + 1e-6 * np.tanh(more[:, 0] / 20)
        return c

    def unpacked(c):
        first = np.round(c[:, 0], 4)
        return decode_six(np.column_stack([first, c[:, 1:], 20 * np.arctanh(np.clip((c[:, 0] - first) * 1e6, -0.999, 0.999))]))

    assert checks.autoencoder(smuggled, unpacked, 1, points=5) < 5
    assert "what is in their last digits?" in heard(capsys)
    assert checks.autoencoder(*by_heart(states, 5), 1, share=0.9, points=5) < 5
    assert "it has learned them by heart" in heard(capsys)
    assert checks.autoencoder(encode, decode, "one", points=5) == 0
    assert "Your number is no whole number" in heard(capsys)
    basis = mb.pca.fit(states, 5)
    assert checks.autoencoder(basis.encode, lambda c: basis.decode(c, unit=True), 1) == 0
    assert "out of order" in heard(capsys)


# ---------------------------------------------------------------------------- assignment 9


def by_a_list(step, first, field):
    states = list(first)
    while len(states) < len(field):
        states.append(step(np.array(states[-len(first):]), field[len(states) - 1]))
    return states


def by_places(step, first, field):
    h = len(first)
    states = np.full((len(field), first.shape[1]), np.nan)
    states[:h] = first
    for j in range(h, len(states)):
        states[j] = step(states[j - h:j], field[j - 1])
    return states


def by_a_window(step, first, field):
    window, out = first, [first]
    for b in field[len(first) - 1:-1]:
        after = np.asarray(step(window, b))[None]
        window = np.concatenate([window[1:], after])
        out.append(after)
    return np.concatenate(out)


@pytest.mark.parametrize("f", [by_a_list, by_places, by_a_window])
def test_right_rollouts(f):
    for seed in range(20):
        assert checks.rollout(f, points=5, seed=seed) == 5


def rolled(past=lambda states, h: states[-h:], at=lambda j, h: j - 1, end=0, twice=False):
    """A rollout that may be wrong in one way."""
    def f(step, first, field):
        states = list(first)
        for j in range(len(first), len(field) + end):
            if twice:
                step(np.array(states[-len(first):]), field[j - 1])
            states.append(step(np.array(past(states, len(first))), field[min(at(j, len(first)), len(field) - 1)]))
        return np.array(states)
    return f


@pytest.mark.parametrize("f, points, sentence", [
    (lambda step, first, field: np.zeros((len(field), first.shape[1])), 0, "does not begin with the known states"),
    (lambda step, first, field: np.resize(first, (len(field), first.shape[1])), 0, "leaves it at time"),
    (rolled(end=-1), 0, "has shape"), (rolled(end=1), 0, "has shape"),
    (rolled(past=lambda states, h: states[-h:][::-1]), 0, "leaves it at time"),
    (rolled(past=lambda states, h: states[:h]), 0, "leaves it at time"),
    (rolled(past=lambda states, h: states[-2:]), 4, "A step was shown an array of shape (2,"),
    (rolled(at=lambda j, h: j), 3, "the field at its end"), (rolled(at=lambda j, h: j), 3, "The last field is nan"),
    (rolled(at=lambda j, h: j - 2), 4, "the field of the step before"), (rolled(at=lambda j, h: j - h), 4, "the field of the oldest state"),
    (rolled(at=lambda j, h: 0), 4, "the field of another time"), (rolled(twice=True), 4, "new states yours asks"),
    (lambda step, first, field: None, 0, "is there a return?")])
def test_wrong_rollouts(f, points, sentence, capsys):
    for seed in range(3):
        assert checks.rollout(f, points=5, seed=seed) == points
        assert sentence in heard(capsys)


def test_lazy_rollout(capsys):
    def lazy(step, first, field):
        return mb.stepper.Stepper(mb.stepper.build(3), 1.0).rollout(first[None], field[None])[0]

    assert checks.rollout(lazy) == 0
    assert "is the package's own, and out of order" in heard(capsys)


def ahead_by_loops(step, c, fields, ahead):
    lost = []
    for run, b in zip(c, fields):
        for begin in range(len(run) - 3 - ahead):
            states, sum_ = list(run[begin:begin + 4]), 0.0
            for j in range(ahead):
                states = [*states[1:], step(np.array(states), b)]
                sum_ += sum((states[-1] - run[begin + 4 + j])**2)
            lost.append(sum_)
    return sum(lost) / len(lost)


def ahead_by_rollouts(step, c, fields, ahead, mean=np.mean):
    def one(window, b):
        return np.sum((by_places(step, window[:4], np.tile(b, (len(window), 1))) - window)**2)
    return mean([one(run[i:i + 4 + ahead], b) for run, b in zip(c, fields) for i in range(len(run) - 4 - ahead + 1)])


def ahead_by_steps(step, c, fields, ahead):
    """All windows at once, step after step."""
    windows = np.lib.stride_tricks.sliding_window_view(c, 4 + ahead, axis=1).swapaxes(-1, -2)
    past, b = windows[..., :4, :].reshape(-1, 4, c.shape[-1]), np.repeat(fields, windows.shape[1], axis=0)
    truth, lost = windows.reshape(-1, 4 + ahead, c.shape[-1]), 0
    for j in range(ahead):
        after = np.array([step(*one) for one in zip(past, b)])
        past = np.concatenate([past[:, 1:], after[:, None]], axis=1)
        lost += np.sum((after - truth[:, 4 + j])**2) / len(truth)
    return lost


def teacher_forced(step, c, fields, ahead):
    return np.mean([sum(np.sum((step(run[i + j:i + j + 4], b) - run[i + j + 4])**2) for j in range(ahead))
                    for run, b in zip(c, fields) for i in range(len(run) - 4 - ahead + 1)])


@pytest.mark.parametrize("f", [ahead_by_loops, ahead_by_rollouts, ahead_by_steps])
def test_right_look_aheads(f):
    for seed in range(20):
        assert checks.look_ahead(f, points=4, seed=seed) == 4


@pytest.mark.parametrize("f, points, sentence", [
    (lambda step, c, fields, ahead: 0.0, 0, "yours is 0 d²"), (teacher_forced, 0, "each step begins at the true state"),
    (lambda *a: ahead_by_rollouts(*a, mean=np.sum), 0, "the sum over all beginnings, not their mean"),
    (lambda step, c, fields, ahead: ahead_by_rollouts(step, c, fields, ahead) / ahead, 0, "the mean over the steps, not their sum"),
    (lambda step, c, fields, ahead: ahead_by_rollouts(step, c, fields, ahead) / c.shape[-1], 0, "the mean over components, not their sum"),
    (lambda step, c, fields, ahead: ahead_by_rollouts(step, c, fields, ahead) - ahead_by_rollouts(step, c, fields, ahead - 1), 0, "only the last step counts"),
    (lambda step, c, fields, ahead: ahead_by_rollouts(step, c, fields[:1].repeat(len(c), axis=0), ahead), 3, "A step that knows the field is right"),
    (lambda step, c, fields, ahead: ahead_by_rollouts(step, c.reshape(1, -1, c.shape[-1]), fields, ahead), None, "this one holds"),
    (lambda step, c, fields, ahead: ahead_by_rollouts(step, c[:, :-1], fields, ahead), 3, "the last state of a run counts 0 times"),
    (lambda step, c, fields, ahead: ahead_by_rollouts(step, c[:, 1:], fields, ahead), 3, "counts"),
    (lambda step, c, fields, ahead: ahead_by_rollouts(step, c, fields, ahead).tolist().append(3), 0, "AttributeError")])
def test_wrong_look_aheads(f, points, sentence, capsys):
    for seed in range(3):
        got = checks.look_ahead(f, points=4, seed=seed)
        assert got == points or points is None and got < 4
        assert sentence in heard(capsys)


def test_lazy_look_ahead(capsys):
    assert checks.look_ahead(lambda step, c, fields, ahead: mb.stepper.loss(c, c)) == 0
    assert "loss is the package's own, and out of order" in heard(capsys)


@pytest.fixture(scope="module")
def ringing():
    """What the notebook has: (fields, states)."""
    fields = mb.applied.fan(40, angle=0, opening=360, strength=(1e-3, 6e-3))
    return fields, np.stack([mb.simulate(b, mb.Film(cells=(32, 8)), progress=False).m for b in fields])


class Components:
    def __init__(self, states, k=12):
        flat = states.reshape(-1, 768)
        self.mean = flat.mean(axis=0)
        self.axes = np.linalg.svd(flat[::4] - self.mean, full_matrices=False)[2][:k]
        self.c = self.encode(states)

    def encode(self, m):
        return (m.reshape(*m.shape[:-3], 768) - self.mean) @ self.axes.T

    def decode(self, c):
        return mb.film.unit((c @ self.axes + self.mean).reshape(*c.shape[:-1], 8, 32, 3))


def stepped(ringing, products=True, penalty=0.03, k=12):
    """A step of the four last states, the field and products."""
    fields, states = ringing
    space = Components(states, k)
    size, (i, j) = space.c.std(), np.triu_indices(k + 2)

    def features(past, b):
        z = np.concatenate([past[:, -1] / size, b / 5e-3], axis=1)
        return np.concatenate([np.ones((len(z), 1)), past.reshape(len(z), -1) / size, b / 5e-3, *([z[:, i] * z[:, j]] if products else [])], axis=1)

    past = np.concatenate([space.c[:, j:j + 4] for j in range(97)])
    after = np.concatenate([space.c[:, j + 4] - space.c[:, j + 3] for j in range(97)])
    x = features(past, np.tile(fields[:, :2], (97, 1)))
    matrix = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ after)

    def step(past, b):
        return past[-1] + (features(past[None], b[None]) @ matrix)[0]

    def predict(first, field, nt):
        return space.decode(by_places(step, space.encode(first), np.tile(field, (nt, 1))))

    return predict


def by_a_crowd(ringing):
    """The mean state of three steps, in 10, 12 and 14 components."""
    some = [stepped(ringing, penalty=penalty, k=k) for k, penalty in ((10, 0.1), (12, 0.03), (14, 0.1))]
    return lambda first, field, nt: mb.film.unit(sum(predict(first, field, nt) for predict in some))


def by_random_waves(ringing):
    """A step of four states and the field through 600 cosines, fitted with noise on what it sees."""
    fields, states = ringing
    space, rng = Components(states), np.random.default_rng(0)
    size = space.c.std()
    w, shift = rng.standard_normal((50, 600)) * 0.5 / np.sqrt(50), rng.uniform(0, 2 * np.pi, 600)

    def features(past, b):
        x = np.concatenate([past.reshape(len(past), -1) / size, b / 1e-2], axis=1)
        return np.concatenate([np.ones((len(x), 1)), x, np.cos(x @ w + shift) / 2], axis=1)

    past = np.tile(np.concatenate([space.c[:, j:j + 4] for j in range(97)]), (2, 1, 1))
    after = np.tile(np.concatenate([space.c[:, j + 4] for j in range(97)]), (2, 1))
    past = past + 0.02 * size * rng.standard_normal(past.shape)
    x = features(past, np.tile(fields[:, :2], (194, 1)))
    matrix = np.linalg.solve(x.T @ x + 1e-3 * np.eye(x.shape[1]), x.T @ (after - past[:, -1]))

    def predict(first, field, nt):
        states = list(space.encode(first))
        for _ in range(nt - 4):
            states.append(states[-1] + (features(np.array(states[-4:])[None], field[None]) @ matrix)[0])
        return space.decode(np.array(states))

    return predict


@pytest.mark.slow
@pytest.mark.parametrize("make", [stepped, by_a_crowd, by_random_waves])
def test_right_predictors(make, ringing):
    predict = make(ringing)
    for seed in range(20 if make is stepped else 5):
        assert checks.predictor(predict, points=4, seed=seed) == 4


def changed(predict, asked):
    """A predictor that is asked for something else."""
    return lambda first, field, nt: predict(*asked(first, field, nt))


@pytest.mark.slow
@pytest.mark.parametrize("make, points, sentence", [
    (lambda ringing: lambda first, field, nt: np.zeros((nt, 8, 32, 3)), 0, "The first four of yours are others"),
    (lambda ringing: lambda first, field, nt: np.concatenate([first, np.repeat(first[-1:], nt - 4, axis=0)]), 0, "no nearer to the truth than the last known"),
    (lambda ringing: lambda first, field, nt: np.concatenate([first, *([2 * first[-1:] - first[-2:-1]] * (nt - 4))]), 2, "in the opposite field"),
    (lambda ringing: stepped(ringing, products=False), 3, "the nearest field by"),
    (lambda ringing: stepped(ringing, penalty=1e-7), None, "the nearest field by|not finite"),  # it runs away; rounding decides how far
    (lambda ringing: changed(stepped(ringing), lambda first, field, nt: (first, field, 101)), 3, "has shape"),
    (lambda ringing: changed(stepped(ringing), lambda first, field, nt: (first, field * (nt / 101), nt)), 3, "begins in another way when it is asked for less"),
    (lambda ringing: changed(stepped(ringing), lambda first, field, nt: (first, 0 * field, nt)), 2, "in the opposite field")])
def test_wrong_predictors(make, points, sentence, ringing, capsys):
    predict = make(ringing)
    got = checks.predictor(predict, points=4)
    assert got == points or points is None and got < 4
    assert re.search(sentence, heard(capsys))


@pytest.mark.slow
def test_lazy_predictors(ringing, capsys):
    film = mb.Film(cells=(32, 8))
    nearest = mb.baselines.nearest
    for lazy in (lambda first, field, nt: mb.simulate(field, film, progress=False).m[:nt], lambda first, field, nt: nearest(*ringing)(field[None])[0, :nt]):
        assert checks.predictor(lazy) == 0
        assert "is the package's own, and out of order" in heard(capsys)
