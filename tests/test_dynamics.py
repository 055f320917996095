"""Dynamics: what every kind can do, and ensembles of one kind."""

from dataclasses import dataclass

import numpy as np
import pytest

from magbook.dynamics import Dynamics, Ensemble


@dataclass(eq=False)
class Pushed(Dynamics):
    """The smallest dynamics: each step adds a multiple of the field's x."""

    gain: float
    every: float = 1e-11
    latent: int = 2
    history: int = 0
    last: float = np.inf
    means: bool = False

    def rollout(self, first, fields):
        steps = self.gain * np.cumsum(fields[:, self.history:-1, :1], axis=1)
        return np.concatenate([first, first[:, -1:] + steps], axis=1)


FIRST = np.arange(6.0).reshape(3, 1, 2)
FIELDS = np.random.default_rng(0).standard_normal((3, 5, 2))


def test_what_a_kind_says_of_itself():
    """With a rollout, and the numbers in a latent state and between two: the rest is there."""
    class Least(Dynamics):
        every, latent = 1e-11, 2

        def rollout(self, first, fields):
            return np.repeat(first, fields.shape[1], axis=1)

    one = Least()
    assert (one.history, one.last, one.networks()) == (0, np.inf, {})
    np.testing.assert_array_equal(one.rollouts(FIRST, FIELDS), one.rollout(FIRST, FIELDS)[None])
    with pytest.raises(NotImplementedError):
        Dynamics().rollout(FIRST, FIELDS)


def test_one_dynamics_is_an_ensemble_of_one():
    one = Pushed(2.0)
    assert one.rollouts(FIRST, FIELDS).shape == (1, 3, 5, 2)
    np.testing.assert_array_equal(one.rollouts(FIRST, FIELDS)[0], one.rollout(FIRST, FIELDS))


def test_an_ensemble_is_the_mean_of_its_members():
    several = Ensemble([Pushed(1.0), Pushed(2.0), Pushed(6.0)])
    each = several.rollouts(FIRST, FIELDS)
    assert each.shape == (3, 3, 5, 2)
    for one, gain in zip(each, (1, 2, 6)):
        np.testing.assert_array_equal(one, Pushed(gain).rollout(FIRST, FIELDS))
    np.testing.assert_allclose(several.rollout(FIRST, FIELDS), Pushed(3.0).rollout(FIRST, FIELDS), atol=1e-12)


def test_an_ensemble_knows_film_averages_where_its_members_do():
    class Known(Pushed):
        def averages(self, c):
            return 2 * c

    assert Ensemble([Pushed(1.0), Pushed(2.0)]).averages(FIRST) is None
    np.testing.assert_array_equal(Ensemble([Known(1.0), Known(2.0)]).averages(FIRST), 2 * FIRST)


def test_members_are_rolled_out_each_on_its_own():
    """The mean is of rollouts. Were steps averaged, squares would be squares of means."""
    class Squared(Pushed):
        def rollout(self, first, fields):
            c = [first[:, 0]]
            for _ in range(fields.shape[1] - 1):
                c.append(self.gain * c[-1]**2)
            return np.stack(c, axis=1)

    c = Ensemble([Squared(0.0), Squared(1.0)]).rollout(np.full((1, 1, 2), 2.0), np.zeros((1, 4, 2)))
    np.testing.assert_array_equal(c[0, :, 0], [2, 2, 8, 128])


def test_an_ensemble_is_like_its_members():
    several = Ensemble([Pushed(k, 2e-11, 3, 4, 1e-9) for k in (1, 2)], coverage=1.5)
    assert (several.every, several.latent, several.history, several.last, several.coverage) == (2e-11, 3, 4, 1e-9, 1.5)


@pytest.mark.parametrize("change", [dict(every=2e-11), dict(latent=3), dict(history=1), dict(last=1e-9), dict(means=True)])
def test_members_that_differ_are_refused(change):
    with pytest.raises(ValueError, match=r"^members: they differ in \(history, every, last, latent, means\): \[\(.*\), \(.*\)\]"):
        Ensemble([Pushed(1.0), Pushed(1.0), Pushed(1.0, **change)])


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_are_no_ensemble(n):
    with pytest.raises(ValueError, match=f"^members: got {n}; an ensemble has at least two"):
        Ensemble([Pushed(1.0)] * n)


def test_networks_are_numbered():
    class With(Pushed):
        def networks(self):
            return {"predictor": ("p", self.gain), "other": ("o", self.gain)}

    assert Ensemble([With(0), With(1), With(2)]).networks() == {
        "predictor": ("p", 0), "other": ("o", 0), "predictor1": ("p", 1), "other1": ("o", 1), "predictor2": ("p", 2), "other2": ("o", 2)}
    assert Ensemble([Pushed(0), Pushed(1)]).networks() == {}
