"""A model beside a run of one's own: what is not as the model knows it, how far off it is, and a figure."""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from . import metrics
from .trajectory import Trajectory

SHOWN: dict[str, tuple[str, float]] = {
    "film average": ("film average", 1), "L2": ("L2", 1), "angle (°)": ("angle", 1),
    "first zero (ps)": ("first zero", 1e12), "holds for (ns)": ("horizon", 1e9)}
"""Columns of the table: the error of `metrics.compare`, and what it is multiplied by."""


@dataclass(eq=False)
class Comparison:
    """What `ReducedOrderModel.compare` gives. A notebook shows all of it; `table` and `figure` are its parts.

    run: the run, on the model's cells and at its times. answers: trajectories to compare with it, by name, the model's first.
    differences: sentences that say where the run is not what the model knows.
    """

    run: Trajectory
    answers: Mapping[str, Trajectory]
    differences: list[str]

    @cached_property
    def errors(self) -> dict[str, dict[str, float]]:
        """What `metrics.compare` says of each answer, without energies."""
        return {name: metrics.compare(answer, self.run, energy=False) for name, answer in self.answers.items()}

    @property
    def table(self) -> Any:
        """The errors as a table for a notebook; "holds for" is `metrics.horizon`."""
        from .show.text import table  # what shows is not needed to compute

        rows = {name: {shown: all_of[key] * factor for shown, (key, factor) in SHOWN.items()} for name, all_of in self.errors.items()}
        return table({name: {key: "the whole run" if np.isinf(value) else value for key, value in row.items()} for name, row in rows.items()})

    @property
    def figure(self) -> Any:
        """The film averages of the run and of the model's answer, a plotly figure."""
        from .show import plots

        return plots.means(self.run, next(iter(self.answers.values())), labels=["your run", "the model"])

    def __repr__(self):
        return "\n".join([*self.differences, *(f"{name}: film average off by {error['film average']:.2g}, states by {error['L2']:.2g} (L2)"
                                               for name, error in self.errors.items())])

    def _ipython_display_(self):
        from IPython.display import HTML, display

        if self.differences:
            display(HTML(f"<ul>{''.join(f'<li>{html.escape(one)}</li>' for one in self.differences)}</ul>"))
        display(self.table)
        display(self.figure)
