"""A dynamics: what turns applied fields into latent states, of whatever kind. Chapter 4 introduces it.

A reduced order model is an encoder, a decoder and a dynamics, and asks nothing about its kind. The kinds: `stepper.Stepper`
steps from the last four states; `atlas.Atlas` and `atlas.Spline` know the trajectories from one start; `atlas.Hybrid` asks
one of two; `driven.Driven` steps in any field; `Ensemble` is several of one kind. CONTRIBUTING.md says how to add one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ._arguments import array, number, said


class Dynamics:
    """What turns applied fields into latent states, at the even times 0, every, 2 every, ...

    A kind is a dataclass: a file of a model holds its fields, which are numbers, arrays, Keras models and other dynamics.

    history: how many states of the solver it needs beside the start. every: s between two states. last: s; after it
    nothing is known. latent: numbers of a latent state. means: does it see the mean of the field over the interval that ends at
    each time, and not the field at that time? coverage: how many standard deviations of the members' film averages
    make half the width of `ReducedOrderModel.band`, where there are members.
    """

    history: int = 0
    last: float = np.inf
    means: bool = False
    coverage: float = 2.0
    every: float
    latent: int

    def rollout(self, first: np.ndarray, fields: np.ndarray) -> np.ndarray:
        """Latent states (n, nt, latent) at the times 0, every, ..., of which the first 1 + history are `first`.

        first: (n, 1 + history, latent), latent states of the start and of the solver's states that follow.
        fields: (n, nt, 2), mu0*H in T at the nt times, or with `means` its means (of the first time any). Raises ValueError for what this kind cannot answer.
        """
        raise NotImplementedError

    def checked(self, first: np.ndarray, fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The arguments of `rollout` as arrays. Raises ValueError or TypeError, naming what is not of its shape or not finite."""
        first = array("first", first, "(n, begin, latent)", finite=True, begin=1 + self.history, latent=self.latent)
        fields = array("fields", fields, "(n, nt, 2)", finite=True, n=len(first))
        if fields.shape[1] <= self.history:
            raise ValueError(f"fields: got {fields.shape[1]} times; at least {1 + self.history} are needed")
        return first, fields

    def rollouts(self, first: np.ndarray, fields: np.ndarray) -> np.ndarray:
        """The rollout of each member of an ensemble, (members, n, nt, latent); one member where there is no ensemble."""
        return self.rollout(first, fields)[None]

    def averages(self, c: np.ndarray) -> np.ndarray | None:
        """Film averages (..., 3) of latent states (..., latent), of a kind that knows them without decoding; None of others."""
        return None

    def networks(self) -> dict:
        """The Keras models in it, by name, with inputs and outputs in magbook's units: what `ReducedOrderModel.to_onnx` writes."""
        return {}

    def parts(self) -> dict | None:
        """The arrays that a functional mock-up unit steps with, see `driven.Driven.parts`; None of a kind that makes none."""
        return None


@dataclass(eq=False)
class Ensemble(Dynamics):
    """Several dynamics of one kind, such as networks trained from several seeds: the mean of their rollouts.

    members: two or more. Raises ValueError for members that differ in history, times, latent or what they see.
    """

    members: Sequence[Dynamics]
    coverage: float = 2.0

    def __post_init__(self):
        if not (isinstance(self.members, Sequence) and all(isinstance(one, Dynamics) for one in self.members)):
            raise TypeError(f"members: got {said(self.members)}; a list of dynamics is needed")
        number("coverage", self.coverage, "a number of standard deviations is", 0)
        if len(self.members) < 2:
            raise ValueError(f"members: got {len(self.members)}; an ensemble has at least two")
        kinds = {(one.history, one.every, one.last, one.latent, one.means) for one in self.members}
        if len(kinds) > 1:
            raise ValueError(f"members: they differ in (history, every, last, latent, means): {sorted(kinds)}")
        ((self.history, self.every, self.last, self.latent, self.means),) = kinds

    def rollout(self, first: np.ndarray, fields: np.ndarray) -> np.ndarray:
        return self.rollouts(first, fields).mean(axis=0)

    def rollouts(self, first: np.ndarray, fields: np.ndarray) -> np.ndarray:
        first, fields = self.checked(first, fields)
        return np.stack([one.rollout(first, fields) for one in self.members])

    def averages(self, c: np.ndarray) -> np.ndarray | None:
        return self.members[0].averages(c)

    def networks(self) -> dict:
        """Those of the members, numbered: average their rollouts, not their steps."""
        return {f"{name}{k or ''}": network for k, one in enumerate(self.members) for name, network in one.networks().items()}
